// What a publication looks like on the wire, and whether it may go there: its properties, its size, the broker's limits.
import { MqttasgiError } from '../core/errors.ts'
import type { PublishOptions, PublishProperties } from '../core/message.ts'
import { isTopic, quote } from '../core/topic.ts'

const MAX_REMAINING_LENGTH = 268_435_455
const MAX_FIELD = 65_535

/** Properties in the shape of mqtt-packet: absent instead of undefined, user properties as arrays. */
export interface WireProperties {
  payloadFormatIndicator?: boolean
  messageExpiryInterval?: number
  contentType?: string
  responseTopic?: string
  correlationData?: Buffer
  userProperties?: Record<string, string[]>
}

/** What CONNACK allows us to publish (3.2.2.3). */
export interface PublishLimits {
  readonly maximumPacketSize: number | undefined
  readonly maximumQoS: number
  readonly retainAvailable: boolean
}

export const noLimits: PublishLimits = { maximumPacketSize: undefined, maximumQoS: 2, retainAvailable: true }

/** A publication that can be encoded. */
export interface OutgoingPublish {
  readonly properties: WireProperties | undefined
  /** Of the whole frame, fixed header included, as Maximum Packet Size counts it (3.2.2.3.6). */
  readonly bytes: number
}

/**
 * Measures a publication. Throws ERR_PUBLISH_INVALID for a QoS or a property that can not be sent and
 * ERR_PUBLISH_TOO_LARGE beyond what MQTT can carry: MQTT.js would destroy the connection instead, send the
 * packet again on the next one, and so for ever.
 */
export function measurePublish(
  topic: string,
  payload: Buffer,
  options: PublishOptions,
  protocolVersion: 4 | 5,
): OutgoingPublish {
  const qos: unknown = options.qos ?? 1
  if (qos !== 0 && qos !== 1 && qos !== 2) throw invalid(topic, 'qos', `0, 1 or 2, not ${shown(qos)}`)
  const body = 2 + Buffer.byteLength(topic) + (qos > 0 ? 2 : 0) + payload.length
  if (protocolVersion === 4) return { properties: undefined, bytes: frameBytes(topic, body) }
  const { properties, bytes } = measure(topic, options.properties ?? {})
  return {
    properties: bytes === 0 ? undefined : properties,
    bytes: frameBytes(topic, body + integerBytes(bytes) + bytes),
  }
}

/** Why the broker would not take it; to send it nevertheless would end the connection. */
export function limitFault(
  topic: string,
  publication: { readonly qos: number; readonly retain: boolean; readonly bytes: number },
  limits: PublishLimits,
): MqttasgiError | undefined {
  const what = `the publication to ${quote(topic)}`
  const { maximumPacketSize, maximumQoS, retainAvailable } = limits
  if (maximumPacketSize !== undefined && publication.bytes > maximumPacketSize) {
    return tooLarge(what, publication.bytes, maximumPacketSize, topic)
  }
  const refused = (reason: string): MqttasgiError =>
    new MqttasgiError('ERR_PUBLISH_REFUSED', `Not sent: ${what}, for the broker ${reason}.`, { topic })
  // [MQTT-3.2.2-11], [MQTT-3.2.2-14]
  if (publication.qos > maximumQoS) return refused(`takes QoS ${maximumQoS} at most`)
  if (publication.retain && !retainAvailable) return refused('keeps no retained messages')
  return undefined
}

export function tooLarge(what: string, bytes: number, limit: number, topic?: string): MqttasgiError {
  return new MqttasgiError(
    'ERR_PUBLISH_TOO_LARGE',
    `Not sent: ${what} takes ${bytes} bytes, and the broker takes ${limit} at most. Publish less at once, or raise the broker's limit.`,
    topic === undefined ? {} : { topic },
  )
}

function frameBytes(topic: string, remaining: number): number {
  if (remaining > MAX_REMAINING_LENGTH) {
    throw new MqttasgiError(
      'ERR_PUBLISH_TOO_LARGE',
      `A publication to ${quote(topic)} takes ${remaining} bytes, and MQTT can carry ${MAX_REMAINING_LENGTH}: publish it in parts.`,
      { topic },
    )
  }
  return 1 + integerBytes(remaining) + remaining
}

/** The bytes of a Variable Byte Integer (1.5.5). */
function integerBytes(value: number): number {
  if (value < 128) return 1
  if (value < 16_384) return 2
  return value < 2_097_152 ? 3 : 4
}

function measure(topic: string, given: PublishProperties): { properties: WireProperties; bytes: number } {
  const properties: WireProperties = {}
  let bytes = 0
  const { payloadFormatIndicator, messageExpiryInterval, contentType, responseTopic, correlationData } = given
  if (payloadFormatIndicator !== undefined) {
    properties.payloadFormatIndicator = payloadFormatIndicator
    bytes += 2
  }
  if (messageExpiryInterval !== undefined) {
    properties.messageExpiryInterval = seconds(topic, messageExpiryInterval)
    bytes += 5
  }
  if (contentType !== undefined) {
    bytes += 1 + textBytes(topic, 'contentType', contentType)
    properties.contentType = contentType
  }
  if (responseTopic !== undefined) {
    bytes += 1 + textBytes(topic, 'responseTopic', responseTopic)
    // [MQTT-3.3.2-14]
    if (!isTopic(responseTopic)) throw invalid(topic, 'responseTopic', `a topic, not ${quote(responseTopic)}`)
    properties.responseTopic = responseTopic
  }
  if (correlationData !== undefined) {
    properties.correlationData = Buffer.from(correlationData)
    bytes += 3 + fieldBytes(topic, 'correlationData', correlationData.byteLength)
  }
  const user = userProperties(topic, given.userProperties ?? {})
  // mqtt-packet writes nothing at all for a packet with an empty set of them.
  if (user.bytes > 0) properties.userProperties = user.values
  return { properties, bytes: bytes + user.bytes }
}

function userProperties(
  topic: string,
  given: NonNullable<PublishProperties['userProperties']>,
): { values: Record<string, string[]>; bytes: number } {
  // No prototype: `__proto__` is a name like any other.
  const values: Record<string, string[]> = Object.assign(Object.create(null), {})
  let bytes = 0
  for (const [name, value] of Object.entries(given)) {
    const list = typeof value === 'string' ? [value] : [...value]
    for (const one of list) {
      bytes += 1 + textBytes(topic, 'a user property', name) + textBytes(topic, 'a user property', one)
    }
    if (list.length > 0) values[name] = list
  }
  return { values, bytes }
}

function seconds(topic: string, value: number): number {
  if (Number.isInteger(value) && value >= 0 && value <= 0xffffffff) return value
  throw invalid(topic, 'messageExpiryInterval', `whole seconds, 0 to 4294967295, not ${value}`)
}

/** The bytes of a UTF-8 string with its length [MQTT-1.5.4-1, MQTT-1.5.4-2]. */
function textBytes(topic: string, name: string, text: string): number {
  if (typeof text !== 'string') throw invalid(topic, name, `a string, not ${typeof text}`)
  if (/[\0\p{Cs}]/u.test(text)) throw invalid(topic, name, 'text without NUL and half surrogate pairs')
  return 2 + fieldBytes(topic, name, Buffer.byteLength(text))
}

function fieldBytes(topic: string, name: string, bytes: number): number {
  if (bytes <= MAX_FIELD) return bytes
  throw invalid(topic, name, `at most ${MAX_FIELD} bytes, not ${bytes}`)
}

function shown(value: unknown): string {
  return typeof value === 'string' ? quote(value) : String(value)
}

function invalid(topic: string, name: string, expected: string): MqttasgiError {
  return new MqttasgiError(
    'ERR_PUBLISH_INVALID',
    `The publication to ${quote(topic)} can not be sent: ${name} must be ${expected}.`,
    { topic },
  )
}

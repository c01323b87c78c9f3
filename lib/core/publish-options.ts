// The options of a publication, checked where they are given: a misspelt one would be lost in silence.
import { MqttasgiError } from './errors.ts'
import type { PublishOptions, PublishProperties } from './message.ts'

const optionNames: Record<keyof PublishOptions, true> = {
  qos: true,
  retain: true,
  properties: true,
  until: true,
}

const propertyNames: Record<keyof PublishProperties, true> = {
  payloadFormatIndicator: true,
  messageExpiryInterval: true,
  contentType: true,
  responseTopic: true,
  correlationData: true,
  userProperties: true,
}

/** Throws `ERR_PUBLISH_INVALID` for what is no object, and for a name that is none. Values are checked where they are written. */
export function checkPublishOptions(topic: string, options: PublishOptions): void {
  assertObject(topic, 'options', options)
  refuseUnknown(topic, 'option', options, optionNames)
  const { properties } = options
  if (properties !== undefined) {
    assertObject(topic, 'properties', properties)
    refuseUnknown(topic, 'property', properties, propertyNames)
  }
  const retain: unknown = options.retain ?? false
  if (typeof retain !== 'boolean') {
    const message = `"${topic}" was not published: retain must be true or false, not ${String(retain)}.`
    throw new MqttasgiError('ERR_PUBLISH_INVALID', message, { topic })
  }
  const until: unknown = options.until ?? 'answered'
  if (until === 'answered' || until === 'stored') return
  const message = `"${topic}" was not published: until must be answered or stored, not ${String(until)}.`
  throw new MqttasgiError('ERR_PUBLISH_INVALID', message, { topic })
}

/** As a program without types may have got it wrong. */
export function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null
}

function assertObject(topic: string, what: string, value: unknown): void {
  if (isObject(value)) return
  const message = `"${topic}" was not published: the ${what} must be an object, not ${String(value)}.`
  throw new MqttasgiError('ERR_PUBLISH_INVALID', message, { topic })
}

function refuseUnknown(topic: string, what: string, given: object, known: object): void {
  for (const name of Object.keys(given)) {
    if (Object.hasOwn(known, name)) continue
    throw new MqttasgiError(
      'ERR_PUBLISH_INVALID',
      `"${topic}" was not published: "${name}" is no ${what} of a publication. There are: ${Object.keys(known).join(', ')}.`,
      { topic },
    )
  }
}

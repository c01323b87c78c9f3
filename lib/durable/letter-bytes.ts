// A dead letter as bytes: one line of JSON that says all about it, then its payload as it came. Versioned.
import { createHash } from 'node:crypto'
import type { DeadLetter, DeadLetterCause } from '../core/dead-letter.ts'
import { MqttasgiError, toError } from '../core/errors.ts'
import type { MessageProperties, QoS } from '../core/message.ts'

const VERSION = 1
const NEWLINE = 0x0a

/** What MQTT calls the form of it. */
export const letterContentType = 'application/vnd.mqttasgi.dead-letter'

/** How a letter is written. */
export interface LetterForm {
  /** Length and SHA-256 in place of the payload, where it does not fit. */
  readonly withoutPayload?: boolean
}

/**
 * The first line is an object in JSON: `mqttasgi` is "dead letter", `version` is 1, the rest are the fields
 * of `DeadLetter`, but that correlation data are in base64, and `payload` says `bytes`, `sha256`, and
 * whether it `follows`. Behind the line feed come the bytes of the payload, and nothing else.
 */
export function encodeLetter(letter: DeadLetter, { withoutPayload = false }: LetterForm = {}): Buffer {
  const { payload, properties, error, ...rest } = letter
  const { correlationData } = properties
  const head = {
    mqttasgi: 'dead letter',
    version: VERSION,
    ...rest,
    error: { name: plain(error.name), message: plain(error.message), code: error.code },
    properties: { ...properties, correlationData: correlationData?.toString('base64') },
    payload: {
      bytes: payload.length,
      sha256: createHash('sha256').update(payload).digest('hex'),
      follows: !withoutPayload,
    },
  }
  const line = Buffer.from(`${JSON.stringify(head)}\n`)
  return withoutPayload ? line : Buffer.concat([line, payload])
}

/**
 * The letter that `bytes` are. Code: `ERR_DEAD_LETTER_UNREADABLE` for what is none, for a later version, and
 * for one whose payload does not follow.
 */
export function decodeLetter(bytes: Buffer): DeadLetter {
  const end = bytes.indexOf(NEWLINE)
  const head = end === -1 ? undefined : parsed(bytes.toString('utf8', 0, end))
  if (head === undefined || head['mqttasgi'] !== 'dead letter')
    throw unreadable('it does not begin with the line of one')
  if (head['version'] !== VERSION)
    throw unreadable(`its version is ${String(head['version'])}, and ${VERSION} is known`)
  const written = asObject(head['payload'])
  const payload = Buffer.from(bytes.subarray(end + 1))
  if (written['follows'] !== true || written['bytes'] !== payload.length)
    throw unreadable(`it has ${payload.length} of the ${String(written['bytes'])} bytes of its payload`)
  const error = asObject(head['error'])
  return {
    id: String(head['id']),
    topic: String(head['topic']),
    payload,
    qos: Number(head['qos']) as QoS,
    retain: head['retain'] === true,
    dup: head['dup'] === true,
    properties: propertiesOf(asObject(head['properties'])),
    cause: String(head['cause']) as DeadLetterCause,
    error: { name: String(error['name']), message: String(error['message']), code: optional(error['code']) },
    receiver: String(head['receiver']),
    route: optional(head['route']),
    share: head['share'] === null ? null : optional(head['share']),
    attempts: Number(head['attempts']),
    arrivedAt: Number(head['arrivedAt']),
    deadAt: Number(head['deadAt']),
    clientId: String(head['clientId']),
  }
}

/** The same for whoever reads many: one that can not be read must not keep from reading the next. */
export function letterOrError(bytes: Buffer): DeadLetter | Error {
  try {
    return decodeLetter(bytes)
  } catch (error) {
    return toError(error)
  }
}

type JsonObject = Readonly<Record<string, unknown>>

// Without prototypes, as messages have them: a user property may be called __proto__.
function propertiesOf(written: JsonObject): MessageProperties {
  const { correlationData, userProperties, ...rest } = written
  const properties: Record<string, unknown> = Object.assign(Object.create(null), rest)
  if (typeof correlationData === 'string')
    properties['correlationData'] = Buffer.from(correlationData, 'base64')
  if (userProperties !== undefined)
    properties['userProperties'] = Object.assign(Object.create(null), userProperties)
  return properties
}

function parsed(line: string): JsonObject | undefined {
  try {
    return asObject(JSON.parse(line))
  } catch {
    return undefined
  }
}

function asObject(value: unknown): JsonObject {
  return typeof value === 'object' && value !== null ? (value as JsonObject) : {}
}

function optional(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

const LONGEST_TEXT = 1_024

// What a device sent may stand in the text of an error (T20).
function plain(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}\u202A-\u202E\u2066-\u2069]/gu, ' ').slice(0, LONGEST_TEXT)
}

function unreadable(why: string): MqttasgiError {
  return new MqttasgiError('ERR_DEAD_LETTER_UNREADABLE', `What is kept is no dead letter: ${why}.`)
}

// What becomes of a publication that does not get to the broker, in words.
import { MqttasgiError, toError, type ErrorCode } from '../core/errors.ts'
import { quote } from '../core/topic.ts'

/** How full the outbox is. */
export interface Fill {
  readonly messages: number
  readonly bytes: number
  readonly maxMessages: number
  readonly maxBytes: number
}

export function full(topic: string, fill: Fill): MqttasgiError {
  const { bytes, maxBytes, maxMessages, messages } = fill
  return new MqttasgiError(
    'ERR_OUTBOX_FULL',
    `${quote(topic)} was not published: ${messages} publications (${bytes} bytes) wait for the broker, the limits are ${maxMessages} and ${maxBytes}. Await publish(), or publish less while the broker is away.`,
    { topic },
  )
}

export function dropped(topic: string): MqttasgiError {
  return new MqttasgiError(
    'ERR_PUBLISH_DROPPED',
    `${quote(topic)} was not published: the outbox was full, and it had waited longest (outbox.whenFull is drop-oldest).`,
    { topic },
  )
}

export function expired(topic: string): MqttasgiError {
  return new MqttasgiError(
    'ERR_PUBLISH_EXPIRED',
    `${quote(topic)} was not published: it has waited for the broker longer than its Message Expiry Interval or outbox.maxAge allows.`,
    { topic },
  )
}

export function notConnected(topic: string): MqttasgiError {
  return new MqttasgiError(
    'ERR_NOT_CONNECTED',
    `${quote(topic)} was not published: there is no connection, and QoS 0 does not wait for one unless outbox.qos0 is keep.`,
    { topic },
  )
}

/** Why there was no answer; a connection may fail in a way that it has no word for. */
export function noAnswer(topic: string, thrown: unknown): MqttasgiError {
  if (thrown instanceof MqttasgiError) return thrown
  const cause = toError(thrown)
  const message = `Whether ${quote(topic)} was published is not known: ${cause.message}`
  return new MqttasgiError('ERR_CONNECTION_CLOSED', message, { topic, cause })
}

const openEnds: ReadonlySet<ErrorCode> = new Set([
  'ERR_CONNECTION_CLOSED',
  'ERR_NOT_CONNECTED',
  'ERR_STOPPED',
])

/** Whether the broker has it is not known. */
export function isOpenEnd({ code }: MqttasgiError): boolean {
  return openEnds.has(code)
}

export function notStored(topic: string, cause: Error): MqttasgiError {
  return new MqttasgiError(
    'ERR_OUTBOX_STORE',
    `${quote(topic)} could not be stored, and was not published: ${cause.message}`,
    { topic, cause },
  )
}

export function noStore(topic: string, qos: number): MqttasgiError {
  const why = qos === 0 ? 'QoS 0 is never stored' : 'there is nowhere to store it'
  return new MqttasgiError(
    'ERR_PUBLISH_INVALID',
    `${quote(topic)} was not published: until: 'stored' was asked for, and ${why}. Set outbox.durable, and publish with QoS 1 or 2.`,
    { topic },
  )
}

/** The end of the server is not the end of a publication on disk. */
export function staysStored(topic: string, store: string, end: MqttasgiError): MqttasgiError {
  return new MqttasgiError(
    end.code,
    `${end.message} ${quote(topic)} stays in ${store} and is published after the next start.`,
    { topic, cause: end },
  )
}

/** A line: the store takes nothing. */
export function notWritten(store: string, { message }: Error): string {
  return `Publications can not be written to ${store}: ${message} They are sent all the same; those that wait are lost if the process ends.`
}

/** A line: the store does not let go of what is over. */
export function staysForNow(store: string, { message }: Error): string {
  return `Publications that are over can not be taken out of ${store}: ${message} It is tried again; what is still there when the process ends is published again after the next start.`
}

/** The same at the end. */
export function staysForGood(store: string, count: number, { message }: Error): string {
  const [what, they] = count === 1 ? ['publication that is', 'It is'] : ['publications that are', 'They are']
  return `${count} ${what} over could not be taken out of ${store}: ${message} ${they} published again after the next start.`
}

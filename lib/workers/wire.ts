// What the server's thread and a worker's thread say to each other, all of it plain data.
import type { ReceiverCounter } from '../core/hosted.ts'
import type { LogFields, Logger } from '../core/log.ts'
import type { PublishRules } from '../core/message-context.ts'
import type { Message, MessageProperties, QoS } from '../core/message.ts'
import type { DisconnectReason, Interest, SessionInfo } from '../core/receiver.ts'
import type { Scope } from '../core/scope.ts'
import { ownBytes } from '../core/own-bytes.ts'
import type { RouteTable } from './route-table.ts'
import { wireError, type WireError, type WireOutcome } from './wire-error.ts'

/** What a thread is started with. */
export interface ThreadOrder {
  readonly id: string
  /** `/absolute/file.ts#export`. */
  readonly application: string
  readonly mount: string
  readonly scope: Scope
  readonly rules: PublishRules | undefined
  /** Of the server's channel layer, in seconds; undefined where there is none. */
  readonly groupExpiry: number | undefined
  readonly instances: number | undefined
  readonly memoryMb: number | undefined
}

/** A message as plain data. */
export interface WireMessage {
  readonly topic: string
  readonly payload: Uint8Array
  readonly qos: QoS
  readonly retain: boolean
  readonly dup: boolean
  readonly properties: Omit<MessageProperties, 'correlationData'> & { readonly correlationData?: Uint8Array }
  readonly share: string | null | undefined
}

/** Why a connection ended, as plain data. */
export interface WireReason {
  readonly type: DisconnectReason['type']
  readonly error?: WireError
}

export type ToThread =
  | {
      readonly type: 'deliver'
      readonly job: number
      readonly message: WireMessage
      readonly attempt: number
    }
  | { readonly type: 'abort' | 'giveUp'; readonly job: number; readonly error: WireError }
  | { readonly type: 'connected'; readonly call: number; readonly session: SessionInfo }
  | { readonly type: 'disconnected'; readonly call: number; readonly reason: WireReason }
  | { readonly type: 'answer'; readonly call: number; readonly value: unknown }
  | { readonly type: 'refusal'; readonly call: number; readonly error: WireError }
  | { readonly type: 'ping'; readonly ping: number }

export type FromThread =
  /** What it wants and how its messages are run: the first one says that it is ready. */
  | { readonly type: 'table'; readonly interests: readonly Interest[]; readonly table: RouteTable }
  | { readonly type: 'failed'; readonly error: WireError }
  | { readonly type: 'outcome'; readonly job: number; readonly outcome: WireOutcome }
  | { readonly type: 'extend'; readonly job: number; readonly ms: number }
  /** It can not begin it yet, or begins it now, after so many milliseconds. */
  | { readonly type: 'waits'; readonly job: number }
  | { readonly type: 'begins'; readonly job: number; readonly afterMs: number }
  | { readonly type: 'told'; readonly call: number }
  | ThreadCall
  | { readonly type: 'cancel'; readonly call: number }
  | {
      readonly type: 'log'
      readonly level: keyof Logger
      readonly message: string
      readonly fields: WireFields
    }
  /** Something that the server counts. */
  | { readonly type: 'counted'; readonly counter: ReceiverCounter }
  | { readonly type: 'pong'; readonly ping: number; readonly bytes: number }
  | { readonly type: 'memory'; readonly bytes: number }
  | { readonly type: 'ended'; readonly error: WireError | undefined }

/** The thread asks for something that only the server's thread can do. */
export interface ThreadCall {
  readonly type: 'call'
  readonly call: number
  readonly target: 'client' | 'channels'
  readonly method: string
  readonly args: readonly unknown[]
}

/** One end of the line between two threads. */
export interface Line<M> {
  /** What is in `transfer` belongs to the other side from then on. */
  post(message: M, transfer?: readonly ArrayBuffer[]): void
}

/** Fields of a log line: errors are errors on the other side too, and what can not cross says so. */
export type WireFields = Readonly<
  Record<string, { readonly value: unknown } | { readonly error: WireError } | undefined>
>

/** The bytes are copied: they are a view into a buffer that is used again. */
export function wireMessage(message: Message): WireMessage {
  const { dup, properties, qos, retain, share, topic } = message
  return {
    topic,
    payload: new Uint8Array(message.payload),
    qos,
    retain,
    dup,
    properties: wireProperties(properties),
    share,
  }
}

// They are a view into the whole packet, which would cross with them.
function wireProperties({ correlationData, ...rest }: MessageProperties): WireMessage['properties'] {
  return correlationData === undefined ? rest : { ...rest, correlationData: new Uint8Array(correlationData) }
}

export function messageOf({ payload, properties, ...rest }: WireMessage): Message {
  const { correlationData, userProperties, ...more } = properties
  return {
    ...rest,
    payload: asBuffer(payload),
    properties: withoutPrototype({
      ...more,
      ...(correlationData === undefined ? {} : { correlationData: asBuffer(correlationData) }),
      ...(userProperties === undefined ? {} : { userProperties: withoutPrototype(userProperties) }),
    }),
  }
}

export function wireReason({ error, type }: DisconnectReason): WireReason {
  return error === undefined ? { type } : { type, error: wireError(error) }
}

export function wireFields(fields: LogFields = {}): WireFields {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      value instanceof Error ? { error: wireError(value) } : { value: plain(value) },
    ]),
  )
}

function plain(value: unknown): unknown {
  try {
    return structuredClone(ownBytes(value))
  } catch {
    return `(of type ${typeof value}, which stays in its thread)`
  }
}

function asBuffer({ buffer, byteLength, byteOffset }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength)
}

// What crosses between threads gets a prototype on the way, and a name such as `constructor` is a name like any other.
function withoutPrototype<T extends object>(given: T): T {
  return Object.defineProperties(Object.create(null) as T, Object.getOwnPropertyDescriptors(given))
}

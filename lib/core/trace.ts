// The seam for observation: named debug logs, and a diagnostics channel that costs nothing unheard.
import { channel } from 'node:diagnostics_channel'
import debug from 'debug'
import type { Message } from './message.ts'

/** Writes to stderr when `DEBUG` names it, for example `DEBUG=mqttasgi:*`. Never give it secrets. */
export type Trace = (format: string, ...values: unknown[]) => void

/** A debug log of this package; `name` is the file or part that speaks. */
export function tracer(name: string): Trace {
  return debug(`mqttasgi:${name}`)
}

/**
 * Whether `DEBUG` has MQTT.js write what it sends and gets, payloads among it. Its words on passwords are kept
 * from it, but not those on messages.
 */
export function librariesTrace(): boolean {
  return debug.enabled('mqttjs:client') || debug.enabled('mqtt-packet:parser')
}

/** What is published on the diagnostics channel `mqttasgi:settled`, once for each message and receiver. */
export interface SettledEvent {
  readonly receiver: string
  readonly message: Message
  readonly routes: readonly string[]
  readonly result: { readonly type: string; readonly error?: Error }
}

const settled = channel('mqttasgi:settled')

/** Says that a receiver is done with a message. */
export function traceSettled(
  receiver: string,
  message: Message,
  routes: readonly string[],
  result: SettledEvent['result'],
): void {
  if (settled.hasSubscribers) settled.publish({ receiver, message, routes, result } satisfies SettledEvent)
}

/** What is published on the diagnostics channel `mqttasgi:channel-loss` when an event of a channel layer reaches nobody. */
export interface ChannelLossEvent {
  /** The name of the layer. */
  readonly layer: string
  readonly channel: string
  /** There was no room, nobody received it in time, or what came is no event. */
  readonly reason: 'full' | 'expired' | 'unreadable'
  readonly count: number
}

const channelLoss = channel('mqttasgi:channel-loss')

/** Says that events of a channel reached nobody. */
export function traceChannelLoss(event: ChannelLossEvent): void {
  if (channelLoss.hasSubscribers) channelLoss.publish(event)
}

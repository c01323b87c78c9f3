// How much a channel layer keeps, and for how long, when nobody says otherwise; and the errors that are the same in each.
import type { ChannelLimits } from '../core/channel-layer.ts'
import { MqttasgiError } from '../core/errors.ts'

const MOST_NAMED = 10

/** All limits, in milliseconds. */
export interface DecidedLimits {
  readonly capacity: number
  readonly expiryMs: number
  readonly groupExpiryMs: number
}

/** Throws `ERR_CONFIG_VALUE` for a limit that is none. */
export function decidedLimits({
  capacity = 100,
  expiry = 60,
  groupExpiry = 86_400,
}: ChannelLimits): DecidedLimits {
  if (!Number.isSafeInteger(capacity) || capacity < 1)
    throw refused('capacity', 'a whole number of 1 or more', capacity)
  for (const [name, seconds] of Object.entries({ expiry, groupExpiry }))
    if (!(Number.isFinite(seconds) && seconds > 0)) throw refused(name, 'seconds, more than 0', seconds)
  return { capacity, expiryMs: expiry * 1_000, groupExpiryMs: groupExpiry * 1_000 }
}

/** The time for the last words of a layer, in milliseconds: a server that does not answer holds up nobody's end for longer. */
export const LAST_MS = 2_000

/** Throws `ERR_CONFIG_VALUE` for what ends no receive, such as an object that carries a signal. */
export function assertSignal(signal: unknown): void {
  if (signal === undefined || signal instanceof AbortSignal) return
  throw new MqttasgiError(
    'ERR_CONFIG_VALUE',
    `A receive is given up by an AbortSignal, and got a value of type ${typeof signal} that is none. Give the signal itself: receive(channel, signal).`,
  )
}

/** `ERR_CHANNEL_FULL`, with the names of those that were full; `capacity` is undefined where another process has its own. */
export function channelsFull(channels: readonly string[], capacity: number | undefined): MqttasgiError {
  const named = channels.slice(0, MOST_NAMED).join(', ')
  const more = channels.length > MOST_NAMED ? ` and ${channels.length - MOST_NAMED} more` : ''
  const unread =
    capacity === undefined ? 'as many unread events as may be' : `${capacity} unread events already`
  const message = `The event has not reached ${named}${more}: there are ${unread}. Look at why nobody receives from there, or raise channels.capacity.`
  return new MqttasgiError('ERR_CHANNEL_FULL', message, { channels })
}

/** `ERR_CHANNEL_CLOSED`. */
export function channelsClosed(layer: string): MqttasgiError {
  return new MqttasgiError(
    'ERR_CHANNEL_CLOSED',
    `The channel layer ${layer} was closed. Open another one to go on.`,
  )
}

function refused(name: string, expected: string, got: unknown): MqttasgiError {
  return new MqttasgiError(
    'ERR_CONFIG_VALUE',
    `${name} of a channel layer: expected ${expected}, got ${String(got)}.`,
  )
}

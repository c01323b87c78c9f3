// A channel layer within one process.
import { randomBytes } from 'node:crypto'
import { decodeEvent, encodeEvent } from '../core/channel-event.ts'
import {
  zeroChannelCounters,
  type ChannelCounters,
  type ChannelEvent,
  type ChannelLayer,
  type ChannelLimits,
} from '../core/channel-layer.ts'
import { assertChannel, assertGroup, assertOwn, localChannel } from '../core/channel-name.ts'
import type { Clock } from '../core/clock.ts'
import { Groups } from './groups.ts'
import { channelsClosed, channelsFull, decidedLimits } from './limits.ts'
import { Mailboxes } from './mailboxes.ts'

/** How much it keeps, and for how long. */
export interface InMemoryChannelLayerOptions extends ChannelLimits {
  /** For tests: where the time comes from. */
  readonly clock?: Pick<Clock, 'now'>
}

/**
 * A channel layer for one process: what is sent can be received in this process only, through this same object.
 * Events are copied on their way, as if they had left the process.
 *
 * @example
 * const layer = new InMemoryChannelLayer({ capacity: 10 })
 * await layer.send('alarms', { type: 'alarm.raised', room: 'hall' })
 * const event = await layer.receive('alarms')
 */
export class InMemoryChannelLayer implements ChannelLayer {
  readonly name = 'memory'
  readonly counters: Readonly<ChannelCounters>
  readonly #counters: ChannelCounters
  readonly #client = randomBytes(9).toString('base64url')
  readonly #capacity: number
  readonly #mailboxes: Mailboxes
  readonly #groups: Groups
  #isClosed = false

  /** Throws `ERR_CONFIG_VALUE` for a limit that is none. */
  constructor({ clock = performance, ...limits }: InMemoryChannelLayerOptions = {}) {
    const { capacity, expiryMs, groupExpiryMs } = decidedLimits(limits)
    this.counters = this.#counters = zeroChannelCounters()
    this.#capacity = capacity
    this.#mailboxes = new Mailboxes({
      layer: this.name,
      counters: this.#counters,
      clock,
      capacity,
      expiryMs,
    })
    this.#groups = new Groups(clock, groupExpiryMs)
  }

  async send(channel: string, event: ChannelEvent): Promise<void> {
    this.#assertOpen()
    assertChannel(channel)
    this.#give([channel], event)
  }

  async receive(channel: string, signal?: AbortSignal): Promise<ChannelEvent> {
    this.#assertOpen()
    assertOwn(channel, this.#client)
    const bytes = await this.#mailboxes.take(channel, signal)
    this.#counters.received++
    return decodeEvent(bytes)
  }

  async newChannel(prefix = 'specific'): Promise<string> {
    this.#assertOpen()
    return localChannel(prefix, this.#client, randomBytes(9).toString('base64url'))
  }

  async groupAdd(group: string, channel: string): Promise<void> {
    this.#assertOpen()
    assertGroup(group)
    assertChannel(channel)
    this.#groups.add(group, channel)
  }

  async groupDiscard(group: string, channel: string): Promise<void> {
    this.#assertOpen()
    assertGroup(group)
    assertChannel(channel)
    this.#groups.discard(group, channel)
  }

  async groupSend(group: string, event: ChannelEvent): Promise<void> {
    this.#assertOpen()
    assertGroup(group)
    this.#give(this.#groups.members(group), event)
  }

  async flush(): Promise<void> {
    this.#assertOpen()
    this.#mailboxes.clear()
    this.#groups.clear()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#mailboxes.close(channelsClosed(this.name))
    this.#groups.clear()
  }

  #give(channels: readonly string[], event: ChannelEvent): void {
    const bytes = encodeEvent(event)
    const full = channels.filter((channel) => !this.#mailboxes.offer(channel, bytes))
    if (full.length < channels.length || channels.length === 0) this.#counters.sent++
    if (full.length > 0) throw channelsFull(full, this.#capacity)
  }

  #assertOpen(): void {
    if (this.#isClosed) throw channelsClosed(this.name)
  }
}

// A channel layer within one process.
import { randomBytes } from 'node:crypto'
import { decodeEvent, encodeEvent } from '../core/channel-event.ts'
import {
  type ChannelCounters,
  type ChannelEvent,
  type ChannelLayer,
  type ChannelLimits,
} from '../core/channel-layer.ts'
import { assertChannel, assertGroup, assertOwn, localChannel, processOf } from '../core/channel-name.ts'
import type { Clock } from '../core/clock.ts'
import { assertSignal, channelsClosed, channelsFull } from './limits.ts'
import { MemoryRoom, sharedRoom } from './memory-room.ts'

/** How much it keeps, and for how long. */
export interface InMemoryChannelLayerOptions extends ChannelLimits {
  /**
   * All layers of this process with the same prefix are one: what is sent through one is received through another. The
   * limits are those of the first. Default: this layer is alone.
   */
  readonly prefix?: string | undefined
  /** For tests: where the time comes from. */
  readonly clock?: Pick<Clock, 'now'> | undefined
}

/**
 * A channel layer for one process: what is sent can be received in this process only.
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
  readonly groupExpiry: number
  readonly #client = randomBytes(9).toString('base64url')
  readonly #room: MemoryRoom
  readonly #leave: () => void
  readonly #waiting = new Set<AbortController>()
  #isClosed = false

  /** Throws `ERR_CONFIG_VALUE` for a limit that is none. */
  constructor({ clock, prefix, ...limits }: InMemoryChannelLayerOptions = {}) {
    const shared = prefix === undefined ? undefined : sharedRoom(prefix, limits)
    this.#room = shared?.room ?? new MemoryRoom(limits, clock)
    this.#leave = shared?.leave ?? (() => {})
    this.counters = this.#room.counters
    this.groupExpiry = this.#room.groupExpiry
  }

  async send(channel: string, event: ChannelEvent): Promise<void> {
    this.#assertOpen()
    assertChannel(channel)
    this.#give([channel], event)
  }

  async receive(channel: string, signal?: AbortSignal): Promise<ChannelEvent> {
    this.#assertOpen()
    assertOwn(channel, this.#client)
    assertSignal(signal)
    signal?.throwIfAborted()
    // Others may wait for the same channel, and go on when this layer is closed.
    const end = new AbortController()
    const abort = (): void => end.abort(signal?.reason)
    signal?.addEventListener('abort', abort, { once: true })
    this.#waiting.add(end)
    try {
      const bytes = await this.#room.mailboxes.take(channel, end.signal)
      this.#room.counters.received++
      return decodeEvent(bytes)
    } finally {
      signal?.removeEventListener('abort', abort)
      this.#waiting.delete(end)
    }
  }

  async newChannel(prefix = 'specific'): Promise<string> {
    this.#assertOpen()
    return localChannel(prefix, this.#client, randomBytes(9).toString('base64url'))
  }

  async groupAdd(group: string, channel: string): Promise<void> {
    this.#assertOpen()
    assertGroup(group)
    assertChannel(channel)
    this.#room.groups.add(group, channel)
  }

  async groupDiscard(group: string, channel: string): Promise<void> {
    this.#assertOpen()
    assertGroup(group)
    assertChannel(channel)
    this.#room.groups.discard(group, channel)
  }

  async groupSend(group: string, event: ChannelEvent): Promise<void> {
    this.#assertOpen()
    assertGroup(group)
    this.#give(this.#room.groups.members(group), event)
  }

  async flush(): Promise<void> {
    this.#assertOpen()
    this.#room.mailboxes.clear()
    this.#room.groups.clear()
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const end of this.#waiting) end.abort(channelsClosed(this.name))
    this.#room.groups.forget((channel) => processOf(channel) === this.#client)
    this.#leave()
  }

  #give(channels: readonly string[], event: ChannelEvent): void {
    const { capacity, counters, mailboxes } = this.#room
    const bytes = encodeEvent(event)
    const full = channels.filter((channel) => !mailboxes.offer(channel, bytes))
    if (full.length < channels.length || channels.length === 0) counters.sent++
    if (full.length > 0) throw channelsFull(full, capacity)
  }

  #assertOpen(): void {
    if (this.#isClosed) throw channelsClosed(this.name)
  }
}

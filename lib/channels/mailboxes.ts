// The channels of a process: each made when it is first named, and forgotten when nothing is in it.
import type { ChannelCounters } from '../core/channel-layer.ts'
import type { Clock } from '../core/clock.ts'
import { traceChannelLoss } from '../core/trace.ts'
import { Mailbox } from './mailbox.ts'

/** What they need of their layer. */
export interface MailboxesOptions {
  /** The name of the layer. */
  readonly layer: string
  readonly counters: ChannelCounters
  readonly clock: Pick<Clock, 'now'>
  readonly capacity: number
  readonly expiryMs: number
}

export class Mailboxes {
  readonly #options: MailboxesOptions
  readonly #boxes = new Map<string, Mailbox>()
  #nextSweep: number

  constructor(options: MailboxesOptions) {
    this.#options = options
    this.#nextSweep = options.clock.now() + options.expiryMs
  }

  /** How many channels there are in memory. */
  get size(): number {
    return this.#boxes.size
  }

  /** False, counted and traced, when the channel is full. */
  offer(channel: string, bytes: Buffer): boolean {
    const { clock, expiryMs, counters, layer } = this.#options
    this.#sweep()
    const isKept = this.#fresh(channel).offer(bytes, clock.now() + expiryMs)
    if (!isKept) {
      counters.full++
      traceChannelLoss({ layer, channel, reason: 'full', count: 1 })
    }
    return isKept
  }

  async take(channel: string, signal?: AbortSignal): Promise<Buffer> {
    signal?.throwIfAborted()
    this.#sweep()
    return this.#fresh(channel).take(signal)
  }

  /** The oldest event of the channel, if there is one. */
  next(channel: string): Buffer | undefined {
    return this.#fresh(channel).next()
  }

  /** How many events wait in the channel. */
  unread(channel: string): number {
    return this.#fresh(channel).unread
  }

  /** The channels that have something. */
  channels(): readonly string[] {
    return [...this.#boxes].flatMap(([channel, box]) => (box.isIdle ? [] : [channel]))
  }

  /** Somebody waits for the next event of the channel. */
  isAwaited(channel: string): boolean {
    return this.#boxes.get(channel)?.isAwaited === true
  }

  /** Tells those who wait for this channel why nothing comes. */
  fail(channel: string, error: Error): void {
    this.#boxes.get(channel)?.fail(error)
  }

  /** Forgets all events; who waits goes on waiting. */
  clear(): void {
    for (const box of this.#boxes.values()) box.clear()
  }

  /** Tells all who wait why nothing comes. */
  failAll(error: Error): void {
    for (const box of this.#boxes.values()) box.fail(error)
  }

  /** Forgets all events, which nobody has received in time: counted and traced. */
  close(): void {
    for (const [channel, box] of this.#boxes) this.#lost(channel, box.clear().length)
    this.#boxes.clear()
  }

  #fresh(channel: string): Mailbox {
    let box = this.#boxes.get(channel)
    if (box === undefined) {
      box = new Mailbox(this.#options.capacity)
      this.#boxes.set(channel, box)
    }
    this.#expire(channel, box)
    return box
  }

  #expire(channel: string, box: Mailbox): void {
    this.#lost(channel, box.expire(this.#options.clock.now()))
  }

  #lost(channel: string, count: number): void {
    if (count === 0) return
    const { counters, layer } = this.#options
    counters.expired += count
    traceChannelLoss({ layer, channel, reason: 'expired', count })
  }

  // Channels that nobody names any more must not stay: all are looked through once in the time that an event lasts.
  #sweep(): void {
    const { clock, expiryMs } = this.#options
    if (clock.now() < this.#nextSweep) return
    this.#nextSweep = clock.now() + expiryMs
    for (const [channel, box] of this.#boxes) {
      this.#expire(channel, box)
      if (box.isIdle) this.#boxes.delete(channel)
    }
  }
}

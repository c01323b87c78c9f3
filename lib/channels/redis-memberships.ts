// Which channels this process has put into which groups in Redis, and until when: a Redis that has lost its data is told them again.
import type { Clock } from '../core/clock.ts'

/** A channel in a group. */
export interface Membership {
  readonly group: string
  readonly channel: string
  /** Redis has said so. */
  readonly isConfirmed: boolean
}

interface Entry extends Membership {
  readonly end: number
  isConfirmed: boolean
}

export class RedisMemberships {
  readonly #clock: Pick<Clock, 'now'>
  readonly #expiryMs: number
  // Those that were renewed last stand last.
  readonly #entries = new Map<string, Entry>()

  constructor(clock: Pick<Clock, 'now'>, expiryMs: number) {
    this.#clock = clock
    this.#expiryMs = expiryMs
  }

  get size(): number {
    return this.#entries.size
  }

  /** Redis is asked for it. */
  joins(group: string, channel: string): void {
    const now = this.#clock.now()
    for (const [name, { end }] of this.#entries) {
      if (end > now) break
      this.#entries.delete(name)
    }
    const name = nameOf(group, channel)
    const isConfirmed = this.#entries.get(name)?.isConfirmed === true
    this.#entries.delete(name)
    this.#entries.set(name, { group, channel, end: now + this.#expiryMs, isConfirmed })
  }

  joined(group: string, channel: string): void {
    const entry = this.#entries.get(nameOf(group, channel))
    if (entry !== undefined) entry.isConfirmed = true
  }

  left(group: string, channel: string): void {
    this.#entries.delete(nameOf(group, channel))
  }

  clear(): void {
    this.#entries.clear()
  }

  /** How long it lasts, in milliseconds; 0 where it does not. */
  leftMs(group: string, channel: string): number {
    const end = this.#entries.get(nameOf(group, channel))?.end ?? 0
    return Math.max(0, Math.ceil(end - this.#clock.now()))
  }

  /** Those that last. */
  all(): readonly Membership[] {
    const now = this.#clock.now()
    return [...this.#entries.values()].filter(({ end }) => end > now)
  }
}

// No name has a space in it.
function nameOf(group: string, channel: string): string {
  return `${group} ${channel}`
}

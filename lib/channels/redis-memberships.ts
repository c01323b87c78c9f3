// Which channels this process has put into which groups in Redis, and until when: a Redis that has lost its data is told them again.
import type { Clock } from '../core/clock.ts'

/** A channel in a group, for so many milliseconds more. */
export interface Membership {
  readonly group: string
  readonly channel: string
  readonly leftMs: number
}

export class RedisMemberships {
  readonly #clock: Pick<Clock, 'now'>
  readonly #expiryMs: number
  // Those that were renewed last stand last. No name has a space in it.
  readonly #ends = new Map<string, number>()

  constructor(clock: Pick<Clock, 'now'>, expiryMs: number) {
    this.#clock = clock
    this.#expiryMs = expiryMs
  }

  get size(): number {
    return this.#ends.size
  }

  joined(group: string, channel: string): void {
    const now = this.#clock.now()
    for (const [name, end] of this.#ends) {
      if (end > now) break
      this.#ends.delete(name)
    }
    this.left(group, channel)
    this.#ends.set(`${group} ${channel}`, now + this.#expiryMs)
  }

  left(group: string, channel: string): void {
    this.#ends.delete(`${group} ${channel}`)
  }

  clear(): void {
    this.#ends.clear()
  }

  /** Those that last. */
  all(): readonly Membership[] {
    const now = this.#clock.now()
    return [...this.#ends].flatMap(([name, end]) => {
      const [group = '', channel = ''] = name.split(' ')
      return end > now ? [{ group, channel, leftMs: Math.ceil(end - now) }] : []
    })
  }
}

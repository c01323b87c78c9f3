// Which channels are in which group, and until when.
import type { Clock } from '../core/clock.ts'

export class Groups {
  readonly #clock: Pick<Clock, 'now'>
  readonly #expiryMs: number
  readonly #groups = new Map<string, Map<string, number>>()
  #nextSweep: number

  constructor(clock: Pick<Clock, 'now'>, expiryMs: number) {
    this.#clock = clock
    this.#expiryMs = expiryMs
    this.#nextSweep = clock.now() + expiryMs
  }

  /** The names of all groups that have a channel. */
  names(): string[] {
    return [...this.#groups.keys()]
  }

  /** From now on for the whole time, also where it was in the group before. */
  add(group: string, channel: string): void {
    this.#sweep()
    const members = this.#groups.get(group) ?? new Map<string, number>()
    members.set(channel, this.#clock.now() + this.#expiryMs)
    this.#groups.set(group, members)
  }

  discard(group: string, channel: string): void {
    const members = this.#groups.get(group)
    members?.delete(channel)
    if (members?.size === 0) this.#groups.delete(group)
  }

  members(group: string): string[] {
    this.#expire(group)
    return [...(this.#groups.get(group)?.keys() ?? [])]
  }

  /** Takes all channels of a process out of all groups. */
  forget(isOf: (channel: string) => boolean): void {
    for (const [group, members] of this.#groups)
      for (const channel of members.keys()) if (isOf(channel)) this.discard(group, channel)
  }

  clear(): void {
    this.#groups.clear()
  }

  #expire(group: string): void {
    const now = this.#clock.now()
    for (const [channel, endsAt] of this.#groups.get(group) ?? [])
      if (endsAt <= now) this.discard(group, channel)
  }

  #sweep(): void {
    if (this.#clock.now() < this.#nextSweep) return
    this.#nextSweep = this.#clock.now() + this.#expiryMs
    for (const group of this.#groups.keys()) this.#expire(group)
  }
}

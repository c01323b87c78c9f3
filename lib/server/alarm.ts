// One timer for many deadlines: it rings for the next of them, and not too often.
import { LONGEST_TIMER_MS, type Clock } from '../core/clock.ts'

/** How exactly it rings. */
export interface Pace {
  /** So long behind its time: the last moment may still count. */
  readonly behindMs: number
  /** Not again within so long: deadlines that lie close together are looked at together. */
  readonly apartMs: number
}

const UNHURRIED: Pace = { behindMs: 1, apartMs: 100 }

export class Alarm {
  readonly #clock: Clock
  readonly #ring: () => void
  readonly #pace: Pace
  #at = Number.POSITIVE_INFINITY
  #cancel: (() => void) | undefined = undefined
  #rangAt = Number.NEGATIVE_INFINITY

  /** `ring` sets it again, for what is left. */
  constructor(clock: Clock, ring: () => void, pace: Pace = UNHURRIED) {
    this.#clock = clock
    this.#ring = ring
    this.#pace = pace
  }

  /** Rings at `at`, as its pace allows, on the clock's own time. An earlier time that was set before holds. */
  set(at: number): void {
    if (at >= this.#at || at === Number.POSITIVE_INFINITY) return
    this.cancel()
    this.#at = at
    const { apartMs, behindMs } = this.#pace
    const ringAt = Math.max(at + behindMs, this.#rangAt + apartMs)
    // One that is further away is set again when it has rung in vain.
    const afterMs = Math.min(Math.max(0, ringAt - this.#clock.now()), LONGEST_TIMER_MS)
    this.#cancel = this.#clock.after(afterMs, () => {
      this.#at = Number.POSITIVE_INFINITY
      this.#cancel = undefined
      this.#rangAt = this.#clock.now()
      this.#ring()
    })
  }

  cancel(): void {
    this.#cancel?.()
    this.#cancel = undefined
    this.#at = Number.POSITIVE_INFINITY
  }
}

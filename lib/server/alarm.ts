// One timer for many deadlines: it rings for the next of them, and not too often.
import type { Clock } from '../core/clock.ts'

/** Deadlines that lie close together are looked at together. */
const SELDOM_MS = 100
// A longer one rings at once in Node; it is set again when it rings in vain.
const LONGEST_MS = 2 ** 31 - 1

export class Alarm {
  readonly #clock: Clock
  readonly #ring: () => void
  #at = Number.POSITIVE_INFINITY
  #cancel: (() => void) | undefined = undefined
  #rangAt = Number.NEGATIVE_INFINITY

  /** `ring` sets it again, for what is left. */
  constructor(clock: Clock, ring: () => void) {
    this.#clock = clock
    this.#ring = ring
  }

  /** Rings behind `at`, on the clock's own time. An earlier time that was set before holds. */
  set(at: number): void {
    if (at >= this.#at || at === Number.POSITIVE_INFINITY) return
    this.cancel()
    this.#at = at
    // Behind, and not at: the last moment still counts.
    const ringAt = Math.max(at + 1, this.#rangAt + SELDOM_MS)
    const afterMs = Math.min(Math.max(0, ringAt - this.#clock.now()), LONGEST_MS)
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

// Watches many deadlines with one timer: most are far away and never come.
import type { Clock } from '../core/clock.ts'
import { Alarm, type Pace } from './alarm.ts'

/** Something that may take until `deadline`, on the clock it is watched with. */
export interface Timed {
  /** May move while it is watched; 0 for none. */
  readonly deadline: number
}

const PROMPT: Pace = { behindMs: 0, apartMs: 0 }

/**
 * One timer for the earliest deadline there was. It is not taken back when its cause is done with, which would
 * cost every message a timer; it then finds nothing, and the next one is set to what it finds instead.
 */
export class Deadlines<T extends Timed> {
  readonly #clock: Clock
  readonly #watched: Iterable<T>
  readonly #expired: (timed: T) => void
  readonly #alarm: Alarm

  /** `watched`: all that have a deadline at any time; `expired` is called once the deadline of one has passed. */
  constructor(clock: Clock, watched: Iterable<T>, expired: (timed: T) => void) {
    this.#clock = clock
    this.#watched = watched
    this.#expired = expired
    this.#alarm = new Alarm(clock, () => this.#look(), PROMPT)
  }

  /** There is one more that is watched, with this deadline, or one has got an earlier one. */
  watch(deadline: number): void {
    if (deadline > 0) this.#alarm.set(deadline)
  }

  /** Leaves no timer. */
  stop(): void {
    this.#alarm.cancel()
  }

  #look(): void {
    // Timers may be a little early; what is due within a millisecond is due.
    const now = this.#clock.now() + 1
    let next = Number.POSITIVE_INFINITY
    for (const timed of this.#watched) {
      const { deadline } = timed
      if (deadline === 0) continue
      if (deadline <= now) this.#expired(timed)
      else if (deadline < next) next = deadline
    }
    this.#alarm.set(next)
  }
}

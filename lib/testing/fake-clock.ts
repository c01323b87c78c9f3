// A clock that stands still until a test moves it.
import type { Clock } from '../core/clock.ts'

interface Timer {
  readonly at: number
  readonly callback: () => void
}

/**
 * Time for tests: nothing happens until it is moved.
 *
 * @example
 * const clock = new FakeClock()
 * const communicator = new MqttCommunicator(Meter, { clock, attempts: 2 })
 * clock.advance(60_000)
 */
export class FakeClock implements Clock {
  #now = 0
  // In the order they were set, so that of two with one time the older is first.
  readonly #timers = new Set<Timer>()

  /** Timers that are set: none may be left at the end. */
  get timers(): number {
    return this.#timers.size
  }

  /** When the next timer is due. */
  get nextAt(): number | undefined {
    return this.#next(Number.POSITIVE_INFINITY)?.at
  }

  /** Milliseconds that were advanced so far. */
  now(): number {
    return this.#now
  }

  /** Sets a timer; what it returns takes it back. */
  after(ms: number, callback: () => void): () => void {
    const timer: Timer = { at: this.#now + ms, callback }
    this.#timers.add(timer)
    return () => void this.#timers.delete(timer)
  }

  /** Lets this much time go by, and calls what is due, each at its time. */
  advance(ms: number): void {
    const end = this.#now + ms
    for (let timer = this.#next(end); timer !== undefined; timer = this.#next(end)) this.#call(timer)
    this.#now = end
  }

  /** Goes to the next timer and calls it; false when there is none. */
  advanceToNext(): boolean {
    const timer = this.#next(Number.POSITIVE_INFINITY)
    if (timer !== undefined) this.#call(timer)
    return timer !== undefined
  }

  #call(timer: Timer): void {
    this.#timers.delete(timer)
    this.#now = Math.max(this.#now, timer.at)
    timer.callback()
  }

  #next(until: number): Timer | undefined {
    let first: Timer | undefined
    for (const timer of this.#timers) {
      if (timer.at <= until && (first === undefined || timer.at < first.at)) first = timer
    }
    return first
  }
}

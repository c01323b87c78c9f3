// A moment after which nobody waits any longer.
import type { Clock } from './clock.ts'
import { Deferred } from './deferred.ts'

export class Deadline {
  readonly #passed = new Deferred()
  readonly #cancel: () => void

  constructor(clock: Clock, ms: number) {
    this.#cancel = clock.after(ms, () => this.#passed.resolve())
  }

  get isOver(): boolean {
    return this.#passed.settled
  }

  /** Waits for the work, but not beyond the deadline; leaves no timer. */
  async within(work: Promise<unknown>): Promise<void> {
    try {
      await Promise.race([work, this.#passed.promise])
    } finally {
      this.#cancel()
    }
  }
}

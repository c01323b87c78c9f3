// Lanes: one job at a time for each key, the others in the order they came.
import { Fifo } from './fifo.ts'

interface Lane<J> {
  running: J
  readonly waiting: Fifo<J>
}

/** Keeps order per key. It starts nothing itself: it says what may start. */
export class Lanes<J> {
  readonly #lanes = new Map<string, Lane<J>>()

  /** Keys with a running job. */
  get size(): number {
    return this.#lanes.size
  }

  /** Whether a job of this key runs now. */
  busy(key: string): boolean {
    return this.#lanes.size > 0 && this.#lanes.has(key)
  }

  /** Takes the lane for a job that runs; the lane must not be busy. */
  take(key: string, job: J): void {
    this.#lanes.set(key, { running: job, waiting: new Fifo() })
  }

  /** Lines a job up behind the running one of its key. */
  queue(key: string, job: J): void {
    this.#lanes.get(key)?.waiting.push(job)
  }

  /** The running job of this key has ended: gives the next one, which now has the lane, or frees it. */
  next(key: string): J | undefined {
    const lane = this.#lanes.get(key)
    const next = lane?.waiting.shift()
    if (lane === undefined || next === undefined) {
      this.#lanes.delete(key)
      return undefined
    }
    lane.running = next
    return next
  }

  /** Drops every job that waits and gives them back; the running ones go on. */
  clearWaiting(): J[] {
    return [...this.#lanes.values()].flatMap((lane) => lane.waiting.clear())
  }

  /** The jobs that run now. */
  running(): J[] {
    return [...this.#lanes.values()].map((lane) => lane.running)
  }
}

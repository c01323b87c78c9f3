// A moment after which nobody waits any longer.
import type { Clock } from './clock.ts'
import { Deferred } from './deferred.ts'
import { MqttasgiError } from './errors.ts'

/** What is wrong with a time to wait for; `Infinity` is one. */
export function drainTimeoutFault(ms: unknown): MqttasgiError | undefined {
  if (typeof ms === 'number' && ms >= 0) return undefined
  return new MqttasgiError(
    'ERR_CONFIG_VALUE',
    `drainTimeoutMs is ${typeof ms === 'number' ? ms : `a ${typeof ms}`}, expected a number of milliseconds, 0 or more.`,
  )
}

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

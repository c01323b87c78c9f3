// Pauses between two tries: each lasts for its time, or until somebody has a reason not to wait any longer.
import type { Clock } from './clock.ts'

export class Pauses {
  readonly #clock: Pick<Clock, 'after'>
  readonly #ends = new Set<() => void>()

  constructor(clock: Pick<Clock, 'after'>) {
    this.#clock = clock
  }

  /** Resolves after so many milliseconds, or with the next `end()`. */
  wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        cancel()
        this.#ends.delete(end)
        resolve()
      }
      const cancel = this.#clock.after(ms, end)
      this.#ends.add(end)
    })
  }

  /** Ends those that last; later ones last again. */
  end(): void {
    for (const end of this.#ends) end()
  }
}

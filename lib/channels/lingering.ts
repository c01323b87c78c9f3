// Channels that nobody receives from any more: given up a moment later, for whoever receives in a loop is back before that.
import type { Clock } from '../core/clock.ts'

export class Lingering {
  readonly #after: Clock['after']
  readonly #ms: number
  readonly #giveUp: (channel: string) => void
  readonly #waiting = new Map<string, () => void>()
  #isClosed = false

  constructor(after: Clock['after'], ms: number, giveUp: (channel: string) => void) {
    this.#after = after
    this.#ms = ms
    this.#giveUp = giveUp
  }

  /** Nobody receives from it. */
  left(channel: string): void {
    if (this.#isClosed || this.#waiting.has(channel)) return
    const cancel = this.#after(this.#ms, () => {
      this.#waiting.delete(channel)
      this.#giveUp(channel)
    })
    this.#waiting.set(channel, cancel)
  }

  /** Somebody receives from it. */
  back(channel: string): void {
    this.#waiting.get(channel)?.()
    this.#waiting.delete(channel)
  }

  /** It was left just now. */
  isLingering(channel: string): boolean {
    return this.#waiting.has(channel)
  }

  /** Gives up nothing from now on. */
  close(): void {
    this.#isClosed = true
    for (const channel of this.#waiting.keys()) this.back(channel)
  }
}

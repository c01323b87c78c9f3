// The pulse of a thread: whether it still answers, asked now and then, and at once when one of its messages has taken too long.
import type { Clock } from '../core/clock.ts'

/** How the pulse is felt. Milliseconds. */
export interface PulseTimes {
  /** Between two questions. */
  readonly everyMs: number
  /** A thread that is asked because a message took too long has so much time to answer. */
  readonly answerMs: number
  /** A thread with nothing in hand has so much. */
  readonly silenceMs: number
}

export const pulseTimes: PulseTimes = { everyMs: 500, answerMs: 40, silenceMs: 10_000 }

/** What the pulse works with. */
export interface PulseParts {
  readonly clock: Clock
  readonly times: PulseTimes
  /** Calls back when everything that has come in already has been heard. */
  readonly afterNews: (callback: () => void) => void
  readonly ask: (ping: number) => void
  /** Nothing is in hand: whatever keeps it from answering is limited by nothing else. */
  readonly isIdle: () => boolean
  /** It does not answer. Called once. */
  readonly silent: (forMs: number) => void
}

export class Pulse {
  readonly #parts: PulseParts
  readonly #cancels = new Set<() => void>()
  #asked = 0
  #answered = 0
  /** When the oldest question was asked that has no answer. */
  #since = 0
  #isOver = false

  constructor(parts: PulseParts) {
    this.#parts = parts
    this.#later()
  }

  /** A message at it has taken too long: does it hear at all? */
  check(): void {
    if (this.#isOver) return
    const ping = this.#ask()
    this.#after(this.#parts.times.answerMs, () => {
      // What has been said in time may not have been heard yet: this thread was busy itself.
      this.#parts.afterNews(() => {
        if (this.#answered < ping) this.#silent()
      })
    })
  }

  answered(ping: number): void {
    this.#answered = ping
    // All questions are answered in their order, so what is open now was asked later.
    this.#since = this.#parts.clock.now()
  }

  stop(): void {
    this.#isOver = true
    for (const cancel of this.#cancels) cancel()
    this.#cancels.clear()
  }

  #later(): void {
    this.#after(this.#parts.times.everyMs, () => {
      this.#parts.afterNews(() => this.#feel())
    })
  }

  #feel(): void {
    if (this.#isOver) return
    const { clock, isIdle, times } = this.#parts
    if (this.#answered === this.#asked) this.#ask()
    else if (isIdle() && clock.now() - this.#since >= times.silenceMs) return this.#silent()
    this.#later()
  }

  #ask(): number {
    if (this.#answered === this.#asked) this.#since = this.#parts.clock.now()
    this.#asked++
    this.#parts.ask(this.#asked)
    return this.#asked
  }

  #silent(): void {
    if (this.#isOver) return
    const forMs = this.#parts.clock.now() - this.#since
    this.stop()
    this.#parts.silent(forMs)
  }

  #after(ms: number, callback: () => void): void {
    const cancel = this.#parts.clock.after(ms, () => {
      this.#cancels.delete(cancel)
      callback()
    })
    this.#cancels.add(cancel)
  }
}

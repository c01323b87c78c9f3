// On its way to the dead letters: a message waits here until its store says that it has it.
import type { Backoff } from '../core/backoff.ts'
import type { Clock } from '../core/clock.ts'
import type { DeadLetter, DeadLetterStore } from '../core/dead-letter.ts'
import { toError } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'
import { Fifo } from './fifo.ts'
import type { Job } from './job.ts'
import { deadLetterOf } from './dead-letter-of.ts'
import type { Burial } from './settlement.ts'

/** What it works with. */
export interface DeadLettersParts {
  readonly store: DeadLetterStore
  readonly clientId: string
  readonly clock: Clock
  /** Milliseconds since 1970, for people. */
  readonly wallClock: () => number
  /** How long to wait before a store that failed is asked again. */
  readonly backoff: Backoff
  readonly log: Logger
}

interface Waiting {
  readonly letter: DeadLetter
  readonly kept: () => void
}

/**
 * While the store is well letters go to it side by side. Once it has failed, one of them tries again after a
 * while, and the others wait behind it: a store that is down is not asked by all.
 */
export class DeadLetters {
  readonly #parts: DeadLettersParts
  readonly #waiting = new Fifo<Waiting>()
  #tries = 0
  #downSince = 0
  #fault: Error | undefined = undefined
  #cancel: (() => void) | undefined = undefined
  #isStopped = false

  constructor(parts: DeadLettersParts) {
    this.#parts = parts
  }

  /** Why the store does not take letters now; undefined when it does. */
  get fault(): Error | undefined {
    return this.#fault
  }

  /** Resolves with the id of the letter when the message of this job is kept, however long that takes. */
  async bury(job: Job, burial: Burial): Promise<string> {
    const { clientId, clock, wallClock } = this.#parts
    const heldMs = clock.now() - job.heldSince
    const letter = deadLetterOf(job, burial, { clientId, deadAt: wallClock(), heldMs })
    await new Promise<void>((kept) => {
      const waiting = { letter, kept }
      if (this.#fault === undefined) void this.#try(waiting)
      else this.#waiting.push(waiting)
    })
    return letter.id
  }

  /** Tries nothing any more; what is not kept stays unacknowledged. */
  stop(): void {
    this.#isStopped = true
    this.#cancel?.()
    this.#cancel = undefined
    this.#waiting.clear()
  }

  async #try(waiting: Waiting): Promise<void> {
    try {
      await this.#parts.store.keep(waiting.letter)
    } catch (error) {
      return this.#failed(waiting, toError(error))
    }
    waiting.kept()
    if (this.#cancel === undefined) this.#recovered()
  }

  #failed(waiting: Waiting, error: Error): void {
    if (this.#isStopped) return
    const { clock, log, store } = this.#parts
    this.#waiting.push(waiting)
    const isNew = this.#fault === undefined
    this.#fault = error
    if (isNew) {
      this.#downSince = clock.now()
      log.error(
        `Dead letters can not be kept (${store.name}): ${error.message} Their messages stay unacknowledged until they can.`,
        { error },
      )
    }
    this.#tryLater()
  }

  #tryLater(): void {
    if (this.#cancel !== undefined) return
    const { backoff, clock } = this.#parts
    this.#tries++
    const elapsedMs = clock.now() - this.#downSince
    this.#cancel = clock.after(backoff({ tries: this.#tries, elapsedMs }), () => {
      this.#cancel = undefined
      const first = this.#waiting.shift()
      if (first !== undefined) void this.#try(first)
    })
  }

  #recovered(): void {
    if (this.#fault === undefined) return
    this.#fault = undefined
    this.#tries = 0
    this.#parts.log.info(`Dead letters are kept again (${this.#parts.store.name}).`)
    for (const waiting of this.#waiting.clear()) void this.#try(waiting)
  }
}

// When a worker that has ended is started again, and when it has failed too often.
import type { Random } from '../core/backoff.ts'
import type { RestartPolicy } from '../core/workforce.ts'

/** How often, and how soon one after the other. */
export interface RestartLimits {
  readonly restart: RestartPolicy
  readonly maxRestarts: number
  readonly withinSeconds: number
}

/** What follows when an instance of a worker has ended. */
export type RestartVerdict =
  | { readonly type: 'restart'; readonly afterMs: number }
  /** It is not to be started again, and nothing is wrong with that. */
  | { readonly type: 'end' }
  /** It would have to be started again more often than it may. */
  | { readonly type: 'giveUp' }

const FIRST_DELAY_MS = 100
const LONGEST_DELAY_MS = 30_000
const MOST_DOUBLINGS = 20

/** The restarts of one worker, its instances counted together. */
export class Restarts {
  readonly #limits: RestartLimits
  readonly #now: () => number
  readonly #random: Random
  #recent: number[] = []
  #count = 0

  constructor(limits: RestartLimits, now: () => number, random: Random) {
    this.#limits = limits
    this.#now = now
    this.#random = random
  }

  /** All there were. */
  get count(): number {
    return this.#count
  }

  after(hasFailed: boolean): RestartVerdict {
    const { maxRestarts, restart, withinSeconds } = this.#limits
    if (restart === 'temporary' || (restart === 'transient' && !hasFailed)) return { type: 'end' }
    const now = this.#now()
    this.#recent = this.#recent.filter((at) => at > now - withinSeconds * 1_000)
    if (this.#recent.length >= maxRestarts) return { type: 'giveUp' }
    const delay = Math.min(
      LONGEST_DELAY_MS,
      FIRST_DELAY_MS * 2 ** Math.min(this.#recent.length, MOST_DOUBLINGS),
    )
    this.#recent.push(now)
    this.#count++
    // Half of it by chance: what fails at many workers for one reason must not come back as one.
    return { type: 'restart', afterMs: delay * (0.5 + this.#random() / 2) }
  }
}

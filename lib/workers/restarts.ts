// When a worker that has ended is started again, and when it has failed too often.
import type { Random } from '../core/backoff.ts'
import type { RestartPolicy } from '../core/workforce.ts'
import type { Charge } from './blame.ts'

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
// The messages behind the one that is to blame wait meanwhile, and their time is limited.
const LONGEST_CHARGED_DELAY_MS = 1_000
const MOST_DOUBLINGS = 20

interface Restart {
  readonly at: number
  readonly charge: Charge | undefined
}

/** The restarts of one worker, its instances counted together. */
export class Restarts {
  readonly #limits: RestartLimits
  readonly #now: () => number
  readonly #random: Random
  #recent: Restart[] = []
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

  /**
   * `charge`: the messages it may have failed of. What is charged to messages does not count as one restart too many: each
   * has cost one of them an attempt, so there are no more of those than the messages have attempts.
   */
  after(hasFailed: boolean, charge?: Charge): RestartVerdict {
    const { maxRestarts, restart, withinSeconds } = this.#limits
    if (restart === 'temporary' || (restart === 'transient' && !hasFailed)) return { type: 'end' }
    const now = this.#now()
    this.#recent = this.#recent.filter(({ at }) => at > now - withinSeconds * 1_000)
    const counted = this.#recent.filter((restart) => restart.charge?.holds !== true).length
    const isTooMany = counted + (charge === undefined ? 1 : 0) > maxRestarts
    // Where none is allowed there is none, whoever is to blame.
    if (isTooMany || maxRestarts === 0) return { type: 'giveUp' }
    const delay =
      charge === undefined
        ? delayAfter(counted, LONGEST_DELAY_MS)
        : delayAfter(this.#recent.length, LONGEST_CHARGED_DELAY_MS)
    this.#recent.push({ at: now, charge })
    this.#count++
    // Half of it by chance: what fails at many workers for one reason must not come back as one.
    return { type: 'restart', afterMs: delay * (0.5 + this.#random() / 2) }
  }
}

function delayAfter(restarts: number, longestMs: number): number {
  return Math.min(longestMs, FIRST_DELAY_MS * 2 ** Math.min(restarts, MOST_DOUBLINGS))
}

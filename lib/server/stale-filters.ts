// Filters that an older process has left in the session: which may be given up, and what still comes over them.
import { toError } from '../core/errors.ts'
import type { RecalledFilters, RememberedFilter } from '../core/filter-memory.ts'
import { inLog, type Logger } from '../core/log.ts'
import { matches } from '../core/topic.ts'

/** What it works with. */
export interface StaleFiltersParts {
  /** Left out where no session lasts, or nobody remembers. */
  readonly recalled?: RecalledFilters | undefined
  readonly log: Logger
  /** Milliseconds that only go forward. */
  readonly now: () => number
  readonly counters: { stale: number }
}

/** What this process has to do with the filters of its session. */
export interface OwnFilters {
  readonly wanted: readonly string[]
  /** Held, or perhaps, and about to be given up. */
  readonly leaving: readonly string[]
  /** How often each was given up in this session, the youngest last. */
  readonly lives: ReadonlyMap<string, number>
}

const MINUTE_MS = 60_000

export class StaleFilters {
  readonly #parts: StaleFiltersParts
  // Of older processes, as far as they are known and not wanted any more.
  readonly #older = new Map<string, 'start' | 'later'>()
  // All that were ever known, to name what brings a message that was waiting.
  #known: readonly string[] = []
  readonly #since = new Map<string, 'start' | 'later'>()
  #remembered = ''
  #saidAt = Number.NEGATIVE_INFINITY
  #unsaid = 0
  #hasFailed = false

  constructor(parts: StaleFiltersParts) {
    this.#parts = parts
    const left = parts.recalled?.left ?? []
    for (const { filter, since } of left) if (since !== 'ended') this.#older.set(filter, since)
    this.#known = left.map(({ filter }) => filter)
    this.#remembered = JSON.stringify(left)
  }

  /** How often older processes have given each filter up in this session, the youngest last. */
  get lives(): ReadonlyMap<string, number> {
    const left = this.#parts.recalled?.left ?? []
    return new Map(left.flatMap(({ filter, life }) => (life === undefined ? [] : [[filter, life]])))
  }

  /** The session is a new one: nothing of an older one is left. */
  forget(): void {
    this.#older.clear()
    this.#known = []
  }

  /** Those of older processes that nobody wants any more for sure: they were wanted at a start, and not at this one. */
  givenUpForSure(wanted: readonly string[]): readonly string[] {
    for (const filter of wanted) this.#older.delete(filter)
    return [...this.#older].flatMap(([filter, since]) => (since === 'start' ? [filter] : []))
  }

  /**
   * Something is about to be asked for; `isStart` the first time in this process. What may be held is written down
   * first: a process that dies in between has left no filter that nobody knows of.
   */
  async willAsk(own: OwnFilters, isStart: boolean): Promise<void> {
    const isWanted = new Set(own.wanted)
    for (const filter of this.#since.keys()) if (!isWanted.has(filter)) this.#since.delete(filter)
    for (const filter of own.wanted) {
      if (isStart || !this.#since.has(filter)) this.#since.set(filter, isStart ? 'start' : 'later')
    }
    await this.#remember(own)
  }

  /** UNSUBACK came for these. */
  async gaveUp(filters: readonly string[], own: OwnFilters): Promise<void> {
    const older = filters.filter((filter) => this.#older.delete(filter)).map((filter) => `"${filter}"`)
    if (older.length > 0)
      this.#parts.log.warn(
        `The session still held ${older.join(', ')}, which nobody wants any more: unsubscribed.`,
      )
    await this.#remember(own)
  }

  /** Somebody says that this one is not wanted any more; false when it is none of an older process. */
  release(filter: string): boolean {
    if (!this.#older.has(filter)) return false
    this.#older.set(filter, 'start')
    return true
  }

  /** A message came for which nothing was subscribed by this process. */
  came(topic: string): void {
    this.#parts.counters.stale++
    this.#unsaid++
    const { log, now } = this.#parts
    if (now() - this.#saidAt < MINUTE_MS) return
    const likely = this.#known.filter((filter) => matches(filter, topic))
    const by = likely.length === 0 ? '' : `, most likely over ${likely.map((one) => `"${one}"`).join(' or ')}`
    const held = likely.find((filter) => this.#older.has(filter))
    const mend =
      held === undefined && likely.length > 0
        ? 'It has been unsubscribed; what was waiting still comes.'
        : `server.unsubscribe(${JSON.stringify(held ?? 'filter')}) ends it.`
    log.warn(
      `${this.#unsaid} message(s) came over a filter that an older process has left in the session, the last one on "${inLog(topic)}"${by}. ${mend}`,
    )
    this.#saidAt = now()
    this.#unsaid = 0
  }

  async #remember(own: OwnFilters): Promise<void> {
    const { recalled } = this.#parts
    if (recalled === undefined) return
    const all = this.#toRemember(own)
    const text = JSON.stringify(all)
    if (text === this.#remembered) return
    try {
      await recalled.memory.remember(all)
      this.#remembered = text
    } catch (error) {
      this.#failed(error)
    }
  }

  #toRemember({ leaving, lives, wanted }: OwnFilters): RememberedFilter[] {
    const all = new Map<string, RememberedFilter['since']>()
    for (const filter of lives.keys()) all.set(filter, 'ended')
    // Whoever comes after this process may not know whether the broker has heard of their end.
    for (const filter of leaving) all.set(filter, 'start')
    for (const [filter, since] of this.#older) all.set(filter, since)
    for (const filter of wanted) all.set(filter, this.#since.get(filter) ?? 'later')
    return [...all].map(([filter, since]) => {
      const life = lives.get(filter)
      return life === undefined ? { filter, since } : { filter, since, life }
    })
  }

  // Nothing is lost by it but the knowledge.
  #failed(error: unknown): void {
    if (this.#hasFailed) return
    this.#hasFailed = true
    this.#parts.log.warn(
      `Which filters the session holds can not be remembered: ${toError(error).message} A later release can not know what this one has left in it.`,
    )
  }
}

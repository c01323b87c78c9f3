// Filters that an older process has left in the session: which may be given up, and what still comes over them.
import { toError } from '../core/errors.ts'
import type { FilterMemory, RememberedFilter } from '../core/filter-memory.ts'
import { inLog, type Logger } from '../core/log.ts'
import { matches } from '../core/topic.ts'

/** What it works with. */
export interface StaleFiltersParts {
  /** Left out where no session lasts, or nobody remembers. */
  readonly memory?: FilterMemory | undefined
  readonly log: Logger
  /** Milliseconds that only go forward. */
  readonly now: () => number
  readonly counters: { stale: number }
}

const MINUTE_MS = 60_000

export class StaleFilters {
  readonly #parts: StaleFiltersParts
  // Of older processes, as far as they are known and not wanted any more.
  readonly #older = new Map<string, RememberedFilter['since']>()
  // All that were ever known, to name what brings a message that was waiting.
  #known: readonly string[] = []
  readonly #since = new Map<string, RememberedFilter['since']>()
  #isRecalled = false
  #remembered = ''
  #saidAt = Number.NEGATIVE_INFINITY
  #unsaid = 0
  #lastTopic = ''
  #hasFailed = false

  constructor(parts: StaleFiltersParts) {
    this.#parts = parts
  }

  /** The session is a new one: nothing of an older one is left. */
  forget(): void {
    this.#older.clear()
    this.#known = []
    this.#isRecalled = true
  }

  /**
   * These are about to be asked for; `isStart` the first time in this process. What may be held is written down
   * first: a process that dies in between has left no filter that nobody knows of.
   */
  async willAsk(wanted: readonly string[], isStart: boolean): Promise<void> {
    const { memory } = this.#parts
    if (memory === undefined) return
    await this.#recall(memory)
    for (const filter of wanted) this.#older.delete(filter)
    await this.#remember(memory, wanted, isStart)
  }

  /** Those that nobody wants any more for sure: they were wanted when an older process started, not when this one did. */
  givenUpForSure(): readonly string[] {
    return [...this.#older].flatMap(([filter, since]) => (since === 'start' ? [filter] : []))
  }

  /** UNSUBACK came for these. */
  async gaveUp(filters: readonly string[], wanted: readonly string[]): Promise<void> {
    for (const filter of filters) this.#older.delete(filter)
    const { memory } = this.#parts
    if (memory !== undefined) await this.#remember(memory, wanted, false)
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
    this.#lastTopic = topic
    // What is known of older processes may still be on its way from the disk.
    if (this.#isRecalled || this.#parts.memory === undefined) this.#say(topic)
  }

  #say(topic: string): void {
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

  async #recall(memory: FilterMemory): Promise<void> {
    if (this.#isRecalled) return
    try {
      const recalled = await memory.recall()
      for (const { filter, since } of recalled) this.#older.set(filter, since)
      this.#known = recalled.map(({ filter }) => filter)
      this.#remembered = JSON.stringify(recalled)
    } catch (error) {
      this.#failed(error)
    }
    this.#isRecalled = true
    if (this.#unsaid > 0) this.#say(this.#lastTopic)
  }

  async #remember(memory: FilterMemory, wanted: readonly string[], isStart: boolean): Promise<void> {
    const isWanted = new Set(wanted)
    for (const filter of this.#since.keys()) if (!isWanted.has(filter)) this.#since.delete(filter)
    for (const filter of wanted) {
      if (isStart || !this.#since.has(filter)) this.#since.set(filter, isStart ? 'start' : 'later')
    }
    const all: RememberedFilter[] = [
      ...wanted.map((filter) => ({ filter, since: this.#since.get(filter) ?? 'later' })),
      ...[...this.#older].map(([filter, since]) => ({ filter, since })),
    ]
    const text = JSON.stringify(all)
    if (text === this.#remembered) return
    try {
      await memory.remember(all)
      this.#remembered = text
    } catch (error) {
      this.#failed(error)
    }
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

// Which arrivals are for a receiver at all; the others are counted, and only acknowledged.
import { inLog, type Logger } from '../core/log.ts'
import { hasMoreLevels } from '../core/topic.ts'
import type { Arrival } from '../transport/transport.ts'
import type { CopyVerdict } from './copies.ts'
import type { Counters } from './counters.ts'
import { messageKey } from './message-key.ts'

/** A receiver, as far as it is looked at here. */
export interface Named {
  readonly receiver: { readonly id: string }
}

/** What it is decided by. */
export interface AdmissionParts {
  readonly copies: { judge(arrival: Arrival): CopyVerdict | { readonly type: 'probe' } }
  readonly counters: Counters
  /** What has more levels is only acknowledged; undefined for no limit. */
  readonly maxTopicLevels?: number | undefined
  /** Retain may stand on what is published now as well: some subscription has `retainAsPublished` (3.8.3.1). */
  readonly keepsRetain?: () => boolean
  /** Of those who want a retained message, the ones for whom it was brought. */
  readonly newcomers?:
    | { of<N extends Named>(arrival: Arrival, slots: readonly N[]): readonly N[] }
    | undefined
  readonly log: Logger
}

// Retained messages that no subscription needs to bring again.
const REMEMBERED = 1_000

export class Admission {
  readonly #parts: AdmissionParts
  readonly #refused = new Set<string>()

  constructor(parts: AdmissionParts) {
    this.#parts = parts
  }

  /** Whether a receiver is to get it. Says in it whose subscription brought it. */
  admits(arrival: Arrival): boolean {
    const { copies, counters } = this.#parts
    if (arrival.settled === true) {
      counters.joined++
      return false
    }
    if (!this.#isRoutable(arrival)) return false
    const verdict = copies.judge(arrival)
    if (verdict.type !== 'run') {
      if (verdict.type !== 'probe') counters[verdict.type === 'copy' ? 'copies' : 'surplus']++
      return false
    }
    arrival.share = verdict.share
    return true
  }

  /** A retained message could not be handled by this receiver: it is not run there each time a subscription brings it. */
  refuse(arrival: Arrival, receiver: string): void {
    if (this.#refused.size >= REMEMBERED) this.#refused.clear()
    this.#refused.add(`${messageKey(arrival)} ${receiver}`)
  }

  /** Nothing is remembered of this receiver any more. */
  forget(receiver: string): void {
    for (const name of this.#refused) if (name.endsWith(` ${receiver}`)) this.#refused.delete(name)
  }

  /** Of these, the ones that have not had it before, nor refused it, where it is a retained message that comes again. */
  wanting<N extends Named>(arrival: Arrival, slots: readonly N[]): readonly N[] {
    if (!arrival.retain || slots.length === 0) return slots
    const { counters, keepsRetain, newcomers } = this.#parts
    const brought = newcomers?.of(arrival, slots) ?? slots
    if (brought.length === 0) counters.copies++
    if (brought.length === 0 || this.#refused.size === 0 || keepsRetain?.() === true) return brought
    const key = messageKey(arrival)
    const wanting = brought.filter(({ receiver }) => !this.#refused.has(`${key} ${receiver.id}`))
    if (wanting.length === 0) counters.refusedAgain++
    return wanting
  }

  // What is said of it is not louder: whoever may publish could fill the log with it.
  #isRoutable({ invalid, topic }: Arrival): boolean {
    const { counters, log, maxTopicLevels } = this.#parts
    if (invalid !== undefined) {
      counters.invalidTopics++
      log.debug(`"${inLog(topic)}" is no topic, its message was only acknowledged: ${invalid}.`)
      return false
    }
    if (maxTopicLevels === undefined || !hasMoreLevels(topic, maxTopicLevels)) return true
    counters.deepTopics++
    log.debug(`"${inLog(topic)}" has more than ${maxTopicLevels} levels, it was only acknowledged.`)
    return false
  }
}

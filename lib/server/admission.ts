// Which arrivals are for a receiver at all; the others are counted, and only acknowledged.
import { inLog, type Logger } from '../core/log.ts'
import { hasMoreLevels } from '../core/topic.ts'
import type { Arrival } from '../transport/transport.ts'
import type { CopyVerdict } from './copies.ts'
import type { Counters } from './counters.ts'
import { messageKey } from './message-key.ts'

/** What it is decided by. */
export interface AdmissionParts {
  readonly copies: { judge(arrival: Arrival): CopyVerdict | { readonly type: 'probe' } }
  readonly counters: Counters
  /** What has more levels is only acknowledged; undefined for no limit. */
  readonly maxTopicLevels?: number | undefined
  /** Retain may stand on what is published now as well: some subscription has `retainAsPublished` (3.8.3.1). */
  readonly keepsRetain?: () => boolean
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

  /** Of these, the ones that have not refused it before, where it is the same retained message again. */
  wanting<S extends { readonly receiver: { readonly id: string } }>(
    arrival: Arrival,
    slots: readonly S[],
  ): readonly S[] {
    if (!arrival.retain || this.#refused.size === 0 || this.#parts.keepsRetain?.() === true) return slots
    const key = messageKey(arrival)
    const wanting = slots.filter(({ receiver }) => !this.#refused.has(`${key} ${receiver.id}`))
    if (wanting.length === 0) this.#parts.counters.refusedAgain++
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

// What has happened in one seed, over all its processes: starts and ends, and what must follow from them.
import type { Delivery } from '../../lib/server/job.ts'
import { messageKey } from '../../lib/server/message-key.ts'
import type { Settlement } from '../../lib/server/settlement.ts'
import type { Publication } from './broker.ts'
import { fail } from './failing.ts'
import type { Scenario } from './scenario.ts'
import { emptyTally, type Tally } from './tally.ts'

/** One message at one receiver, in one process. */
export interface Course {
  readonly publication: Publication
  readonly receiver: number
  readonly lane: string | undefined
  readonly startedAt: number
  /** Which process it is, from 1. */
  readonly process: number
}

/** By key, what a process had in hand as suspects when it died, and what was in its book. */
interface Died {
  readonly inHand: readonly string[]
  readonly noted: readonly string[]
}

/** A process dies of a poison so often, at most, before it is put away. */
const CRASHES = 3

export class History {
  readonly tally: Tally = emptyTally()
  /** How many there were. */
  processes = 0
  readonly #scenario: Scenario
  /** Of each kind of message at each receiver, when those that have ended were started; youngest last. */
  readonly #ends = new Map<string, number[]>()
  /** In which process each was started last. */
  readonly #started = new Map<string, number>()
  /** In each lane the youngest message that was started. */
  readonly #youngest = new Map<string, number>()
  /** How many processes died with a message in hand, alone, and known to be. */
  readonly #deaths = new Map<string, number>()
  #poisonings = 0
  #now = 0

  constructor(scenario: Scenario) {
    this.#scenario = scenario
  }

  tick(): number {
    return ++this.#now
  }

  started(course: Course): void {
    const { lane, process, publication, receiver } = course
    const key = `${receiver} ${publication.number}`
    const before = this.#started.get(key)
    this.#started.set(key, process)
    if (before !== undefined) {
      this.tally.duplicated++
      if (before === process && this.#canBeTold && !publication.wasWritten)
        fail(`${key} is begun twice by one process`)
      if (publication.qos === 0) fail(`${key}, of QoS 0, is run twice`)
      return
    }
    if (!this.#keepsOrder(publication) || lane === undefined) return
    const line = `${receiver} ${lane}`
    const youngest = this.#youngest.get(line) ?? -1
    if (youngest > publication.number) fail(`${key} begins after ${youngest} of its lane ${lane}`)
    this.#youngest.set(line, publication.number)
  }

  ended({ publication, receiver, startedAt }: Course, { type }: Settlement): void {
    const key = `${receiver} ${publication.topic} ${publication.payload}`
    const ends = this.#ends.get(key)
    if (ends === undefined) this.#ends.set(key, [startedAt])
    else ends.push(startedAt)
    if (type === 'dropped') this.tally.dropped++
  }

  /** Whether this message at this receiver has come to an end in some process. */
  hasEnd(receiver: number, { payload, topic }: Publication): boolean {
    return this.#ends.has(`${receiver} ${topic} ${payload}`)
  }

  /**
   * Equal messages can not be told apart: of each kind there must be as many ends as messages that are done
   * with, each begun after its message had arrived. Gives the receiver that misses one.
   */
  missing({ payload, topic }: Publication, done: readonly Publication[]): number | undefined {
    const arrivals = done
      .filter((other) => other.topic === topic && other.payload === payload)
      .map(({ firstArrival = 0 }) => firstArrival)
      .sort((a, b) => b - a)
    for (let receiver = 0; receiver < this.#scenario.receivers.length; receiver++) {
      const ends = (this.#ends.get(`${receiver} ${topic} ${payload}`) ?? []).toSorted((a, b) => b - a)
      if (arrivals.some((arrival, i) => (ends[i] ?? 0) < arrival)) return receiver
    }
    return undefined
  }

  unexpected(what: string): never {
    this.tally.unexpected++
    fail(`${what}, and runs`)
  }

  /** A process dies of this one. */
  poisoned(publication: Publication): void {
    this.#poisonings++
    if (this.#poisonings > CRASHES) fail(`${publication.number} has killed ${this.#poisonings} processes`)
  }

  /** From now on a poison may kill as many as before: its acknowledgement is written, or its count is lost. */
  forgetPoison(): void {
    this.#poisonings = 0
  }

  /** A process has died with these suspects in hand, and with these in its book. */
  died({ inHand, noted }: Died): void {
    if (inHand.length > 1) fail(`${inHand.length} suspects were in hand at a time`)
    for (const one of noted) this.#deaths.set(one, (this.#deaths.get(one) ?? 0) + 1)
  }

  /** It is put away as what processes die of. */
  quarantined({ process, publication, receiver }: Course, { arrival }: Delivery): void {
    this.#started.set(`${receiver} ${publication.number}`, process)
    if (publication.poison) return
    // One process may have died of it before any could note that.
    const deaths = (this.#deaths.get(messageKey(arrival)) ?? 0) + 1
    if (deaths < CRASHES) fail(`${publication.number} is innocent, and put away after ${deaths} crashes`)
  }

  // What comes again says so, comes before anything new, and is equal to nothing else: then it is known, and joins.
  get #canBeTold(): boolean {
    const { habits, payloads } = this.#scenario
    return !habits.dropsDup && !habits.late && !habits.expires && payloads === undefined
  }

  // Where a broker sends in order, the first runs of one lane begin in that order.
  #keepsOrder({ qos, topic }: Publication): boolean {
    const { habits, payloads, receivers } = this.#scenario
    if (habits.late || habits.expires || payloads !== undefined || qos === 0) return false
    return receivers.some((plans) => plans[Number(topic.slice(2))]?.shedding === undefined)
  }
}

// Puts letters on disk and takes them off again, in order, and knows of each whether it is there.
import { randomUUID } from 'node:crypto'
import type { Clock } from '../core/clock.ts'
import { toError, type MqttasgiError } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'
import type { KeptPublication, OutboxStore } from '../core/outbox-store.ts'
import { orphan, type Letter } from './letter.ts'
import { LetterRemovals } from './letter-removals.ts'
import type { OutboxPolicy } from './outbox-policy.ts'
import { notWritten, staysForGood, staysForNow, staysStored } from './outbox-faults.ts'

/** Where publications are kept over a restart, and what an earlier process has left there. */
export interface DurableOutbox {
  readonly store: OutboxStore
  readonly left: readonly KeptPublication[]
}

/** What the keeper needs of the outbox. */
export interface LetterKeeperParts {
  /** Undefined where nothing is kept. */
  readonly durable?: DurableOutbox | undefined
  readonly policy: OutboxPolicy
  readonly clock: Clock
  readonly log: Logger
  /** Milliseconds since 1970. */
  readonly wallNow: () => number
  /** It is not on disk, and will not be. */
  readonly notKept: (letter: Letter, error: Error) => void
}

export class LetterKeeper {
  /** Of the store, for people. */
  readonly name: string
  readonly #parts: LetterKeeperParts
  readonly #store: OutboxStore | undefined
  readonly #pending = new Set<Promise<unknown>>()
  readonly #removals: LetterRemovals
  /** What the end found without an answer. */
  readonly #left: Letter[] = []
  /** Of these the ones that the disk still decides on, with what they fail with if it says no. */
  readonly #undecided = new Map<Letter, MqttasgiError>()
  /** Keys are unique over restarts. */
  readonly #prefix = randomUUID()
  #count = 0
  // Of the last publication that was to be written.
  #lastFault: Error | undefined = undefined
  #isReleased = false

  constructor(parts: LetterKeeperParts) {
    this.#parts = parts
    const store = parts.durable?.store
    this.#store = store
    this.name = store?.name ?? 'memory'
    this.#removals = new LetterRemovals({
      remove: async (key) => store?.remove(key),
      clock: parts.clock,
      worked: () => this.#worked(),
      failed: (error) => this.#tellNews(error, staysForNow(this.name, error)),
      follow: (work) => this.#follow(work),
    })
  }

  get isDurable(): boolean {
    return this.#store !== undefined
  }

  /** Why publications can not be kept, or taken out; undefined when the last one could, and all that are over are. */
  get fault(): Error | undefined {
    return this.#lastFault ?? this.#removals.fault
  }

  /** What an earlier process has left, as letters. What can not be sent is said, and stays where it is. */
  *orphans(): Generator<Letter> {
    const { clock, durable, log, policy, wallNow } = this.#parts
    const now = clock.now()
    for (const kept of durable?.left ?? []) {
      try {
        yield orphan(kept, { now, wallNow: wallNow() }, policy)
      } catch (error) {
        const line = `A publication in ${this.name} can not be sent, and is left there.`
        log.error(line, { topic: kept.topic, error })
      }
    }
  }

  /** Whoever waits for just that is told; `notKept` is called where it failed. Those of QoS 0 are never kept. */
  keep(letter: Letter): void {
    const store = this.#store
    if (store === undefined || letter.qos === 0 || this.#isReleased) return
    const { fault } = this.#removals
    if (fault !== undefined && this.#removals.size >= this.#parts.policy.maxMessages) {
      return this.#refuse(letter, fault)
    }
    const { payload, qos, topic } = letter
    const { properties, retain } = letter.options
    const options = { qos, ...(retain !== undefined && { retain }), ...(properties && { properties }) }
    const key = `${this.#prefix}-${this.#count++}`
    letter.key = key
    const publishedAt = this.#parts.wallNow()
    this.#follow(this.#confirm(letter, key, store.keep({ key, topic, payload, options, publishedAt })))
  }

  /** Its end is known: it is not to be sent after a restart. */
  forget(letter: Letter): void {
    const { isKept, key } = letter
    if (key === undefined) return
    letter.key = undefined
    this.#removals.remove(key, isKept)
  }

  /** The server ends, and it has no answer: what is on disk stays there. */
  leave(letter: Letter, error: MqttasgiError): void {
    if (letter.qos > 0) this.#left.push(letter)
    const stays = letter.key !== undefined && letter.standing !== 'refused'
    if (letter.isToBeStored && stays) this.#undecided.set(letter, error)
    else letter.fail(stays ? staysStored(letter.topic, this.name, error) : error)
  }

  /** What was left counts as what waits does. */
  hasRoomFor({ bytes }: Letter): boolean {
    const { maxBytes, maxMessages } = this.#parts.policy
    const sum = this.#left.reduce((all, letter) => all + letter.bytes, bytes)
    return this.#left.length < maxMessages && sum <= maxBytes
  }

  /** The server ends: nothing is tried again before `release` does it. */
  end(): void {
    this.#removals.end()
  }

  /** Lets go of the store. True when all that was left is there, and so not lost, and nothing that is over. */
  async release(): Promise<boolean> {
    this.end()
    while (this.#pending.size > 0) await Promise.all(this.#pending)
    this.#isReleased = true
    await this.#removals.retry()
    this.#tellWhatStays()
    const stays = this.#left.filter(({ isKept }) => isKept).length
    if (stays > 0) {
      const [what, they] = stays === 1 ? ['publication has', 'it stays'] : ['publications have', 'they stay']
      this.#parts.log.warn(`${stays} ${what} no answer; ${they} in ${this.name} until the next start.`)
    }
    try {
      await this.#store?.close()
    } catch (thrown) {
      this.#failed(toError(thrown))
    }
    return stays === this.#left.length && this.#removals.size === 0
  }

  #tellWhatStays(): void {
    const { fault, size } = this.#removals
    if (fault !== undefined) this.#parts.log.error(staysForGood(this.name, size, fault), { error: fault })
  }

  // What could not be taken out would be without limit if more and more were put there.
  #refuse(letter: Letter, fault: Error): void {
    this.#follow(this.#removals.tryOne())
    this.#follow(Promise.resolve().then(() => this.#parts.notKept(letter, fault)))
  }

  async #confirm(letter: Letter, key: string, asked: Promise<void>): Promise<void> {
    const error = await this.#faultOf(asked)
    // Its end may have been quicker.
    if (letter.key !== key) return
    if (error === undefined) {
      letter.standing = 'kept'
      if (letter.isToBeStored) letter.succeed({ reasonCode: 0, stored: true })
      return
    }
    letter.standing = 'refused'
    const end = this.#undecided.get(letter)
    if (end === undefined) this.#parts.notKept(letter, error)
    else letter.fail(end)
  }

  async #faultOf(asked: Promise<void>): Promise<Error | undefined> {
    try {
      await asked
      this.#worked()
      return undefined
    } catch (thrown) {
      const error = toError(thrown)
      this.#failed(error)
      return error
    }
  }

  #follow(work: Promise<unknown>): void {
    this.#pending.add(work)
    void work.finally(() => this.#pending.delete(work))
  }

  #worked(): void {
    this.#lastFault = undefined
    if (this.#removals.size > 0) this.#follow(this.#removals.retry())
  }

  #failed(error: Error): void {
    this.#tellNews(error, notWritten(this.name, error))
    this.#lastFault = error
  }

  #tellNews(error: Error, line: string): void {
    if (this.fault === undefined) this.#parts.log.error(line, { error })
  }
}

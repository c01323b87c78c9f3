// Puts letters on disk and takes them off again, in order, and knows of each whether it is there.
import { randomUUID } from 'node:crypto'
import type { Clock } from '../core/clock.ts'
import { toError, type MqttasgiError } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'
import type { KeptPublication, OutboxStore } from '../core/outbox-store.ts'
import { asKept, orphan, SUPERSEDED, type Letter } from './letter.ts'
import type { OutboxPolicy } from './outbox-policy.ts'
import { notWritten, staysForGood, staysForNow, staysStored } from './outbox-faults.ts'
import { OwedWrites } from './owed-writes.ts'
import { Successions } from './successions.ts'

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
  /** It waits for the broker, and is not under way. */
  readonly waits: (letter: Letter) => boolean
  /** These were to be on disk, and will not be; what waits then is `next`, where one of them has stood in its place. */
  readonly notKept: (letters: readonly Letter[], error: Error, next: Letter | undefined) => void
}

export class LetterKeeper {
  /** Of the store, for people. */
  readonly name: string
  readonly #parts: LetterKeeperParts
  readonly #store: OutboxStore | undefined
  readonly #pending = new Set<Promise<unknown>>()
  readonly #owed: OwedWrites
  readonly #successions = new Successions()
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
    this.#owed = new OwedWrites({
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
    return this.#lastFault ?? this.#owed.fault
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
    if (this.#store === undefined || letter.qos === 0 || this.#isReleased) return
    const { fault } = this.#owed
    if (fault === undefined || this.#owed.size < this.#parts.policy.maxMessages) {
      this.#follow(this.#write(this.#store, letter))
    } else this.#refuse(letter, fault)
  }

  /** `letter` takes the place of `old`, which stays on disk and may be waited for until the other one is there. */
  supersede(old: Letter, letter: Letter): void {
    if (this.#store === undefined || old.qos === 0) return
    const isAlone = this.#successions.lineOf(letter).length === 1
    this.#successions.join(old, letter)
    const kept = isAlone ? letter : this.#successions.lineOf(letter).findLast(({ isKept }) => isKept)
    if (old.standing === 'refused') void this.#takeOut(old)
    if (kept?.isKept === true) this.#takePlace(kept)
    this.#keepHeir(letter)
  }

  /** Its end is known: it is not to be sent after a restart. Those whose place it took, and that are still waited for. */
  forget(letter: Letter): readonly Letter[] {
    const before = this.#clearBefore(letter)
    this.#successions.end(letter)
    void this.#takeOut(letter)
    return before.filter(({ isToBeStored }) => isToBeStored)
  }

  /** The server ends, and it has no answer: what is on disk stays there. */
  leave(letter: Letter, error: MqttasgiError): void {
    if (letter.qos > 0) this.#left.push(letter)
    const stays = isOrMayBeThere(letter)
    for (const one of this.#successions.lineOf(letter)) {
      if (one.isToBeStored && (stays || isOrMayBeThere(one))) this.#undecided.set(one, error)
      else one.fail(stays ? staysStored(letter.topic, this.name, error) : error)
    }
  }

  /** What was left counts as what waits does. */
  hasRoomFor({ bytes }: Letter): boolean {
    const { maxBytes, maxMessages } = this.#parts.policy
    const sum = this.#left.reduce((all, letter) => all + letter.bytes, bytes)
    return this.#left.length < maxMessages && sum <= maxBytes
  }

  /** The server ends: nothing is tried again before `release` does it. */
  end(): void {
    this.#owed.end()
  }

  /** Lets go of the store. True when all that was left is there, and so not lost, and nothing that is over. */
  async release(): Promise<boolean> {
    this.end()
    await this.#nothingPending()
    this.#isReleased = true
    await this.#owed.retry()
    await this.#nothingPending()
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
    return stays === this.#left.length && this.#owed.size === 0
  }

  #tellWhatStays(): void {
    const { fault, size } = this.#owed
    if (fault !== undefined) this.#parts.log.error(staysForGood(this.name, size, fault), { error: fault })
  }

  async #nothingPending(): Promise<void> {
    while (this.#pending.size > 0) await Promise.all(this.#pending)
  }

  // What could not be taken out would be without limit if more and more were put there.
  #refuse(letter: Letter, fault: Error): void {
    this.#follow(this.#owed.tryOne())
    this.#follow(Promise.resolve().then(() => this.#refused(letter, fault)))
  }

  /** Why it is not on disk. */
  async #write(store: OutboxStore, letter: Letter): Promise<Error | undefined> {
    const { clock, wallNow } = this.#parts
    const key = letter.key ?? `${this.#prefix}-${this.#count++}`
    letter.key = key
    letter.standing = 'asked'
    const kept = asKept(letter, key, { now: clock.now(), wallNow: wallNow() })
    const error = await this.#faultOf(store.keep(kept))
    // Its end may have been quicker.
    if (letter.key !== key) return error
    if (error !== undefined) this.#refused(letter, error)
    else {
      letter.standing = 'kept'
      this.#takePlace(letter)
      const heir = this.#successions.heirOf(letter)
      if (letter.isToBeStored) letter.succeed(heir === letter ? { reasonCode: 0, stored: true } : SUPERSEDED)
      this.#keepHeir(heir)
    }
    return error
  }

  // It is on disk, and so those whose place it took need not be.
  #takePlace(letter: Letter): void {
    for (const old of this.#clearBefore(letter)) if (old.isToBeStored) old.succeed(SUPERSEDED)
  }

  // Before the letter itself goes, so that none of them outlives it: it would be sent behind the newer one.
  #clearBefore(letter: Letter): readonly Letter[] {
    const before = this.#successions.takeBefore(letter)
    if (before.length > 0) {
      letter.cleared = Promise.all([letter.cleared, ...before.map((old) => this.#takeOut(old))])
    }
    return before
  }

  async #takeOut(letter: Letter): Promise<void> {
    const { cleared, isKept, key } = letter
    if (key === undefined) return
    letter.key = undefined
    await this.#owed.remove(key, isKept, cleared)
  }

  #refused(letter: Letter, error: Error): void {
    letter.standing = 'refused'
    const heir = this.#successions.heirOf(letter)
    if (letter !== heir) void this.#takeOut(letter)
    if (heir.standing !== 'refused') return
    if (this.#parts.waits(heir)) return this.#keepHeir(this.#giveUp(heir, error))
    // Under way it can not be called back: then the broker's answer is waited for, or the end.
    for (const one of this.#successions.refusedAt(heir)) {
      const end = this.#undecided.get(one)
      if (end !== undefined) one.fail(end)
    }
    this.#keepHeir(heir)
  }

  /** Who is left to be published. */
  #giveUp(heir: Letter, error: Error): Letter {
    const line = this.#successions.lineOf(heir)
    const refused = this.#successions.takeRefused(heir)
    for (const one of refused) void this.#takeOut(one)
    const next = line.at(-1) ?? heir
    const waited = refused.filter(({ isToBeStored }) => isToBeStored)
    this.#parts.notKept(waited, error, next === heir ? undefined : next)
    return next
  }

  // An older one is on disk, and the one that counts is not.
  #keepHeir(letter: Letter): void {
    const [first] = this.#successions.lineOf(letter)
    const store = this.#store
    if (store === undefined || first?.isKept !== true || letter.standing !== 'refused') return
    const write = async (): Promise<void> => {
      const heir = this.#successions.heirOf(first)
      if (heir.standing !== 'refused') return
      const error = this.#tooMuch ?? (await this.#write(store, heir))
      if (error !== undefined) throw error
    }
    this.#owed.write(first, write)
  }

  // This one counts as well.
  get #tooMuch(): Error | undefined {
    const { fault, size } = this.#owed
    return size > this.#parts.policy.maxMessages ? fault : undefined
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
    if (this.#owed.size > 0) this.#follow(this.#owed.retry())
  }

  #failed(error: Error): void {
    this.#tellNews(error, notWritten(this.name, error))
    this.#lastFault = error
  }

  #tellNews(error: Error, line: string): void {
    if (this.fault === undefined) this.#parts.log.error(line, { error })
  }
}

function isOrMayBeThere({ key, standing }: Letter): boolean {
  return key !== undefined && standing !== 'refused'
}

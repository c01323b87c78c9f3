// Puts letters on disk and takes them off again, in order, and knows of each whether it is there.
import { randomUUID } from 'node:crypto'
import { toError, type MqttasgiError } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'
import type { KeptPublication, OutboxStore } from '../core/outbox-store.ts'
import { orphan, type Letter } from './letter.ts'
import type { OutboxPolicy } from './outbox-policy.ts'
import { staysStored } from './outbox-faults.ts'

/** Where publications are kept over a restart, and what an earlier process has left there. */
export interface DurableOutbox {
  readonly store: OutboxStore
  readonly left: readonly KeptPublication[]
}

/** What the keeper needs of the outbox. */
export interface LetterKeeperParts {
  /** Undefined where nothing is kept. */
  readonly store: OutboxStore | undefined
  /** Of the store, for people. */
  readonly name: string
  readonly log: Logger
  /** Milliseconds since 1970. */
  readonly wallNow: () => number
  /** It is not on disk, and will not be. */
  readonly notKept: (letter: Letter, error: Error) => void
}

export class LetterKeeper {
  readonly #parts: LetterKeeperParts
  readonly #pending = new Set<Promise<unknown>>()
  /** What the end found without an answer. */
  readonly #left: Letter[] = []
  /** Of these the ones that the disk still decides on, with what they fail with if it says no. */
  readonly #undecided = new Map<Letter, MqttasgiError>()
  /** Keys are unique over restarts. */
  readonly #prefix = randomUUID()
  #count = 0
  // Of the last call: each further failure would only say the same.
  #lastFault: Error | undefined = undefined
  #isReleased = false

  constructor(parts: LetterKeeperParts) {
    this.#parts = parts
  }

  get isDurable(): boolean {
    return this.#parts.store !== undefined
  }

  /** Why publications can not be kept; undefined when the last one could. */
  get fault(): Error | undefined {
    return this.#lastFault
  }

  get name(): string {
    return this.#parts.name
  }

  /** What an earlier process has left, as letters. What can not be sent is said, and stays where it is. */
  *orphans(left: readonly KeptPublication[], now: number, policy: OutboxPolicy): Generator<Letter> {
    for (const kept of left) {
      try {
        yield orphan(kept, { now, wallNow: this.#parts.wallNow() }, policy)
      } catch (error) {
        const line = `A publication in ${this.name} can not be sent, and is left there.`
        this.#parts.log.error(line, { topic: kept.topic, error })
      }
    }
  }

  /** Whoever waits for just that is told; `notKept` is called where it failed. Those of QoS 0 are never kept. */
  keep(letter: Letter): void {
    const { store, wallNow } = this.#parts
    if (store === undefined || letter.qos === 0 || this.#isReleased) return
    const { payload, qos, topic } = letter
    const { properties, retain } = letter.options
    const options = { qos, ...(retain !== undefined && { retain }), ...(properties && { properties }) }
    const key = `${this.#prefix}-${this.#count++}`
    letter.key = key
    this.#follow(
      this.#confirm(letter, key, store.keep({ key, topic, payload, options, publishedAt: wallNow() })),
    )
  }

  /** Its end is known: it is not to be sent after a restart. */
  forget(letter: Letter): void {
    const { store } = this.#parts
    if (store === undefined || letter.key === undefined) return
    const { key } = letter
    letter.key = undefined
    letter.isKept = false
    this.#follow(this.#fault(store.remove(key)))
  }

  /** The server ends, and it has no answer: what is on disk stays there. */
  leave(letter: Letter, error: MqttasgiError): void {
    if (letter.qos > 0) this.#left.push(letter)
    if (letter.isToBeStored && letter.key !== undefined) this.#undecided.set(letter, error)
    else letter.fail(letter.key === undefined ? error : staysStored(letter.topic, this.name, error))
  }

  /** What was left counts as what waits does. */
  hasRoomFor({ bytes }: Letter, { maxBytes, maxMessages }: OutboxPolicy): boolean {
    const sum = this.#left.reduce((all, letter) => all + letter.bytes, bytes)
    return this.#left.length < maxMessages && sum <= maxBytes
  }

  /** Lets go of the store. True when all that was left is there, and so not lost. */
  async release(): Promise<boolean> {
    while (this.#pending.size > 0) await Promise.all(this.#pending)
    this.#isReleased = true
    const stays = this.#left.filter(({ isKept }) => isKept).length
    if (stays > 0) {
      const [what, they] = stays === 1 ? ['publication has', 'it stays'] : ['publications have', 'they stay']
      this.#parts.log.warn(`${stays} ${what} no answer; ${they} in ${this.name} until the next start.`)
    }
    try {
      await this.#parts.store?.close()
    } catch (thrown) {
      this.#failed(toError(thrown))
    }
    return stays === this.#left.length
  }

  async #confirm(letter: Letter, key: string, asked: Promise<void>): Promise<void> {
    const error = await this.#fault(asked)
    // Its end may have been quicker.
    if (letter.key !== key) return
    if (error === undefined) {
      letter.isKept = true
      if (letter.isToBeStored) letter.succeed({ reasonCode: 0, stored: true })
      return
    }
    letter.key = undefined
    const end = this.#undecided.get(letter)
    if (end === undefined) this.#parts.notKept(letter, error)
    else letter.fail(end)
  }

  async #fault(asked: Promise<void>): Promise<Error | undefined> {
    try {
      await asked
      this.#lastFault = undefined
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

  #failed(error: Error): void {
    const isNews = this.#lastFault === undefined
    this.#lastFault = error
    if (!isNews) return
    this.#parts.log.error(
      `Publications can not be written to ${this.name}: ${error.message} They are sent all the same; those that wait are lost if the process ends.`,
      { error },
    )
  }
}

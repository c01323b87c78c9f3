// What the store still has to do, because it could not: it lets go of what is over, or takes what is to stand in its place.
import type { Clock } from '../core/clock.ts'
import { toError } from '../core/errors.ts'

/** What it works with. */
export interface OwedWritesParts {
  readonly remove: (key: string) => Promise<void>
  readonly clock: Clock
  /** Something that was in the store has gone: it can be written. */
  readonly worked: () => void
  /** Called before it counts as one that has failed. */
  readonly failed: (error: Error) => void
  /** Work that nobody here waits for; it never rejects. */
  readonly follow: (work: Promise<unknown>) => void
}

interface Owed {
  readonly write: () => Promise<void>
  readonly makesRoom: boolean
  /** That it worked shows that the disk can be written. */
  readonly isProof: boolean
}

const FIRST_MS = 1_000
const LONGEST_MS = 60_000

/**
 * While the store fails one of them is tried after a while, and the others wait for it: a disk that is full is not asked
 * by all. When anything has worked, all are tried.
 */
export class OwedWrites {
  readonly #parts: OwedWritesParts
  /** What did not work, by whom it is for. */
  readonly #owed = new Map<unknown, Owed>()
  #fault: Error | undefined = undefined
  #tries = 0
  #cancel: (() => void) | undefined = undefined
  #trying: Promise<void> | undefined = undefined
  #hasEnded = false

  constructor(parts: OwedWritesParts) {
    this.#parts = parts
  }

  /** How many are not done. */
  get size(): number {
    return this.#owed.size
  }

  /** Why they are not; undefined when there are none. */
  get fault(): Error | undefined {
    return this.#owed.size > 0 ? this.#fault : undefined
  }

  /**
   * Takes a key out, once `after` has settled. `isThere`: the store had said so; to take out what may not be there shows
   * nothing of the disk. Settles when it was tried.
   */
  remove(key: string, isThere: boolean, after?: Promise<unknown>): Promise<unknown> {
    const write = async (): Promise<void> => {
      if (after !== undefined) await after
      await this.#parts.remove(key)
    }
    const work = this.#try(key, { write, makesRoom: true, isProof: isThere })
    this.#parts.follow(work)
    return work
  }

  /** Writes for somebody, and again until it has worked. What is asked for meanwhile is done when that is tried again. */
  write(owner: object, write: () => Promise<void>): void {
    const isUnderWay = this.#owed.has(owner)
    const owed = { write, makesRoom: false, isProof: false }
    this.#owed.set(owner, owed)
    if (isUnderWay) this.#tryLater()
    else this.#parts.follow(this.#try(owner, owed))
  }

  /** All that are not done, once. */
  retry(): Promise<void> {
    return this.#alone(() => this.#tryAll())
  }

  /** One of them, and the others when it works. */
  tryOne(): Promise<void> {
    return this.#alone(() => this.#tryFirst())
  }

  /** Nothing is tried by itself any more. */
  end(): void {
    this.#hasEnded = true
    this.#cancel?.()
    this.#cancel = undefined
  }

  // What is under way is not asked for a second time.
  #alone(work: () => Promise<void>): Promise<void> {
    this.#trying ??= work().finally(() => (this.#trying = undefined))
    return this.#trying
  }

  // What is to be written may have to wait until others have gone.
  async #tryAll(): Promise<void> {
    for (const makesRoom of [true, false]) {
      const owed = [...this.#owed].filter(([, one]) => one.makesRoom === makesRoom)
      await Promise.all(owed.map(([owner, one]) => this.#try(owner, one)))
    }
  }

  async #tryFirst(): Promise<void> {
    const [first] = this.#owed
    if (first !== undefined && (await this.#try(...first))) await this.#tryAll()
  }

  async #try(owner: unknown, owed: Owed): Promise<boolean> {
    const { failed, worked } = this.#parts
    try {
      await owed.write()
    } catch (thrown) {
      const error = toError(thrown)
      failed(error)
      this.#fault = error
      // Behind the others: it may be the only one that can not go, for what others have left is on disks of its own.
      this.#owed.delete(owner)
      this.#owed.set(owner, owed)
      this.#tryLater()
      return false
    }
    if (this.#owed.get(owner) === owed) this.#owed.delete(owner)
    if (this.#owed.size === 0) this.#allDone()
    if (owed.isProof) worked()
    return true
  }

  #allDone(): void {
    this.#fault = undefined
    this.#tries = 0
    this.#cancel?.()
    this.#cancel = undefined
  }

  #tryLater(): void {
    if (this.#cancel !== undefined || this.#hasEnded) return
    const afterMs = Math.min(FIRST_MS * 2 ** this.#tries++, LONGEST_MS)
    this.#cancel = this.#parts.clock.after(afterMs, () => {
      this.#cancel = undefined
      this.#parts.follow(this.tryOne())
    })
  }
}

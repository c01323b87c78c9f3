// Takes publications out of the store, and again what it did not let go of: that would be published a second time.
import type { Clock } from '../core/clock.ts'
import { toError } from '../core/errors.ts'

/** What it works with. */
export interface LetterRemovalsParts {
  readonly remove: (key: string) => Promise<void>
  readonly clock: Clock
  /** Something that was in the store has gone: it can be written. */
  readonly worked: () => void
  /** Called before it counts as one that has not gone. */
  readonly failed: (error: Error) => void
  /** Work that nobody here waits for; it never rejects. */
  readonly follow: (work: Promise<unknown>) => void
}

const FIRST_MS = 1_000
const LONGEST_MS = 60_000

/**
 * While the store fails one removal is tried after a while, and the others wait for it: a disk that is full is not asked
 * by all. When anything has worked, all are tried.
 */
export class LetterRemovals {
  readonly #parts: LetterRemovalsParts
  /** The keys that did not go, and whether the store had said of them that they are there. */
  readonly #owed = new Map<string, boolean>()
  #fault: Error | undefined = undefined
  #tries = 0
  #cancel: (() => void) | undefined = undefined
  #trying: Promise<void> | undefined = undefined
  #hasEnded = false

  constructor(parts: LetterRemovalsParts) {
    this.#parts = parts
  }

  /** How many have not gone. */
  get size(): number {
    return this.#owed.size
  }

  /** Why they have not; undefined when there are none. */
  get fault(): Error | undefined {
    return this.#owed.size > 0 ? this.#fault : undefined
  }

  /** To take out what may not be there shows nothing of the disk. */
  remove(key: string, isThere: boolean): void {
    this.#parts.follow(this.#try(key, isThere))
  }

  /** All that have not gone, once. */
  retry(): Promise<void> {
    return this.#alone(() => this.#tryAll())
  }

  /** One of them, and the others when it goes. */
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

  async #tryAll(): Promise<void> {
    await Promise.all([...this.#owed].map(([key, isThere]) => this.#try(key, isThere)))
  }

  async #tryFirst(): Promise<void> {
    const [first] = this.#owed
    if (first !== undefined && (await this.#try(...first))) await this.#tryAll()
  }

  async #try(key: string, isThere: boolean): Promise<boolean> {
    const { failed, remove, worked } = this.#parts
    try {
      await remove(key)
    } catch (thrown) {
      const error = toError(thrown)
      failed(error)
      this.#fault = error
      // Behind the others: it may be the only one that can not go, for what others have left is on disks of its own.
      this.#owed.delete(key)
      this.#owed.set(key, isThere)
      this.#tryLater()
      return false
    }
    this.#owed.delete(key)
    if (this.#owed.size === 0) this.#allGone()
    if (isThere) worked()
    return true
  }

  #allGone(): void {
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

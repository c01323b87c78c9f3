// What next() gives to a layer: a promise that knows whether anybody has looked at what becomes of it.

/** The chain behind a `next()`: it is told how that has ended before anybody who looks at it. */
export interface Watcher {
  /** So many layers wait for it no longer. */
  settled(layers: number): void
  /** The layer at this place has failed, and `handed` is what the one in front of it was given. */
  failed(handed: HandedOut, error: unknown, at: number): void
}

type Fulfilled<A> = ((value: void) => A | PromiseLike<A>) | null
type Rejected<B> = ((reason: unknown) => B | PromiseLike<B>) | null

/**
 * A thenable, for of that `await` calls then(). All that it asks a promise for is its constructor: to notice that would
 * cost more, and change promises that are somebody else's.
 */
export class HandedOut implements Promise<void> {
  /** What becomes of the layer behind, for whoever is not to be seen looking. */
  readonly below: Promise<void>
  /** Somebody has asked what becomes of it. */
  isLookedAt = false
  readonly #chain: Watcher
  readonly #at: number
  // Layers that were given it: one that returns it at once passes it on to the one in front of it.
  #layers = 1
  #isSettled = false
  // The chain and the first who looks, which is nearly always an `await`, share one reaction: it is paid for per message.
  readonly #first: Promise<unknown>
  #fulfilled: Fulfilled<unknown> | undefined = undefined
  #rejected: Rejected<unknown> | undefined = undefined

  /** `at`: the layer behind, in the chain. */
  constructor(below: Promise<void>, chain: Watcher, at: number) {
    this.below = below
    this.#chain = chain
    this.#at = at
    // It handles a rejection, so that a next() that nobody awaits can not end the process.
    this.#first = below.then(
      (value) => this.#fulfil(value),
      (error: unknown) => this.#reject(error),
    )
  }

  get [Symbol.toStringTag](): string {
    return 'Promise'
  }

  // oxlint-disable-next-line unicorn/no-thenable -- being asked for it is what this class is for
  then<A = void, B = never>(fulfilled?: Fulfilled<A>, rejected?: Rejected<B>): Promise<A | B> {
    const isFirst = !this.isLookedAt && !this.#isSettled
    this.isLookedAt = true
    if (!isFirst) return this.below.then(fulfilled, rejected)
    this.#fulfilled = fulfilled
    this.#rejected = rejected
    return this.#first as Promise<A | B>
  }

  catch<B = never>(rejected?: Rejected<B>): Promise<void | B> {
    return this.then(undefined, rejected)
  }

  finally(settled?: (() => void) | null): Promise<void> {
    return this.then(undefined).finally(settled)
  }

  /**
   * One more layer of this chain waits for it; false when it is another chain's, or has ended, or when the layer that
   * passes it on has looked at it: that one goes on before the one in front of it.
   */
  passOn(chain: Watcher): boolean {
    if (this.#chain !== chain || this.#isSettled || this.isLookedAt) return false
    this.#layers++
    return true
  }

  #fulfil(value: void): unknown {
    this.#isSettled = true
    this.#chain.settled(this.#layers)
    return typeof this.#fulfilled === 'function' ? this.#fulfilled(value) : value
  }

  #reject(error: unknown): unknown {
    this.#isSettled = true
    this.#chain.failed(this, error, this.#at)
    this.#chain.settled(this.#layers)
    if (!this.isLookedAt) return undefined
    if (typeof this.#rejected === 'function') return this.#rejected(error)
    throw error
  }
}

/** The promise itself, for whoever is not to be seen looking. */
export function unseen(promise: Promise<void>): Promise<void> {
  return promise instanceof HandedOut ? promise.below : promise
}

// What next() gives to a layer: a promise that knows whether anybody has looked at what becomes of it.

/**
 * A thenable, for of that `await` calls then(). All that it asks a promise for is its constructor: to notice that would
 * cost more, and change promises that are somebody else's.
 */
export class HandedOut implements Promise<void> {
  /** What becomes of the layer behind, for whoever is not to be seen looking. */
  readonly below: Promise<void>
  isLookedAt = false

  constructor(below: Promise<void>) {
    this.below = below
  }

  get [Symbol.toStringTag](): string {
    return 'Promise'
  }

  // oxlint-disable-next-line unicorn/no-thenable -- being asked for it is what this class is for
  then<A = void, B = never>(
    fulfilled?: ((value: void) => A | PromiseLike<A>) | null,
    rejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.isLookedAt = true
    return this.below.then(fulfilled, rejected)
  }

  catch<B = never>(rejected?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<void | B> {
    return this.then(undefined, rejected)
  }

  finally(settled?: (() => void) | null): Promise<void> {
    this.isLookedAt = true
    return this.below.finally(settled)
  }
}

/** The promise itself, for whoever is not to be seen looking. */
export function unseen(promise: Promise<void>): Promise<void> {
  return promise instanceof HandedOut ? promise.below : promise
}

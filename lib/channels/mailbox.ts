// One channel in memory: unread events up to a capacity, each with its end, and those who wait for one.

interface Unread {
  readonly bytes: Buffer
  readonly endsAt: number
}

interface Waiter {
  readonly resolve: (bytes: Buffer) => void
  readonly reject: (error: unknown) => void
}

export class Mailbox {
  readonly #capacity: number
  readonly #unread: Unread[] = []
  readonly #waiters = new Set<Waiter>()

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  get isIdle(): boolean {
    return this.#unread.length === 0 && this.#waiters.size === 0
  }

  /** How many events wait. */
  get unread(): number {
    return this.#unread.length
  }

  /** Somebody waits for the next event. */
  get isAwaited(): boolean {
    return this.#waiters.size > 0
  }

  /** Gives it to whoever has waited longest, or keeps it; false when there is no room. Expire first. */
  offer(bytes: Buffer, endsAt: number): boolean {
    const [waiter] = this.#waiters
    if (waiter !== undefined) {
      this.#waiters.delete(waiter)
      waiter.resolve(bytes)
      return true
    }
    if (this.#unread.length >= this.#capacity) return false
    this.#unread.push({ bytes, endsAt })
    return true
  }

  /** The oldest event, if there is one. Expire first. */
  next(): Buffer | undefined {
    return this.#unread.shift()?.bytes
  }

  /** The oldest event, or the next one that comes; rejects with the reason of the signal. Expire first. */
  take(signal?: AbortSignal): Promise<Buffer> {
    const oldest = this.next()
    if (oldest !== undefined) return Promise.resolve(oldest)
    return new Promise((resolve, reject) => {
      const aborted = (): void => {
        this.#waiters.delete(waiter)
        reject(toReason(signal))
      }
      const waiter: Waiter = {
        resolve: (bytes) => {
          signal?.removeEventListener('abort', aborted)
          resolve(bytes)
        },
        reject: (error) => {
          signal?.removeEventListener('abort', aborted)
          reject(error)
        },
      }
      this.#waiters.add(waiter)
      signal?.addEventListener('abort', aborted, { once: true })
    })
  }

  /** Drops what nobody has received in time; how many that were. */
  expire(now: number): number {
    // All have waited for the same time, so that the oldest ends first.
    const isFresh = this.#unread.findIndex(({ endsAt }) => endsAt > now)
    const count = isFresh === -1 ? this.#unread.length : isFresh
    if (count > 0) this.#unread.splice(0, count)
    return count
  }

  /** Forgets all events, and gives those there were. */
  clear(): readonly Buffer[] {
    return this.#unread.splice(0).map(({ bytes }) => bytes)
  }

  /** Tells all who wait why nothing comes. */
  fail(error: Error): void {
    for (const waiter of this.#waiters) waiter.reject(error)
    this.#waiters.clear()
  }
}

function toReason(signal: AbortSignal | undefined): Error {
  return signal?.reason as Error
}

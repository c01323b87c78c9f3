// A store for exchanges whose writes hold when the test says; what did not hold by then is lost in a crash.
import { Deferred } from '../../lib/core/deferred.ts'
import type { ExchangeStore } from '../../lib/core/exchange-store.ts'

interface Write {
  readonly apply: (durable: Map<number, string>) => void
  readonly done: Deferred
}

export class SlowStore implements ExchangeStore {
  /** What a crash would leave. */
  readonly durable: Map<number, string>
  readonly kept: ReadonlyMap<number, string>
  inDoubt = false
  closed = false
  fault: Error | undefined = undefined
  #writes: Write[] = []

  constructor(kept: Iterable<readonly [number, string]> = []) {
    this.durable = new Map(kept)
    this.kept = new Map(this.durable)
  }

  /** How many writes do not hold yet. */
  get waiting(): number {
    return this.#writes.length
  }

  keep(packetId: number, fingerprint: string): Promise<void> {
    return this.#write((durable) => durable.set(packetId, fingerprint))
  }

  drop(packetId: number): Promise<void> {
    return this.#write((durable) => durable.delete(packetId))
  }

  clear(): Promise<void> {
    return this.#write((durable) => durable.clear())
  }

  doubt(): Promise<void> {
    return this.#write(() => (this.inDoubt = true))
  }

  trust(): Promise<void> {
    return this.#write(() => (this.inDoubt = false))
  }

  close(): Promise<void> {
    this.closed = true
    return Promise.resolve()
  }

  /** What the next process finds. */
  afterCrash(): SlowStore {
    return new SlowStore(this.inDoubt ? [] : this.durable)
  }

  /** The first `count` writes hold now; whoever waited for them has been told when this resolves. */
  async commit(count = this.#writes.length): Promise<void> {
    for (const { apply, done } of this.#writes.splice(0, count)) {
      apply(this.durable)
      done.resolve()
    }
    await new Promise((resolve) => setImmediate(resolve))
  }

  #write(apply: Write['apply']): Promise<void> {
    const done = new Deferred()
    this.#writes.push({ apply, done })
    return done.promise
  }
}

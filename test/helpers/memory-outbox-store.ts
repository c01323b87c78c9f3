// An outbox store in memory: what is on its disk survives the object, what is only asked for does not.
import type { KeptPublication, OutboxStore } from '../../lib/core/outbox-store.ts'
import { Deferred } from '../../lib/core/deferred.ts'

/** What outlives a store. */
export type MemoryDisk = Map<string, KeptPublication>

interface Asked {
  readonly call: 'keep' | 'remove'
  readonly key: string
  readonly apply: () => void
  readonly done: Deferred
}

export class MemoryOutboxStore implements OutboxStore {
  readonly name = 'the memory of the test'
  readonly disk: MemoryDisk
  /** Nothing reaches the disk until `sync()`. */
  isSlow = false
  /** What `keep` and `remove` reject with from now on, also what was asked for before and is not on the disk yet. */
  failure: Error | undefined = undefined
  /** Which of them, where it is not both. */
  failing: 'keep' | 'remove' | undefined = undefined
  /** What fails is done all the same: the disk took it, and could not say so. */
  isInDoubt = false
  isClosed = false
  #asked: Asked[] = []
  #wasInDoubt = false

  constructor(disk: MemoryDisk = new Map()) {
    this.disk = disk
  }

  /** How much was asked for and is not done. */
  get backlog(): number {
    return this.#asked.length
  }

  load(): Promise<readonly KeptPublication[]> {
    return Promise.resolve([...this.disk.values()])
  }

  keep(publication: KeptPublication): Promise<void> {
    const { key } = publication
    return this.#ask('keep', key, () => this.disk.set(key, publication))
  }

  remove(key: string): Promise<void> {
    return this.#ask('remove', key, () => this.disk.delete(key))
  }

  async close(): Promise<void> {
    this.sync()
    this.isClosed = true
    await Promise.resolve()
  }

  /** All that was asked for, in order. */
  sync(): void {
    for (const asked of this.#asked.splice(0)) this.#do(asked)
  }

  /** Only the first of it, and then the process is gone. */
  crash(applied: number): MemoryDisk {
    for (const { apply } of this.#asked.splice(0).slice(0, applied)) apply()
    return this.disk
  }

  #do(asked: Asked): void {
    const { apply, done } = asked
    if (this.failure === undefined || this.#isSpared(asked)) {
      apply()
      return done.resolve()
    }
    if (this.isInDoubt) {
      this.#wasInDoubt = true
      apply()
    }
    done.reject(this.failure)
  }

  // As a journal does it: to take out what is not there, nothing has to be written.
  #isSpared({ call, key }: Asked): boolean {
    if (this.failing !== undefined && this.failing !== call) return true
    return call === 'remove' && !this.disk.has(key) && !this.#wasInDoubt
  }

  #ask(call: Asked['call'], key: string, apply: () => void): Promise<void> {
    const done = new Deferred()
    this.#asked.push({ call, key, apply, done })
    if (!this.isSlow) this.sync()
    return done.promise
  }
}

// An outbox store in memory: what is on its disk survives the object, what is only asked for does not.
import type { KeptPublication, OutboxStore } from '../../lib/core/outbox-store.ts'
import { Deferred } from '../../lib/core/deferred.ts'

/** What outlives a store. */
export type MemoryDisk = Map<string, KeptPublication>

export class MemoryOutboxStore implements OutboxStore {
  readonly name = 'the memory of the test'
  readonly disk: MemoryDisk
  /** Nothing reaches the disk until `sync()`. */
  isSlow = false
  /** What `keep` and `remove` reject with from now on. */
  failure: Error | undefined = undefined
  isClosed = false
  #asked: { readonly apply: () => void; readonly done: Deferred }[] = []

  constructor(disk: MemoryDisk = new Map()) {
    this.disk = disk
  }

  load(): Promise<readonly KeptPublication[]> {
    return Promise.resolve([...this.disk.values()])
  }

  keep(publication: KeptPublication): Promise<void> {
    return this.#ask(() => this.disk.set(publication.key, publication))
  }

  remove(key: string): Promise<void> {
    return this.#ask(() => this.disk.delete(key))
  }

  async close(): Promise<void> {
    this.sync()
    this.isClosed = true
    await Promise.resolve()
  }

  /** All that was asked for, in order. */
  sync(): void {
    for (const { apply, done } of this.#asked.splice(0)) {
      apply()
      done.resolve()
    }
  }

  /** Only the first of it, and then the process is gone. */
  crash(applied: number): MemoryDisk {
    for (const { apply } of this.#asked.splice(0).slice(0, applied)) apply()
    return this.disk
  }

  #ask(apply: () => void): Promise<void> {
    if (this.failure !== undefined) return Promise.reject(this.failure)
    const done = new Deferred()
    this.#asked.push({ apply, done })
    if (!this.isSlow) this.sync()
    return done.promise
  }
}

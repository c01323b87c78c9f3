// The exchanges of QoS 2 on disk: the packet ids of messages that were done with, in a journal of their own.
import type { Clock } from '../core/clock.ts'
import { toError } from '../core/errors.ts'
import type { ExchangeStore } from '../core/exchange-store.ts'
import type { Logger } from '../core/log.ts'
import type { DurableMap, DurableMapOptions } from './durable-map.ts'
import { openSessionJournal } from './session-journal.ts'

/** Where it is, and who is told when the disk fails. */
export interface ExchangeJournalOptions extends Pick<DurableMapOptions, 'folder' | 'files' | 'lock'> {
  readonly clock: Clock
  readonly log: Logger
}

const DOUBT = 'doubt'
/** Says nothing: the first write of a process makes a file, which is not to happen while a message waits for it. */
const OPENED = 'opened'
const RETRY_MS = 1_000

/** An `ExchangeStore` in a journal. */
export class ExchangeJournal implements ExchangeStore {
  readonly kept: ReadonlyMap<number, string>
  readonly #map: DurableMap
  readonly #clock: Clock
  readonly #log: Logger
  /** The latest change of each key that is not done: one that is tried again must not pass a later one. */
  readonly #latest = new Map<string, Promise<void>>()
  readonly #timers = new Set<() => void>()
  #fault: Error | undefined = undefined
  #closed = false

  private constructor(
    map: DurableMap,
    kept: ReadonlyMap<number, string>,
    { clock, log }: ExchangeJournalOptions,
  ) {
    this.#map = map
    this.kept = kept
    this.#clock = clock
    this.#log = log
  }

  /** Codes: `ERR_JOURNAL_*`; `ERR_JOURNAL_LOCKED` when another process has this client id. */
  static async open(options: ExchangeJournalOptions): Promise<ExchangeJournal> {
    const { clock: _, log: _log, ...place } = options
    const map = await openSessionJournal(place)
    try {
      if (map.has(DOUBT)) {
        const records = map.keys().filter((key) => key !== DOUBT && key !== OPENED)
        await Promise.all(records.map((key) => map.delete(key)))
        await map.delete(DOUBT)
      }
      const kept = new Map<number, string>()
      for await (const [key, value] of map.entries()) {
        if (key !== OPENED) kept.set(Number(key), value.toString())
      }
      await map.put(OPENED, Buffer.alloc(0))
      return new ExchangeJournal(map, kept, options)
    } catch (error) {
      await map.close()
      throw error
    }
  }

  get fault(): Error | undefined {
    return this.#fault
  }

  keep(packetId: number, fingerprint: string): Promise<void> {
    return this.#change(`${packetId}`, (key) => this.#map.put(key, Buffer.from(fingerprint)))
  }

  drop(packetId: number): Promise<void> {
    return this.#change(`${packetId}`, (key) => this.#map.delete(key))
  }

  async clear(): Promise<void> {
    const keys = new Set([...this.#map.keys(), ...this.#latest.keys()])
    for (const name of [DOUBT, OPENED]) keys.delete(name)
    await Promise.all([...keys].map((name) => this.#change(name, (key) => this.#map.delete(key))))
  }

  doubt(): Promise<void> {
    return this.#change(DOUBT, (key) => this.#map.put(key, Buffer.alloc(0)))
  }

  trust(): Promise<void> {
    return this.#change(DOUBT, (key) => this.#map.delete(key))
  }

  /** What can not be kept by now never is: its promises stay open. */
  close(): Promise<void> {
    this.#closed = true
    for (const cancel of this.#timers) cancel()
    this.#timers.clear()
    return this.#map.close()
  }

  #change(key: string, change: (key: string) => Promise<unknown>): Promise<void> {
    const before = this.#latest.get(key)
    const work = (): Promise<void> => this.#untilDone(() => change(key))
    const done = before === undefined ? work() : before.then(work)
    this.#latest.set(key, done)
    void done.then(() => this.#latest.get(key) === done && this.#latest.delete(key))
    return done
  }

  async #untilDone(change: () => Promise<unknown>): Promise<void> {
    for (;;) {
      try {
        await change()
        return this.#worked()
      } catch (error) {
        this.#failed(toError(error))
        await this.#pause()
      }
    }
  }

  #failed(error: Error): void {
    if (this.#closed || this.#fault !== undefined) return
    this.#fault = error
    this.#log.error(`${error.message} Until it can, no message of QoS 2 is acknowledged.`, { error })
  }

  #worked(): void {
    if (this.#fault === undefined) return
    this.#fault = undefined
    this.#log.warn(`The journal in ${this.#map.folder} can be written again.`)
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#closed) return
      const cancel = this.#clock.after(RETRY_MS, () => {
        this.#timers.delete(cancel)
        resolve()
      })
      this.#timers.add(cancel)
    })
  }
}

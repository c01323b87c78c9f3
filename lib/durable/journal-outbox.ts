// The outbox on disk: a journal of one's own, and those that processes have left which are no more.
import type { KeptPublication, OutboxStore } from '../core/outbox-store.ts'
import { DurableMap, type DurableMapOptions } from './durable-map.ts'
import { decodePublication, encodePublication } from './publication-bytes.ts'
import { isLocked, openFreeSlot, slotsOf } from './slots.ts'

/** Where it is. */
export interface JournalOutboxOptions extends Pick<DurableMapOptions, 'files'> {
  /** Holds a numbered folder for each process that publishes. */
  readonly folder: string
}

/** An `OutboxStore` on disk. Its limits are the outbox's. */
export class JournalOutbox implements OutboxStore {
  readonly name: string
  readonly #own: DurableMap
  /** What others have left is sent by us, and taken out where it is. */
  readonly #adopted: readonly DurableMap[]

  private constructor(own: DurableMap, adopted: readonly DurableMap[]) {
    this.name = own.folder
    this.#own = own
    this.#adopted = adopted
  }

  /** Codes: `ERR_JOURNAL_LOCKED`, `ERR_JOURNAL_OPEN`. */
  static async open({ folder, ...more }: JournalOutboxOptions): Promise<JournalOutbox> {
    const own = await openFreeSlot(folder, (slot) => DurableMap.open({ folder: slot, ...more }))
    const adopted: DurableMap[] = []
    try {
      for (const slot of await slotsOf(folder)) {
        if (slot === own.folder) continue
        const map = await openUnlessLocked({ folder: slot, ...more })
        if (map === undefined) continue
        if (map.size > 0) adopted.push(map)
        else await map.close()
      }
      return new JournalOutbox(own, adopted)
    } catch (error) {
      await Promise.all([own, ...adopted].map((map) => map.close()))
      throw error
    }
  }

  /** Codes: `ERR_OUTBOX_STORE` for what an other version has written, `ERR_JOURNAL_OPEN`. */
  async load(): Promise<readonly KeptPublication[]> {
    const found: KeptPublication[] = []
    for (const map of [this.#own, ...this.#adopted]) {
      for await (const [key, value] of map.entries()) found.push(decodePublication(key, value))
    }
    return found
  }

  keep(publication: KeptPublication): Promise<void> {
    return this.#own.put(publication.key, encodePublication(publication))
  }

  async remove(key: string): Promise<void> {
    const map = this.#adopted.find((one) => one.has(key)) ?? this.#own
    await map.delete(key)
  }

  async close(): Promise<void> {
    await Promise.all([this.#own, ...this.#adopted].map((map) => map.close()))
  }
}

async function openUnlessLocked(options: DurableMapOptions): Promise<DurableMap | undefined> {
  try {
    return await DurableMap.open(options)
  } catch (error) {
    if (isLocked(error)) return undefined
    throw error
  }
}

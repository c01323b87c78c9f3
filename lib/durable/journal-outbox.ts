// The outbox on disk: a journal of one's own, and those that processes have left which are no more.
import { readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { KeptPublication, OutboxStore } from '../core/outbox-store.ts'
import { DurableMap, type DurableMapOptions } from './durable-map.ts'
import { JournalView } from './journal-view.ts'
import { decodePublication, encodePublication } from './publication-bytes.ts'
import { isLocked, openFreeSlot, slotsOf } from './slots.ts'

const FOLDER = 'outbox'
const LONGEST_NAME = 200
const READ_AT_ONCE = 100

/** Where it is. */
export interface JournalOutboxOptions extends Pick<DurableMapOptions, 'files'> {
  /** Holds a numbered folder for each process that publishes. */
  readonly folder: string
}

/** Publications that wait for another broker. */
export interface OutboxElsewhere {
  readonly folder: string
  readonly count: number
}

interface Found {
  readonly publication: KeptPublication
  /** Its place among those of other journals: in its own the order holds, also where the clock was set back. */
  readonly at: number
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
    const found: Found[] = []
    for (const map of [this.#own, ...this.#adopted]) await readAll(map, found)
    return found.sort((one, other) => one.at - other.at).map(({ publication }) => publication)
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

/**
 * The folder of what waits for one broker: what was meant for that one must not be published on another, because the
 * configuration was changed or it is the one of a test.
 */
export function outboxFolder(stateDir: string, address: string): string {
  const name = address.replaceAll(/[^\w.-]+/g, '_').slice(0, LONGEST_NAME)
  return join(stateDir, FOLDER, name)
}

/** What lies beside the outbox of this broker, and does not leave. */
export async function outboxesElsewhere(folder: string): Promise<readonly OutboxElsewhere[]> {
  const found: OutboxElsewhere[] = []
  const parent = dirname(folder)
  for (const entry of await readdir(parent, { withFileTypes: true })) {
    const other = join(parent, entry.name)
    if (other === folder || !entry.isDirectory()) continue
    let count = 0
    for (const slot of await slotsOf(other)) count += (await JournalView.read(slot)).keys().length
    if (count > 0) found.push({ folder: other, count })
  }
  return found.sort((one, another) => (one.folder < another.folder ? -1 : 1))
}

async function readAll(map: DurableMap, found: Found[]): Promise<void> {
  const keys = map.keys()
  let at = 0
  // One by one a hundred thousand of them would take half a minute.
  for (let i = 0; i < keys.length; i += READ_AT_ONCE) {
    const read = await Promise.all(keys.slice(i, i + READ_AT_ONCE).map((key) => readOne(map, key)))
    for (const publication of read.flat()) {
      at = Math.max(at, publication.publishedAt)
      found.push({ at, publication })
    }
  }
}

async function readOne(map: DurableMap, key: string): Promise<readonly KeptPublication[]> {
  const value = await map.get(key)
  return value === undefined ? [] : [decodePublication(key, value)]
}

async function openUnlessLocked(options: DurableMapOptions): Promise<DurableMap | undefined> {
  try {
    return await DurableMap.open(options)
  } catch (error) {
    if (isLocked(error)) return undefined
    throw error
  }
}

// The crash ledger on disk: a key for each message in hand, and one that says that the process runs.
import { createHash } from 'node:crypto'
import type { CrashLedger, Noted } from '../core/crash-ledger.ts'
import type { DurableMap, DurableMapOptions } from './durable-map.ts'
import { openSessionJournal } from './session-journal.ts'

/** Where a ledger is. */
export interface CrashLedgerOptions extends Pick<DurableMapOptions, 'folder' | 'files' | 'lock'> {
  /** Beyond this the oldest keys that are not in hand are forgotten. Default: 10,000. */
  readonly maxEntries?: number
}

interface InHand {
  /** As it was before this process. */
  readonly noted: Noted
  count: number
}

const RUNNING = 'running'
const MAX_ENTRIES = 10_000

/** A `CrashLedger` in a journal. */
export class JournalCrashLedger implements CrashLedger {
  readonly name: string
  readonly endedCleanly: boolean
  readonly #map: DurableMap
  readonly #maxEntries: number
  /** What earlier processes have left behind. */
  readonly #left: Map<string, Noted>
  readonly #inHand = new Map<string, InHand>()

  private constructor(map: DurableMap, left: Map<string, Noted>, { maxEntries }: CrashLedgerOptions) {
    this.name = `journal ${map.folder}`
    this.endedCleanly = !map.has(RUNNING)
    this.#map = map
    this.#left = left
    this.#maxEntries = maxEntries ?? MAX_ENTRIES
  }

  /** Opens a ledger, and notes that this process runs. Codes: `ERR_JOURNAL_*`. */
  static async open(options: CrashLedgerOptions): Promise<JournalCrashLedger> {
    // Its limit is not the journal's: beyond it the oldest go, instead of nothing coming in.
    const { maxEntries: _, ...place } = options
    const map = await openSessionJournal(place)
    try {
      const left = new Map<string, Noted>()
      for await (const [key, value] of map.entries()) {
        if (key !== RUNNING) left.set(key, decoded(value))
      }
      const ledger = new JournalCrashLedger(map, left, options)
      await map.put(RUNNING, Buffer.from(String(process.pid)))
      return ledger
    } catch (error) {
      await map.close()
      throw error
    }
  }

  get known(): number {
    return this.#left.size
  }

  knows(key: string): boolean {
    return this.#left.has(nameOf(key))
  }

  async begin(key: string, isRepeat: boolean): Promise<Noted> {
    const name = nameOf(key)
    const inHand = this.#inHand.get(name) ?? this.#unheld(name, isRepeat)
    const { noted } = inHand
    inHand.count++
    this.#inHand.set(name, inHand)
    try {
      // Also for the second of two with one key: the first one's record may still be on its way.
      await Promise.all([
        this.#map.put(name, encoded({ ...noted, deaths: noted.deaths + 1 })),
        this.#makeRoom(),
      ])
      return noted
    } catch (error) {
      this.#letGo(name, inHand)
      throw error
    }
  }

  async settled(key: string): Promise<void> {
    const name = nameOf(key)
    const inHand = this.#inHand.get(name)
    if (inHand !== undefined && !this.#letGo(name, inHand)) return
    this.#left.delete(name)
    await this.#map.delete(name)
  }

  async cleanEnd(): Promise<void> {
    const changes = [...this.#inHand].map(([name, { noted }]) =>
      noted.deaths === 0 ? this.#map.delete(name) : this.#map.put(name, encoded(noted)),
    )
    await Promise.all([...changes, this.#map.delete(RUNNING)])
  }

  close(): Promise<void> {
    return this.#map.close()
  }

  #unheld(name: string, isRepeat: boolean): InHand {
    return { noted: this.#left.get(name) ?? { deaths: 0, wasRepeat: isRepeat }, count: 0 }
  }

  /** One less in hand; true when that was the last one of its key. */
  #letGo(name: string, inHand: InHand): boolean {
    inHand.count--
    return inHand.count === 0 && this.#inHand.delete(name)
  }

  // Messages that never came again would be kept for ever.
  async #makeRoom(): Promise<void> {
    const surplus = this.#map.size + 1 - this.#maxEntries
    if (surplus <= 0) return
    const idle = this.#map.keys().filter((name) => name !== RUNNING && !this.#inHand.has(name))
    await Promise.all(
      idle.slice(0, surplus).map((name) => {
        this.#left.delete(name)
        return this.#map.delete(name)
      }),
    )
  }
}

function encoded({ deaths, wasRepeat }: Noted): Buffer {
  const value = Buffer.alloc(5)
  value.writeUInt32BE(deaths)
  value.writeUInt8(wasRepeat ? 1 : 0, 4)
  return value
}

function decoded(value: Buffer): Noted {
  return { deaths: value.readUInt32BE(), wasRepeat: value[4] === 1 }
}

// A topic may have 65,535 bytes, and is nobody's business here.
function nameOf(key: string): string {
  return createHash('sha256').update(key).digest('base64url')
}

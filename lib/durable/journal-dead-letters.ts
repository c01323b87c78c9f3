// Dead letters in journals on disk, which other processes can read and take letters out of while they are written.
import type { DeadLetter, DeadLetterArchive } from '../core/dead-letter.ts'
import { MqttasgiError } from '../core/errors.ts'
import { DurableMap, type DurableMapOptions } from './durable-map.ts'
import { JournalView } from './journal-view.ts'
import { encodeLetter, letterOrError } from './letter-bytes.ts'
import { grantWishes, wishedGone, wishGone } from './removals.ts'
import { isLocked, openFreeSlot, slotsOf } from './slots.ts'

/** Where the letters are, and how many there may be. */
export interface JournalDeadLettersOptions extends Pick<DurableMapOptions, 'files'> {
  /** Holds a numbered folder for each process that keeps letters. Made when the first letter is kept. */
  readonly folder: string
  /** Of one process. */
  readonly maxMessages: number
  readonly maxBytes: number
  /** Is told when letters could not be read. */
  readonly warn?: (message: string) => void
}

/** A `DeadLetterArchive` on disk. */
export class JournalDeadLetters implements DeadLetterArchive {
  readonly name: string
  readonly #options: JournalDeadLettersOptions
  #own: Promise<DurableMap> | undefined
  /** The granting of wishes that is under way, and the one that begins behind it. */
  #granting: Promise<void> = Promise.resolve()
  #nextGranting: Promise<void> | undefined
  /** Of other processes that are no more, taken to remove letters; by their folder. */
  readonly #taken = new Map<string, DurableMap>()

  constructor(options: JournalDeadLettersOptions) {
    this.name = `journal ${options.folder}`
    this.#options = options
  }

  /** Codes: `ERR_DEAD_LETTERS_FULL`, `ERR_JOURNAL_*`. */
  async keep(letter: DeadLetter): Promise<void> {
    const map = await this.#map()
    await this.#wishesGranted(map)
    try {
      await map.put(letter.id, encodeLetter(letter))
    } catch (error) {
      throw error instanceof MqttasgiError && error.code === 'ERR_JOURNAL_FULL' ? this.#full(error) : error
    }
  }

  async *letters(): AsyncGenerator<DeadLetter> {
    const found: { readonly id: string; readonly view: JournalView }[] = []
    let unreadable: Error | undefined
    for (const folder of await slotsOf(this.#options.folder)) {
      const gone = await wishedGone(folder)
      const view = await JournalView.read(folder, this.#options.files)
      for (const id of view.keys()) if (!gone.has(id)) found.push({ id, view })
    }
    found.sort((one, other) => (one.id < other.id ? -1 : 1))
    for (const { id, view } of found) {
      const bytes = await view.get(id)
      if (bytes === undefined) continue
      const letter = letterOrError(bytes)
      if (letter instanceof Error) unreadable ??= letter
      else yield letter
    }
    // One that a later release has written must not hide the others.
    if (unreadable !== undefined) throw unreadable
  }

  /** Takes letters out of all journals: at once where nobody has them, by way of their owner where somebody has. */
  async remove(ids: readonly string[]): Promise<number> {
    let count = 0
    for (const folder of await slotsOf(this.#options.folder)) {
      const gone = await wishedGone(folder)
      const view = await JournalView.read(folder, this.#options.files)
      const there = new Set(view.keys())
      const theirs = ids.filter((id) => there.has(id) && !gone.has(id))
      if (theirs.length === 0) continue
      const map = await this.#mapOf(folder)
      if (map === undefined) await wishGone(folder, theirs)
      else await removeFrom(map, theirs)
      count += theirs.length
    }
    return count
  }

  async close(): Promise<void> {
    const own = await this.#own?.catch(() => undefined)
    await own?.close()
    for (const map of this.#taken.values()) await map.close()
  }

  // Once for all letters that come while it was under way for others: so none of them overtakes another.
  #wishesGranted(map: DurableMap): Promise<void> {
    if (this.#nextGranting === undefined) {
      this.#nextGranting = this.#granting.then(() => {
        this.#nextGranting = undefined
        return grantWishes(map.folder, (ids) => removeFrom(map, ids))
      })
      this.#granting = this.#nextGranting.catch(() => {})
    }
    return this.#nextGranting
  }

  #map(): Promise<DurableMap> {
    if (this.#own === undefined) {
      const opened = this.#open()
      this.#own = opened
      // The next letter tries again.
      opened.catch(() => (this.#own = undefined))
    }
    return this.#own
  }

  async #open(): Promise<DurableMap> {
    const { folder, maxMessages, maxBytes, files, warn } = this.#options
    const limits = { maxEntries: maxMessages, maxBytes, ...(files === undefined ? {} : { files }) }
    const map = await openFreeSlot(folder, (slot) => DurableMap.open({ folder: slot, ...limits }))
    if (map.damagedBytes > 0) {
      warn?.(
        `${map.damagedBytes} bytes of the dead letters in ${map.folder} can not be read: the end of a write that a crash has cut off, or damage of the disk. All others are there.`,
      )
    }
    return map
  }

  /** The map of a folder, when it is ours or nobody else's. */
  async #mapOf(folder: string): Promise<DurableMap | undefined> {
    const own = await this.#own?.catch(() => undefined)
    if (own?.folder === folder) return own
    const taken = this.#taken.get(folder)
    if (taken !== undefined) return taken
    try {
      const map = await DurableMap.open({ folder })
      this.#taken.set(folder, map)
      await grantWishes(folder, (ids) => removeFrom(map, ids))
      return map
    } catch (error) {
      if (isLocked(error)) return undefined
      throw error
    }
  }

  #full(cause: MqttasgiError): MqttasgiError {
    const { maxMessages, maxBytes } = this.#options
    return new MqttasgiError(
      'ERR_DEAD_LETTERS_FULL',
      `There is no room for another dead letter: at most ${maxMessages} letters and ${maxBytes} bytes are kept. Look at them with mqttasgi dlq ls, and replay or purge them.`,
      { cause },
    )
  }
}

function removeFrom(map: DurableMap, ids: readonly string[]): Promise<unknown> {
  return Promise.all(ids.map((id) => map.delete(id)))
}

// A look at a journal that another process owns, and may be changing while we look.
import { diskFiles, isMissing, type JournalFiles } from './journal-files.ts'
import { loadJournal, segmentFile } from './journal-load.ts'
import type { Segments } from './segments.ts'

// Each time the owner has removed a segment while it was read.
const MOST_TRIES = 20

/** What is in a journal; nothing of it is changed, and no lock is taken. */
export class JournalView {
  readonly #folder: string
  readonly #files: JournalFiles
  #segments: Segments

  private constructor(folder: string, files: JournalFiles, segments: Segments) {
    this.#folder = folder
    this.#files = files
    this.#segments = segments
  }

  /** Reads which keys there are; none where there is no folder. */
  static async read(folder: string, files: JournalFiles = diskFiles): Promise<JournalView> {
    return new JournalView(folder, files, await load(folder, files))
  }

  keys(): readonly string[] {
    return [...this.#segments.keys()]
  }

  /** The value of a key; undefined when it has gone since. */
  async get(key: string): Promise<Buffer | undefined> {
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const place = this.#segments.place(key)
      if (place === undefined) return undefined
      const name = Buffer.from(key)
      const file = segmentFile(this.#folder, place.segment)
      const start = place.valueAt - name.length
      const found = await present(this.#files.readAt(file, start, name.length + place.valueBytes))
      // The name stands before the value: the file may be another one with the old number.
      if (found?.subarray(0, name.length).equals(name) === true) return found.subarray(name.length)
      this.#segments = await load(this.#folder, this.#files)
    }
    return undefined
  }
}

async function load(folder: string, files: JournalFiles): Promise<Segments> {
  for (let tries = 1; ; tries++) {
    try {
      return (await loadJournal(files, folder, 1)).segments
    } catch (error) {
      if (!isMissing(error) || tries === MOST_TRIES) throw error
    }
  }
}

async function present(bytes: Promise<Buffer>): Promise<Buffer | undefined> {
  try {
    return await bytes
  } catch {
    return undefined
  }
}

// Remembers the filters of a session in a small file: written beside, synced, and put in its place in one step.
import { createHash } from 'node:crypto'
import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import type { FilterMemory, RememberedFilter } from '../core/filter-memory.ts'
import { diskFiles } from './journal-files.ts'

/** Whose filters they are, and where. */
export interface FilterFileOptions {
  /** Made with mode 0700 where there is none. */
  readonly folder: string
  readonly clientId: string
  /** The address of the broker, without secrets. */
  readonly broker: string
}

/** Each client id at each broker has a file of its own, so processes need no lock: two with one id are one too many. */
export class FilterFile implements FilterMemory {
  readonly path: string
  readonly #options: FilterFileOptions

  constructor(options: FilterFileOptions) {
    const { broker, clientId, folder } = options
    const name = createHash('sha256').update(`${clientId}\n${broker}`).digest('hex').slice(0, 16)
    this.#options = options
    this.path = join(folder, `filters-${name}.json`)
  }

  async recall(): Promise<readonly RememberedFilter[]> {
    let text: string
    try {
      text = await readFile(this.path, 'utf8')
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
      throw error
    }
    const read: unknown = JSON.parse(text)
    if (!isContent(read)) throw new TypeError(`${this.path} is not a file of this version.`)
    return read.filters
  }

  async remember(filters: readonly RememberedFilter[]): Promise<void> {
    const { broker, clientId, folder } = this.#options
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const beside = `${this.path}.new`
    const file = await open(beside, 'w', 0o600)
    try {
      await file.writeFile(`${JSON.stringify({ version: 1, clientId, broker, filters }, undefined, 2)}\n`)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(beside, this.path)
    await diskFiles.syncFolder(folder)
  }
}

function isContent(read: unknown): read is { readonly filters: RememberedFilter[] } {
  if (typeof read !== 'object' || read === null || !('version' in read) || read.version !== 1) return false
  return 'filters' in read && Array.isArray(read.filters) && read.filters.every(isRemembered)
}

function isRemembered(read: unknown): read is RememberedFilter {
  if (typeof read !== 'object' || read === null || !('filter' in read) || !('since' in read)) return false
  if ('life' in read && !(Number.isSafeInteger(read.life) && Number(read.life) > 0)) return false
  return typeof read.filter === 'string' && ['start', 'later', 'ended'].includes(String(read.since))
}

// Watches files for changes, also those that are not there yet, and says once what a burst of changes was.
import { type FSWatcher, readdirSync, watch } from 'node:fs'
import { basename, dirname, join } from 'node:path'

interface WatchedFolder {
  readonly watcher: FSWatcher
  /** The files that count; with `code`, all files of code do. */
  readonly names: Set<string>
  code: boolean
}

// Editors write a file in several steps.
const quietMs = 100
// Each costs the system a watch, of which there are not endlessly many.
const mostFolders = 200
const codeFile = /^[^.].*\.[cm]?[jt]s$/
const notOurs = new Set(['node_modules', 'dist', 'build', 'coverage'])

/** Calls back with the path of a file that has changed, until `close()`. */
export class FileWatch {
  readonly #changed: (file: string) => void
  readonly #folders = new Map<string, WatchedFolder>()
  #timer: NodeJS.Timeout | undefined

  constructor(changed: (file: string) => void) {
    this.#changed = changed
  }

  /** Watches these files too; absolute paths. */
  add(files: readonly string[]): void {
    for (const file of files) this.#watch(dirname(file))?.names.add(basename(file))
  }

  /** Watches every file of code in this folder and below, but for what was installed or built. */
  addTree(root: string): void {
    const open = [root]
    for (let folder = open.shift(); folder !== undefined; folder = open.shift()) {
      const watched = this.#watch(folder)
      if (watched === undefined || this.#folders.size > mostFolders) return
      watched.code = true
      for (const entry of readdirSync(folder, { withFileTypes: true })) {
        const isOurs = !entry.name.startsWith('.') && !notOurs.has(entry.name)
        if (entry.isDirectory() && isOurs) open.push(join(folder, entry.name))
      }
    }
  }

  close(): void {
    clearTimeout(this.#timer)
    for (const { watcher } of this.#folders.values()) watcher.close()
    this.#folders.clear()
  }

  // Folders are watched, not files: editors put a new file in the place of the old one.
  #watch(folder: string): WatchedFolder | undefined {
    const known = this.#folders.get(folder)
    if (known !== undefined) return known
    try {
      const watcher = watch(folder, (_event, name) => this.#noticed(folder, name))
      watcher.on('error', () => {})
      const watched = { watcher, names: new Set<string>(), code: false }
      this.#folders.set(folder, watched)
      return watched
    } catch {
      // What can not be watched does not change as far as we know.
      return undefined
    }
  }

  #noticed(folder: string, name: string | null): void {
    const watched = this.#folders.get(folder)
    if (watched === undefined || name === null) return
    if (!watched.names.has(name) && !(watched.code && codeFile.test(name))) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#changed(join(folder, name)), quietMs)
  }
}

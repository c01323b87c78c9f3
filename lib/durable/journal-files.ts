// The disk as the journal sees it: a port small enough to let any of its calls fail, and the real one behind it.
import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, readFile, unlink } from 'node:fs/promises'

/** A segment that is being written. */
export interface JournalFile {
  /** Writes at the end of the file. May write less than asked for: says how many bytes it was. */
  append(bytes: Buffer): Promise<number>
  /** Resolves when all that was written outlives a loss of power. */
  sync(): Promise<void>
  /** Cuts everything off behind `length`. */
  truncate(length: number): Promise<void>
  close(): Promise<void>
}

/** All that the journal asks of a file system. What a call can not do it rejects with, as `node:fs` does. */
export interface JournalFiles {
  /** Makes the folder and those above it, readable by its owner only, where there is none. */
  makeFolder(path: string): Promise<void>
  /** The names in a folder; none where there is no folder. */
  list(path: string): Promise<readonly string[]>
  /** A new file, readable by its owner only; rejects where there is one. */
  create(path: string): Promise<JournalFile>
  read(path: string): Promise<Buffer>
  /** `length` bytes from `position` on. */
  readAt(path: string, position: number, length: number): Promise<Buffer>
  /** Lets what somebody else wrote to a file outlive a loss of power. */
  sync(path: string): Promise<void>
  remove(path: string): Promise<void>
  /** Lets names that were made in a folder, or taken away, stay so after a loss of power. */
  syncFolder(path: string): Promise<void>
}

/** The real disk. */
export const diskFiles: JournalFiles = {
  async makeFolder(path) {
    await mkdir(path, { recursive: true, mode: 0o700 })
  },
  async list(path) {
    try {
      return await readdir(path)
    } catch (error) {
      if (isMissing(error)) return []
      throw error
    }
  },
  async create(path) {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_APPEND
    return journalFile(await open(path, flags, 0o600))
  },
  read: (path) => readFile(path),
  async readAt(path, position, length) {
    const bytes = Buffer.alloc(length)
    await withHandle(await open(path, 'r'), async (handle) => {
      for (let done = 0; done < length;) {
        const { bytesRead } = await handle.read(bytes, done, length - done, position + done)
        if (bytesRead === 0) throw new Error(`${path} ends before byte ${position + length}`)
        done += bytesRead
      }
    })
    return bytes
  },
  async sync(path) {
    await withHandle(await open(path, 'r+'), (handle) => handle.sync())
  },
  remove: (path) => unlink(path),
  async syncFolder(path) {
    // There is no such thing on Windows.
    if (process.platform === 'win32') return
    await withHandle(await open(path, 'r'), (handle) => handle.sync())
  },
}

/** Whether `error` says that there is no such file or folder. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}

function journalFile(handle: FileHandle): JournalFile {
  return {
    append: async (bytes) => (await handle.write(bytes)).bytesWritten,
    sync: () => handle.sync(),
    truncate: (length) => handle.truncate(length),
    close: () => handle.close(),
  }
}

async function withHandle(handle: FileHandle, work: (handle: FileHandle) => Promise<void>): Promise<void> {
  try {
    await work(handle)
  } finally {
    await handle.close()
  }
}

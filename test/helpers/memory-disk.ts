// A disk in memory that can fail at any call, take half a write, and lose power: what was not synced may be there or not.
import { dirname } from 'node:path'
import type { JournalFile, JournalFiles } from '../../lib/durable/journal-files.ts'
import type { Random } from '../../lib/core/backoff.ts'

interface Inode {
  bytes: Buffer
  /** What a loss of power can not take. */
  synced: Buffer
}

/** What a call is asked for; `fail` sees it before it is done. */
export type DiskCall = keyof JournalFiles | Exclude<keyof JournalFile, 'close'>

/** An error as `node:fs` gives it. */
export function diskError(code: string): Error {
  return Object.assign(new Error(`${code}: the disk was told to`), { code })
}

export class MemoryDisk implements JournalFiles {
  /** Throws, or returns how many bytes an append shall take. */
  fail: (call: DiskCall, path: string) => number | void = () => {}
  readonly calls: DiskCall[] = []
  #names = new Map<string, Inode>()
  #syncedNames = new Map<string, Inode>()

  async makeFolder(path: string): Promise<void> {
    this.#call('makeFolder', path)
  }

  async list(path: string): Promise<readonly string[]> {
    this.#call('list', path)
    return [...this.#names.keys()]
      .filter((name) => dirname(name) === path)
      .map((name) => name.slice(path.length + 1))
  }

  async create(path: string): Promise<JournalFile> {
    this.#call('create', path)
    if (this.#names.has(path)) throw diskError('EEXIST')
    const inode: Inode = { bytes: Buffer.alloc(0), synced: Buffer.alloc(0) }
    this.#names.set(path, inode)
    return {
      append: async (bytes) => {
        const taken = bytes.subarray(0, this.#call('append', path) ?? bytes.length)
        inode.bytes = Buffer.concat([inode.bytes, taken])
        return taken.length
      },
      sync: async () => {
        this.#call('sync', path)
        inode.synced = inode.bytes
      },
      truncate: async (length) => {
        this.#call('truncate', path)
        inode.bytes = inode.bytes.subarray(0, length)
      },
      close: async () => {},
    }
  }

  async read(path: string): Promise<Buffer> {
    this.#call('read', path)
    return this.#inode(path).bytes
  }

  async readAt(path: string, position: number, length: number): Promise<Buffer> {
    this.#call('readAt', path)
    return this.#inode(path).bytes.subarray(position, position + length)
  }

  async sync(path: string): Promise<void> {
    this.#call('sync', path)
    const inode = this.#inode(path)
    inode.synced = inode.bytes
  }

  async remove(path: string): Promise<void> {
    this.#call('remove', path)
    this.#inode(path)
    this.#names.delete(path)
  }

  async syncFolder(path: string): Promise<void> {
    this.#call('syncFolder', path)
    for (const name of new Set([...this.#names.keys(), ...this.#syncedNames.keys()])) {
      if (dirname(name) !== path) continue
      const inode = this.#names.get(name)
      if (inode === undefined) this.#syncedNames.delete(name)
      else this.#syncedNames.set(name, inode)
    }
  }

  /** The names and sizes of what is there. */
  sizes(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#names].map(([name, { bytes }]) => [name, bytes.length]))
  }

  /** Replaces the content of a file, as damage would. */
  overwrite(path: string, bytes: Buffer): void {
    const inode = this.#inode(path)
    inode.bytes = inode.synced = bytes
  }

  /** The disk after a loss of power: of what was not synced, `random` decides what is there. */
  afterPowerLoss(random: Random): MemoryDisk {
    const disk = new MemoryDisk()
    for (const name of new Set([...this.#names.keys(), ...this.#syncedNames.keys()])) {
      const isCertain = this.#names.get(name) === this.#syncedNames.get(name)
      const inode = this.#names.get(name) ?? this.#syncedNames.get(name)
      if (inode === undefined || (!isCertain && random() < 0.5)) continue
      const bytes = leftOf(inode, random)
      const left: Inode = { bytes, synced: bytes }
      disk.#names.set(name, left)
      disk.#syncedNames.set(name, left)
    }
    return disk
  }

  #inode(path: string): Inode {
    const inode = this.#names.get(path)
    if (inode === undefined) throw diskError('ENOENT')
    return inode
  }

  #call(call: DiskCall, path: string): number | undefined {
    this.calls.push(call)
    return this.fail(call, path) ?? undefined
  }
}

function leftOf({ bytes, synced }: Inode, random: Random): Buffer {
  // A cut that was not synced may not have happened.
  if (bytes.length < synced.length) return random() < 0.5 ? synced : bytes
  const length = synced.length + Math.floor(random() * (bytes.length - synced.length + 1))
  const left = Buffer.from(bytes.subarray(0, length))
  // A file may have grown before its bytes came.
  if (random() < 0.3) left.fill(0, Math.min(length, synced.length + Math.floor(random() * 20)))
  return left
}

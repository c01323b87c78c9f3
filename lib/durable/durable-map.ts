// The engine under all that must survive a crash (long for its contract): a map on disk, each change stored before it is said to be.
//
//   const map = await DurableMap.open({ folder: '/var/lib/app/outbox', maxEntries: 1_000, maxBytes: 16 << 20 })
//   await map.put('7', bytes)      // resolved: on the disk, fsync and all. Rejected: not stored, ERR_JOURNAL_*
//   await map.get('7')             // read from the disk; only the keys are in memory
//   for await (const [key, value] of map.entries()) …   // in the order of the latest put of each key
//   await map.delete('7')          // resolves with whether it was there, when it will stay gone
//   await map.close()
//
// - Many changes of one turn are one write and one fsync, and so are all that come while one is under way.
// - It is a folder of segments, each a row of records with length and checksum (journal-record.ts). A record that was
//   cut off, or damaged, is left out at open; none before or behind it is lost with it.
// - After a write or an fsync that failed, everything that was waiting for it is rejected, and the next change begins a
//   new segment: an fsync that is tried again on the same file may succeed and have stored nothing.
// - A change that was rejected may still be there after a restart, when the disk took it and then failed to say so.
// - Changes of one key are applied in the order in which they were asked for.
// - Segments of which most is dead are cleaned: what lives moves to the end. Disk: about twice what lives, and a segment.
// - One process has a folder: others get ERR_JOURNAL_LOCKED, and may look at it with `JournalView`.
import { randomBytes } from 'node:crypto'
import { dirname } from 'node:path'
import { Deferred } from '../core/deferred.ts'
import { MqttasgiError, toError } from '../core/errors.ts'
import { FolderLock } from './folder-lock.ts'
import { diskFiles, isMissing, type JournalFile, type JournalFiles } from './journal-files.ts'
import { loadJournal, type LoadedJournal, segmentFile } from './journal-load.ts'
import {
  encodeRecord,
  MAX_KEY_BYTES,
  MAX_VALUE_BYTES,
  recordBytes,
  RECORD_OVERHEAD_BYTES,
  SEGMENT_HEADER_BYTES,
  segmentHeader,
} from './journal-record.ts'
import type { Place, Segments } from './segments.ts'

/** Where a map is, and how much it may hold. */
export interface DurableMapOptions {
  /** Made with mode 0700 where there is none; its files have mode 0600. */
  readonly folder: string
  /** More keys are refused with `ERR_JOURNAL_FULL`. Default: no limit. */
  readonly maxEntries?: number
  /** More bytes are refused with `ERR_JOURNAL_FULL`; each record counts its key, its value and 21 bytes. Default: no limit. */
  readonly maxBytes?: number
  /** A segment of this size is ended and a new one begun. Default: 4 MiB. */
  readonly segmentBytes?: number
  /** For tests: another disk, and another lock. */
  readonly files?: JournalFiles
  readonly lock?: (folder: string) => { release(): void }
}

interface Change {
  readonly type: 'put' | 'delete' | 'move'
  readonly key: string
  readonly value: Buffer
  readonly sequence: number
  readonly done: Deferred<boolean>
}

interface Written extends Change {
  readonly bytes: Buffer
}

interface ActiveSegment {
  readonly number: number
  readonly mark: Buffer
  readonly file: JournalFile
  /** Bytes that are on the disk for sure. */
  length: number
}

const SEGMENT_BYTES = 4 * 1024 * 1024
const BATCH_BYTES = 8 * 1024 * 1024
const CLEAN_REST = 100
const MARK_BYTES = 4
const nothing = Buffer.alloc(0)

/** A map of strings to bytes that survives the end of the process, however it ends. */
export class DurableMap {
  readonly folder: string
  /** Bytes that were found to be no record when it was opened: at most the end of one write after a crash. */
  readonly damagedBytes: number
  readonly #options: DurableMapOptions
  readonly #files: JournalFiles
  readonly #segments: Segments
  readonly #lock: { release(): void }
  readonly #queue: Change[] = []
  #lastSegment: number
  #lastSequence: number
  #active: ActiveSegment | undefined
  /** What was asked for and is not yet counted by the segments. */
  #pending = { entries: 0, bytes: 0 }
  #working: Promise<void> | undefined
  #closing: Promise<void> | undefined
  /** A change that was rejected may stand on the disk: a deletion must be written though the key is not known. */
  #isUnsure = false
  /** How often not to clean, for the last time failed: a full disk is not read again at each change. */
  #cleanRest = 0

  private constructor(options: DurableMapOptions, loaded: LoadedJournal, lock: { release(): void }) {
    this.folder = options.folder
    this.damagedBytes = loaded.damagedBytes
    this.#options = options
    this.#files = options.files ?? diskFiles
    this.#segments = loaded.segments
    this.#lastSegment = loaded.lastSegment
    this.#lastSequence = loaded.lastSequence
    this.#lock = lock
  }

  /** Opens the map of a folder. Codes: `ERR_JOURNAL_LOCKED`, `ERR_JOURNAL_OPEN`. */
  static async open(options: DurableMapOptions): Promise<DurableMap> {
    const { folder, files = diskFiles, lock: take = (path) => FolderLock.take(path) } = options
    let lock: { release(): void } | undefined
    try {
      await files.makeFolder(folder)
      await files.syncFolder(dirname(folder))
      lock = take(folder)
      const loaded = await loadJournal(files, folder, options.segmentBytes ?? SEGMENT_BYTES)
      // What a process that was killed had written may have reached no disk yet, and is believed from now on.
      for (const segment of loaded.segments.numbers()) await files.sync(segmentFile(folder, segment))
      const map = new DurableMap(options, loaded, lock)
      await map.#work()
      return map
    } catch (cause) {
      lock?.release()
      if (cause instanceof MqttasgiError) throw cause
      throw new MqttasgiError(
        'ERR_JOURNAL_OPEN',
        `The journal in ${folder} can not be opened: ${toError(cause).message}`,
        { cause },
      )
    }
  }

  /** How many keys there are. */
  get size(): number {
    return this.#segments.size
  }

  /** Bytes of the records that count, each with its key and 21 bytes. */
  get bytes(): number {
    return this.#segments.liveBytes
  }

  has(key: string): boolean {
    return this.#segments.place(key) !== undefined
  }

  /** The keys, in the order of their latest put. */
  keys(): readonly string[] {
    return [...this.#segments.keys()]
  }

  /** The value of a key, read from the disk. */
  async get(key: string): Promise<Buffer | undefined> {
    for (;;) {
      const place = this.#segments.place(key)
      if (place === undefined) return undefined
      try {
        const file = segmentFile(this.folder, place.segment)
        return await this.#files.readAt(file, place.valueAt, place.valueBytes)
      } catch (error) {
        // It has moved while it was read.
        if (!isMissing(error) || this.#segments.place(key) === place) throw error
      }
    }
  }

  /** All keys that there are now and their values, in the order of their latest put; what goes meanwhile is left out. */
  async *entries(): AsyncGenerator<readonly [key: string, value: Buffer]> {
    for (const key of this.keys()) {
      const value = await this.get(key)
      if (value !== undefined) yield [key, value]
    }
  }

  /**
   * Resolves when the value is on the disk; it must not be changed before that.
   * Codes: `ERR_JOURNAL_FULL`, `ERR_JOURNAL_WRITE`, `ERR_JOURNAL_CLOSED`.
   */
  async put(key: string, value: Buffer): Promise<void> {
    const bytes = recordBytes(key, value.length)
    if (bytes - value.length - RECORD_OVERHEAD_BYTES > MAX_KEY_BYTES || value.length > MAX_VALUE_BYTES)
      throw this.#full(`one record has at most ${MAX_KEY_BYTES} bytes of key and ${MAX_VALUE_BYTES} of value`)
    const { maxEntries = Infinity, maxBytes = Infinity } = this.#options
    const old = this.#segments.place(key)
    const entries = old === undefined ? 1 : 0
    if (this.size + this.#pending.entries + entries > maxEntries)
      throw this.#full(`it holds ${this.size} records of at most ${maxEntries}`)
    if (this.bytes + this.#pending.bytes + bytes - (old?.bytes ?? 0) > maxBytes)
      throw this.#full(
        `it holds ${this.bytes} bytes of at most ${maxBytes}, and ${bytes} more were to be kept`,
      )
    this.#pending.entries += entries
    this.#pending.bytes += bytes
    try {
      await this.#ask('put', key, value)
    } finally {
      this.#pending.entries -= entries
      this.#pending.bytes -= bytes
    }
  }

  /** Resolves when the key will stay gone, with whether it was there. Codes: `ERR_JOURNAL_WRITE`, `ERR_JOURNAL_CLOSED`. */
  delete(key: string): Promise<boolean> {
    return this.#ask('delete', key, nothing)
  }

  /** Waits for what was asked for, and lets go of the folder. */
  close(): Promise<void> {
    this.#closing ??= (async () => {
      while (this.#working !== undefined) await this.#working
      await this.#active?.file.close().catch(() => {})
      this.#active = undefined
      this.#lock.release()
    })()
    return this.#closing
  }

  async #ask(type: 'put' | 'delete', key: string, value: Buffer): Promise<boolean> {
    if (this.#closing !== undefined)
      throw new MqttasgiError('ERR_JOURNAL_CLOSED', `The journal in ${this.folder} is closed.`)
    const done = new Deferred<boolean>()
    this.#queue.push({ type, key, value, sequence: ++this.#lastSequence, done })
    this.#working ??= afterThisTurn().then(() => this.#work())
    return done.promise
  }

  #full(why: string): MqttasgiError {
    return new MqttasgiError('ERR_JOURNAL_FULL', `The journal in ${this.folder} takes no more: ${why}.`)
  }

  // One batch, or one step of cleaning, at a time: nothing is ever written beside something else.
  async #work(): Promise<void> {
    let mayTidy = true
    for (;;) {
      const batch = this.#nextBatch()
      if (batch.length > 0) mayTidy = await this.#commit(batch)
      else if (!mayTidy) break
      // With a disk that fails there is nothing to be gained by trying at once again.
      if (mayTidy) mayTidy = await this.#tidy()
    }
    this.#working = undefined
  }

  #nextBatch(): readonly Change[] {
    let count = 0
    for (let bytes = 0; count < this.#queue.length && bytes < BATCH_BYTES; count++)
      bytes += this.#queue[count]?.value.length ?? 0
    return this.#queue.splice(0, count)
  }

  /** Stores a batch, or rejects all of it; says which. */
  async #commit(batch: readonly Change[]): Promise<boolean> {
    const changes = this.#withoutIdle(batch)
    if (changes.length === 0) return true
    try {
      const active = (this.#active ??= await this.#begin())
      const written = changes.map((change) => ({ ...change, bytes: encoded(change, active.mark) }))
      await appendAll(active.file, Buffer.concat(written.map(({ bytes }) => bytes)))
      await active.file.sync()
      for (const change of written) this.#apply(change, active)
      if (active.length >= (this.#options.segmentBytes ?? SEGMENT_BYTES)) await this.#end(active)
      return true
    } catch (cause) {
      await this.#abandon()
      const message = `The journal in ${this.folder} could not be written: ${toError(cause).message}.`
      const error = new MqttasgiError('ERR_JOURNAL_WRITE', message, { cause })
      for (const { done } of changes) done.reject(error)
      return false
    }
  }

  // What is deleted and not there needs no record.
  #withoutIdle(batch: readonly Change[]): readonly Change[] {
    const put = new Set<string>()
    return batch.filter(({ type, key, done }) => {
      if (type !== 'delete') put.add(key)
      else if (!put.delete(key) && !this.has(key) && !this.#isUnsure) {
        done.resolve(false)
        return false
      }
      return true
    })
  }

  #apply({ type, key, value, sequence, bytes, done }: Written, active: ActiveSegment): void {
    const valueAt = active.length + bytes.length - value.length
    const place: Place = {
      sequence,
      segment: active.number,
      valueAt,
      valueBytes: value.length,
      bytes: bytes.length,
    }
    active.length += bytes.length
    this.#segments.grow(active.number, bytes.length)
    const wasThere = this.has(key)
    if (type === 'put') this.#segments.put(key, place)
    else if (type === 'move') this.#segments.move(key, place)
    else this.#segments.delete(key)
    done.resolve(wasThere)
  }

  async #begin(): Promise<ActiveSegment> {
    const number = ++this.#lastSegment
    const path = segmentFile(this.folder, number)
    const file = await this.#files.create(path)
    try {
      const mark = randomBytes(MARK_BYTES)
      await appendAll(file, segmentHeader(mark))
      await this.#files.syncFolder(this.folder)
      this.#segments.add(number)
      this.#segments.grow(number, SEGMENT_HEADER_BYTES)
      return { number, mark, file, length: SEGMENT_HEADER_BYTES }
    } catch (error) {
      await file.close().catch(() => {})
      await this.#files.remove(path).catch(() => {})
      throw error
    }
  }

  async #end({ file }: ActiveSegment): Promise<void> {
    this.#active = undefined
    // All of it is on the disk already.
    await file.close().catch(() => {})
  }

  async #abandon(): Promise<void> {
    const active = this.#active
    if (active === undefined) return
    this.#active = undefined
    await active.file.truncate(active.length).catch(() => {
      this.#isUnsure = true
    })
    await active.file.close().catch(() => {})
  }

  /** Drops a segment, or cleans one; false when there is nothing to do or it can not be done now. */
  async #tidy(): Promise<boolean> {
    const droppable = this.#segments.droppable(this.#active?.number)
    if (droppable !== undefined) return this.#drop(droppable)
    const cleanable = this.#segments.cleanable(this.#active?.number)
    if (cleanable === undefined || this.#cleanRest-- > 0) return false
    const isClean = await this.#clean(cleanable)
    this.#cleanRest = isClean ? 0 : CLEAN_REST
    return isClean
  }

  async #drop(segment: number): Promise<boolean> {
    try {
      await this.#files.remove(segmentFile(this.folder, segment))
      // Before the next one goes: it may hold the deletion of what is in this one.
      await this.#files.syncFolder(this.folder)
      this.#segments.forget(segment)
      return true
    } catch (error) {
      if (isMissing(error)) this.#segments.forget(segment)
      return isMissing(error)
    }
  }

  async #clean(segment: number): Promise<boolean> {
    try {
      const moves = await Promise.all(
        this.#segments.keysIn(segment).map(async (key): Promise<Change> => {
          const value = (await this.get(key)) ?? nothing
          const sequence = this.#segments.place(key)?.sequence ?? 0
          return { type: 'move', key, value, sequence, done: new Deferred() }
        }),
      )
      return await this.#commit(moves)
    } catch {
      // What can not be read can not be moved, and stays where it is.
      return false
    }
  }
}

function encoded({ type, sequence, key, value }: Change, mark: Buffer): Buffer {
  return encodeRecord({ type: type === 'delete' ? 'delete' : 'put', sequence, key, value }, mark)
}

async function appendAll(file: JournalFile, bytes: Buffer): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const written = await file.append(bytes.subarray(done))
    if (written === 0) throw new Error('the disk took nothing')
    done += written
  }
}

function afterThisTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}

// One process, one journal: a file that names its owner, and is taken over when that process is no more.
import { randomUUID } from 'node:crypto'
import { linkSync, readdirSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { MqttasgiError } from '../core/errors.ts'
import { isOwnerAlive, ownText, pidOf, textOf } from './lock-owner.ts'
import { LOCK, type LockDisk, type LockSteps, releaseLock, takeLock } from './lock-rule.ts'

/** Whose folder it is, from `take` to `release`. */
export class FolderLock {
  readonly #disk: LockDisk
  readonly #text: string

  private constructor(disk: LockDisk, text: string) {
    this.#disk = disk
    this.#text = text
  }

  /** Code: `ERR_JOURNAL_LOCKED` while another process, or this one, has it. */
  static take(folder: string): FolderLock {
    const disk = diskOf(folder)
    const text = ownText()
    const other = done(takeLock(disk, text))
    if (other !== undefined) throw locked(folder, pidOf(other))
    return new FolderLock(disk, text)
  }

  /** Whether somebody who is alive has the folder. */
  static isTaken(folder: string): boolean {
    return isOwnerAlive(textOf(join(folder, LOCK)) ?? '')
  }

  /** Never throws: a lock that can not be removed is nobody's when this process has ended. */
  release(): void {
    done(releaseLock(this.#disk, this.#text))
  }
}

function locked(folder: string, pid: number | undefined): MqttasgiError {
  const who = pid === undefined ? 'another process' : pid === process.pid ? 'this process' : `process ${pid}`
  // What helps depends on what it is a journal of, which those say who open it.
  return new MqttasgiError('ERR_JOURNAL_LOCKED', `The journal in ${folder} is in use by ${who}.`)
}

function diskOf(folder: string): LockDisk {
  return {
    place: (name, text) => place(folder, name, text),
    read: (name) => textOf(join(folder, name)),
    remove: (name) => remove(join(folder, name)),
    list: () => namesIn(folder),
    isHeld: isOwnerAlive,
  }
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

// A link is made whole or not at all, and only where there is no file: nobody sees half a lock.
function place(folder: string, name: string, text: string): boolean {
  const draft = join(folder, `${LOCK}.${randomUUID()}`)
  try {
    writeFileSync(draft, text, { mode: 0o600, flag: 'wx' })
    return link(draft, join(folder, name))
  } finally {
    // Also what a full disk has taken of it.
    remove(draft)
  }
}

function link(draft: string, file: string): boolean {
  try {
    linkSync(draft, file)
    return true
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    // Somebody has the lock, or has it since, and has tidied our draft away.
    if (code === 'EEXIST' || code === 'ENOENT') return false
    throw error
  }
}

function remove(file: string): void {
  try {
    unlinkSync(file)
  } catch {
    // It has gone, or the disk takes nothing any more: then it is as stale as we are when this process has ended.
  }
}

function done<T>(steps: LockSteps<T>): T {
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}

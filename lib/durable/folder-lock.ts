// One process, one journal: a file that names its owner, and is taken over when that process is no more.
import { randomUUID } from 'node:crypto'
import { linkSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { MqttasgiError } from '../core/errors.ts'

interface Owner {
  readonly pid: number
  /** When the process was started, in the system's own units: a pid is given to others again. */
  readonly started: string | undefined
  /** Of this very load of this file, where the system does not tell when a process was started. */
  readonly token: string
}

const token = randomUUID()
const NAME = 'lock'

/** Whose folder it is, from `take` to `release`. */
export class FolderLock {
  readonly #file: string
  readonly #text: string

  private constructor(file: string, text: string) {
    this.#file = file
    this.#text = text
  }

  /** Code: `ERR_JOURNAL_LOCKED` while another process, or this one, has it. */
  static take(folder: string): FolderLock {
    const file = join(folder, NAME)
    const owner: Owner = { pid: process.pid, started: startOf(process.pid), token }
    const text = JSON.stringify({ ...owner, nonce: randomUUID() })
    for (let tries = 0; tries < 10; tries++) {
      if (place(file, text)) return new FolderLock(file, text)
      const found = textOf(file)
      if (found === undefined) continue
      const holder = ownerOf(found)
      if (holder !== undefined && isAlive(holder)) throw locked(folder, holder.pid)
      takeAway(file, found)
    }
    throw locked(folder, ownerOf(textOf(file) ?? '')?.pid)
  }

  /** Whether somebody who is alive has the folder. */
  static isTaken(folder: string): boolean {
    const holder = ownerOf(textOf(join(folder, NAME)) ?? '')
    return holder !== undefined && isAlive(holder)
  }

  /** Never throws: a lock that can not be removed is nobody's when this process has ended. */
  release(): void {
    if (textOf(this.#file) !== this.#text) return
    try {
      unlinkSync(this.#file)
    } catch {
      // The disk takes nothing any more; whoever closes could do nothing about it either.
    }
  }
}

function locked(folder: string, pid: number | undefined): MqttasgiError {
  const who = pid === undefined ? 'another process' : pid === process.pid ? 'this process' : `process ${pid}`
  return new MqttasgiError(
    'ERR_JOURNAL_LOCKED',
    `The journal in ${folder} is in use by ${who}. Give each process a stateDir of its own, or end the other one.`,
  )
}

// A link is made whole or not at all, and only where there is no file: nobody sees half a lock.
function place(file: string, text: string): boolean {
  const draft = `${file}.${randomUUID()}`
  writeFileSync(draft, text, { mode: 0o600, flag: 'wx' })
  try {
    linkSync(draft, file)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
    throw error
  } finally {
    unlinkSync(draft)
  }
}

// Another process may have been quicker, and then what is taken away is its fresh lock: that is put back.
function takeAway(file: string, expected: string): void {
  const aside = `${file}.${randomUUID()}`
  try {
    renameSync(file, aside)
  } catch {
    return
  }
  if (textOf(aside) !== expected) {
    try {
      linkSync(aside, file)
    } catch {
      // A third one has it now.
    }
  }
  unlinkSync(aside)
}

function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

function ownerOf(text: string): Owner | undefined {
  try {
    const read: unknown = JSON.parse(text)
    if (typeof read !== 'object' || read === null || !('pid' in read)) return undefined
    if (typeof read.pid !== 'number' || !Number.isSafeInteger(read.pid) || read.pid < 1) return undefined
    const started = 'started' in read && typeof read.started === 'string' ? read.started : undefined
    return { pid: read.pid, started, token: 'token' in read ? String(read.token) : '' }
  } catch {
    return undefined
  }
}

function isAlive(owner: Owner): boolean {
  if (owner.pid === process.pid) return owner.token === token || isSameStart(owner)
  try {
    process.kill(owner.pid, 0)
  } catch (error) {
    // Not allowed to signal it: it is there.
    if (!(error instanceof Error && 'code' in error && error.code === 'EPERM')) return false
  }
  return owner.started === undefined || startOf(owner.pid) === undefined || isSameStart(owner)
}

function isSameStart({ pid, started }: Owner): boolean {
  return started !== undefined && started === startOf(pid)
}

// The 22nd field; the second one is a name in brackets that may hold blanks and brackets of its own. With
// the boot, because the ticks begin anew with it.
function startOf(pid: number): string | undefined {
  const fields = textOf(`/proc/${pid}/stat`)
    ?.replace(/^.*\) /s, '')
    .split(' ')
  const ticks = fields?.[19]
  if (ticks === undefined) return undefined
  // It has ended, and nobody has fetched its exit code yet.
  if (fields?.[0] === 'Z' || fields?.[0] === 'X') return 'ended'
  return `${textOf('/proc/sys/kernel/random/boot_id')?.trim() ?? ''} ${ticks}`
}

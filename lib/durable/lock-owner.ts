// Who has a lock: what its file says, and whether that process is still there.
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'

interface Owner {
  readonly pid: number
  /** When the process was started, in the system's own units: a pid is given to others again. */
  readonly started: string | undefined
  /** Of this very load of this file, where the system does not tell when a process was started. */
  readonly token: string
}

const token = randomUUID()

/** What this process writes into a lock; each time another text. */
export function ownText(): string {
  const owner: Owner = { pid: process.pid, started: startOf(process.pid), token }
  return JSON.stringify({ ...owner, nonce: randomUUID() })
}

/** The process that a lock's text names; undefined where it names none. */
export function pidOf(text: string): number | undefined {
  return ownerOf(text)?.pid
}

/** Whether the process that a lock's text names is there. */
export function isOwnerAlive(text: string): boolean {
  const owner = ownerOf(text)
  return owner !== undefined && isAlive(owner)
}

/** The text of a file; undefined where it can not be read. */
export function textOf(file: string): string | undefined {
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

// How a lock is taken over from a process that has died, so that no two ever have it: the rule, without a disk.
//
// A lock is a file that is placed whole, and only where there is none. The danger is its removal: whoever has found a
// dead owner in it may be slow, and remove the fresh lock of another one. So a lock is removed only
//
// - by its owner, who is alive, or
// - by whoever holds its guard, once it has read again that the dead owner's text is still there.
//
// The guard is a lock as well, and is taken over by this same rule. Its name is made of the text that it allows to remove,
// so no two who may remove one text are at work at a time, and the dead write nothing: a text that has gone stays gone.
// What is left of a guard when its holder dies is in nobody's way any more once the lock has another owner.
import { createHash } from 'node:crypto'

/** What the rule asks of a folder. Each call is done whole or not at all, whoever else is at it. */
export interface LockDisk {
  /** Makes a file of this text; false where there is one of that name. */
  place(name: string, text: string): boolean
  /** The text of a file; undefined where there is none that could be read. */
  read(name: string): string | undefined
  remove(name: string): void
  list(): readonly string[]
  /** Whether the process that has written this text is still there. Once it is not, it never is again. */
  isHeld(text: string): boolean
}

/** Stops before each look at the disk: a test lets others go on there, and the real disk needs no stop. */
export type LockSteps<T> = Generator<undefined, T, undefined>

/** The file that says whose a folder is. */
export const LOCK = 'lock'

const MOST_TRIES = 10
// Guards, and what a process that was killed while it placed a lock had in hand.
const LEFTOVER = /^lock\.[\da-f-]{32,36}$/

/** Takes the lock: undefined, or the text of the one who has it or is about to, and '' where that is not known. */
export function* takeLock(disk: LockDisk, text: string): LockSteps<string | undefined> {
  const other = yield* take(disk, LOCK, text)
  if (other === undefined) yield* tidy(disk)
  return other
}

/** Gives it back, if it is ours. */
export function* releaseLock(disk: LockDisk, text: string): LockSteps<void> {
  yield
  if (disk.read(LOCK) !== text) return
  yield
  disk.remove(LOCK)
}

function* take(disk: LockDisk, name: string, text: string): LockSteps<string | undefined> {
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    yield
    if (disk.place(name, text)) return undefined
    yield
    const found = disk.read(name)
    if (found === undefined) continue
    if (disk.isHeld(found)) return found
    const other = yield* takeAway(disk, { name, found, text })
    if (other !== undefined) return other
  }
  yield
  return disk.read(name) ?? ''
}

interface Stale {
  readonly name: string
  readonly found: string
  /** Our own. */
  readonly text: string
}

function* takeAway(disk: LockDisk, { name, found, text }: Stale): LockSteps<string | undefined> {
  const guard = guardOf(name, found)
  const other = yield* take(disk, guard, text)
  if (other !== undefined) return other
  yield
  // Somebody may have had the guard before us, and a fresh lock is there.
  if (disk.read(name) === found) {
    yield
    disk.remove(name)
  }
  yield
  disk.remove(guard)
  return undefined
}

// Whatever guards there are guard what stood in the lock before us, and that does not come back.
function* tidy(disk: LockDisk): LockSteps<void> {
  yield
  for (const name of disk.list()) {
    if (!LEFTOVER.test(name)) continue
    yield
    disk.remove(name)
  }
}

function guardOf(name: string, found: string): string {
  return `${LOCK}.${createHash('sha256').update(`${name}\n${found}`).digest('hex').slice(0, 32)}`
}

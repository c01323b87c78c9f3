// Several processes in one stateDir: each takes the first numbered folder that no other one has.
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { MqttasgiError, toError } from '../core/errors.ts'
import { isMissing } from './journal-files.ts'

const MOST = 64

/**
 * Opens the first folder of `parent`/1, /2 … that is free. A process that starts again after a crash finds
 * what it had left behind, and two that run beside each other do not meet. Code: `ERR_JOURNAL_LOCKED`
 * when 64 are taken.
 */
export async function openFreeSlot<T>(parent: string, open: (folder: string) => Promise<T>): Promise<T> {
  for (let slot = 1; ; slot++) {
    try {
      return await open(join(parent, String(slot)))
    } catch (error) {
      if (!isLocked(error)) throw error
      if (slot === MOST) throw allTaken(error)
    }
  }
}

function allTaken(cause: unknown): MqttasgiError {
  const message = `${toError(cause).message} So are the ${MOST - 1} before it: give some processes another stateDir, or end some.`
  return new MqttasgiError('ERR_JOURNAL_LOCKED', message, { cause })
}

/** The folders that there are, by number. */
export async function slotsOf(parent: string): Promise<readonly string[]> {
  try {
    const names = (await readdir(parent)).filter((name) => /^[1-9]\d*$/.test(name))
    return names.sort((one, other) => Number(one) - Number(other)).map((name) => join(parent, name))
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

/** Whether somebody else has what was to be opened. */
export function isLocked(error: unknown): boolean {
  return error instanceof MqttasgiError && error.code === 'ERR_JOURNAL_LOCKED'
}

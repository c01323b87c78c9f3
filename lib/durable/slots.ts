// Several processes in one stateDir: each takes the first numbered folder that no other one has.
import { join } from 'node:path'
import { MqttasgiError } from '../core/errors.ts'

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
      const isTaken = error instanceof MqttasgiError && error.code === 'ERR_JOURNAL_LOCKED'
      if (!isTaken || slot === MOST) throw error
    }
  }
}

// The water valves. They take a moment to open, and the first time that one is needed, it is stuck.
import { setTimeout as wait } from 'node:timers/promises'

let used = false

/** Opens the valve of a bed. Throws once in the life of the program, to show what becomes of that. */
export async function openValve(bed: string, signal: AbortSignal): Promise<void> {
  await wait(300, undefined, { signal })
  if (used) return
  used = true
  throw new Error(`the valve of the ${bed} bed is stuck`)
}

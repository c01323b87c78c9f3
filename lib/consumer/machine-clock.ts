// The clock of the machine, for consumers whose host has given them none.
import type { Clock } from '../core/clock.ts'

export const machineClock: Clock = Object.freeze({
  now: () => performance.now(),
  after(ms: number, callback: () => void) {
    const timer = setTimeout(callback, ms)
    return () => clearTimeout(timer)
  },
})

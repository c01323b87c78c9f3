// The clock of the machine.
import type { Clock } from './core/clock.ts'

// Timers of Node run at once beyond 2^31-1.
const LONGEST_MS = 2_147_483_647

export const systemClock: Clock = Object.freeze({
  now: () => performance.now(),
  after(ms: number, callback: () => void) {
    const timer = setTimeout(callback, Math.min(ms, LONGEST_MS))
    return () => clearTimeout(timer)
  },
})

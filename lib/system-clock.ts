// The clock of the machine.
import type { Clock } from './core/clock.ts'

export const systemClock: Clock = Object.freeze({
  now: () => performance.now(),
  after(ms: number, callback: () => void) {
    const timer = setTimeout(callback, ms)
    return () => clearTimeout(timer)
  },
})

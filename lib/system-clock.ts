// The clock of the machine.
import { LONGEST_TIMER_MS, type Clock } from './core/clock.ts'

export const systemClock: Clock = Object.freeze({
  now: () => performance.now(),
  after(ms: number, callback: () => void) {
    const timer = setTimeout(callback, Math.min(ms, LONGEST_TIMER_MS))
    return () => clearTimeout(timer)
  },
})

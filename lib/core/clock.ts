// Time as a port, so that tests can move it: a monotonic clock and one-shot timers.

export interface Clock {
  /** Milliseconds of a clock that never goes back. */
  now(): number
  /** Calls `callback` once after `ms` milliseconds; the result takes that back. */
  after(ms: number, callback: () => void): () => void
}

/** What a timer of Node takes at most, in milliseconds: it runs at once beyond that. */
export const LONGEST_TIMER_MS: number = 2 ** 31 - 1

/** The clock of what no server runs: nothing happens there that takes time. */
export const stillClock: Clock = Object.freeze({ now: () => 0, after: () => () => {} })

// Watches the event loop: a handler that computes for long lets nothing else run, and nobody sees why.
import { inLog, type Logger } from '../core/log.ts'

/** What it says, and of whom. */
export interface LoopWatchOptions {
  readonly log: Logger
  /** The routes of the chain that was started last. */
  readonly lastRoutes: () => readonly string[]
  /** Milliseconds between two looks. */
  readonly everyMs?: number
  /** Milliseconds of standing still that are worth a warning. */
  readonly limitMs?: number
}

/** Warns, within `everyMs` of its end, of each time the loop stood still for longer than `limitMs`. Returns its end. */
export function watchLoop({ log, lastRoutes, everyMs = 250, limitMs = 1_000 }: LoopWatchOptions): () => void {
  let last = performance.now()
  const timer = setInterval(() => {
    const now = performance.now()
    const late = now - last - everyMs
    last = now
    if (late <= limitMs) return
    const routes = lastRoutes().map((route) => `"${inLog(route)}"`)
    const who = routes.length === 0 ? '' : ` The chain that was started last is of ${routes.join(', ')}.`
    log.warn(
      `Nothing ran for ${Math.round(late)} ms: some function did not let go of the thread.${who} Acknowledgements and keepalive wait for it too: do such work in a worker thread.`,
    )
  }, everyMs)
  timer.unref()
  return () => clearInterval(timer)
}

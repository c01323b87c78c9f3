// What nobody caught: one line and exit code 1. Nothing that still runs is acknowledged, so it comes again.
import { toError } from '../core/errors.ts'
import { exitCodes } from './exit-codes.ts'
import type { Terminal } from './terminal.ts'

/** As much of a process as is needed. Rejections that nobody handles arrive here too. */
export interface CrashSource {
  on(event: 'uncaughtException', listener: (error: unknown) => void): unknown
  off(event: 'uncaughtException', listener: (error: unknown) => void): unknown
}

/** Ends the process when something is thrown that nobody catches; returns the undo. */
export function endOnCrash(
  source: CrashSource,
  terminal: Terminal,
  exit: (code: number) => void,
): () => void {
  const listener = (thrown: unknown): void => {
    const error = toError(thrown)
    const line = error.stack?.split('\n').find((entry) => entry.trim().startsWith('at '))
    const place = line === undefined ? '' : ` ${line.trim()}`
    terminal.fail(new Error(`nobody caught ${error.name}: ${error.message}${place}`, { cause: error }))
    exit(exitCodes.fatal)
  }
  source.on('uncaughtException', listener)
  return () => source.off('uncaughtException', listener)
}

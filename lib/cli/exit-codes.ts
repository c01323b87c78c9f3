// What the process says when it ends, and to whom each error belongs.
import { type ErrorEntry, MqttasgiError } from '../core/errors.ts'

/** The exit codes of the command line. */
export const exitCodes = {
  clean: 0,
  /** An error nobody can mend by configuration, or the broker was gone for longer than the retries. */
  fatal: 1,
  usage: 2,
  /** Handlers were still running when the drain limit was reached. */
  drainLimit: 3,
  /** Another client has connected with our client id. */
  takenOver: 4,
  config: 78,
  /** The second signal: 128 and its number, as shells have it. */
  SIGINT: 130,
  SIGTERM: 143,
} as const

const byKind: Readonly<Record<ErrorEntry['kind'], number>> = {
  program: exitCodes.fatal,
  connection: exitCodes.fatal,
  delivery: exitCodes.fatal,
  usage: exitCodes.usage,
  takeover: exitCodes.takenOver,
  config: exitCodes.config,
}

/** The exit code for an error. */
export function exitCodeOf(error: unknown): number {
  return error instanceof MqttasgiError ? byKind[error.kind] : exitCodes.fatal
}

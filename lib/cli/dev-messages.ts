// What `dev` and the process it starts say to each other.
import type { Texts } from '../config/levels.ts'

/** To the process, first: what to run. This way, and not as arguments, for one may be a password. */
export interface StartOrder {
  readonly type: 'start'
  readonly application: string | undefined
  readonly flags: Texts
}

/** To the process, later: end, within this time where one is given. */
export interface StopOrder {
  readonly type: 'stop'
  readonly drainTimeoutMs?: number
}

/** From the process: the files that were loaded, whether or not that went well. */
export interface FilesReport {
  readonly type: 'files'
  readonly files: readonly string[]
}

export function isStart(value: unknown): value is StartOrder {
  return typeOf(value) === 'start'
}

export function isStop(value: unknown): value is StopOrder {
  return typeOf(value) === 'stop'
}

export function isFiles(value: unknown): value is FilesReport {
  return typeOf(value) === 'files'
}

function typeOf(value: unknown): unknown {
  return typeof value === 'object' && value !== null && 'type' in value ? value.type : undefined
}

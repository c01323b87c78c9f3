// The options of a worker and of its end: what each must be, and what it is when nobody says.
import type { KillOptions, RestartPolicy, WorkerOptions } from '../core/workforce.ts'
import { toError } from '../core/errors.ts'
import { ownBytes } from '../core/own-bytes.ts'
import { faultBy, isWhole, type OptionFault, type OptionsGiven, type Rule } from './rules.ts'
import { uncopyable } from './uncopyable.ts'

/** Every option decided. */
export interface ResolvedWorkerOptions {
  /** Empty for none. */
  readonly mount: string
  readonly params: Readonly<Record<string, unknown>>
  readonly thread: boolean
  readonly memoryMb: number | undefined
  readonly instances: number
  readonly share: string | undefined
  readonly restart: RestartPolicy
  readonly escalation: 'stop-mount' | 'exit'
  readonly maxRestarts: number
  readonly withinSeconds: number
}

const policies: ReadonlySet<unknown> = new Set(['permanent', 'transient', 'temporary'])
const escalations: ReadonlySet<unknown> = new Set(['stop-mount', 'exit'])

export const workerRules: Readonly<Record<keyof WorkerOptions, Rule>> = {
  mount: ['a pattern such as building/+floor', (value) => typeof value === 'string'],
  params: ['an object', isPlain],
  thread: ['true or false', (value) => typeof value === 'boolean'],
  memoryMb: ['a whole number of megabytes from 16 to 1,048,576', isWhole(16, 1_048_576)],
  instances: ['a whole number from 1 to 1,024', isWhole(1, 1_024)],
  share: [
    'the name of a group without /, + and #',
    (value) => typeof value === 'string' && /^[^/+#\0]+$/.test(value),
  ],
  restart: ["'permanent', 'transient' or 'temporary'", (value) => policies.has(value)],
  escalation: ["'stop-mount' or 'exit'", (value) => escalations.has(value)],
  maxRestarts: ['a whole number from 0 to 1,000', isWhole(0, 1_000)],
  withinSeconds: ['a whole number of seconds from 1 to 86,400', isWhole(1, 86_400)],
}

const killRules: Readonly<Record<Exclude<keyof KillOptions, 'drainTimeoutMs'>, Rule>> = {
  subscriptions: ["'unsubscribe' or 'keep'", (value) => value === 'unsubscribe' || value === 'keep'],
}

/** The first thing that is wrong; undefined when all is well. */
export function workerFault(given: OptionsGiven): OptionFault | undefined {
  const fault = faultBy(workerRules, given, 'A worker', ['id', 'application'])
  if (fault !== undefined) return fault
  if (given['memoryMb'] !== undefined && given['thread'] !== true) {
    const what = 'only a thread has memory of its own. Give thread: true as well, or leave memoryMb out.'
    return { key: 'memoryMb', isUnknown: false, what }
  }
  return given['thread'] === true ? paramsFault(given['params']) : undefined
}

function paramsFault(params: unknown): OptionFault | undefined {
  const got = uncopied(params)
  if (got === undefined) return undefined
  const what = `expected plain data, for a thread has a copy of them, got ${got}. Let the file of the application make it.`
  return { key: 'params', isUnknown: false, what }
}

// What goes to the thread is a copy without the buffers that bytes are a part of.
function uncopied(params: unknown): string | undefined {
  try {
    return uncopyable(ownBytes(params), 'params')
  } catch (thrown) {
    return `something that can not be read (${toError(thrown).message})`
  }
}

/** The first thing that is wrong with how a worker is to be ended, but for the time; undefined when all is well. */
export function killFault(given: OptionsGiven): OptionFault | undefined {
  return faultBy(killRules, given, 'kill()', ['drainTimeoutMs'])
}

/** Options without a fault, with every default in place. */
export function resolveWorkerOptions(options: WorkerOptions): ResolvedWorkerOptions {
  return {
    mount: options.mount ?? '',
    params: options.params ?? {},
    thread: options.thread ?? false,
    memoryMb: options.memoryMb,
    instances: options.instances ?? 1,
    share: options.share,
    restart: options.restart ?? 'permanent',
    escalation: options.escalation ?? 'stop-mount',
    maxRestarts: options.maxRestarts ?? 5,
    withinSeconds: options.withinSeconds ?? 60,
  }
}

/** An object as it is written down. It may come from another realm or from a module namespace; classes are not meant. */
export function isPlain(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

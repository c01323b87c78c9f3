// What is asked of a crew, looked at before anything is done: the order for a worker, and how one is to be ended.
import { drainTimeoutFault } from '../core/deadline.ts'
import { MqttasgiError } from '../core/errors.ts'
import type { KillOptions, WorkerApplication, WorkerOptions } from '../core/workforce.ts'
import { show } from '../config/value.ts'
import { killFault, resolveWorkerOptions, workerFault, type ResolvedWorkerOptions } from '../config/worker.ts'

/** A worker that is to be started. */
export interface WorkerOrder extends ResolvedWorkerOptions {
  readonly id: string
  readonly application: WorkerApplication
}

/** The ids of the application itself, in our words and in the original's. */
const masterIds: ReadonlySet<unknown> = new Set(['application', '0', 0])

export function isMasterId(id: unknown): boolean {
  return masterIds.has(id)
}

/** Throws `ERR_WORKER_OPTION` for what can not be meant. */
export function orderOf(id: unknown, application: WorkerApplication, options: WorkerOptions): WorkerOrder {
  if (typeof id !== 'string' || id === '') {
    throw refused(
      'spawn()',
      `expected a text that is not empty as id, got ${id === '' ? 'an empty one' : typeof id}`,
    )
  }
  checkObject(`Worker "${id}"`, options)
  const fault = workerFault({ ...options })
  if (fault !== undefined) throw refused(`Worker "${id}"`, `${fault.key}: ${fault.what}`)
  return { ...resolveWorkerOptions(options), id, application }
}

/** Throws `ERR_WORKER_APPLICATION` for what can not be run where it is to be. */
export function checkApplication({ application, id, thread }: WorkerOrder): void {
  if (typeof application === 'string') refusePythonPath(id, application)
  else if (thread) throw unfit(id, 'a thread can only load a file')
}

/** Throws `ERR_WORKER_OPTION` for what can not be meant, `ERR_CONFIG_VALUE` for a time that is none. */
export function checkKill(options: KillOptions): void {
  checkObject('kill()', options)
  const { drainTimeoutMs = 0, ...rest } = options
  const wrongTime = drainTimeoutFault(drainTimeoutMs)
  if (wrongTime !== undefined) throw wrongTime
  const fault = killFault(rest)
  if (fault !== undefined) throw refused('kill()', `${fault.key}: ${fault.what}`)
}

// As a program in JavaScript may give them.
function checkObject(where: string, options: unknown): void {
  if (typeof options === 'object' && options !== null) return
  throw refused(where, `expected an object of options, got ${show(options)}.`)
}

function refused(where: string, what: string): MqttasgiError {
  return new MqttasgiError('ERR_WORKER_OPTION', `${where}: ${what}`)
}

export function duplicate(id: string): MqttasgiError {
  const what = isMasterId(id) ? 'that is the application itself' : 'there is one already'
  return new MqttasgiError(
    'ERR_RECEIVER_DUPLICATE',
    `No second receiver can have the id "${id}": ${what}. Give each worker an id of its own.`,
    { receiver: id },
  )
}

/** Of a worker that is to be ended, and is not among those that are there. */
export function unknown(id: unknown, there: readonly string[]): MqttasgiError {
  if (isMasterId(id)) {
    return new MqttasgiError(
      'ERR_WORKER_MASTER',
      'The application itself can not be ended as a worker can: nobody would be left to end the others. Stop the server instead: server.stop().',
    )
  }
  const names =
    there.length === 0 ? 'There is none.' : `There are ${there.map((one) => `"${one}"`).join(', ')}.`
  return new MqttasgiError('ERR_WORKER_UNKNOWN', `There is no worker "${String(id)}" to be ended. ${names}`)
}

// The form of the Python server, or of a dotted import.
function refusePythonPath(id: string, spec: string): void {
  const path = /^(?<module>[\w.]+):(?<name>[\w.]+)$/.exec(spec)?.groups
  if (path === undefined) return
  const file = `./${(path['module'] ?? '').replaceAll('.', '/')}.ts`
  throw unfit(id, `"${spec}" is a path of Python. Write the file and its export: ${file}#${path['name']}`)
}

function unfit(id: string, why: string): MqttasgiError {
  return new MqttasgiError(
    'ERR_WORKER_APPLICATION',
    `Worker "${id}" can not run what it was given: ${why}${why.includes('#') ? '' : ": './file.ts#name'"}.`,
    { receiver: id },
  )
}

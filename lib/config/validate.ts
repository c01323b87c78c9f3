// Checks a configuration as somebody wrote it against the table of options, and lays it flat by path.
import { MqttasgiError } from '../core/errors.ts'
import { nearest } from './near.ts'
import { isInFile, type OptionEntry, optionAt, options } from './options.ts'
import { checkValue, type OptionValue, show, typeInWords } from './value.ts'
import { isPlain, type ResolvedWorkerOptions, resolveWorkerOptions, workerFault } from './worker.ts'

/** A worker as it was written, checked, with every default in place. */
export interface WorkerGiven extends ResolvedWorkerOptions {
  readonly id: string
  readonly application: object | string
}

/** A configuration laid flat. */
export interface GivenConfig {
  /** By the path of the option. */
  readonly values: ReadonlyMap<string, OptionValue>
  readonly application: object | string | undefined
  readonly workers: readonly WorkerGiven[] | undefined
}

const inFile = options.filter(isInFile)
const topLevelGroups = ['broker', 'deadLetter', 'outbox', 'application', 'workers']

/**
 * Checks `input`; `source` says in messages where it was written. Codes: `ERR_CONFIG_KEY`,
 * `ERR_CONFIG_VALUE`. Keys whose value is undefined count as not written.
 *
 * @example
 * validateConfig({ broker: { port: 1884 } }, 'file mqttasgi.config.ts').values // Map { 'broker.port' => 1884 }
 */
export function validateConfig(input: unknown, source: string): GivenConfig {
  if (!isPlain(input)) {
    const expected = `the configuration (${source}): expected an object, got ${typeInWords(input)}.`
    throw new MqttasgiError('ERR_CONFIG_VALUE', `${expected} Export defineConfig({ … }).`)
  }
  const { application, workers, ...rest } = input
  const values = new Map<string, OptionValue>()
  walk(rest, '', source, values)
  return {
    values,
    application: application === undefined ? undefined : checkApplication(application, 'application', source),
    workers: workers === undefined ? undefined : checkWorkers(workers, source),
  }
}

function walk(
  given: Readonly<Record<string, unknown>>,
  prefix: string,
  source: string,
  values: Map<string, OptionValue>,
): void {
  for (const [key, value] of Object.entries(given)) {
    const path = prefix + key
    const option = inFile.find((entry) => entry.path === path)
    const isGroup = inFile.some((entry) => entry.path.startsWith(`${path}.`))
    if (option === undefined && !isGroup) throw unknownKey(path, source)
    if (value === undefined) continue
    if (isGroup && isPlain(value)) {
      // `tls: { … }` says TLS, whatever is in it.
      if (option !== undefined) values.set(path, true)
      walk(value, `${path}.`, source, values)
    } else if (option === undefined) {
      throw refused(path, source, 'an object', value)
    } else {
      values.set(path, checkValue(option, value, source, 'ERR_CONFIG_VALUE'))
    }
  }
}

function checkWorkers(workers: unknown, source: string): readonly WorkerGiven[] {
  if (!Array.isArray(workers)) throw refused('workers', source, 'a list of workers', workers)
  const checked = workers.map((worker: unknown, index) => checkWorker(worker, `workers[${index}]`, source))
  const ids = new Set<string>()
  for (const [index, { id }] of checked.entries()) {
    if (ids.has(id)) {
      const message = `workers[${index}].id (${source}): another worker has the id ${show(id)} already. Each needs its own.`
      throw new MqttasgiError('ERR_CONFIG_VALUE', message)
    }
    ids.add(id)
  }
  return checked
}

function checkWorker(worker: unknown, path: string, source: string): WorkerGiven {
  if (!isPlain(worker)) throw refused(path, source, 'an object { id, application }', worker)
  const { id, application, ...options } = worker
  const fault = workerFault(options)
  if (fault !== undefined) {
    const code = fault.isUnknown ? 'ERR_CONFIG_KEY' : 'ERR_CONFIG_VALUE'
    throw new MqttasgiError(code, `${path}.${fault.key} (${source}): ${fault.what}`)
  }
  if (typeof id !== 'string' || id === '') throw refused(`${path}.id`, source, 'a text that is not empty', id)
  const checked = checkApplication(application, `${path}.application`, source)
  if (options['thread'] === true && typeof checked !== 'string') {
    throw refused(
      `${path}.application`,
      source,
      'the file of an application, for a thread loads it itself',
      checked,
    )
  }
  return { ...resolveWorkerOptions(options), id, application: checked }
}

function checkApplication(value: unknown, path: string, source: string): object | string {
  if (typeof value === 'string' && value !== '') return value
  // Whether it is one is for those to say who know applications; here it only has to look like one.
  if (typeof value === 'function') return value
  const looksRight = typeof value === 'object' && value !== null && 'use' in value && 'topic' in value
  if (looksRight) return value
  throw refused(path, source, "an application or the file of one, such as './app.ts'", value)
}

function refused(path: string, source: string, expected: string, value: unknown): MqttasgiError {
  return new MqttasgiError(
    'ERR_CONFIG_VALUE',
    `${path} (${source}): expected ${expected}, got ${show(value)}.`,
  )
}

// The value of an unknown key is never shown: a misspelt password is a password.
function unknownKey(path: string, source: string): MqttasgiError {
  return new MqttasgiError(
    'ERR_CONFIG_KEY',
    `${path} (${source}): there is no such option. ${suggestion(path)}`,
  )
}

function suggestion(path: string): string {
  const key = lastOf(path)
  const prefix = path.slice(0, path.length - key.length)
  if (/rejectUnauthorized|insecure/i.test(key)) {
    return 'Certificates are always checked: give the CA that signed the broker as broker.tls.ca.'
  }
  const siblings = inFile.filter((entry) => isChild(entry.path, prefix))
  const known = [...siblings, ...inFile].find((entry) => lastOf(entry.path) === key || isAlias(entry, key))
  if (known !== undefined) return hint(known.path)
  const names = [...siblings.map((entry) => lastOf(entry.path)), ...(prefix === '' ? topLevelGroups : [])]
  const near = nearest(key, names)
  if (near !== undefined) return hint(prefix + near)
  const elsewhere = inFile.find(
    (entry) =>
      lastOf(entry.path) ===
      nearest(
        key,
        inFile.map((e) => lastOf(e.path)),
      ),
  )
  if (elsewhere !== undefined) return hint(elsewhere.path)
  return `There ${prefix === '' ? 'are' : `are, in ${prefix.slice(0, -1)},`} ${names.join(', ')}.`
}

function isAlias(option: OptionEntry, key: string): boolean {
  return option.aliases?.includes(key) ?? false
}

function hint(path: string): string {
  const option = optionAt(path)
  const unit = option?.type.kind === 'seconds' ? ' (in seconds)' : ''
  return `Did you mean ${path}${unit}?`
}

function isChild(path: string, prefix: string): boolean {
  return path.startsWith(prefix) && !path.slice(prefix.length).includes('.')
}

function lastOf(path: string): string {
  return path.slice(path.lastIndexOf('.') + 1)
}

// The places a value can be given at, one level each; a URL is split into its parts at its own level.
import { resolve } from 'node:path'
import { MqttasgiError } from '../core/errors.ts'
import { defaultPort, splitBrokerUrl } from './broker-url.ts'
import { type Flag, isInFile, type OptionEntry, options } from './options.ts'
import { isPem, type OptionValue, readText, show, type ValueCode } from './value.ts'

/** One value, and where it was given. */
export interface Given {
  readonly value: OptionValue
  /** For people: `flag --host`, `environment MQTT_HOSTNAME`, `.env MQTT_HOSTNAME`, `file …`. */
  readonly source: string
  /** Of what is said against it. */
  readonly code: ValueCode
  /** It follows from something else that was given there: a port from the scheme, TLS from a CA. */
  readonly implied?: true
}

/** What was given at one place, by the path of the option; the URL is gone into its parts. */
export type Level = ReadonlyMap<string, Given>

/** Texts by the name of the flag without dashes, or by the variable. */
export type Texts = Readonly<Record<string, string | undefined>>

/** What a flag is called in the object of flags: `--drain-timeout` is `drain-timeout`. */
export function flagKey({ long }: Flag): string {
  return long.slice(2)
}

/**
 * Flags, environment and `.env` as levels, the strongest first. A value that a stronger level replaces is
 * not looked at: `--port 1883` helps against a MQTT_PORT that can not be read. Empty texts are unset.
 */
export function textLevels(flags: Texts, env: Texts, dotenv: Texts, directory: string): readonly Level[] {
  const places: readonly TextPlace[] = [
    {
      read: (option) => flags[flagKey(option.flag)],
      name: (option) => `flag ${option.flag.long}`,
      code: 'ERR_USAGE',
    },
    {
      read: (option) => env[option.env],
      name: (option) => `environment ${option.env}`,
      code: 'ERR_CONFIG_VALUE',
    },
    {
      read: (option) => dotenv[option.env],
      name: (option) => `.env ${option.env}`,
      code: 'ERR_CONFIG_VALUE',
    },
  ]
  const seen = new Set<string>()
  return places.map((place) => {
    const level = new Map<string, Given>()
    for (const option of options.filter(isInFile)) {
      const text = place.read(option)
      if (text === undefined || text === '' || seen.has(option.path)) continue
      const source = place.name(option)
      level.set(option.path, {
        value: located(option, readText(option, text, source, place.code), directory),
        source,
        code: place.code,
      })
    }
    const complete = withConsequences(level)
    for (const path of [...level.keys(), ...complete.keys()]) seen.add(path)
    return complete
  })
}

interface TextPlace {
  readonly read: (option: OptionEntry) => string | undefined
  readonly name: (option: OptionEntry) => string
  readonly code: ValueCode
}

/** The values of a configuration as a level; its paths are relative to `directory`. */
export function valueLevel(
  values: ReadonlyMap<string, OptionValue>,
  source: string,
  directory: string,
): Level {
  const level = new Map<string, Given>()
  for (const option of options) {
    const value = values.get(option.path)
    if (value === undefined) continue
    level.set(option.path, { value: located(option, value, directory), source, code: 'ERR_CONFIG_VALUE' })
  }
  return withConsequences(level)
}

// Paths become absolute where they are read, for each level has its own directory.
function located(option: OptionEntry, value: OptionValue, directory: string): OptionValue {
  const isPath = option.type.kind === 'file' || option.type.kind === 'folder'
  if (!isPath || typeof value !== 'string' || isPem(value)) return value
  return resolve(directory, value)
}

function withConsequences(level: Level): Level {
  return withSocket(withTls(withUrlSplit(level)))
}

function withUrlSplit(level: Level): Level {
  const url = level.get('broker.url')
  if (url === undefined) return level
  const { scheme, ...parts } = splitBrokerUrl(String(url.value), `broker.url (${url.source})`, url.code)
  const split = new Map(level)
  split.delete('broker.url')
  for (const [name, value] of Object.entries(parts)) {
    const path = `broker.${name}`
    const other = level.get(path)
    if (other !== undefined && other.value !== value) throw contradictsUrl(path, other, url, scheme)
    split.set(path, other ?? { ...url, value })
  }
  // The port follows the scheme, so a URL without one still decides it, against weaker levels.
  if (parts.host !== undefined && !split.has('broker.port')) {
    split.set('broker.port', { ...url, value: defaultPort(parts.transport, parts.tls), implied: true })
  }
  return split
}

// A CA or a certificate alone means TLS. The original went on in plain text with such options.
function withTls(level: Level): Level {
  const [path, material] = [...level].find(([path]) => path.startsWith('broker.tls.')) ?? []
  if (path === undefined || material === undefined) return level
  const tls = level.get('broker.tls')
  if (tls === undefined) return new Map(level).set('broker.tls', { ...material, value: true, implied: true })
  if (tls.value === true) return level
  const why = `broker.tls is false (${tls.source}), and ${path} was given (${material.source})`
  const mend = 'Take one of the two out; with a URL, TLS is mqtts:// or wss://.'
  throw new MqttasgiError('ERR_CONFIG_CONFLICT', `${why}. ${mend}`)
}

function withSocket(level: Level): Level {
  const socket = level.get('broker.socketPath')
  if (socket === undefined) return level
  const others = ['broker.host', 'broker.port', 'broker.wsPath', 'broker.transport', 'broker.tls']
  const path = others.find((other) => level.has(other) && ![false, 'unix'].includes(valueAt(level, other)))
  if (path === undefined)
    return new Map(level).set('broker.transport', { ...socket, value: 'unix', implied: true })
  const what = `broker.socketPath (${socket.source}) and ${path} (${level.get(path)?.source})`
  throw new MqttasgiError(
    'ERR_CONFIG_CONFLICT',
    `${what} were both given: a unix socket has no host, no port and no TLS. Keep one.`,
  )
}

function valueAt(level: Level, path: string): string | boolean {
  const value = level.get(path)?.value
  return typeof value === 'boolean' ? value : String(value)
}

function contradictsUrl(path: string, other: Given, url: Given, scheme: string): MqttasgiError {
  const isSecret = options.some((option) => option.path === path && option.secret)
  const value = isSecret ? '' : ` ${show(other.value)}`
  const message = `${path}${value} (${other.source}) contradicts the URL ${show(url.value)} (${url.source})`
  const reason = path === 'broker.tls' || path === 'broker.transport' ? `, whose scheme is ${scheme}` : ''
  return new MqttasgiError('ERR_CONFIG_CONFLICT', `${message}${reason}. Keep one of the two.`)
}

// Reads a value out of text, checks one from a file, and says what was expected and what came.
import { isIPv6 } from 'node:net'
import { MqttasgiError } from '../core/errors.ts'
import { redactUrl } from './broker-url.ts'
import type { OptionEntry, ValueType } from './options.ts'
import { redacted } from './secret.ts'

/** What an option can be. */
export type OptionValue = string | number | boolean | readonly string[] | TextSource

/** A text that may be another each time it is asked for. */
export type TextSource = () => string | Promise<string>

/** The code of a value that is refused: the command line has its own. */
export type ValueCode = 'ERR_CONFIG_VALUE' | 'ERR_USAGE'

const maxTextBytes = 65_535
const shownCharacters = 60

/**
 * The value of an option written as text: on the command line, in the environment, in `.env`.
 *
 * @example
 * readText(optionAt('broker.port'), '1883', 'environment MQTT_PORT', 'ERR_CONFIG_VALUE') // 1883
 */
export function readText(option: OptionEntry, text: string, source: string, code: ValueCode): OptionValue {
  const value = fromText(option.type, text)
  return checkValue(option, value ?? text, source, code)
}

/** `value` when it is one this option can have. Throws with the option's path, what was expected and what came. */
export function checkValue(
  option: OptionEntry,
  value: unknown,
  source: string,
  code: ValueCode,
): OptionValue {
  if (fits(option.type, value)) return normal(option.type, value)
  const got = option.secret ? `${redacted} (${typeInWords(value)})` : show(value)
  const expected = `${option.path} (${source}): expected ${expectation(option.type)}, got ${got}.`
  throw new MqttasgiError(code, `${expected}${mend(option, value)}`)
}

/** A value for people: cut, in quotes, and never with what is secret in a URL. */
export function show(value: unknown): string {
  if (typeof value === 'string') {
    const text = redactUrl(value)
    return JSON.stringify(text.length > shownCharacters ? `${text.slice(0, shownCharacters)}…` : text)
  }
  if (typeof value === 'number' || typeof value === 'boolean' || value === null) return String(value)
  return typeInWords(value)
}

/** The kind of a value, with its article. */
export function typeInWords(value: unknown): string {
  if (value === null) return 'null'
  if (value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

/** Whether a TLS option is the PEM text itself and no path. */
export function isPem(value: string): boolean {
  return value.includes('-----BEGIN ')
}

function fromText(type: ValueType, text: string): OptionValue | undefined {
  const bare = text.trim()
  switch (type.kind) {
    case 'integer':
      return /^[+-]?\d+$/.test(bare) ? Number(bare) : undefined
    case 'seconds':
      return /^[+-]?\d+(\.\d+)?$/.test(bare) ? Number(bare) : undefined
    case 'switch':
      return { true: true, false: false }[bare.toLowerCase()]
    case 'choice':
      return choiceOf(type, bare.toLowerCase())
    case 'list':
      return bare.split(',').map((part) => part.trim())
    default:
      return text
  }
}

function choiceOf(type: ValueType & { kind: 'choice' }, name: string): string | number | undefined {
  return type.choices.find((choice) => String(choice) === name) ?? type.also?.[name]
}

function fits(type: ValueType, value: unknown): value is OptionValue {
  switch (type.kind) {
    case 'integer':
      return Number.isInteger(value) && within(type, value)
    case 'seconds':
      return within(type, value)
    case 'switch':
      return typeof value === 'boolean'
    case 'choice':
      return type.choices.some((choice) => choice === value)
    case 'list':
      return Array.isArray(value) && value.length > 0 && value.every(isText)
    case 'host':
      return isText(value) && isHost(value)
    case 'text':
      return isText(value) || (type.orFunction === true && typeof value === 'function')
    default:
      return isText(value)
  }
}

function within({ min, max }: { min: number; max: number }, value: unknown): value is number {
  return typeof value === 'number' && value >= min && value <= max
}

// A string of the standard (1.5.4): no NUL, no half surrogate pairs; PEM texts may be longer.
function isText(value: unknown): value is string {
  if (typeof value !== 'string' || value === '' || value.includes('\0')) return false
  if (Buffer.from(value).toString() !== value) return false
  return isPem(value) || Buffer.byteLength(value) <= maxTextBytes
}

function isHost(value: string): boolean {
  return /^[^\s/@:?#%\p{Cc}]+$/u.test(value) || isIPv6(bare(value))
}

function normal(type: ValueType, value: OptionValue): OptionValue {
  return type.kind === 'host' && typeof value === 'string' ? bare(value) : value
}

function bare(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1')
}

function expectation(type: ValueType): string {
  switch (type.kind) {
    case 'integer':
      return `a whole number from ${type.min} to ${type.max}`
    case 'seconds':
      return `seconds, a number from ${type.min} to ${type.max}`
    case 'switch':
      return 'true or false'
    case 'choice':
      return `one of ${type.choices.join(', ')}`
    case 'list':
      return 'a list of texts'
    case 'host':
      return 'a host name or address'
    case 'file':
      return 'the path of a file'
    case 'folder':
      return 'the path of a folder'
    case 'text':
      return `a text of at most ${maxTextBytes} bytes that is not empty${type.orFunction === true ? ', or a function that returns one' : ''}`
    default:
      return `a text of at most ${maxTextBytes} bytes that is not empty`
  }
}

function mend(option: OptionEntry, value: unknown): string {
  const { kind } = option.type
  if (typeof value !== 'string') return ''
  if (kind === 'host' && value.includes('://')) return ' Give a URL as broker.url, MQTT_URL or --url.'
  if (kind === 'host' && /:\d+$/.test(value)) return ' Give the port apart from the host, as broker.port.'
  // What docker links and Kubernetes put into the environment of everybody beside a service named mqtt.
  if (kind === 'integer' && value.startsWith('tcp://')) {
    return ' A container platform sets this for a service of that name: set enableServiceLinks: false, or give --port.'
  }
  const meant = fromText(option.type, value)
  if (meant === undefined || typeof meant === 'string' || !fits(option.type, meant)) return ''
  return kind === 'list' ? ` Write ${JSON.stringify(meant)}.` : ' Write it without quotes.'
}

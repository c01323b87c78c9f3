// Events of channel layers as bytes: JSON, with a tag for what JSON has no word for.
import type { ChannelEvent } from './channel-layer.ts'
import { MqttasgiError, toError } from './errors.ts'
import { readJson } from './json-guard.ts'
import { inLog } from './log.ts'

/** An event has at most so many bytes when it is sent. */
export const MAX_EVENT_BYTES = 1_048_576
/** Lists and objects in it are nested at most so deep. */
const MAX_DEPTH = 64
const BYTES = '$bytes'
const LONGEST_TYPE = 99
const TYPE = /^[\w-]+(?:\.[\w-]+)*$/

/**
 * The event as it is sent. Throws `ERR_CHANNEL_EVENT` for what is not plain data, and would arrive as something else.
 * A field that is undefined is left out.
 */
export function encodeEvent(event: ChannelEvent): Buffer {
  if (!isPlainObject(event)) throw refused(kindOf(event))
  const { type } = event
  if (!isEventType(type)) {
    const shown = typeof type === 'string' ? JSON.stringify(inLog(type)) : kindOf(type)
    throw refused(`${shown} as its type`)
  }
  const bytes = Buffer.from(JSON.stringify(tagged(event, 'event', 1)))
  if (bytes.length > MAX_EVENT_BYTES)
    throw refused(`${bytes.length} bytes of type ${type}, where ${MAX_EVENT_BYTES} are the most`)
  return bytes
}

/** The event of such bytes, made anew at each call. Throws `ERR_CHANNEL_EVENT` for others, whoever has sent them. */
export function decodeEvent(bytes: Buffer): ChannelEvent {
  const value = untagged(parsed(bytes))
  if (!isEvent(value)) throw refused('bytes that are none')
  return value
}

/** Whether an event can have it: words of letters, digits, hyphens and underscores, joined by dots. */
export function isEventType(type: unknown): type is string {
  return typeof type === 'string' && type.length <= LONGEST_TYPE && TYPE.test(type)
}

function parsed(bytes: Buffer): unknown {
  try {
    // A tag is a level of its own.
    return readJson(bytes, 'channel', { maxBytes: MAX_EVENT_BYTES, maxDepth: MAX_DEPTH + 1 })
  } catch (cause) {
    throw refused('bytes that can not be read', toError(cause))
  }
}

function isEvent(value: unknown): value is ChannelEvent {
  return isPlainObject(value) && isEventType(value['type'])
}

function tagged(value: unknown, at: string, depth: number): unknown {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value
  if (typeof value === 'number' && Number.isFinite(value)) return value
  if (value instanceof Uint8Array) return { [BYTES]: Buffer.from(value).toString('base64') }
  if (depth > MAX_DEPTH) throw refused(`more than ${MAX_DEPTH} levels, or an object that contains itself`)
  if (Array.isArray(value)) return Array.from(value, (one, i) => tagged(one, `${at}[${i}]`, depth + 1))
  if (!isPlainObject(value)) throw refused(`${kindOf(value)} at ${inLog(at)}`)
  const made: Record<string, unknown> = {}
  for (const [name, one] of Object.entries(value)) {
    if (reachesPrototype(name, one))
      throw refused(`the name ${name} at ${inLog(at)}, which could reach the prototype of all objects`)
    if (one !== undefined) made[escaped(name)] = tagged(one, `${at}.${name}`, depth + 1)
  }
  return made
}

function untagged(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(untagged)
  const entries = Object.entries(value)
  const [first] = entries
  if (entries.length === 1 && first?.[0] === BYTES && typeof first[1] === 'string')
    return Buffer.from(first[1], 'base64')
  return Object.fromEntries(entries.map(([name, one]) => [unescaped(name), untagged(one)]))
}

function reachesPrototype(name: string, value: unknown): boolean {
  if (name === '__proto__') return true
  return (
    name === 'constructor' && typeof value === 'object' && value !== null && Object.hasOwn(value, 'prototype')
  )
}

// A name of the user's own that begins with $ gets another one, so that none is a tag.
function escaped(name: string): string {
  return name.startsWith('$') ? `$${name}` : name
}

function unescaped(name: string): string {
  return name.startsWith('$$') ? name.slice(1) : name
}

function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype
}

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (typeof value === 'number') return `the number ${value}`
  if (typeof value !== 'object') return `a ${typeof value}`
  const made: unknown = value.constructor
  return Array.isArray(value)
    ? 'a list'
    : `an object of ${typeof made === 'function' ? inLog(made.name) : 'a kind of its own'}`
}

function refused(what: string, cause?: Error): MqttasgiError {
  const message = `Expected an event, which is plain data with a type such as alarm.raised, and got ${what}.`
  return new MqttasgiError('ERR_CHANNEL_EVENT', message, cause === undefined ? {} : { cause })
}

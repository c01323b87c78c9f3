// What JSON from a stranger may be: looked at before it is parsed, and its names after it.
import { MqttasgiError, toError } from './errors.ts'

/** What `ctx.json()` accepts. */
export interface JsonLimits {
  /** The most bytes; 1 MiB (1,048,576) unless told otherwise. */
  readonly maxBytes?: number
  /** How deep arrays and objects may be nested; 64 unless told otherwise. */
  readonly maxDepth?: number
  /** Accept the names `__proto__` and `constructor` with a `prototype` in it; false unless told otherwise. */
  readonly prototypeNames?: boolean
}

const MAX_BYTES = 1_048_576
const MAX_DEPTH = 64
const QUOTE = 34
const BACKSLASH = 92

/**
 * Reads `payload` as JSON. Throws `ERR_PAYLOAD_JSON`, which is never worth a retry: for what is no JSON, for
 * more bytes or a deeper nesting than `limits` allow, which is seen before anything is built of it, and for
 * names with which a merge would reach the prototype of all objects. No message quotes the payload.
 */
export function readJson(payload: Buffer, topic: string, limits: JsonLimits = {}): unknown {
  const { maxBytes = MAX_BYTES, maxDepth = MAX_DEPTH, prototypeNames = false } = limits
  if (payload.length > maxBytes)
    throw refused(topic, `can not be read as JSON: ${payload.length} bytes are more than ${maxBytes}`)
  // A level takes two brackets, and the parser itself stops at one that is missing.
  if (payload.length > 2 * maxDepth && isDeeper(payload, maxDepth)) {
    throw refused(topic, `can not be read as JSON: it is nested more than ${maxDepth} levels deep`)
  }
  const text = payload.toString()
  const value = parse(text, topic)
  if (!prototypeNames && isSuspect(text) && hasPrototypeName(value)) {
    throw refused(topic, 'can not be read as JSON: one of its names could reach the prototype of all objects')
  }
  return value
}

function parse(text: string, topic: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw refused(topic, `is not JSON: ${text === '' ? 'it is empty' : parserWords(cause)}`, cause)
  }
}

/** The parser says what it met and then quotes the text around it, which is no concern of a log. */
function parserWords(error: unknown): string {
  return toError(error).message.replace(/, (?:\.\.\.)?".*$/s, '')
}

function refused(topic: string, why: string, cause?: unknown): MqttasgiError {
  const details = cause === undefined ? { topic } : { topic, cause }
  return new MqttasgiError('ERR_PAYLOAD_JSON', `The payload of "${topic}" ${why}.`, details)
}

/** One pass over the bytes; what stands in strings does not count. UTF-8 has no bracket inside a character. */
function isDeeper(bytes: Buffer, maxDepth: number): boolean {
  let depth = 0
  let isString = false
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]!
    if (byte === QUOTE) isString = !isString
    else if (isString) at += byte === BACKSLASH ? 1 : 0
    // [ and { are 0x5b and 0x7b, ] and } are 0x5d and 0x7d.
    else if ((byte & 0xdf) === 0x5b && ++depth > maxDepth) return true
    else if ((byte & 0xdf) === 0x5d) depth--
  }
  return false
}

/** Cheap, and never wrong for the better: the names are spelled out, or with the escapes of ASCII letters. */
function isSuspect(text: string): boolean {
  return (
    text.includes('__proto__') ||
    text.includes('constructor') ||
    (text.includes('\\u00') && /\\u00[567]/.test(text))
  )
}

function hasPrototypeName(value: unknown): boolean {
  const open = [value]
  while (open.length > 0) {
    const one = open.pop()
    if (typeof one !== 'object' || one === null) continue
    if (Object.hasOwn(one, '__proto__')) return true
    const made: unknown = Object.hasOwn(one, 'constructor') && 'constructor' in one ? one.constructor : null
    if (typeof made === 'object' && made !== null && Object.hasOwn(made, 'prototype')) return true
    for (const inner of Object.values(one)) open.push(inner)
  }
  return false
}

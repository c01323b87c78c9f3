// Patterns in mqtt-pattern's syntax, compiled once: filter, match, params, fill. The wall around mqtt-pattern.
import { clean } from 'mqtt-pattern'
import { MqttasgiError } from './errors.ts'
import { captureSpec, type Capture, type CaptureSpec, type RawParams } from './captures.ts'
import {
  filterMatches,
  isTopic,
  position,
  quote,
  shareFault,
  splitShare,
  textFault,
  topicFault,
} from './topic.ts'
import type { FillParams, TopicParams } from './topic-params.ts'

export type { FillParams, TopicParams }

/** A compiled pattern; made by `pattern(text)`. */
export interface Pattern<T extends string = string> {
  /** The pattern as it was written. */
  readonly text: T
  /** The topic filter it stands for, without names and without `$share/group/`. */
  readonly filter: string
  /** The share group it was written with (4.8.2), if any. */
  readonly share: string | undefined
  /** The names of its parameters, in the order of the levels. */
  readonly names: readonly string[]
  /**
   * The parameters of `topic`, or null when it does not match or is no topic. The object inherits nothing.
   *
   * @example
   * pattern('user/+id/#path').match('user/bob') // { id: 'bob', path: [] }
   */
  match(topic: string): TopicParams<T> | null
  /** The same for a topic that is known to match: nothing is checked. */
  params(topic: string): TopicParams<T>
  /**
   * The topic with these parameters; it matches the pattern and gives them back. Only own properties count.
   * Throws ERR_PATTERN_FILL for a missing or empty value, for `/`, `+`, `#` and NUL in one, for an
   * unnamed wildcard, and when the result is no topic.
   *
   * @example
   * pattern('alerts/+room').fill({ room: 'hall' }) // 'alerts/hall'
   */
  fill(params: FillParams<T>): string
}

/**
 * Compiles a pattern: a topic filter whose wildcards may have names, `+name` for one level and `#name`
 * for the rest. At most 65,535 bytes of UTF-8. Throws ERR_PATTERN_INVALID, saying what is wrong and where.
 *
 * @example
 * const p = pattern('sensors/+room/temp/#rest')
 * p.filter // 'sensors/+/temp/#'
 * p.match('sensors/hall/temp/a/b') // { room: 'hall', rest: ['a', 'b'] }
 */
export function pattern<const T extends string>(text: T): Pattern<T>
// The compiler can not follow how the parameters come out of the text, so below here they are plain records.
export function pattern(text: string): CompiledPattern {
  const fault = textFault(text) ?? shareFault(text) ?? levelsFault(text)
  if (fault !== undefined) {
    const shown = typeof text === 'string' ? ` ${quote(text)}` : ''
    throw new MqttasgiError(
      'ERR_PATTERN_INVALID',
      `Expected a pattern such as "sensors/+room/temp" or "logs/#rest", but${shown} is none: ${fault}.`,
    )
  }
  return new CompiledPattern(text)
}

/**
 * The pattern `text` under the mount `prefix`, joined by one `/`; `''` is the prefix itself. A leading `/`
 * is an empty level, and `$share/group/` stays in front. The result is not checked: `pattern()` does that.
 */
export function joinPatterns(prefix: string, text: string): string {
  // So that pattern() is given what is no text as it came, and not as the text it would become.
  if (typeof text !== 'string') return text
  if (prefix === '' || text === '') return prefix + text
  if (!text.startsWith('$share/')) return `${prefix}/${text}`
  // What has no group is left alone: it must be refused as it was written, not become a literal level.
  const slash = text.indexOf('/', '$share/'.length)
  return slash < 0 ? text : text.slice(0, slash + 1) + joinPatterns(prefix, text.slice(slash + 1))
}

class CompiledPattern {
  readonly text: string
  readonly filter: string
  readonly share: string | undefined
  readonly #spec: CaptureSpec

  constructor(text: string) {
    const shared = splitShare(text)
    const own = shared?.filter ?? text
    this.text = text
    this.filter = clean(own)
    this.share = shared?.group
    this.#spec = captureSpec(own.split('/').flatMap((level, index) => captureOf(level, index) ?? []))
  }

  get names(): readonly string[] {
    return this.#spec.names
  }

  match(topic: string): RawParams | null {
    return isTopic(topic) && filterMatches(this.filter, topic) ? this.params(topic) : null
  }

  params(topic: string): RawParams {
    return this.#spec.extract(topic)
  }

  fill(params: Readonly<Record<string, unknown>>): string {
    const own = splitShare(this.text)?.filter ?? this.text
    const filled = own.split('/').flatMap((level, index) => this.#fillLevel(level, index, params))
    const topic = filled.join('/')
    const fault = topicFault(topic)
    if (fault !== undefined) throw this.#unfillable(`the result is no topic: ${fault}`)
    // The only way left to miss its own filter [MQTT-4.7.2-1].
    if (!filterMatches(this.filter, topic)) {
      throw this.#unfillable(
        `the result ${quote(topic)} begins with "$", which a leading wildcard does not match`,
      )
    }
    return topic
  }

  #fillLevel(level: string, index: number, values: Readonly<Record<string, unknown>>): string | string[] {
    const sign = level.charAt(0)
    if (sign !== '+' && sign !== '#') return level
    const name = level.slice(1)
    if (name === '') {
      throw this.#unfillable(
        `the "${sign}" at level ${index + 1} has no name. Write "${sign}name" to fill it`,
      )
    }
    const value =
      typeof values === 'object' && values !== null && Object.hasOwn(values, name) ? values[name] : undefined
    if (sign === '+') return this.#fillValue(name, value)
    if (!Array.isArray(value)) {
      throw this.#unfillable(`"${name}" must be an array of levels, but is ${shown(value)}`)
    }
    return Array.from(value, (item: unknown, at) => this.#fillValue(`${name}[${at}]`, item))
  }

  #fillValue(name: string, value: unknown): string {
    if (typeof value !== 'string' && !(typeof value === 'number' && Number.isFinite(value))) {
      throw this.#unfillable(`"${name}" must be a string or a number, but is ${shown(value)}`)
    }
    const text = String(value)
    if (text === '') throw this.#unfillable(`"${name}" is empty`)
    const at = text.search(/[/+#\0]/)
    if (at < 0) return text
    throw this.#unfillable(
      `"${name}" is ${quote(text)}, and character ${position(text, at)} of it would change the topic`,
    )
  }

  #unfillable(reason: string): MqttasgiError {
    return new MqttasgiError(
      'ERR_PATTERN_FILL',
      `The pattern ${quote(this.text)} can not be filled: ${reason}.`,
    )
  }
}

function shown(value: unknown): string {
  if (value === undefined) return 'missing'
  if (Array.isArray(value)) return 'an array'
  return value === null || typeof value === 'number' ? String(value) : `of type ${typeof value}`
}

function captureOf(level: string, index: number): Capture | undefined {
  const sign = level.charAt(0)
  return level.length > 1 && (sign === '+' || sign === '#')
    ? { name: level.slice(1), level: index, rest: sign === '#' }
    : undefined
}

/** The rules for wildcards and names; a share prefix has neither, and counts for the place. */
function levelsFault(text: string): string | undefined {
  const seen = new Map<string, number>()
  let start = 0
  for (const level of text.split('/')) {
    const fault = levelFault(level, start + level.length === text.length)
    if (fault !== undefined) return `${fault.reason} (character ${position(text, start + fault.offset)})`
    const name = /^[+#]/.test(level) ? level.slice(1) : ''
    const before = seen.get(name)
    if (name !== '' && before !== undefined) {
      return `the name ${quote(name)} is used twice (characters ${position(text, before)} and ${position(text, start)})`
    }
    seen.set(name, start)
    start += level.length + 1
  }
  return undefined
}

function levelFault(level: string, last: boolean): { reason: string; offset: number } | undefined {
  const wildcard = /^[+#]/.test(level)
  const inside = level.slice(wildcard ? 1 : 0).search(/[+#]/)
  if (inside >= 0) {
    const offset = inside + (wildcard ? 1 : 0)
    return { reason: `"${level.charAt(offset)}" must begin its level, and may not be part of a name`, offset }
  }
  if (level.startsWith('#') && !last) return { reason: '"#" must be the last level', offset: 0 }
  if (wildcard && level.slice(1) === '__proto__')
    return { reason: 'the name "__proto__" is not allowed', offset: 1 }
  return undefined
}

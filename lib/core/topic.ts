// The standard's rules for topic names and topic filters (4.7, 4.8.2, 1.5.4), without names and without state.
import { MqttasgiError } from './errors.ts'

const MAX_BYTES = 65_535
const SHARE = '$share/'
const DOLLAR = 36
const HASH = 35
const PLUS = 43

/** Both halves of a shared subscription's filter (4.8.2). */
export interface SharedFilter {
  readonly group: string
  readonly filter: string
}

/** The text as it can be shown in a message: quoted, escaped, and cut where it is long. */
export function quote(text: string): string {
  return text.length > 80 ? `${JSON.stringify(text.slice(0, 77)).slice(0, -1)}…"` : JSON.stringify(text)
}

/** Where `index` is, for people: characters counted from 1, a pair of surrogates being one. */
export function position(text: string, index: number): number {
  return Array.from(text.slice(0, index)).length + 1
}

/**
 * What makes `text` unfit to be any UTF-8 string of a topic or filter: the rules both share
 * [MQTT-4.7.3-1, MQTT-4.7.3-2, MQTT-4.7.3-3, MQTT-1.5.4-1].
 */
export function textFault(text: string): string | undefined {
  if (typeof text !== 'string') return `it must be a string, not ${text === null ? 'null' : typeof text}`
  if (text === '') return 'it must have at least one character'
  const nul = text.indexOf('\0')
  if (nul >= 0) return `NUL is not allowed (character ${position(text, nul)})`
  // With the u flag a pair is one character, so what is found is half of one.
  const half = text.search(/[\uD800-\uDFFF]/u)
  if (half >= 0) return `half a surrogate pair can not be sent as UTF-8 (character ${position(text, half)})`
  const bytes = text.length > MAX_BYTES ? text.length : Buffer.byteLength(text)
  return bytes > MAX_BYTES ? `it is longer than ${MAX_BYTES} bytes of UTF-8` : undefined
}

/**
 * What keeps `text` from being a topic name, and where; undefined when nothing does.
 *
 * @example
 * topicFault('a/+') // 'a topic has no wildcards, but character 3 is "+"'
 */
export function topicFault(text: string): string | undefined {
  const fault = textFault(text)
  if (fault !== undefined) return fault
  const at = text.search(/[+#]/)
  if (at < 0) return undefined
  return `a topic has no wildcards, but character ${position(text, at)} is "${text.charAt(at)}"`
}

/**
 * What keeps `text` from being a topic filter, and where; undefined when nothing does.
 *
 * @example
 * filterFault('a/b+') // '"+" must be a whole level (character 4)'
 */
export function filterFault(text: string): string | undefined {
  return textFault(text) ?? shareFault(text) ?? wildcardFault(text)
}

/** `$share/` must be followed by a group without wildcards, `/` and a filter [MQTT-4.8.2-1, MQTT-4.8.2-2]. */
export function shareFault(text: string): string | undefined {
  if (!text.startsWith(SHARE)) return undefined
  const slash = text.indexOf('/', SHARE.length)
  const group = slash < 0 ? text.slice(SHARE.length) : text.slice(SHARE.length, slash)
  if (group === '') return `the name of the share group is missing (character ${SHARE.length + 1})`
  const wildcard = group.search(/[+#]/)
  if (wildcard >= 0) {
    const at = position(text, SHARE.length + wildcard)
    return `the name of a share group has no wildcards, but character ${at} is "${group.charAt(wildcard)}"`
  }
  if (slash >= 0 && slash + 1 < text.length) return undefined
  return `after the share group "/" and a filter must follow (character ${position(text, text.length)})`
}

/** `+` and `#` are whole levels, `#` the last one [MQTT-4.7.1-1, MQTT-4.7.1-2]. */
function wildcardFault(text: string): string | undefined {
  for (const { index, 0: sign } of text.matchAll(/[+#]/g)) {
    const begins = index === 0 || text[index - 1] === '/'
    const ends = index + 1 === text.length || text[index + 1] === '/'
    if (!begins || !ends) return `"${sign}" must be a whole level (character ${position(text, index)})`
    if (sign === '#' && index + 1 < text.length) {
      return `"#" must be the last level (character ${position(text, index)})`
    }
  }
  return undefined
}

/**
 * Whether `text` is a topic filter by the standard, shared ones included: at most 65,535 bytes.
 *
 * @example
 * isFilter('sensors/+/temp') // true
 * isFilter('sensors/a+') // false
 */
export function isFilter(text: string): boolean {
  return filterFault(text) === undefined
}

/**
 * Whether `text` is a topic name by the standard: no wildcards, 1 to 65,535 bytes.
 *
 * @example
 * isTopic('sensors/hall/temp') // true
 * isTopic('sensors/+') // false
 */
export function isTopic(text: string): boolean {
  return topicFault(text) === undefined
}

/** Throws ERR_TOPIC_INVALID, saying what is wrong and where, unless `text` is a topic name. */
export function assertTopic(text: string): void {
  const fault = topicFault(text)
  if (fault === undefined) return
  const shown = typeof text === 'string' ? ` ${quote(text)}` : ''
  throw new MqttasgiError(
    'ERR_TOPIC_INVALID',
    `Expected a topic such as "sensors/hall/temp", but${shown} is none: ${fault}.`,
  )
}

/** What begins so is the filter of a shared subscription, at one broker or another; nothing is published there. */
const SUBSCRIPTIONS_ONLY = [SHARE, '$queue/']

/** Throws ERR_TOPIC_INVALID, saying why, unless `text` is a topic name that something can be published to. */
export function assertPublishTopic(text: string): void {
  assertTopic(text)
  const prefix = SUBSCRIPTIONS_ONLY.find((one) => text.startsWith(one))
  if (prefix === undefined) return
  throw new MqttasgiError(
    'ERR_TOPIC_INVALID',
    `Nothing can be published to ${quote(text)}: what begins with "${prefix}" is the filter of a shared subscription. Publish to the topic itself.`,
  )
}

/** Whether `topic` has more than `most` levels. Reads no further than it must. */
export function hasMoreLevels(topic: string, most: number): boolean {
  let levelsLeft = most
  for (let at = topic.indexOf('/'); at >= 0; at = topic.indexOf('/', at + 1)) {
    if (--levelsLeft <= 0) return true
  }
  return false
}

/** Throws ERR_FILTER_INVALID, saying what is wrong and where, unless `text` is a topic filter. */
export function assertFilter(text: string): void {
  const fault = filterFault(text)
  if (fault === undefined) return
  const shown = typeof text === 'string' ? ` ${quote(text)}` : ''
  throw new MqttasgiError(
    'ERR_FILTER_INVALID',
    `Expected a topic filter such as "sensors/+/temp" or "sensors/#", but${shown} is none: ${fault}.`,
  )
}

/**
 * The levels of a topic, filter or pattern: what stands between the slashes, empty levels included.
 *
 * @example
 * levels('/a//b') // ['', 'a', '', 'b']
 */
export function levels(text: string): string[] {
  return text.split('/')
}

/**
 * Group and filter of a shared subscription; null when `filter` is not a valid shared one.
 *
 * @example
 * sharedFilter('$share/office/sensors/#') // { group: 'office', filter: 'sensors/#' }
 */
export function sharedFilter(filter: string): SharedFilter | null {
  return isFilter(filter) ? splitShare(filter) : null
}

/** The same for a text whose share prefix, if it has one, is known to be whole. */
export function splitShare(text: string): SharedFilter | null {
  if (!text.startsWith(SHARE)) return null
  const slash = text.indexOf('/', SHARE.length)
  return { group: text.slice(SHARE.length, slash), filter: text.slice(slash + 1) }
}

/**
 * Whether a message published to `topic` is delivered to a subscription of `filter`.
 *
 * `$share/group/` is taken off first. False when either of them is invalid.
 *
 * @example
 * matches('sensors/+/temp', 'sensors/hall/temp') // true
 * matches('#', '$SYS/uptime') // false
 */
export function matches(filter: string, topic: string): boolean {
  if (!isFilter(filter) || !isTopic(topic)) return false
  return filterMatches(splitShare(filter)?.filter ?? filter, topic)
}

/** The same for a filter that is known to be valid and not shared, and a topic that is known to be valid. */
export function filterMatches(filter: string, topic: string): boolean {
  // A leading wildcard does not match what begins with $ [MQTT-4.7.2-1].
  const first = filter.charCodeAt(0)
  if (topic.charCodeAt(0) === DOLLAR && (first === PLUS || first === HASH)) return false
  let f = 0
  let t = 0
  for (;;) {
    const sign = filter.charCodeAt(f)
    if (sign === HASH) return true
    const topicEnd = levelEnd(topic, t)
    const filterEnd = sign === PLUS ? f + 1 : levelEnd(filter, f)
    if (sign !== PLUS && filter.slice(f, filterEnd) !== topic.slice(t, topicEnd)) return false
    if (filterEnd === filter.length) return topicEnd === topic.length
    // `a/#` matches its parent `a` as well (4.7.1.2).
    if (topicEnd === topic.length) return filter.length === filterEnd + 2 && filter.endsWith('#')
    f = filterEnd + 1
    t = topicEnd + 1
  }
}

function levelEnd(text: string, start: number): number {
  const slash = text.indexOf('/', start)
  return slash < 0 ? text.length : slash
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * The topic name that `bytes` are on the wire, or null when they are none: ill-formed UTF-8, NUL,
 * wildcards, nothing at all, or more than 65,535 bytes. A byte order mark is kept [MQTT-1.5.4-3].
 *
 * @example
 * decodeTopic(Buffer.from('a/b')) // 'a/b'
 * decodeTopic(Buffer.from([0xc0, 0xaf])) // null: an overlong slash
 */
export function decodeTopic(bytes: Uint8Array): string | null {
  if (bytes.length === 0 || bytes.length > MAX_BYTES) return null
  const buffer = Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const text = buffer.toString('utf8')
  if (/[\0+#]/.test(text)) return null
  // The quick decoder puts U+FFFD where bytes are ill-formed; only then are they looked at again.
  return text.includes('\uFFFD') && !isStrictUtf8(bytes) ? null : text
}

function isStrictUtf8(bytes: Uint8Array): boolean {
  try {
    strictUtf8.decode(bytes)
    return true
  } catch {
    return false
  }
}

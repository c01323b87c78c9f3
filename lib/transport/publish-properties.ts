// The properties of an inbound PUBLISH (3.3.2.3): checked as they lie in the frame, decoded when they are read.
import type { MessageProperties } from '../core/message.ts'
import { readInteger } from './variable-byte-integer.ts'

const PAYLOAD_FORMAT_INDICATOR = 0x01
const MESSAGE_EXPIRY_INTERVAL = 0x02
const CONTENT_TYPE = 0x03
const RESPONSE_TOPIC = 0x08
const CORRELATION_DATA = 0x09
const SUBSCRIPTION_IDENTIFIER = 0x0b
const TOPIC_ALIAS = 0x23
const USER_PROPERTY = 0x26

/** What every message without properties has. */
export const NO_PROPERTIES: MessageProperties = Object.freeze(Object.create(null))
/** What every message without Subscription Identifiers has. */
export const NO_IDENTIFIERS: readonly number[] = Object.freeze([])

/** What is wrong with the block `bytes[start..end)`, or the Subscription Identifiers in it. */
export function checkProperties(bytes: Buffer, start: number, end: number): string | readonly number[] {
  let seen = 0
  let identifiers: number[] | undefined
  let next = start
  for (let at = start; at < end; at = next) {
    const property = bytes[at]!
    next = afterProperty(bytes, at, end)
    if (next > end) return 'a property is cut short or unknown'
    if (property === SUBSCRIPTION_IDENTIFIER) {
      const identifier = readInteger(bytes, at + 1, end) >> 3
      if (identifier === 0) return 'Subscription Identifier 0 (3.3.2.3.8)'
      if (identifiers === undefined) identifiers = [identifier]
      else identifiers.push(identifier)
    } else if (property === TOPIC_ALIAS) {
      return 'a Topic Alias, though we allowed none [MQTT-3.1.2-27]'
    } else if (property !== USER_PROPERTY) {
      // What is left has identifiers up to 9, and each may come once.
      if ((seen & (1 << property)) !== 0) return `property ${property} comes twice (3.3.2.3)`
      seen |= 1 << property
    }
  }
  return identifiers ?? NO_IDENTIFIERS
}

/** Where the property after the one at `at` begins; beyond `end` when it is cut short or none of PUBLISH. */
function afterProperty(bytes: Buffer, at: number, end: number): number {
  switch (bytes[at]) {
    case PAYLOAD_FORMAT_INDICATOR:
      return at + 2
    case MESSAGE_EXPIRY_INTERVAL:
      return at + 5
    case CONTENT_TYPE:
    case RESPONSE_TOPIC:
    case CORRELATION_DATA:
      return afterField(bytes, at + 1, end)
    case SUBSCRIPTION_IDENTIFIER: {
      const identifier = readInteger(bytes, at + 1, end)
      return identifier > 0 ? at + 1 + (identifier & 7) : end + 1
    }
    case TOPIC_ALIAS:
      return at + 3
    case USER_PROPERTY:
      return afterField(bytes, afterField(bytes, at + 1, end), end)
    default:
      return end + 1
  }
}

/** Behind a string or binary field with its two bytes of length (1.5.4, 1.5.6). */
function afterField(bytes: Buffer, at: number, end: number): number {
  return at + 2 > end ? end + 1 : at + 2 + ((bytes[at]! << 8) | bytes[at + 1]!)
}

/**
 * Decodes a block that has passed, of which `identifiers` are known. Neither the object nor its user properties have
 * a prototype: `__proto__` is a name like any other.
 */
export function decodeProperties(block: Buffer, identifiers: readonly number[]): MessageProperties {
  const properties: { -readonly [Name in keyof MessageProperties]: MessageProperties[Name] } =
    Object.create(null)
  let pairs: Record<string, string[]> | undefined
  let next = 0
  for (let at = 0; at < block.length; at = next) {
    next = afterProperty(block, at, block.length)
    switch (block[at]) {
      case PAYLOAD_FORMAT_INDICATOR:
        properties.payloadFormatIndicator = block[at + 1] !== 0
        break
      case MESSAGE_EXPIRY_INTERVAL:
        properties.messageExpiryInterval = block.readUInt32BE(at + 1)
        break
      case CONTENT_TYPE:
        properties.contentType = block.toString('utf8', at + 3, next)
        break
      case RESPONSE_TOPIC:
        properties.responseTopic = block.toString('utf8', at + 3, next)
        break
      case CORRELATION_DATA:
        properties.correlationData = block.subarray(at + 3, next)
        break
      case USER_PROPERTY:
        pairs = addPair(block, at + 1, pairs ?? Object.create(null))
        break
    }
  }
  if (pairs !== undefined) properties.userProperties = pairs
  if (identifiers.length > 0) properties.subscriptionIdentifiers = identifiers
  return properties
}

/** A name may come more than once, and the order of its values is kept (3.3.2.3.7). */
function addPair(block: Buffer, at: number, pairs: Record<string, string[]>): Record<string, string[]> {
  const middle = afterField(block, at, block.length)
  const name = block.toString('utf8', at + 2, middle)
  const value = block.toString('utf8', middle + 2, afterField(block, middle, block.length))
  const values = pairs[name]
  if (values === undefined) pairs[name] = [value]
  else values.push(value)
  return pairs
}

/** Where the four bytes of the Message Expiry Interval are in a block that has passed; -1 without one. */
export function expiryOffset(block: Buffer): number {
  for (let at = 0; at < block.length; at = afterProperty(block, at, block.length)) {
    if (block[at] === MESSAGE_EXPIRY_INTERVAL) return at + 1
  }
  return -1
}

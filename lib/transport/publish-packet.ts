// A PUBLISH as it lies in its frame: checked when it comes, payload and properties made when they are read.
import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import type { MessageProperties, QoS } from '../core/message.ts'
import { topicFault } from '../core/topic.ts'
import {
  checkProperties,
  decodeProperties,
  expiryOffset,
  NO_IDENTIFIERS,
  NO_PROPERTIES,
} from './publish-properties.ts'
import type { Arrival } from './transport.ts'
import { readInteger } from './variable-byte-integer.ts'

const TOO_SHORT = 'it ends before its topic and packet identifier do'
/** Of base64url, six bits each: enough that no two messages of one session ever share it. */
const FINGERPRINT_LENGTH = 22
const PLUS = 0x2b
const HASH = 0x23

/** Finds the parts of a PUBLISH. One per connection, filled again for each packet, so that nothing is allocated. */
export class PublishScanner {
  protocolVersion: 4 | 5 = 5
  /** Where the frame, its properties (without their length) and its payload begin, and where the frame ends. */
  start = 0
  properties = 0
  payload = 0
  end = 0
  qos: QoS = 0
  dup = false
  packetId = 0
  topic = ''
  /** What is wrong with the topic. Not a fault of the packet: to close for it would bring it back for ever. */
  invalid: string | undefined = undefined
  identifiers: readonly number[] = NO_IDENTIFIERS

  /** Reads the whole frame `frame[start..end)`. Returns what is malformed. */
  scan(frame: Buffer, start: number, end: number): string | undefined {
    const fault = this.scanHead(frame, start, end)
    if (fault !== undefined || this.protocolVersion === 4) return fault
    const length = readInteger(frame, this.payload, end)
    const from = this.payload + (length & 7)
    const to = from + (length >> 3)
    if (length <= 0 || to > end) return 'its properties run past its end'
    this.properties = from
    this.payload = to
    if (from === to) return undefined
    const found = checkProperties(frame, from, to)
    if (typeof found === 'string') return found
    this.identifiers = found
    return undefined
  }

  /** Reads topic and packet identifier only, all of which must lie before `end`. Returns what is malformed. */
  scanHead(frame: Buffer, start: number, end: number): string | undefined {
    let at = start + 1
    while (frame[at++]! > 127);
    if (at + 2 > end) return TOO_SHORT
    const topicEnd = at + 2 + ((frame[at]! << 8) | frame[at + 1]!)
    const qos = ((frame[start]! >> 1) & 3) as QoS | 3
    if (qos === 3) return 'its QoS is 3 [MQTT-3.3.1-4]'
    const headEnd = qos === 0 ? topicEnd : topicEnd + 2
    if (headEnd > end) return TOO_SHORT
    this.qos = qos
    this.dup = (frame[start]! & 8) !== 0
    this.packetId = qos === 0 ? 0 : (frame[topicEnd]! << 8) | frame[topicEnd + 1]!
    if (qos !== 0 && this.packetId === 0) return 'its packet identifier is 0 [MQTT-2.2.1-4]'
    this.#readTopic(frame, at + 2, topicEnd)
    this.start = start
    this.properties = headEnd
    this.payload = headEnd
    this.end = end
    this.identifiers = NO_IDENTIFIERS
    return undefined
  }

  #readTopic(frame: Buffer, start: number, end: number): void {
    if (isPlain(frame, start, end)) {
      this.topic = frame.toString('latin1', start, end)
      this.invalid = undefined
      return
    }
    const bytes = frame.subarray(start, end)
    this.topic = bytes.toString('utf8')
    this.invalid = isUtf8(bytes) ? topicFault(this.topic) : 'it is not well-formed UTF-8'
  }
}

/** Printable ASCII without wildcards, as nearly all topics are: nothing more to check or decode. */
function isPlain(bytes: Buffer, start: number, end: number): boolean {
  if (start === end) return false
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!
    if (byte < 0x20 || byte > 0x7e || byte === PLUS || byte === HASH) return false
  }
  return true
}

/**
 * One message off the wire. `payload` is a view into the bytes of the connection, and so is everything that is made
 * from it later: as long as it is kept, they are.
 */
export class PublishPacket implements Arrival {
  readonly topic: string
  readonly qos: QoS
  readonly retain: boolean
  readonly dup: boolean
  readonly packetId: number
  readonly bytes: number
  readonly invalid: string | undefined
  readonly subscriptionIdentifiers: readonly number[]
  share: string | null | undefined
  settled: boolean
  readonly #frame: Buffer
  readonly #propertiesStart: number
  readonly #payloadStart: number
  readonly #end: number
  #payload: Buffer | undefined
  #properties: MessageProperties | undefined

  /** `packet` has just scanned a whole packet in `frame` and found no fault with it. */
  constructor(packet: PublishScanner, frame: Buffer) {
    const first = frame[packet.start]!
    this.topic = packet.topic
    this.qos = packet.qos
    this.retain = (first & 1) !== 0
    this.dup = (first & 8) !== 0
    this.packetId = packet.packetId
    this.bytes = packet.end - packet.start
    this.invalid = packet.invalid
    this.subscriptionIdentifiers = packet.identifiers
    this.share = undefined
    this.settled = false
    this.#frame = frame
    this.#propertiesStart = packet.properties
    this.#payloadStart = packet.payload
    this.#end = packet.end
    this.#payload = undefined
    this.#properties = undefined
  }

  get payload(): Buffer {
    return (this.#payload ??= this.#frame.subarray(this.#payloadStart, this.#end))
  }

  get properties(): MessageProperties {
    return (this.#properties ??= this.#decode())
  }

  #decode(): MessageProperties {
    if (this.#propertiesStart === this.#payloadStart) return NO_PROPERTIES
    return decodeProperties(this.#block(), this.subscriptionIdentifiers)
  }

  /** Compares bytes, without decoding. Only what a redelivery may change is left out: DUP, packet identifier, expiry. */
  equals(other: Arrival): boolean {
    if (!(#frame in other) || other.topic !== this.topic || other.qos !== this.qos) return false
    if (!this.payload.equals(other.payload)) return false
    const [mine, others] = [this.#block(), other.#block()]
    if (mine.equals(others)) return true
    // A redelivery carries what is left of the Message Expiry Interval by then [MQTT-3.3.2-6].
    const at = expiryOffset(mine)
    return (
      at >= 0 &&
      mine.subarray(0, at).equals(others.subarray(0, at)) &&
      mine.subarray(at + 4).equals(others.subarray(at + 4))
    )
  }

  /** Equal where two packets are equal, and only there. Of what `equals` compares. */
  fingerprint(): string {
    const block = this.#block()
    const at = expiryOffset(block)
    const hash = createHash('sha256').update(`${this.topic}\n${block.length} ${this.payload.length}\n`)
    if (at < 0) hash.update(block)
    else hash.update(block.subarray(0, at)).update(block.subarray(at + 4))
    return hash.update(this.payload).digest('base64url').slice(0, FINGERPRINT_LENGTH)
  }

  #block(): Buffer {
    return this.#frame.subarray(this.#propertiesStart, this.#payloadStart)
  }
}

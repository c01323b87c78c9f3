// Splits the bytes of a connection into MQTT frames: PUBLISH and PUBREL are ours, all else passes on unchanged.
import type { QoS } from '../core/message.ts'
import { PublishPacket, PublishScanner } from './publish-packet.ts'
import { readRelease } from './release-packet.ts'
import type { SkippedPacket } from './transport.ts'
import { INCOMPLETE, MALFORMED, readInteger } from './variable-byte-integer.ts'

const NOTHING = Buffer.alloc(0)
/** Type and length: at most five bytes (2.1). */
const MAX_HEADER = 5
/** As much as topic and packet identifier can take, with all that stands before them. */
const MAX_HEAD = MAX_HEADER + 2 + 65_535 + 2

/** Who takes what the reader finds. None of these may throw: the rest of the chunk would be lost. */
export interface PacketSink {
  /** A whole PUBLISH. */
  publish(arrival: PublishPacket): void
  /** A PUBREL (3.6). */
  release(packetId: number): void
  /** Bytes for the client, whole frames or parts of one, in order. */
  pass(bytes: Buffer): void
  /**
   * A PUBLISH above the limit went by without being kept. Told with its last byte; its acknowledgement is
   * owed unless `packetId` is 0.
   */
  skipped(packet: SkippedPacket, qos: QoS): void
  /** The bytes are not MQTT: nothing more is read from this connection. Called once. */
  violation(message: string): void
}

/**
 * What the next byte is. boundary: a frame's first · header: of a frame whose length is not known yet · pass: of a
 * frame for the client · collect: of a PUBLISH that came in parts, or the head of one to skip · skip: the rest of
 * it · stopped: nothing to us.
 */
type State = 'boundary' | 'header' | 'pass' | 'collect' | 'skip' | 'stopped'

/** One per connection. Pure: it knows bytes only. Whole frames are read where they lie in the chunk. */
export class PacketReader {
  /** What CONNECT asked for: 5 has properties, 4 has none. To be set before the first PUBLISH. */
  protocolVersion: 4 | 5 = 5
  readonly #sink: PacketSink
  readonly #maxPacketBytes: number
  readonly #scanner = new PublishScanner()
  readonly #header = Buffer.alloc(MAX_HEADER)
  #state: State = 'boundary'
  /** header and collect: how many bytes are kept. */
  #kept = 0
  /** pass and skip: how many bytes of the frame are to come. */
  #left = 0
  /** collect: the frame or its head, how many bytes of it are wanted, and how many the whole frame has. */
  #frame: Buffer = NOTHING
  #wanted = 0
  #size = 0

  /** `maxPacketBytes` counts whole frames, as Maximum Packet Size does (3.1.2.11.4). */
  constructor(sink: PacketSink, options: { readonly maxPacketBytes: number }) {
    this.#sink = sink
    this.#maxPacketBytes = options.maxPacketBytes
  }

  /** Takes the next bytes of the connection; all calls of the sink are made before it returns. */
  feed(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length) {
      at = this.#state === 'boundary' ? this.#readFrames(chunk, at) : this.#readPart(chunk, at)
    }
  }

  /** All frames that are whole in the chunk. Returns where it stopped: at its end, or where `#state` has changed. */
  #readFrames(chunk: Buffer, from: number): number {
    let at = from
    let passed = from
    while (at < chunk.length) {
      const first = chunk[at]!
      const length = readInteger(chunk, at + 1, chunk.length)
      const end = at + frameSize(length)
      if (length <= 0 || end > chunk.length || end - at > this.#maxPacketBytes) break
      if (isOurs(first)) {
        if (passed < at) this.#sink.pass(chunk.subarray(passed, at))
        this.#take(chunk, at, end)
        if (this.#state === 'stopped') return chunk.length
        passed = end
      }
      at = end
    }
    if (passed < at) this.#sink.pass(chunk.subarray(passed, at))
    if (at < chunk.length) this.#open(chunk[at]!, readInteger(chunk, at + 1, chunk.length))
    return at
  }

  /** The next bytes of a frame that is not whole in one chunk, or too large. Returns where it stopped. */
  #readPart(chunk: Buffer, at: number): number {
    switch (this.#state) {
      case 'header':
        this.#readHeader(chunk[at]!)
        return at + 1
      case 'collect': {
        const end = Math.min(chunk.length, at + this.#wanted - this.#kept)
        this.#kept += chunk.copy(this.#frame, this.#kept, at, end)
        if (this.#kept === this.#wanted) this.#collected()
        return end
      }
      case 'pass':
      case 'skip':
        return this.#readRest(chunk, at, this.#state)
      default:
        return chunk.length
    }
  }

  #readHeader(byte: number): void {
    this.#header[this.#kept++] = byte
    const length = readInteger(this.#header, 1, this.#kept)
    if (length === INCOMPLETE) return
    // A copy, because the client may keep what passes.
    const header = Buffer.from(this.#header.subarray(0, this.#kept))
    this.#open(header[0]!, length)
    this.feed(header)
  }

  /** Decides what becomes of a frame of which no byte has been taken yet. */
  #open(first: number, length: number): void {
    this.#kept = 0
    this.#size = frameSize(length)
    const oversized = this.#size > this.#maxPacketBytes
    if (length === MALFORMED) {
      this.#stop('A packet has a length of more than four bytes (1.5.5): this is not MQTT.')
    } else if (length === INCOMPLETE) {
      this.#state = 'header'
    } else if (isOurs(first) && (isPublish(first) || !oversized)) {
      this.#state = 'collect'
      this.#wanted = oversized ? Math.min(this.#size, MAX_HEADER + 2) : this.#size
      this.#frame = Buffer.allocUnsafe(oversized ? Math.min(this.#size, MAX_HEAD) : this.#size)
    } else if (oversized) {
      const limit = `${this.#maxPacketBytes} are allowed`
      this.#stop(`A packet of type ${first >> 4} that can not be skipped has ${this.#size} bytes; ${limit}.`)
    } else {
      this.#state = 'pass'
      this.#left = this.#size
    }
  }

  /** All that was wanted is there: the whole frame, or more and more of the head of one to skip. */
  #collected(): void {
    if (this.#size <= this.#maxPacketBytes) {
      const frame = this.#frame
      this.#frame = NOTHING
      this.#state = 'boundary'
      return this.#take(frame, 0, this.#size)
    }
    this.#wanted = Math.min(this.#size, headSize(this.#frame))
    if (this.#kept < this.#wanted) return
    const fault = this.#scanner.scanHead(this.#frame, 0, this.#wanted)
    this.#frame = NOTHING
    if (fault !== undefined) return this.#stop(`A PUBLISH can not be read: ${fault}.`)
    this.#left = this.#size - this.#kept
    if (this.#left === 0) this.#skipped()
    else this.#state = 'skip'
  }

  #readRest(chunk: Buffer, at: number, state: 'pass' | 'skip'): number {
    const end = Math.min(chunk.length, at + this.#left)
    this.#left -= end - at
    if (state === 'pass') {
      if (this.#left === 0) this.#state = 'boundary'
      this.#sink.pass(chunk.subarray(at, end))
    } else if (this.#left === 0) this.#skipped()
    return end
  }

  #skipped(): void {
    this.#state = 'boundary'
    const { dup, packetId, qos, topic } = this.#scanner
    this.#sink.skipped({ packetId, bytes: this.#size, topic, dup }, qos)
  }

  /** A whole frame of ours. */
  #take(frame: Buffer, start: number, end: number): void {
    if (!isPublish(frame[start]!)) return this.#release(frame.subarray(start, end))
    const scanner = this.#scanner
    scanner.protocolVersion = this.protocolVersion
    const fault = scanner.scan(frame, start, end)
    if (fault === undefined) this.#sink.publish(new PublishPacket(scanner, frame))
    else this.#stop(`A PUBLISH can not be read: ${fault}.`)
  }

  #release(frame: Buffer): void {
    const read = readRelease(frame, this.protocolVersion)
    if (typeof read === 'number') this.#sink.release(read)
    else this.#stop(`A PUBREL can not be read: ${read}.`)
  }

  #stop(message: string): void {
    this.#state = 'stopped'
    this.#sink.violation(message)
  }
}

function isOurs(first: number): boolean {
  return isPublish(first) || (first & 0xf0) === 0x60
}

/** Whatever its QoS: 3 as well, so that it is found to be malformed. */
function isPublish(first: number): boolean {
  return (first & 0xf0) === 0x30
}

/** Of a whole frame, from the length in its header. */
function frameSize(length: number): number {
  return 1 + (length & 7) + (length >> 3)
}

/** Up to the end of topic and packet identifier; the length of the topic must be there. */
function headSize(frame: Buffer): number {
  const at = 1 + (readInteger(frame, 1, frame.length) & 7)
  const topic = (frame[at]! << 8) | frame[at + 1]!
  return at + 2 + topic + ((frame[0]! & 0x06) === 0 ? 0 : 2)
}

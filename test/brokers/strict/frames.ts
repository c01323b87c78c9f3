// Cuts the bytes of a connection into packets, each with its own bytes beside it.
import { parser, type Packet } from 'mqtt-packet'
import { fault, type Fault } from './violation.ts'

export interface Frame {
  readonly packet: Packet
  readonly bytes: Buffer
}

/** The reader of one connection. CONNECT tells it the version. */
export class Frames {
  readonly #parser = parser()
  #rest: Buffer = Buffer.alloc(0)
  #read: Packet | undefined
  #error: Error | undefined

  constructor() {
    this.#parser.on('packet', (packet) => (this.#read = packet))
    this.#parser.on('error', (error: Error) => (this.#error = error))
  }

  /** Every packet that is whole by now; the last thing can be a fault, and nothing can be read after it. */
  *push(chunk: Buffer): Generator<Frame | Fault> {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    for (;;) {
      const size = frameSize(this.#rest)
      if (size === undefined) return
      if (size === 'malformed') return yield fault('malformed', 'Remaining Length of more than four bytes')
      if (this.#rest.length < size) return
      const bytes = this.#rest.subarray(0, size)
      this.#rest = this.#rest.subarray(size)
      yield this.#parse(bytes)
    }
  }

  #parse(bytes: Buffer): Frame | Fault {
    this.#read = undefined
    this.#parser.parse(bytes)
    if (this.#error !== undefined) return fault('malformed', this.#error.message)
    if (this.#read === undefined) return fault('malformed', 'a packet that is longer than it says')
    return { packet: this.#read, bytes }
  }
}

/** Header and body; undefined when more bytes are needed to know. */
function frameSize(bytes: Buffer): number | 'malformed' | undefined {
  let length = 0
  for (let i = 1; i <= 4; i++) {
    const byte = bytes[i]
    if (byte === undefined) return undefined
    length += (byte & 0x7f) * 128 ** (i - 1)
    if (byte < 0x80) return 1 + i + length
  }
  return 'malformed'
}

// What the frames of one direction of a websocket carry (RFC 6455, 5.2), behind the head of HTTP that opens it.

const HEAD_END = '\r\n\r\n'
/** Their opcodes have this bit: ping, pong and close, which may stand between the frames of a message (5.4). */
const CONTROL = 0x08

interface Frame {
  readonly isControl: boolean
  readonly content: Buffer
  /** Of the whole frame, in bytes. */
  readonly size: number
}

/** Fed with bytes as they pass. Without extensions: we offer no compression. */
export class WebSocketContent {
  #rest: Buffer = Buffer.alloc(0)
  #isOpen = false

  /** The content of the frames that these bytes complete. */
  of(bytes: Buffer): Buffer[] {
    this.#rest = Buffer.concat([this.#rest, bytes])
    if (!this.#isOpen) this.#open()
    const contents: Buffer[] = []
    let frame = this.#isOpen ? frameOf(this.#rest) : undefined
    for (; frame !== undefined; frame = frameOf(this.#rest)) {
      if (!frame.isControl) contents.push(frame.content)
      this.#rest = this.#rest.subarray(frame.size)
    }
    return contents
  }

  #open(): void {
    const end = this.#rest.indexOf(HEAD_END)
    if (end < 0) return
    this.#isOpen = true
    this.#rest = this.#rest.subarray(end + HEAD_END.length)
  }
}

/** The first one, where all of it is there. */
function frameOf(bytes: Buffer): Frame | undefined {
  const [first, second] = bytes
  if (first === undefined || second === undefined) return undefined
  const isMasked = (second & 0x80) !== 0
  const short = second & 0x7f
  const more = short === 127 ? 8 : short === 126 ? 2 : 0
  const start = 2 + more + (isMasked ? 4 : 0)
  if (bytes.length < start) return undefined
  const length = more === 8 ? Number(bytes.readBigUInt64BE(2)) : more === 2 ? bytes.readUInt16BE(2) : short
  const size = start + length
  if (bytes.length < size) return undefined
  const content = Buffer.from(bytes.subarray(start, size))
  const mask = isMasked ? bytes.subarray(start - 4, start) : Buffer.alloc(4)
  for (let at = 0; at < length; at++) content[at] = (content[at] ?? 0) ^ (mask[at % 4] ?? 0)
  return { isControl: (first & CONTROL) !== 0, content, size }
}

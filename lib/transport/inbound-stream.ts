// The stream MQTT.js is given instead of the socket: PUBLISH and PUBREL are taken out on the way in, the rest passes.
import { Duplex } from 'node:stream'
import { greetingFault } from './connect-failure.ts'
import { PacketReader, type PacketSink } from './packet-reader.ts'
import type { Ending } from './transport.ts'

/** DISCONNECT with reason code 0, in 3.1.1 and in MQTT 5 (3.14.2.1). */
const DISCONNECT = [0xe0, 0x00] as const
/** The same with a Session Expiry Interval of 0 (3.14.2.2.2). */
const DISCONNECT_FOR_GOOD = [0xe0, 0x07, 0x00, 0x05, 0x11, 0, 0, 0, 0] as const

/** Who takes what is kept from MQTT.js. */
export type InboundSink = Pick<PacketSink, 'publish' | 'release' | 'skipped' | 'violation'>

/** How the bytes are to be read. */
export interface InboundOptions {
  readonly protocolVersion: 4 | 5
  readonly maxPacketBytes: number
}

/**
 * One connection. It owns the socket: destroying the one destroys the other.
 *
 * Emits `error` with the socket's error, and `close` last, as every stream. Each packet MQTT.js writes is corked, so
 * it reaches this stream's queue in one piece, and what we write stands before or behind it.
 */
export class InboundStream extends Duplex {
  readonly #socket: Duplex
  readonly #sink: InboundSink
  readonly #reader: PacketReader
  #bytesRead = 0
  #bytesWritten = 0
  #greeted = false
  #reached = false
  /** The two reasons not to read: ours, and a full queue in front of MQTT.js. */
  #held = false
  #full = false
  /** The other side has said its last byte. */
  #ended = false
  #cause: Error | undefined
  #drained: (() => void) | undefined
  #goodbye: Buffer | undefined
  #saidGoodbye = false
  #timer: NodeJS.Timeout | undefined

  constructor(socket: Duplex, sink: InboundSink, options: InboundOptions) {
    super()
    this.#socket = socket
    this.#sink = sink
    this.#reader = new PacketReader(
      {
        publish: (arrival) => sink.publish(arrival),
        release: (packetId) => sink.release(packetId),
        skipped: (packet, qos) => sink.skipped(packet, qos),
        violation: (message) => sink.violation(message),
        pass: (bytes) => this.#pass(bytes),
      },
      { maxPacketBytes: options.maxPacketBytes },
    )
    this.#reader.protocolVersion = options.protocolVersion
    socket.once('connect', () => (this.#reached = true))
    socket.on('data', (chunk: Buffer) => this.#receive(chunk))
    socket.on('drain', () => this.#drain())
    socket.on('end', () => this.#finished())
    socket.on('error', (error) => this.#finished(error))
    socket.on('close', () => this.#finished())
  }

  /** Bytes could flow at some time. */
  get reached(): boolean {
    return this.#reached
  }

  /** Off the socket. */
  get bytesRead(): number {
    return this.#bytesRead
  }

  /** Given to the socket. */
  get bytesWritten(): number {
    return this.#bytesWritten
  }

  /** Stop reading the socket, whatever MQTT.js's own side of the stream does. */
  hold(): void {
    if (this.#goodbye !== undefined) return
    this.#held = true
    this.#flow()
  }

  release(): void {
    this.#held = false
    this.#flow()
  }

  /** The other side, or we, have said the last byte: what is written now goes nowhere. */
  get spent(): boolean {
    return this.destroyed || this.#ended || this.#goodbye !== undefined
  }

  /**
   * DISCONNECT behind all that was written, half-close, read to the end; destroyed then, or after `timeoutMs`. To close
   * with bytes unread makes the kernel answer RST, and the other side may drop our last acknowledgements for it.
   */
  finish(timeoutMs: number, { endsSession }: Ending = { endsSession: false }): void {
    if (this.destroyed || this.#goodbye !== undefined) return
    const isTellable = endsSession && this.#reader.protocolVersion === 5
    this.#goodbye = Buffer.from(isTellable ? DISCONNECT_FOR_GOOD : DISCONNECT)
    this.#timer = setTimeout(() => this.destroy(), timeoutMs)
    this.#held = false
    this.#full = false
    this.#flow()
    this.write(this.#goodbye)
  }

  override _read(): void {
    this.#full = false
    this.#flow()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#send([chunk], done)
  }

  override _writev(items: { chunk: Buffer }[], done: () => void): void {
    this.#send(
      items.map((item) => item.chunk),
      done,
    )
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.#timer)
    // Its listeners stay: an error that comes later must find one.
    this.#socket.destroy()
    done(error)
  }

  #flow(): void {
    if (this.destroyed) return
    if (this.#held || this.#full) this.#socket.pause()
    else this.#socket.resume()
  }

  #receive(chunk: Buffer): void {
    if (this.destroyed) return
    this.#bytesRead += chunk.length
    if (!this.#greeted) {
      this.#greeted = true
      const fault = greetingFault(chunk)
      if (fault !== undefined) return this.#sink.violation(fault)
    }
    this.#reader.feed(chunk)
  }

  #pass(bytes: Buffer): void {
    // Once we have said goodbye all is read to the end, for that is the point of waiting.
    if (this.destroyed || this.push(bytes) || this.#goodbye !== undefined) return
    this.#full = true
    this.#flow()
  }

  /** In one piece: a packet of MQTT.js comes in five and more, and each would be a websocket frame of its own. */
  #send(chunks: readonly Buffer[], done: () => void): void {
    if (this.#ended || this.#saidGoodbye) return done()
    const last = this.#goodbye === undefined ? -1 : chunks.indexOf(this.#goodbye)
    const wanted = last < 0 ? chunks : chunks.slice(0, last + 1)
    const [first] = wanted
    for (const { length } of wanted) this.#bytesWritten += length
    const flows = this.#socket.write(wanted.length === 1 ? first : Buffer.concat(wanted))
    if (last >= 0) {
      // Nothing may follow a DISCONNECT [MQTT-3.14.4-2]; what MQTT.js writes from here on is dropped.
      this.#saidGoodbye = true
      this.#socket.end()
      return done()
    }
    if (flows) done()
    else this.#drained = done
  }

  #drain(): void {
    const done = this.#drained
    this.#drained = undefined
    done?.()
  }

  /**
   * By end, error or close, whichever comes first; TLS gives its error right behind its end. MQTT.js gets a turn for
   * what it was given before.
   */
  #finished(error?: Error): void {
    this.#cause ??= error
    if (this.#ended) return
    this.#ended = true
    setImmediate(() => this.destroy(this.#cause))
  }
}

// Answers the broker for its messages on the connection that is up: PUBACK at once, PUBREC and PUBCOMP as exchanges allow.
import type { ExchangeStore } from '../core/exchange-store.ts'
import type { QoS } from '../core/message.ts'
import { encodeAnswers, encodePubacks } from './answer.ts'
import { Exchanges } from './exchanges.ts'
import type { PublishPacket } from './publish-packet.ts'
import type { SkippedPacket } from './transport.ts'

/** Where the bytes go. */
export interface AnswerStream {
  /** Nothing can be written any more. */
  readonly spent: boolean
  write(bytes: Buffer): unknown
}

/** One per transport: the exchanges of QoS 2 outlive a connection. */
export class Acknowledger {
  readonly #exchanges: Exchanges
  #stream: AnswerStream | undefined
  #protocolVersion: 4 | 5 = 5
  #flushing = false

  constructor(store: ExchangeStore | undefined) {
    this.#exchanges = new Exchanges(store, () => this.#flushSoon())
  }

  /** CONNECT may be sent when this has resolved; at once when there is nothing to wait for. */
  connecting(): Promise<void> | undefined {
    return this.#exchanges.connecting()
  }

  /** CONNACK said yes. Resolves when messages may be handed on. */
  connected(stream: AnswerStream, protocolVersion: 4 | 5, sessionPresent: boolean): Promise<void> {
    this.#stream = stream
    this.#protocolVersion = protocolVersion
    return this.#exchanges.connected(sessionPresent)
  }

  disconnected(): void {
    this.#stream = undefined
    this.#exchanges.disconnected()
  }

  /** Called for each message before it is handed on. QoS 1 costs nothing as long as there is no QoS 2. */
  arrived(packet: PublishPacket): void {
    if (packet.qos === 2) packet.settled = this.#exchanges.published(packet)
    else if (packet.qos === 1 && !this.#exchanges.isEmpty) this.#exchanges.passed(packet.packetId)
  }

  /** It is acknowledged in its turn, as if it were new. */
  skipped({ bytes, packetId, topic }: SkippedPacket, qos: QoS): void {
    if (qos !== 2) return
    this.#exchanges.published({ packetId, dup: false, fingerprint: () => `${bytes} ${topic}` })
  }

  released(packetId: number): void {
    this.#exchanges.released(packetId)
  }

  /** See `Transport`. */
  settled(packetId: number): Promise<void> | undefined {
    return this.#exchanges.settled(packetId)
  }

  /** See `Transport`. */
  acknowledge(packetIds: readonly number[], reasonCodes?: ReadonlyMap<number, number>): boolean {
    const stream = this.#stream
    if (stream === undefined || stream.spent) return false
    if (packetIds.length === 0) return true
    if (this.#exchanges.isEmpty && reasonCodes === undefined) stream.write(encodePubacks(packetIds))
    else {
      // MQTT 3.1.1 has none: there a PUBREC refuses nothing.
      this.#exchanges.acknowledge(packetIds, this.#protocolVersion === 5 ? reasonCodes : undefined)
      this.#flush()
    }
    return true
  }

  /** Resolves when nothing is left that could still be answered. */
  async idle(): Promise<void> {
    await this.#exchanges.idle()
    this.#flush()
  }

  /** Many PUBRELs come in one chunk. */
  #flushSoon(): void {
    if (this.#flushing) return
    this.#flushing = true
    process.nextTick(() => this.#flush())
  }

  #flush(): void {
    this.#flushing = false
    const answers = this.#exchanges.take()
    const stream = this.#stream
    if (answers.length === 0 || stream === undefined || stream.spent) return
    stream.write(encodeAnswers(answers, this.#protocolVersion))
  }
}

// One try to connect, and the connection that came of it: what is handed on, when it is kept alive, why it ended.
import type { Duplex } from 'node:stream'
import type { Acknowledger } from './acknowledger.ts'
import { closedByUs, ending, failureOf, gibberish, silence, type Progress } from './connect-failure.ts'
import { InboundStream } from './inbound-stream.ts'
import { isBlameless } from './quarantine.ts'
import type { PublishPacket } from './publish-packet.ts'
import { addressText, type BrokerAddress } from './socket.ts'
import type { ConnectionFailure, ConnectionInfo, Ending, TransportListener } from './transport.ts'

/** What it needs of the others. */
export interface AttemptOptions {
  readonly address: BrokerAddress
  readonly protocolVersion: 4 | 5
  readonly maxPacketBytes: number
  /** From now to CONNACK. */
  readonly connectTimeoutMs: number
  readonly listener: TransportListener
  readonly acknowledger: Acknowledger
  /** In seconds, as agreed with the broker; 0 for none. */
  readonly keepalive: () => number
  /** Sends PINGREQ, and forgives the PINGRESP that is not read meanwhile. */
  readonly ping: () => void
}

/** Begins with its construction, and ends in one call of the listener's `closed`. */
export class ConnectionAttempt {
  readonly stream: InboundStream
  readonly #options: AttemptOptions
  readonly #timer: NodeJS.Timeout
  /** CONNACK said yes, and the listener knows. */
  #connected = false
  /** What came right behind CONNACK, before the listener knew. */
  #early: (() => void)[] = []
  /** The first cause is the one that is told. */
  #failure: ConnectionFailure | undefined
  /** `close()` was called: nothing is handed on any more. */
  #deaf = false
  #paused = false
  /** What had gone over it when CONNACK had come. */
  #begun: { readonly read: number; readonly written: number } | undefined
  #pinger: NodeJS.Timeout | undefined
  /** For what is about to be answered when we close. */
  #patience: NodeJS.Timeout | undefined

  constructor(socket: Duplex, options: AttemptOptions) {
    const { acknowledger, connectTimeoutMs, listener } = options
    this.#options = options
    this.stream = new InboundStream(
      socket,
      {
        publish: (arrival) => this.#arrived(arrival),
        release: (packetId) => this.#hand(() => acknowledger.released(packetId)),
        skipped: (packet, qos) =>
          this.#hand(() => {
            acknowledger.skipped(packet, qos)
            listener.skipped(packet)
          }),
        violation: (fault) => this.fail(gibberish(this.progress, fault)),
      },
      options,
    )
    this.#timer = setTimeout(() => this.fail(this.#lateness()), connectTimeoutMs)
  }

  get connected(): boolean {
    return this.#connected
  }

  /** Nothing is handed on any more. */
  get over(): boolean {
    return this.#deaf || this.stream.destroyed
  }

  get progress(): Progress {
    return { address: this.#options.address, reached: this.stream.reached, connected: this.#connected }
  }

  /** The other side ended it, or the network between, and named no reason that has nothing to do with what we sent. */
  get mayBlameWhatWasSent(): boolean {
    const { reasonCode, type } = this.#whyEnded
    return (type === 'closed' || type === 'network') && !isBlameless(reasonCode)
  }

  /** CONNACK, of so many bytes, said yes: the rest may take its time. */
  answered(bytes: number): void {
    this.#begun = { read: bytes, written: this.stream.bytesWritten }
  }

  /** Tells the listener, and what came in the meantime. */
  open(info: ConnectionInfo): void {
    if (this.over || this.#connected) return
    clearTimeout(this.#timer)
    this.#connected = true
    this.#hand(() => this.#options.listener.connected(info))
    const early = this.#early
    this.#early = []
    for (const hand of early) hand()
  }

  // What comes behind CONNACK is kept for a connection that can not begin: not for ever.
  #lateness(): ConnectionFailure {
    const { address, connectTimeoutMs } = this.#options
    if (this.#begun === undefined) return silence(this.progress, connectTimeoutMs)
    return {
      type: 'timeout',
      message: `${addressText(address)} has answered, but what must be noted on disk before its session can be used was not within ${connectTimeoutMs} ms.`,
    }
  }

  fail(failure: ConnectionFailure): void {
    this.#failure ??= failure
    this.stream.destroy()
  }

  cut(failure: ConnectionFailure): void {
    if (this.stream.destroyed) return
    this.#failure = failure
    this.stream.destroy()
  }

  pause(): void {
    if (!this.#connected || this.#paused || this.over) return
    this.#paused = true
    this.stream.hold()
    const keepalive = this.#options.keepalive()
    if (keepalive === 0 || this.#pinger !== undefined) return
    this.#ping()
    this.#pinger = setInterval(() => this.#ping(), keepalive * 500)
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.stream.release()
  }

  /**
   * In peace when connected: DISCONNECT behind what is about to be `answered`, and read to the end. Resolves when all
   * is released.
   */
  close(timeoutMs: number, answered: Promise<void>, ending?: Ending): Promise<void> {
    this.#failure ??= closedByUs(this.#options.address)
    this.#deaf = true
    const gone = new Promise<void>((resolve) => this.stream.once('close', resolve))
    if (!this.#connected) this.stream.destroy()
    else {
      const finish = (): void => this.stream.finish(timeoutMs, ending)
      this.#patience = setTimeout(finish, timeoutMs)
      void answered.then(finish)
    }
    return gone
  }

  /** The stream has closed. */
  ended(): void {
    clearTimeout(this.#timer)
    clearInterval(this.#pinger)
    clearTimeout(this.#patience)
    this.#options.listener.closed(this.#whyEnded)
  }

  get #whyEnded(): ConnectionFailure {
    if (this.#failure !== undefined) return this.#failure
    const { errored } = this.stream
    const why = errored === null ? ending(this.progress) : failureOf(errored, this.progress)
    return this.#isIdle ? { ...why, idle: true } : why
  }

  get #isIdle(): boolean {
    const { bytesRead, bytesWritten } = this.stream
    return this.#begun?.read === bytesRead && this.#begun.written === bytesWritten
  }

  /** Called for every message: nothing is made on the way. */
  #arrived(packet: PublishPacket): void {
    if (!this.#connected || this.over) return this.#hand(() => this.#arrived(packet))
    try {
      this.#options.acknowledger.arrived(packet)
      this.#options.listener.arrived(packet)
    } catch (error) {
      throwLater(error)
    }
  }

  #hand(tell: () => void): void {
    if (this.over) return
    if (!this.#connected) {
      this.#early.push(() => this.#hand(tell))
      return
    }
    try {
      tell()
    } catch (error) {
      throwLater(error)
    }
  }

  /** It outlives a short pause, so that many of them do not make as many pings. */
  #ping(): void {
    if (this.#paused) {
      this.#options.ping()
      return
    }
    clearInterval(this.#pinger)
    this.#pinger = undefined
  }
}

/** What a listener throws must stop neither the reader nor MQTT.js in the middle of a chunk. */
function throwLater(error: unknown): void {
  process.nextTick(() => {
    throw error
  })
}

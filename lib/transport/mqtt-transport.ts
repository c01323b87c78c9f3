// The port to the broker on MQTT.js: it does the I/O and decides nothing. The one door to MQTT.js, and long because all that is asked of it comes through here.
import { Duplex } from 'node:stream'
import { MqttClient, UniqueMessageIdProvider } from 'mqtt'
import type { IClientOptions, IConnackPacket, Packet } from 'mqtt'
import { MqttasgiError, toError } from '../core/errors.ts'
import type { ExchangeStore } from '../core/exchange-store.ts'
import type { PublishOptions, PublishResult } from '../core/message.ts'
import { Acknowledger } from './acknowledger.ts'
import { BrokerRequests } from './broker-requests.ts'
import { CredentialRequest, type Credentials, type CredentialSource } from './credentials.ts'
import { connectionInfo, frameBytes, saidIn } from './connack.ts'
import { closedByUs, dismissal, gibberish, keepaliveLost, refusal } from './connect-failure.ts'
import { ConnectionAttempt } from './connection-attempt.ts'
import { addressText, openSocket, type BrokerAddress } from './socket.ts'
import type {
  ConnectionFailure,
  Ending,
  SubscriptionRequest,
  Transport,
  TransportListener,
} from './transport.ts'

/** What the broker publishes when a connection ends without our DISCONNECT (3.1.2.5). */
export interface LastWill {
  readonly topic: string
  readonly payload: string
  readonly qos: 0 | 1 | 2
  readonly retain: boolean
  /** MQTT 5 only. */
  readonly delaySeconds: number
}

/** What does not change from one connection to the next. */
export interface MqttTransportOptions {
  readonly address: BrokerAddress
  readonly clientId: string
  /** Clean session, clean start: the broker forgets the session before. */
  readonly clean: boolean
  /** Asked at each attempt, for they may have changed since the last. */
  readonly credentials?: CredentialSource | undefined
  /** Seconds; 0 for none. A broker of MQTT 5 may set another (3.2.2.3.14). */
  readonly keepaliveSeconds: number
  /** Seconds the broker keeps the session when `clean` is false. MQTT 5 only. */
  readonly sessionExpirySeconds: number
  readonly will?: LastWill | undefined
  /** How many unacknowledged QoS 1 and 2 messages we take. MQTT 5 only. */
  readonly receiveMaximum: number
  /** A larger PUBLISH is skipped. The broker is not told: it would drop it in silence (3.1.2.11.4). */
  readonly maxPacketBytes: number
  /** Milliseconds from `connect()` to CONNACK; 10,000 unless told otherwise. */
  readonly connectTimeoutMs?: number | undefined
  /** Where it is kept which QoS 2 messages were done with; in memory unless told otherwise. Closed by `close()`. */
  readonly exchanges?: ExchangeStore | undefined
  /** A monotonic clock in milliseconds; the process's own unless told otherwise. */
  readonly now?: (() => number) | undefined
}

/** MQTT.js is not to connect by itself. With 0 it would forget unanswered publications as well. */
const NEVER_MS = 2 ** 31 - 1

/** MQTT.js fixes the protocol version with the client. */
interface Session {
  readonly version: 4 | 5
  readonly client: MqttClient
  readonly requests: BrokerRequests
}

/**
 * One broker, spoken to through MQTT.js with a reader of our own in front of it.
 *
 * @example
 * const transport = new MqttTransport({ address, clientId: 'greenhouse', clean: true, … })
 */
export class MqttTransport implements Transport {
  readonly #options: MqttTransportOptions
  readonly #acknowledger: Acknowledger
  #listener: TransportListener | undefined
  #session: Session | undefined
  /** From `connect()` to `closed`. */
  #connecting = false
  #asked: CredentialRequest | undefined
  #attempt: ConnectionAttempt | undefined
  #closing: Promise<void> | undefined

  constructor(options: MqttTransportOptions) {
    this.#options = options
    this.#acknowledger = new Acknowledger(options.exchanges)
  }

  get fault(): Error | undefined {
    return this.#options.exchanges?.fault
  }

  get awaiting(): boolean {
    return (this.#session?.requests.size ?? 0) > 0
  }

  listen(listener: TransportListener): void {
    this.#listener = listener
  }

  connect(protocolVersion: 4 | 5): void {
    const listener = this.#listener
    if (listener === undefined || this.#connecting) {
      throw new TypeError('connect() comes after listen(), and after closed() of the attempt before.')
    }
    this.#connecting = true
    const asked = new CredentialRequest(this.#options.credentials, this.#limitMs)
    this.#asked = asked
    const waiting = [this.#acknowledger.connecting(), asked.pending].filter((one) => one !== undefined)
    if (waiting.length === 0) this.#start(protocolVersion, asked, listener)
    else void Promise.all(waiting).then(() => this.#start(protocolVersion, asked, listener))
  }

  publish(topic: string, payload: Buffer, options: PublishOptions): Promise<PublishResult> {
    return this.#ask((requests) => requests.publish(topic, payload, options))
  }

  subscribe(wanted: readonly SubscriptionRequest[]): Promise<readonly number[]> {
    return this.#ask((requests) => requests.subscribe(wanted))
  }

  unsubscribe(filters: readonly string[]): Promise<void> {
    return this.#ask((requests) => requests.unsubscribe(filters))
  }

  settled(packetId: number): Promise<void> | undefined {
    return this.#acknowledger.settled(packetId)
  }

  acknowledge(packetIds: readonly number[], reasonCodes?: ReadonlyMap<number, number>): boolean {
    if (this.#attempt?.connected !== true || this.#closing !== undefined) return false
    return this.#acknowledger.acknowledge(packetIds, reasonCodes)
  }

  pause(): void {
    this.#attempt?.pause()
  }

  resume(): void {
    this.#attempt?.resume()
  }

  cut(failure: ConnectionFailure): void {
    this.#attempt?.cut(failure)
  }

  close(timeoutMs: number, ending?: Ending): Promise<void> {
    this.#closing ??= this.#close(timeoutMs, ending)
    return this.#closing
  }

  get #limitMs(): number {
    return this.#options.connectTimeoutMs ?? 10_000
  }

  #start(protocolVersion: 4 | 5, asked: CredentialRequest, listener: TransportListener): void {
    const failure = this.#closing === undefined ? asked.failure : closedByUs(this.#options.address)
    if (failure !== undefined) {
      process.nextTick(() => {
        this.#connecting = false
        listener.closed(failure)
      })
      return
    }
    const session = this.#sessionFor(protocolVersion)
    const attempt = this.#begin(session, asked.credentials, listener)
    this.#attempt = attempt
    session.client.connect()
    // MQTT.js allows a thousand; each QoS 0 publication that waits for the socket adds one.
    attempt.stream.setMaxListeners(0)
    // Behind MQTT.js's own listener: it has put its house in order when we tell of the end.
    attempt.stream.once('close', () => {
      this.#attempt = undefined
      this.#connecting = false
      this.#acknowledger.disconnected()
      session.requests.lost(this.#closing === undefined && attempt.mayBlameWhatWasSent)
      attempt.ended()
    })
  }

  async #close(timeoutMs: number, ending: Ending | undefined): Promise<void> {
    this.#asked?.cancel()
    await this.#attempt?.close(timeoutMs, this.#acknowledger.idle(), ending)
    this.#release()
    await this.#options.exchanges?.close()
  }

  #ask<T>(question: (requests: BrokerRequests) => Promise<T>): Promise<T> {
    if (this.#session !== undefined) return question(this.#session.requests)
    const [code, state] =
      this.#closing === undefined
        ? (['ERR_NOT_CONNECTED', 'not up yet'] as const)
        : (['ERR_CONNECTION_CLOSED', 'closed'] as const)
    const message = `The connection to ${addressText(this.#options.address)} is ${state}.`
    return Promise.reject(new MqttasgiError(code, message))
  }

  /** Another version is asked for only before the first CONNACK, so nothing is lost with the client before. */
  #sessionFor(version: 4 | 5): Session {
    if (this.#session?.version === version) return this.#session
    this.#release()
    const client = new MqttClient(() => this.#stream(), this.#clientOptions(version))
    const session: Session = {
      version,
      client,
      requests: new BrokerRequests(client, version, this.#options.now),
    }
    client.on('packetsend', (packet) => this.#sending(packet, session))
    client.on('packetreceive', (packet) => this.#received(packet, session))
    client.on('connect', () => session.requests.ready())
    client.on('error', (error) => this.#clientFailed(error))
    client.onKeepaliveTimeout = () => {
      this.#attempt?.fail(keepaliveLost(this.#options.address, client.keepalive))
    }
    this.#session = session
    return session
  }

  #clientOptions(version: 4 | 5): IClientOptions {
    const { clean, clientId, keepaliveSeconds, sessionExpirySeconds, will } = this.#options
    // Never topicAliasMaximum: the aliases would belong to the reader in front, which reads most of the topics.
    const lasting = clean ? {} : { sessionExpiryInterval: sessionExpirySeconds }
    // It counts the QoS 2 messages that it sees against the maximum itself; the reader in front leaves it none.
    const properties = { receiveMaximum: this.#options.receiveMaximum, ...lasting }
    return {
      protocolVersion: version,
      clientId,
      clean,
      keepalive: keepaliveSeconds,
      manualConnect: true,
      reconnectPeriod: NEVER_MS,
      connectTimeout: NEVER_MS,
      resubscribe: false,
      queueQoSZero: false,
      messageIdProvider: new UniqueMessageIdProvider(),
      // Its own log is DEBUG=mqttjs*, and prints the password.
      log: () => {},
      ...(version === 5 ? { properties } : {}),
      ...(will === undefined ? {} : { will: willPacket(will, version) }),
    }
  }

  /** The client, its reconnect timer and what it has stored. */
  #release(): void {
    this.#session?.requests.close()
    this.#session?.client.end(true)
    this.#session = undefined
  }

  #stream(): Duplex {
    if (this.#attempt === undefined) throw new TypeError('MQTT.js connected without being told to.')
    return this.#attempt.stream
  }

  #begin(
    { client, version }: Session,
    credentials: Credentials,
    listener: TransportListener,
  ): ConnectionAttempt {
    const { address, maxPacketBytes } = this.#options
    return new ConnectionAttempt(this.#open(client, credentials), {
      address,
      protocolVersion: version,
      maxPacketBytes,
      connectTimeoutMs: this.#limitMs,
      listener,
      acknowledger: this.#acknowledger,
      keepalive: () => client.keepalive,
      ping: () => {
        client.sendPing()
        client.reschedulePing(true)
      },
    })
  }

  /** What can not even be begun fails as any stream does: with `error` and `close`, in a later turn. */
  #open(client: MqttClient, { password, username }: Credentials): Duplex {
    // As bytes, because DEBUG=mqtt-packet* prints every string that is written.
    const secret = typeof password === 'string' ? Buffer.from(password) : password
    Object.assign(client.options, { username, password: secret })
    try {
      return openSocket(this.#options.address)
    } catch (error) {
      return new Duplex().destroy(toError(error))
    }
  }

  /** Before MQTT.js writes it. */
  #sending(packet: Packet, session: Session): void {
    if (packet.cmd !== 'publish' || !session.requests.resending) return
    // MQTT.js forgets it [MQTT-3.3.1-1].
    packet.dup = true
    session.requests.resent(packet.messageId ?? 0)
  }

  /** Before MQTT.js handles it. */
  #received(packet: Packet, session: Session): void {
    session.requests.received(packet)
    if (packet.cmd === 'connack') this.#answered(packet, session)
    if (packet.cmd !== 'disconnect') return
    const { address, clientId } = this.#options
    const said = saidIn(packet.properties)
    this.#attempt?.fail(dismissal(address, packet.reasonCode ?? 0, { clientId, ...said }))
  }

  #answered(packet: IConnackPacket, session: Session): void {
    const attempt = this.#attempt
    if (attempt === undefined) return
    const code = packet.reasonCode ?? packet.returnCode ?? 0
    if (code !== 0) {
      return attempt.fail(refusal(this.#options.address, code, saidIn(packet.properties)))
    }
    const info = connectionInfo(packet, session.version)
    attempt.answered(frameBytes(packet))
    session.requests.connected({ maximumPacketSize: info.maximumPacketSize, ...info.limits })
    const ready = this.#acknowledger.connected(attempt.stream, session.version, info.sessionPresent)
    // Not in this turn: MQTT.js is connected when it has handled the packet itself.
    void ready.then(() => process.nextTick(() => attempt.open(info)))
  }

  /** Of MQTT.js's parser, which closes nothing then, or of its handlers. The stream's own come with its end. */
  #clientFailed(error: Error): void {
    const attempt = this.#attempt
    if (attempt === undefined || attempt.stream.errored === error) return
    attempt.fail(gibberish(attempt.progress, error.message, error))
  }
}

function willPacket(
  { delaySeconds, ...will }: LastWill,
  version: 4 | 5,
): NonNullable<IClientOptions['will']> {
  return version === 5 ? { ...will, properties: { willDelayInterval: delaySeconds } } : will
}

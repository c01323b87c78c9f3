// The port to the broker: what the server asks of a connection and what it is told. It decides nothing.
import type { BrokerLimits } from './broker-limits.ts'
import type { Message, PublishOptions, PublishResult, QoS } from '../core/message.ts'

/** A subscription as the broker is told it. */
export interface SubscriptionRequest {
  /** The filter on the wire, `$share/group/` included. */
  readonly filter: string
  readonly qos: QoS
  readonly noLocal: boolean
  readonly retainHandling: 0 | 1 | 2
  readonly retainAsPublished: boolean
  /** The Subscription Identifier (3.8.2.1.2); left out where the broker has none. */
  readonly identifier: number | undefined
}

/** What CONNACK settled for one connection. */
export interface ConnectionInfo {
  readonly sessionPresent: boolean
  readonly protocolVersion: 4 | 5
  /** How many unacknowledged QoS 1 and 2 publications the broker takes from us (3.2.2.3.3). */
  readonly receiveMaximum: number
  /** In bytes; undefined for no limit (3.2.2.3.6). */
  readonly maximumPacketSize: number | undefined
  readonly subscriptionIdentifiers: boolean
  readonly sharedSubscriptions: boolean
  /** All else that CONNACK said. */
  readonly limits: BrokerLimits
}

/**
 * A message off the wire. `packetId` is 0 when no acknowledgement is owed. `bytes` is the size of its
 * frame, for the limits. It belongs to the connection on which it came.
 */
export interface Arrival extends Message {
  readonly packetId: number
  readonly bytes: number
  /** What is wrong with its topic (4.7.3, 1.5.4); undefined when it may be routed. */
  readonly invalid: string | undefined
  /** The Subscription Identifiers it carries (3.3.2.3.8); empty on 3.1.1. Read without the other properties. */
  readonly subscriptionIdentifiers: readonly number[]
  /** Left undefined by the transport: the server finds out whose subscription brought it. */
  share: string | null | undefined
  /** It was done with when it came before: only its acknowledgement is owed. */
  readonly settled?: boolean
  /** It stands for a message of so many bytes, of which nothing was kept. */
  readonly skippedBytes?: number
  /** Same topic, payload and properties: the two can be one publication, delivered twice. */
  equals(other: Arrival): boolean
}

/** A PUBLISH above our own size limit: its payload was not kept. `packetId` is 0 when no acknowledgement is owed. */
export interface SkippedPacket {
  readonly packetId: number
  readonly bytes: number
  readonly topic: string
  readonly dup: boolean
}

/** Why a connection could not be made, or ended. `connection-policy` decides what follows. */
export interface ConnectionFailure {
  /**
   * version: the broker refuses this protocol version · refused: CONNACK with another code ·
   * credentials · tls: the certificate is not trusted · network · timeout: no answer · takeover:
   * another client took the id · protocol: bytes we can not read · overflow: our own hard limit ·
   * closed: the other side ended it.
   */
  readonly type:
    | 'version'
    | 'refused'
    | 'credentials'
    | 'tls'
    | 'network'
    | 'timeout'
    | 'takeover'
    | 'protocol'
    | 'overflow'
    | 'closed'
  /** One line for people: what happened, without secrets. */
  readonly message: string
  readonly cause?: unknown
  /** CONNACK's or DISCONNECT's reason code, where there was one. */
  readonly reasonCode?: number
  /** The other side ended a connection over which nothing had gone but CONNECT and CONNACK. */
  readonly idle?: boolean
}

/** Who is told. Every call comes from the transport's own turn, never from within a call of ours. */
export interface TransportListener {
  /** CONNACK said yes. */
  connected(info: ConnectionInfo): void
  /** A PUBLISH. One of QoS 2 comes when it comes, not with its PUBREL. */
  arrived(arrival: Arrival): void
  /** A PUBLISH that was too large. Its acknowledgement is owed like any other's. */
  skipped(packet: SkippedPacket): void
  /** The connection, or the attempt to make one, has ended. Called once for each `connect()`. */
  closed(failure: ConnectionFailure): void
}

/** How a connection is ended. */
export interface Ending {
  /** The broker is to forget the session: nobody comes back to it. MQTT 5 only (3.14.2.2.2). */
  readonly endsSession: boolean
}

/** One broker, one connection at a time, as often as `connect` is called. */
export interface Transport {
  /** `listener` is in place before the first byte is sent. Called once, before `connect`. */
  listen(listener: TransportListener): void
  /** Tries once, with this protocol version. Ends in `connected` or `closed`. */
  connect(protocolVersion: 4 | 5): void
  /** Rejects with a coded error on refusal; stays open over a reconnect for QoS 1 and 2. */
  publish(topic: string, payload: Buffer, options: PublishOptions): Promise<PublishResult>
  /** One SUBSCRIBE for each request; resolves with the codes of SUBACK in the same order. */
  subscribe(requests: readonly SubscriptionRequest[]): Promise<readonly number[]>
  unsubscribe(filters: readonly string[]): Promise<void>
  /**
   * A message of QoS 2 is done with; it is acknowledged when it is its turn. Where that is to be kept first, resolves when
   * it is.
   */
  settled?(packetId: number): Promise<void> | undefined
  /**
   * PUBACK or PUBREC for these packet ids, in this order, on the connection that is up now; with a reason code
   * where there is one, and MQTT 5. False when nothing is written, because it has ended: `closed` is on its way, or
   * was told.
   */
  acknowledge(packetIds: readonly number[], reasonCodes?: ReadonlyMap<number, number>): boolean
  /** Stop reading the socket, so that the broker feels it; the connection is kept alive meanwhile. */
  pause(): void
  resume(): void
  /** Why messages of QoS 2 can not be acknowledged at the moment. */
  readonly fault?: Error | undefined
  /** An acknowledgement of the broker's is awaited: pausing now could wait for ever. */
  readonly awaiting: boolean
  /** Ends the connection at once, without DISCONNECT; `closed` follows with this failure. */
  cut(failure: ConnectionFailure): void
  /** DISCONNECT, half-close, read to the end; then, or after `timeoutMs`, all is released. */
  close(timeoutMs: number, ending?: Ending): Promise<void>
}

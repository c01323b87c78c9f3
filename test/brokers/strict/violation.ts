// What a client can do wrong in the eyes of the strict broker.
import type { Packet } from 'mqtt-packet'

export type ViolationType =
  /** Not the oldest one that is owed [MQTT-4.6.0-2, MQTT-4.6.0-3]. */
  | 'order'
  /** Acknowledged already. */
  | 'repeated'
  /** Sent on an older connection only. */
  | 'stale'
  /** Never sent. */
  | 'unknown'
  /** PUBACK for QoS 2, PUBREC for QoS 1, PUBCOMP before its PUBREC [MQTT-4.3.3-5 and on]. */
  | 'sequence'
  /** More unacknowledged publications than the broker's Receive Maximum [MQTT-3.3.4-7]. */
  | 'window'
  /** A packet id that is in use, or 0 [MQTT-2.2.1-3]. */
  | 'packet id'
  /** Something before CONNECT, a second one, or something after DISCONNECT [MQTT-3.1.0-1, 3.1.0-2, 3.14.4-1]. */
  | 'connect'
  /** A text that is not UTF-8 or has a NUL in it [MQTT-1.5.4-1, 1.5.4-2]. */
  | 'utf-8'
  /** A topic with a wildcard [MQTT-3.3.2-2], a filter that is none (4.7). */
  | 'topic'
  /** What CONNACK said the broker does not have: a higher QoS, a larger packet. */
  | 'limit'
  /** A packet that only servers send, No Local on a shared filter, and the like. */
  | 'protocol'
  /** Nothing for one and a half times the Keep Alive [MQTT-3.1.2-22]. */
  | 'keepalive'
  /** Bytes that are not MQTT, or a reason code that the packet does not have. */
  | 'malformed'

/** What was wrong, found before anybody knows on which connection. */
export interface Fault {
  readonly type: ViolationType
  readonly message: string
}

export interface Violation extends Fault {
  /** Counted from 1. */
  readonly connection: number
  readonly clientId: string | undefined
  readonly cmd: Packet['cmd'] | undefined
}

export function fault(type: ViolationType, message: string): Fault {
  return { type, message }
}

// What travels: messages that arrive, and what may be given to publish.
// Whoever imports an entry comes by here, and needs the types of Node, which TypeScript 6 and newer take only when told.
/// <reference types="node" preserve="true" />

/** Quality of service [MQTT-4.3]. */
export type QoS = 0 | 1 | 2

/**
 * The properties of an MQTT 5 message (section 3.3.2.3). On 3.1.1 the object is empty.
 *
 * User properties are arrays, because a name may come more than once (3.3.2.3.7). The object and
 * `userProperties` have no prototype: a name such as `__proto__` is a name like any other.
 */
export interface MessageProperties {
  readonly payloadFormatIndicator?: boolean
  /** Seconds that were left of the message's life when the broker forwarded it. */
  readonly messageExpiryInterval?: number
  readonly contentType?: string
  readonly responseTopic?: string
  readonly correlationData?: Buffer
  readonly userProperties?: Readonly<Record<string, readonly string[]>>
  readonly subscriptionIdentifiers?: readonly number[]
}

/** One application message as it arrived: topic, payload and what came with them. */
export interface Message {
  readonly topic: string
  /** The bytes as they came. They are a view into the socket's chunk: copy them to keep them for long. */
  readonly payload: Buffer
  readonly qos: QoS
  readonly retain: boolean
  readonly dup: boolean
  readonly properties: MessageProperties
  /**
   * Whose subscription delivered it (4.8.2): undefined for one of our own, the group's name for a shared
   * one, null where both match and the broker does not let us tell.
   */
  readonly share?: string | null | undefined
}

/** What can be published: objects become JSON, numbers and booleans their text, null an empty payload. */
export type Payload = string | Uint8Array | number | boolean | object | null | undefined

/** Properties that can be given to a publication; user properties may be one string or several. */
export interface PublishProperties {
  readonly payloadFormatIndicator?: boolean
  readonly messageExpiryInterval?: number
  readonly contentType?: string
  readonly responseTopic?: string
  readonly correlationData?: Uint8Array
  readonly userProperties?: Readonly<Record<string, string | readonly string[]>>
}

/** How to publish. */
export interface PublishOptions {
  /** 0, 1 or 2; 1 unless told otherwise, as in the original server. */
  readonly qos?: QoS
  readonly retain?: boolean
  /** MQTT 5 only; left out on 3.1.1. */
  readonly properties?: PublishProperties
  /**
   * What `publish()` waits for: the broker's answer (the default), or, with `outbox.durable` and QoS 1 or 2, the
   * moment at which the publication is on disk and is sent whatever happens to this process. An answer that comes
   * sooner counts as well.
   */
  readonly until?: 'answered' | 'stored'
}

/** What the broker said to a publication. */
export interface PublishResult {
  /** The reason code of PUBACK or PUBCOMP; 0 for QoS 0 and on 3.1.1. 0x10: nobody subscribes to it. */
  readonly reasonCode: number
  /** It is on disk, and the broker has not answered yet: `until: 'stored'` was asked for. */
  readonly stored?: true
  /**
   * A newer one of its topic was published while it waited, and is sent in its place (`outbox.latest`). With
   * `until: 'stored'`: and one of the two is on disk, or the newer one was answered.
   */
  readonly superseded?: true
}

/** How to subscribe (3.8.3.1). */
export interface SubscribeOptions {
  readonly qos?: QoS
  /** Do not send me what I publish myself. MQTT 5 only. */
  readonly noLocal?: boolean
  /** Retained messages: 0 at each subscribe, 1 at a new one, 2 never. MQTT 5 only. */
  readonly retainHandling?: 0 | 1 | 2
  /** Keep the retain flag as it was published. MQTT 5 only. */
  readonly retainAsPublished?: boolean
}

/** What the broker granted. */
export interface SubscribeResult {
  readonly filter: string
  readonly qos: QoS
}

// A message as if it had come off the wire.
import type { MessageProperties, QoS } from '../core/message.ts'
import type { Arrival } from '../transport/transport.ts'

/** What comes with topic and payload; QoS 1, everything else unset. */
export interface MemoryDelivery {
  readonly qos?: QoS
  readonly retain?: boolean
  readonly dup?: boolean
  /** 0 when no acknowledgement is owed. */
  readonly packetId?: number
  readonly properties?: MessageProperties
  readonly subscriptionIdentifiers?: readonly number[]
}

const FIXED_HEADER_AND_LENGTHS = 8

export function memoryArrival(topic: string, payload: Buffer, delivery: MemoryDelivery): Arrival {
  const properties = delivery.properties ?? {}
  return {
    topic,
    payload,
    qos: delivery.qos ?? 1,
    retain: delivery.retain ?? false,
    dup: delivery.dup ?? false,
    properties,
    packetId: delivery.packetId ?? 0,
    bytes: payload.length + Buffer.byteLength(topic) + FIXED_HEADER_AND_LENGTHS,
    invalid: undefined,
    subscriptionIdentifiers: delivery.subscriptionIdentifiers ?? [],
    share: undefined,
    equals: (other) =>
      other.topic === topic &&
      other.payload.equals(payload) &&
      textOf(other.properties) === textOf(properties),
  }
}

// A redelivery carries what is left of the Message Expiry Interval by then [MQTT-3.3.2-6].
function textOf(properties: MessageProperties): string {
  const { messageExpiryInterval: _, ...lasting } = properties
  return JSON.stringify(lasting)
}

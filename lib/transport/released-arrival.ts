// A QoS 2 message, as MQTT.js hands it on after PUBREL, in the shape of the arrivals that our own reader makes.
import type { MessageProperties } from '../core/message.ts'
import { topicFault } from '../core/topic.ts'
import type { Arrival } from './transport.ts'

/** What mqtt-packet makes of a PUBLISH. */
export interface ReleasedPacket {
  readonly topic: string
  readonly payload: string | Buffer
  readonly qos: 0 | 1 | 2
  readonly retain: boolean
  readonly dup: boolean
  readonly length?: number | undefined
  readonly properties?:
    | {
        readonly payloadFormatIndicator?: boolean | undefined
        readonly messageExpiryInterval?: number | undefined
        readonly contentType?: string | undefined
        readonly responseTopic?: string | undefined
        readonly correlationData?: Buffer | undefined
        readonly userProperties?: Readonly<Record<string, string | string[]>> | undefined
        readonly subscriptionIdentifier?: number | number[] | undefined
      }
    | undefined
}

/** Packet id 0: PUBREC, PUBREL and PUBCOMP are MQTT.js's, no acknowledgement of ours is owed. */
export function releasedArrival(packet: ReleasedPacket): Arrival {
  const { topic, qos, retain, dup } = packet
  const payload = typeof packet.payload === 'string' ? Buffer.from(packet.payload) : packet.payload
  const subscriptionIdentifiers = list(packet.properties?.subscriptionIdentifier)
  const properties = messageProperties(packet.properties ?? {}, subscriptionIdentifiers)
  return {
    packetId: 0,
    // The fixed header is left out of it; nobody counts that close.
    bytes: packet.length ?? payload.length,
    invalid: topicFault(topic),
    subscriptionIdentifiers,
    topic,
    payload,
    qos,
    retain,
    dup,
    properties,
    share: undefined,
    equals: (other) =>
      other.topic === topic &&
      other.payload.equals(payload) &&
      propertyText(other.properties) === propertyText(properties),
  }
}

function messageProperties(
  given: NonNullable<ReleasedPacket['properties']>,
  subscriptionIdentifiers: readonly number[],
): MessageProperties {
  const { subscriptionIdentifier: _, userProperties, ...plain } = given
  const properties: Record<string, unknown> = Object.assign(Object.create(null), plain)
  if (userProperties !== undefined) {
    const lists = Object.entries(userProperties).map(([name, value]) => [name, list(value)] as const)
    properties['userProperties'] = Object.assign(Object.create(null), Object.fromEntries(lists))
  }
  if (subscriptionIdentifiers.length > 0) properties['subscriptionIdentifiers'] = subscriptionIdentifiers
  return properties
}

function list<T>(value: T | T[] | undefined): T[] {
  if (value === undefined) return []
  return Array.isArray(value) ? value : [value]
}

/** Properties are few; what they say is compared, not the order in which they came. */
function propertyText(properties: MessageProperties): string {
  const { messageExpiryInterval: _, ...lasting } = properties
  return Object.entries(lasting)
    .map(([name, value]) => `${name} ${JSON.stringify(value)}`)
    .sort()
    .join('\n')
}

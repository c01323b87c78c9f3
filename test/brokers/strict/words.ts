// What a packet of a client may say, whatever went before: its texts, topics, filters and codes.
import type { IPublishPacket, ISubscribePacket, Packet } from 'mqtt-packet'
import type { Frame } from './frames.ts'
import { fault, type Fault } from './violation.ts'

/** What the broker says of itself in CONNACK. */
export interface Limits {
  readonly maximumQos: 0 | 1 | 2
  /** In bytes, of a whole packet. */
  readonly maximumPacketSize: number
  /** Publications that a client may have unacknowledged. */
  readonly receiveMaximum: number
}

export function wordFault({ packet, bytes }: Frame, limits: Limits): Fault | undefined {
  if (bytes.length > limits.maximumPacketSize) return fault('limit', `a packet of ${bytes.length} bytes`)
  const text = textsOf(packet).find((one) => one.includes('\0') || !bytes.includes(Buffer.from(one)))
  if (text !== undefined) return fault('utf-8', JSON.stringify(text))
  switch (packet.cmd) {
    case 'publish':
      return publishFault(packet, limits)
    case 'subscribe':
      return subscribeFault(packet)
    case 'unsubscribe':
      return packet.unsubscriptions.map((one) => filterFault(one)).find((one) => one !== undefined)
    case 'connack':
    case 'suback':
    case 'unsuback':
    case 'pingresp':
      return fault('protocol', `${packet.cmd} is not a client's`)
    default:
      return undefined
  }
}

/** Every text of it: what was not UTF-8 has been mended by the parser, and is not found in the bytes. */
function textsOf(packet: Packet): string[] {
  if (packet.cmd === 'connect') {
    const { clientId, username, will } = packet
    return [
      clientId,
      ...(username === undefined ? [] : [username]),
      ...(will === undefined ? [] : [will.topic]),
    ]
  }
  if (packet.cmd === 'publish') return [packet.topic, ...userTexts(packet)]
  if (packet.cmd === 'subscribe') return packet.subscriptions.map(({ topic }) => topic)
  return packet.cmd === 'unsubscribe' ? packet.unsubscriptions : []
}

function userTexts({ properties }: IPublishPacket): string[] {
  const { contentType, responseTopic, userProperties = {} } = properties ?? {}
  const single = [contentType, responseTopic].filter((text) => text !== undefined)
  return [...single, ...Object.entries(userProperties).flat(2)]
}

function publishFault(
  { topic, qos, messageId, properties }: IPublishPacket,
  limits: Limits,
): Fault | undefined {
  if (topic === '' && properties?.topicAlias === undefined) return fault('topic', 'no topic')
  if (/[+#]/.test(topic)) return fault('topic', `a wildcard in "${topic}"`)
  // None is announced [MQTT-3.3.2-9].
  if (properties?.topicAlias !== undefined) return fault('limit', 'a topic alias')
  if (properties?.subscriptionIdentifier !== undefined) {
    return fault('protocol', 'a Subscription Identifier from a client [MQTT-3.3.4-6]')
  }
  if (qos > limits.maximumQos) return fault('limit', `QoS ${qos} [MQTT-3.2.2-11]`)
  return qos > 0 && (messageId ?? 0) === 0 ? fault('packet id', 'a publication with id 0') : undefined
}

function subscribeFault(packet: ISubscribePacket): Fault | undefined {
  if (packet.subscriptions.length === 0) return fault('protocol', 'no filter [MQTT-3.8.3-2]')
  if ((packet.messageId ?? 0) === 0) return fault('packet id', 'SUBSCRIBE with id 0')
  for (const { topic, nl } of packet.subscriptions) {
    const found = filterFault(topic)
    if (found !== undefined) return found
    if (nl === true && topic.startsWith('$share/')) {
      return fault('protocol', `No Local on "${topic}" [MQTT-3.8.3-4]`)
    }
  }
  return undefined
}

function filterFault(filter: string): Fault | undefined {
  const [, group, rest] = /^\$share\/([^/]*)\/?(.*)$/.exec(filter) ?? []
  if (group !== undefined && (/[+#]/.test(group) || group === '' || rest === '')) {
    return fault('topic', `"${filter}" is no shared filter [MQTT-4.8.2-1, 4.8.2-2]`)
  }
  const levels = filter.split('/')
  const isBad = levels.some(
    (level, i) =>
      (level.includes('#') && (level !== '#' || i < levels.length - 1)) ||
      (level.includes('+') && level !== '+'),
  )
  return filter === '' || isBad ? fault('topic', `"${filter}" is no filter (4.7.1)`) : undefined
}

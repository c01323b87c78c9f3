// A broker in memory for several consumers of one test: matching, retained messages, shared subscriptions.
import type { MessageProperties, Payload, PublishOptions, PublishProperties, QoS } from '../core/message.ts'
import { encodePayload } from '../core/payload.ts'
import { assertPublishTopic, matches, sharedFilter } from '../core/topic.ts'
import type { SubscriptionRequest } from '../transport/transport.ts'
import { MemoryTransport, type MemoryPublication } from './memory-transport.ts'

/**
 * What consumers of one test share. A message that is published by one of them, or by the test, reaches those whose
 * subscriptions match, once each; a retained one also those that subscribe later.
 *
 * @example
 * const broker = new MemoryBroker()
 * const meter = new MqttCommunicator(Meter, { broker })
 * broker.publish('meters/7', '230', { retain: true })
 */
export class MemoryBroker {
  /** Everything that was published here, in order, by consumers and by the test. */
  readonly published: MemoryPublication[] = []
  readonly #retained = new Map<string, MemoryPublication>()
  readonly #transports = new Set<MemoryTransport>()
  readonly #turns = new Map<string, number>()

  /** The retained messages, by topic. */
  get retained(): ReadonlyMap<string, MemoryPublication> {
    return this.#retained
  }

  /** Publishes as a client of this broker would. Throws `ERR_TOPIC_INVALID`, `ERR_PAYLOAD_TYPE`. */
  publish(topic: string, payload: Payload, options: PublishOptions = {}): void {
    assertPublishTopic(topic)
    this.#reached({ topic, payload: encodePayload(payload, topic), options }, undefined)
  }

  /** A connection to this broker. */
  transport(): MemoryTransport {
    const transport = new MemoryTransport()
    transport.info = { ...transport.info, subscriptionIdentifiers: false }
    transport.reached = (publication) => this.#reached(publication, transport)
    // SUBACK goes first.
    transport.granted = (request, isNew) =>
      queueMicrotask(() => this.#sendRetained(transport, request, isNew))
    this.#transports.add(transport)
    return transport
  }

  #reached(publication: MemoryPublication, from: MemoryTransport | undefined): void {
    this.published.push(publication)
    const { options, payload, topic } = publication
    if (options.retain === true && payload.length === 0) this.#retained.delete(topic)
    else if (options.retain === true) this.#retained.set(topic, publication)
    const found = [...this.#transports].flatMap((transport) => matching(transport, topic))
    for (const transport of new Set(found.map((one) => one.transport))) {
      const own = found.filter(
        (one) => one.transport === transport && !one.isShared && !(one.request.noLocal && transport === from),
      )
      if (own.length > 0) deliver(transport, publication, own)
    }
    const shared = found.filter(({ isShared }) => isShared)
    for (const filter of new Set(shared.map(({ request }) => request.filter))) {
      const members = shared.filter(({ request }) => request.filter === filter)
      const turn = this.#turns.get(filter) ?? 0
      this.#turns.set(filter, turn + 1)
      const member = members[turn % members.length]!
      deliver(member.transport, publication, [member])
    }
  }

  #sendRetained(transport: MemoryTransport, request: SubscriptionRequest, isNew: boolean): void {
    const { filter, qos, retainHandling } = request
    if (retainHandling === 2 || (retainHandling === 1 && !isNew) || sharedFilter(filter) !== null) return
    for (const { options, payload, topic } of this.#retained.values()) {
      if (matches(filter, topic)) {
        transport.deliver(topic, payload, {
          qos: lower(qos, options.qos ?? 1),
          retain: true,
          properties: asDelivered(options.properties ?? {}),
        })
      }
    }
  }
}

interface Matching {
  readonly transport: MemoryTransport
  readonly request: SubscriptionRequest
  readonly isShared: boolean
}

function matching(transport: MemoryTransport, topic: string): Matching[] {
  if (!transport.connected) return []
  return [...transport.subscriptions.values()]
    .filter(({ filter }) => matches(filter, topic))
    .map((request) => ({ transport, request, isShared: sharedFilter(request.filter) !== null }))
}

// One copy for all subscriptions of a client that match, with the best QoS of them.
function deliver(
  transport: MemoryTransport,
  { options, payload, topic }: MemoryPublication,
  found: readonly Matching[],
): void {
  const best = Math.max(...found.map(({ request }) => request.qos)) as QoS
  const keepsRetain = found.some(({ request }) => request.retainAsPublished)
  transport.deliver(topic, payload, {
    qos: lower(best, options.qos ?? 1),
    retain: keepsRetain && options.retain === true,
    properties: asDelivered(options.properties ?? {}),
  })
}

// As they come off the wire: bytes are buffers, and a user property may come more than once.
function asDelivered({ correlationData, userProperties, ...plain }: PublishProperties): MessageProperties {
  const names = Object.entries(userProperties ?? {}).map(([name, texts]) => [name, [texts].flat()] as const)
  return {
    ...plain,
    ...(correlationData === undefined ? {} : { correlationData: Buffer.from(correlationData) }),
    ...(userProperties === undefined ? {} : { userProperties: Object.fromEntries(names) }),
  }
}

function lower(one: QoS, other: QoS): QoS {
  return one < other ? one : other
}

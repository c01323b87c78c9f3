// A broker in memory for several servers of one test: each has a transport of it, and what one publishes comes to all who subscribe.
import type { PublishOptions, PublishResult, QoS } from '../../lib/core/message.ts'
import { matches, sharedFilter } from '../../lib/core/topic.ts'
import { MemoryTransport } from '../../lib/testing/memory-transport.ts'

type Route = (topic: string, payload: Buffer, qos: QoS) => boolean

const NO_MATCHING_SUBSCRIBERS = 0x10

export class MemoryBroker {
  readonly #transports = new Set<MemoryTransport>()
  #turn = 0

  transport(): MemoryTransport {
    const route: Route = (topic, payload, qos) => this.#route(topic, payload, qos)
    class LinkedTransport extends MemoryTransport {
      override async publish(
        topic: string,
        payload: Buffer,
        options: PublishOptions,
      ): Promise<PublishResult> {
        const answer = super.publish(topic, payload, options)
        const isHeard = this.connected && route(topic, payload, options.qos ?? 1)
        const result = await answer
        // With QoS 0 nothing is said of it.
        return isHeard || options.qos === 0 ? result : { ...result, reasonCode: NO_MATCHING_SUBSCRIBERS }
      }
    }
    const transport = new LinkedTransport()
    this.#transports.add(transport)
    return transport
  }

  #route(topic: string, payload: Buffer, qos: QoS): boolean {
    const groups = new Map<string, MemoryTransport[]>()
    let isHeard = false
    for (const transport of this.#transports) {
      for (const filter of transport.subscriptions.keys()) {
        const shared = sharedFilter(filter)
        if (!matches(shared?.filter ?? filter, topic)) continue
        isHeard = true
        if (shared === null) deliver(transport, filter, topic, payload, qos)
        else groups.set(filter, [...(groups.get(filter) ?? []), transport])
      }
    }
    for (const [filter, members] of groups) {
      const one = members[this.#turn++ % members.length]
      if (one !== undefined) deliver(one, filter, topic, payload, qos)
    }
    return isHeard
  }
}

// The lower of what it was published with and what was granted [MQTT-3.8.4-8].
function deliver(
  transport: MemoryTransport,
  filter: string,
  topic: string,
  payload: Buffer,
  published: QoS,
): void {
  const granted = transport.subscriptions.get(filter)?.qos ?? 0
  transport.deliver(topic, payload, { qos: published < granted ? published : granted })
}

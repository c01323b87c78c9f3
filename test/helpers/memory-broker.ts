// A broker in memory for several servers of one test: each has a transport of it, and what one publishes comes to all who subscribe.
import type { PublishOptions, PublishResult } from '../../lib/core/message.ts'
import { matches, sharedFilter } from '../../lib/core/topic.ts'
import { MemoryTransport } from '../../lib/testing/memory-transport.ts'

const NO_MATCHING_SUBSCRIBERS = 0x10

export class MemoryBroker {
  readonly #transports = new Set<MemoryTransport>()
  #turn = 0

  transport(): MemoryTransport {
    const route = (topic: string, payload: Buffer): boolean => this.#route(topic, payload)
    class LinkedTransport extends MemoryTransport {
      override async publish(
        topic: string,
        payload: Buffer,
        options: PublishOptions,
      ): Promise<PublishResult> {
        const answer = super.publish(topic, payload, options)
        const isHeard = this.connected && route(topic, payload)
        const result = await answer
        return isHeard ? result : { ...result, reasonCode: NO_MATCHING_SUBSCRIBERS }
      }
    }
    const transport = new LinkedTransport()
    this.#transports.add(transport)
    return transport
  }

  #route(topic: string, payload: Buffer): boolean {
    const groups = new Map<string, MemoryTransport[]>()
    let isHeard = false
    for (const transport of this.#transports) {
      for (const filter of transport.subscriptions.keys()) {
        const shared = sharedFilter(filter)
        if (!matches(shared?.filter ?? filter, topic)) continue
        isHeard = true
        if (shared === null) transport.deliver(topic, payload, { qos: 1 })
        else groups.set(filter, [...(groups.get(filter) ?? []), transport])
      }
    }
    for (const members of groups.values()) {
      members[this.#turn++ % members.length]?.deliver(topic, payload, { qos: 1 })
    }
    return isHeard
  }
}

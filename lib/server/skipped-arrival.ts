// Stands for a message that was not kept, so that its acknowledgement has a place in the order.
import type { Arrival, SkippedPacket } from '../transport/transport.ts'

export function skippedArrival({ packetId, bytes, topic }: SkippedPacket): Arrival {
  return {
    topic,
    payload: Buffer.alloc(0),
    qos: 1,
    retain: false,
    dup: false,
    properties: {},
    packetId,
    bytes,
    invalid: undefined,
    subscriptionIdentifiers: [],
    share: undefined,
    equals: () => false,
  }
}

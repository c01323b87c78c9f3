// Stands for a message that was too large to be kept: so its acknowledgement has a place in the order, and it a dead letter.
import { MqttasgiError } from '../core/errors.ts'
import { inLog } from '../core/log.ts'
import type { Arrival, SkippedPacket } from '../transport/transport.ts'
import type { Burial } from './settlement.ts'

export function skippedArrival({ bytes, dup, packetId, topic }: SkippedPacket): Arrival {
  return {
    topic,
    payload: Buffer.alloc(0),
    qos: 1,
    retain: false,
    dup,
    properties: {},
    packetId,
    bytes: 0,
    invalid: undefined,
    subscriptionIdentifiers: [],
    share: undefined,
    skippedBytes: bytes,
    equals: (other) => other.skippedBytes === bytes && other.topic === topic,
  }
}

export function oversizedBurial({ bytes, topic }: SkippedPacket): Burial {
  const what = `${bytes} bytes on "${inLog(topic)}" are above maxPacketBytes: nothing was kept of them.`
  return {
    cause: 'oversized',
    error: new MqttasgiError('ERR_MESSAGE_OVERSIZED', what),
    route: undefined,
    reasonCode: 0,
  }
}

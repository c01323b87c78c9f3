// A message of QoS 1 with nothing in it, for tests that look at what its topic alone decides.
import type { Message } from '../../lib/core/message.ts'

export function plainMessage(topic: string): Message {
  return { topic, payload: Buffer.alloc(0), qos: 1, retain: false, dup: false, properties: {} }
}

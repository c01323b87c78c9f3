// A short name for a message by what it says: the same topic and payload have the same.
import { createHash } from 'node:crypto'
import type { Message } from '../core/message.ts'

export function messageKey({ payload, topic }: Pick<Message, 'topic' | 'payload'>): string {
  // NUL is in no topic [MQTT-4.7.3-2].
  return createHash('sha256').update(topic).update('\0').update(payload).digest('base64url')
}

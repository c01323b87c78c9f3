// What is published for an event: who has sent it, which of his events it is, and the event; and which came already.
import { MqttasgiError } from '../core/errors.ts'

/** An event as it came. */
export interface Envelope {
  readonly sender: string
  /** Together with the sender, no other event has it. */
  readonly number: string
  readonly bytes: Buffer
}

const LONGEST_HEAD = 64
const HEAD = /^([\w-]{1,32}) (\d{1,16})\n/

export function encodeEnvelope(sender: string, number: number, bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`${sender} ${number}\n`), bytes])
}

/** The bytes are a copy. Throws `ERR_CHANNEL_EVENT` for what others have published there. */
export function decodeEnvelope(payload: Buffer): Envelope {
  const head = HEAD.exec(payload.toString('latin1', 0, LONGEST_HEAD))
  if (head === null) throw new MqttasgiError('ERR_CHANNEL_EVENT', 'What came is no event of a channel layer.')
  const [whole, sender = '', number = ''] = head
  return { sender, number, bytes: Buffer.from(payload.subarray(whole.length)) }
}

// QoS 1 repeats what was under way when a connection broke, and not what came long ago.
const REMEMBERED = 4_096

/** Events that came before: with QoS 1 the broker may bring them again, and a channel has each at most once. */
export class SeenEvents {
  readonly #seen = new Set<string>()

  isNew({ sender, number }: Pick<Envelope, 'sender' | 'number'>): boolean {
    const key = `${sender} ${number}`
    if (this.#seen.has(key)) return false
    this.#seen.add(key)
    if (this.#seen.size > REMEMBERED) for (const [oldest] of [this.#seen]) this.#seen.delete(oldest ?? '')
    return true
  }
}

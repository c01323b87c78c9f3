// A message of the group that a whole worker is a member of, as its own routes are to see it: as theirs.
import type { Message, MessageProperties, QoS } from '../core/message.ts'

export class UnsharedMessage implements Message {
  readonly share = undefined
  readonly #message: Message

  constructor(message: Message) {
    this.#message = message
  }

  get topic(): string {
    return this.#message.topic
  }

  get payload(): Buffer {
    return this.#message.payload
  }

  get qos(): QoS {
    return this.#message.qos
  }

  get retain(): boolean {
    return this.#message.retain
  }

  get dup(): boolean {
    return this.#message.dup
  }

  get properties(): MessageProperties {
    return this.#message.properties
  }
}

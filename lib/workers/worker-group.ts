// The group that a whole worker is in: what its subscriptions and messages are with it, and what does not go together with it.
import { MqttasgiError } from '../core/errors.ts'
import type { Message, SubscribeOptions } from '../core/message.ts'
import type { Client, Interest } from '../core/receiver.ts'
import { UnsharedMessage } from './unshared-message.ts'

export class WorkerGroup {
  readonly #worker: string
  readonly #name: string

  constructor(worker: string, name: string) {
    this.#worker = worker
    this.#name = name
  }

  /** What is asked of the broker. What does not go together with the group is left out: it must not concern anybody else. */
  shared(interests: readonly Interest[]): readonly Interest[] {
    return interests
      .filter((interest) => this.#fault(interest) === undefined)
      .map((interest) => this.#inGroup(interest))
  }

  /** The first of these that does not go together with the group. */
  conflict(interests: readonly Interest[]): MqttasgiError | undefined {
    for (const interest of interests) {
      const what = this.#fault(interest)
      if (what === undefined) continue
      return new MqttasgiError(
        'ERR_WORKER_OPTION',
        `Route "${interest.source}" of worker "${this.#worker}": ${what}. Leave it out there.`,
        { receiver: this.#worker },
      )
    }
    return undefined
  }

  /** A message as the worker's own routes are to see it. */
  own(message: Message): Message {
    return message.share === this.#name ? new UnsharedMessage(message) : message
  }

  /** A client whose subscriptions are in the group. */
  clientOf(client: Client): Client {
    const inGroup = (filter: string): string =>
      filter.startsWith('$share/') ? filter : `$share/${this.#name}/${filter}`
    return {
      publish: (topic, payload, options) => client.publish(topic, payload, options),
      subscribe: async (filter: string, options?: SubscribeOptions) => ({
        ...(await client.subscribe(inGroup(filter), options)),
        filter,
      }),
      unsubscribe: (filter) => client.unsubscribe(inGroup(filter)),
    }
  }

  #inGroup(interest: Interest): Interest {
    return interest.share === undefined ? { ...interest, share: this.#name } : interest
  }

  #fault({ noLocal, share }: Interest): string | undefined {
    if (noLocal) return 'noLocal does not go together with a group [MQTT-3.8.3-4]'
    if (share !== this.#name) return undefined
    return `it names the group "${share}" itself, which all of the worker shares already`
  }
}

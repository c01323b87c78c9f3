// What the broker has been asked and has not answered, and whether the socket must be read for it.
import type { Transport } from '../transport/transport.ts'

/** The part of the broker that answers. */
export type AskedBroker = Pick<Transport, 'subscribe' | 'unsubscribe' | 'publish'>

/**
 * A handler may wait for the answer to a publication, in a window that is full of such handlers: then the socket
 * must be read, however much waits already. For the subscriptions of a connection that has just begun nobody
 * waits; their SUBACK may stand behind a whole backlog, and that must not be taken into memory for it.
 */
export class Requests {
  readonly broker: AskedBroker
  readonly #relieve: () => void
  #publications = 0
  #subscriptions = 0

  /** `relieve`: from now on something may be awaited. */
  constructor(transport: AskedBroker, relieve: () => void) {
    this.#relieve = relieve
    const counts = (by: number): void => void (this.#subscriptions += by)
    this.broker = {
      publish: (topic, payload, options) =>
        this.#ask(transport.publish(topic, payload, options), (by) => void (this.#publications += by)),
      subscribe: (requests) => this.#ask(transport.subscribe(requests), counts),
      unsubscribe: (filters) => this.#ask(transport.unsubscribe(filters), counts),
    }
  }

  /** Whether an answer is awaited for which the socket must be read. */
  areAwaited(subscriptionsToo: boolean): boolean {
    return this.#publications > 0 || (subscriptionsToo && this.#subscriptions > 0)
  }

  #ask<T>(answer: Promise<T>, count: (by: 1 | -1) => void): Promise<T> {
    const answered = (): void => count(-1)
    count(1)
    this.#relieve()
    answer.then(answered, answered)
    return answer
  }
}

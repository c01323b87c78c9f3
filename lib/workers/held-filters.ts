// What the instances at one seat have subscribed to by hand: what an older one has left is given up once the new one has said what it wants.
import type { Client } from '../core/receiver.ts'

export class HeldFilters {
  readonly #isHeldElsewhere: (filter: string) => boolean
  #own = new Set<string>()
  readonly #left = new Set<string>()

  constructor(isHeldElsewhere: (filter: string) => boolean) {
    this.#isHeldElsewhere = isHeldElsewhere
  }

  has(filter: string): boolean {
    return this.#own.has(filter) || this.#left.has(filter)
  }

  /** Another instance comes: nobody says whether it wants what the one before did. */
  next(): void {
    for (const filter of this.#own) this.#left.add(filter)
    this.#own = new Set()
  }

  /** The client as the present instance is to have it. */
  noting(client: Client): Client {
    const own = this.#own
    return {
      publish: (topic, payload, options) => client.publish(topic, payload, options),
      subscribe: async (filter, options) => {
        const isNew = !own.has(filter)
        own.add(filter)
        try {
          return await client.subscribe(filter, options)
        } catch (error) {
          if (isNew) own.delete(filter)
          throw error
        }
      },
      unsubscribe: async (filter) => {
        own.delete(filter)
        this.#left.delete(filter)
        // To the server all instances are one receiver, and it has each filter once.
        if (!this.has(filter) && !this.#isHeldElsewhere(filter)) await client.unsubscribe(filter)
      },
    }
  }

  /** The present instance has said what it wants. Never rejects. */
  async giveUpLeft(client: Client): Promise<void> {
    const left = [...this.#left].filter((filter) => !this.#own.has(filter))
    this.#left.clear()
    // What can not be told to the broker now is told with the next connection: the server knows what is wanted.
    await Promise.allSettled(
      left.filter((filter) => !this.#isHeldElsewhere(filter)).map((filter) => client.unsubscribe(filter)),
    )
  }
}

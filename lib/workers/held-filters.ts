// What the instances at one seat have subscribed to by hand: what an older one has left is given up once the new one has said what it wants.
import type { Client } from '../core/receiver.ts'

export class HeldFilters {
  readonly #isHeldElsewhere: (filter: string) => boolean
  readonly #changed: () => void
  #own = new Set<string>()
  readonly #left = new Set<string>()

  constructor(isHeldElsewhere: (filter: string) => boolean, changed: () => void) {
    this.#isHeldElsewhere = isHeldElsewhere
    this.#changed = changed
  }

  /** Those of the present instance, and those of the one before that it has not spoken of. */
  get filters(): readonly string[] {
    return [...this.#left, ...this.#own]
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
        this.#changed()
        try {
          return await client.subscribe(filter, options)
        } catch (error) {
          if (isNew) own.delete(filter)
          this.#changed()
          throw error
        }
      },
      unsubscribe: async (filter) => {
        own.delete(filter)
        this.#left.delete(filter)
        this.#changed()
        // To the server all instances are one receiver, and it has each filter once.
        if (!this.has(filter) && !this.#isHeldElsewhere(filter)) await client.unsubscribe(filter)
      },
    }
  }

  /** The present instance has said what it wants. Never rejects. */
  async giveUpLeft(client: Client): Promise<void> {
    const left = [...this.#left].filter((filter) => !this.#own.has(filter))
    this.#left.clear()
    this.#changed()
    // What can not be told to the broker now is told with the next connection: the server knows what is wanted.
    await Promise.allSettled(
      left.filter((filter) => !this.#isHeldElsewhere(filter)).map((filter) => client.unsubscribe(filter)),
    )
  }
}

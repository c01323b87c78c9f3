// What the instances at one seat have subscribed to by hand: what an older one has left is given up once the new one has said what it wants.
import type { QoS, SubscribeOptions, SubscribeResult } from '../core/message.ts'
import type { Client } from '../core/receiver.ts'

/** How somebody at another seat holds a filter: with the best QoS of all who do. Undefined where nobody does. */
type HeldElsewhere = (filter: string) => SubscribeOptions | undefined

export class HeldFilters {
  readonly #heldElsewhere: HeldElsewhere
  readonly #changed: () => void
  #own = new Map<string, SubscribeOptions>()
  readonly #left = new Map<string, SubscribeOptions>()

  constructor(heldElsewhere: HeldElsewhere, changed: () => void) {
    this.#heldElsewhere = heldElsewhere
    this.#changed = changed
  }

  /** Those of the present instance, and those of the one before that it has not spoken of. */
  get filters(): readonly string[] {
    return [...this.#left.keys(), ...this.#own.keys()]
  }

  /** How it is held here; undefined where it is not. */
  of(filter: string): SubscribeOptions | undefined {
    return this.#own.get(filter) ?? this.#left.get(filter)
  }

  /** Another instance comes: nobody says whether it wants what the one before did. */
  next(): void {
    for (const [filter, options] of this.#own) this.#left.set(filter, options)
    this.#own = new Map()
  }

  /** The client as the present instance is to have it. */
  noting(client: Client): Client {
    const own = this.#own
    return {
      publish: (topic, payload, options) => client.publish(topic, payload, options),
      subscribe: async (filter, given) => {
        const options = { ...given }
        const before = own.get(filter)
        own.set(filter, options)
        this.#changed()
        try {
          return await this.#ask(client, filter, options)
        } catch (error) {
          // Another one may have been asked for meanwhile.
          if (own.get(filter) === options) {
            if (before === undefined) own.delete(filter)
            else own.set(filter, before)
            this.#changed()
          }
          throw error
        }
      },
      unsubscribe: async (filter) => {
        const held = own.get(filter) ?? this.#left.get(filter)
        own.delete(filter)
        this.#left.delete(filter)
        this.#changed()
        if (this.of(filter) === undefined) await this.#giveUp(client, filter, held)
      },
    }
  }

  /** The present instance has said what it wants. Never rejects. */
  async giveUpLeft(client: Client): Promise<void> {
    const left = [...this.#left].filter(([filter]) => !this.#own.has(filter))
    this.#left.clear()
    this.#changed()
    // What can not be told to the broker now is told with the next connection: the server knows what is wanted.
    await Promise.allSettled(left.map(([filter, options]) => this.#giveUp(client, filter, options)))
  }

  // To the server all instances are one receiver, and it has each filter once: as it was asked for last.
  async #ask(client: Client, filter: string, options: SubscribeOptions): Promise<SubscribeResult> {
    const others = this.#heldElsewhere(filter)
    if (others === undefined || qosOf(others) <= qosOf(options)) return client.subscribe(filter, options)
    const { qos, ...result } = await client.subscribe(filter, { ...options, qos: qosOf(others) })
    return { ...result, qos: Math.min(qos, qosOf(options)) as QoS }
  }

  async #giveUp(client: Client, filter: string, options: SubscribeOptions | undefined): Promise<void> {
    const others = this.#heldElsewhere(filter)
    if (others === undefined) await client.unsubscribe(filter)
    else if (options !== undefined && qosOf(others) < qosOf(options)) await client.subscribe(filter, others)
  }
}

/** The one with the best QoS. */
export function bestOf(all: readonly SubscribeOptions[]): SubscribeOptions | undefined {
  return all.reduce<SubscribeOptions | undefined>(
    (best, one) => (best === undefined || qosOf(one) > qosOf(best) ? one : best),
    undefined,
  )
}

function qosOf({ qos = 1 }: SubscribeOptions): QoS {
  return qos
}

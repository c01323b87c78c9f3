// The channel layer over MQTT as its server sees it: a receiver whose messages are dealt with at once.
import { Deferred } from '../core/deferred.ts'
import type { HostedReceiver } from '../core/hosted.ts'
import type { Message } from '../core/message.ts'
import { plainPlan } from '../core/plain-plan.ts'
import type { Client, DisconnectReason, Interest, Outcome, Plan } from '../core/receiver.ts'

export interface MqttReceiverParts {
  readonly id: string
  /** What it hears as long as it is open. */
  readonly filters: readonly string[]
  /** Where answers come that handlers may wait for. */
  readonly answers: string
  readonly isAnswerDue: () => boolean
  readonly arrived: (message: Message) => void
  /** Its server ends; what is asked of the broker until this resolves is done before. */
  readonly ending: () => Promise<void>
}

// Receiving an event is putting it into a mailbox: there is nothing to order, to wait for or to repeat.
const plan: Plan = Object.freeze({ ...plainPlan, routes: ['channels'] })
const promptPlan: Plan = Object.freeze({ ...plan, isPrompt: true })

const done: Outcome = Object.freeze({ type: 'done', handled: true })

export class MqttReceiver implements HostedReceiver {
  readonly id: string
  readonly #parts: MqttReceiverParts
  readonly #listeners = new Set<() => void>()
  readonly #client = new Deferred<Client>()
  #isOpen = true

  constructor(parts: MqttReceiverParts) {
    this.id = parts.id
    this.#parts = parts
  }

  /** Resolves when there is a connection for the first time; the same client goes on after the next. */
  get client(): Promise<Client> {
    return this.#client.promise
  }

  get isAnswerDue(): boolean {
    return this.#parts.isAnswerDue()
  }

  interests(): readonly Interest[] {
    if (!this.#isOpen) return []
    return this.#parts.filters.map((filter) => ({
      filter,
      share: undefined,
      qos: 1,
      noLocal: false,
      retainHandling: 0,
      retainAsPublished: false,
      source: this.id,
    }))
  }

  onInterests(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  plan({ topic }: Message): Plan {
    return topic === this.#parts.answers ? promptPlan : plan
  }

  receive(message: Message): Outcome {
    this.#parts.arrived(message)
    return done
  }

  async connected(client: Client): Promise<void> {
    this.#client.resolve(client)
  }

  async disconnected({ type }: DisconnectReason): Promise<void> {
    if (type === 'lost') return
    await this.#parts.ending()
    await this.#giveUp()
  }

  /** Wants nothing more, and gives no client any more. */
  close(error: Error): void {
    this.#shut()
    this.#client.reject(error)
  }

  #shut(): void {
    this.#isOpen = false
    for (const changed of this.#listeners) changed()
  }

  // The names of a process are its own: in a session that is kept, they would wait for a process that never comes. What
  // the client was asked for as well it gives up as well, and says when that is done.
  async #giveUp(): Promise<void> {
    const client = await this.client
    const { filters } = this.#parts
    await Promise.all(filters.map((filter) => client.subscribe(filter, { qos: 1 })))
    this.#shut()
    await Promise.all(filters.map((filter) => client.unsubscribe(filter)))
  }

  release(): void {
    this.#listeners.clear()
  }
}

// A server as workers see it, without one: receivers come and go, and messages are handed to them by the test.
import { Deferred } from '../../lib/core/deferred.ts'
import type { Message } from '../../lib/core/message.ts'
import type { DetachOptions, DetachResult, ReceiverHost } from '../../lib/core/receiver-host.ts'
import type {
  Attempt,
  Client,
  Interest,
  Outcome,
  Plan,
  Receiver,
  RunningChain,
  SessionInfo,
} from '../../lib/core/receiver.ts'
import { memoryArrival } from '../../lib/testing/memory-arrival.ts'
import type { Incarnation, WorkerHost } from '../../lib/workers/host.ts'
import { plainPlan } from './plan.ts'

export const session: SessionInfo = { present: false, lost: false }

/** An attempt that never has to end. */
export class PlainAttempt implements Attempt {
  readonly number: number
  readonly controller = new AbortController()
  chain: RunningChain | undefined = undefined
  isWaiting = false
  /** Milliseconds that were asked for. */
  readonly extended: number[] = []
  waitedMs: number | undefined = undefined

  constructor(number = 1) {
    this.number = number
  }

  get signal(): AbortSignal {
    return this.controller.signal
  }

  extend(ms: number): void {
    this.extended.push(ms)
  }

  begins(afterMs: number): void {
    this.isWaiting = false
    this.waitedMs = afterMs
  }
}

/** Hands one message to a receiver, as the server does. */
export function hand(
  receiver: Receiver,
  topic: string,
  text = '',
  attempt: Attempt = new PlainAttempt(),
  more: Partial<Message> = {},
): Outcome | Promise<Outcome> {
  const message = { ...memoryArrival(topic, Buffer.from(text), {}), ...more }
  return receiver.receive(message, receiver.plan(message), attempt)
}

/** A client that keeps what was asked of it. */
export function recordingClient(): Client & { readonly asked: (readonly unknown[])[] } {
  const asked: (readonly unknown[])[] = []
  return {
    asked,
    publish: async (topic, payload, options) => {
      asked.push([
        'publish',
        topic,
        payload instanceof Uint8Array ? Buffer.from(payload).toString() : payload,
        options,
      ])
      return { reasonCode: 0 }
    },
    subscribe: async (filter, options) => {
      asked.push(['subscribe', filter, options])
      return { filter, qos: 1 }
    },
    unsubscribe: async (filter) => void asked.push(['unsubscribe', filter]),
  }
}

/** Receivers come and go at once, and are told of a connection. */
export class WorkerPlace implements ReceiverHost {
  readonly attached = new Set<Receiver>()
  readonly detached: (readonly [id: string, options: DetachOptions])[] = []
  readonly client = recordingClient()
  /** What the next attach fails with. */
  fault: Error | undefined = undefined
  /** What a detach waits for. */
  drained: Promise<void> = Promise.resolve()

  async attach(receiver: Receiver, _until?: Promise<never>): Promise<void> {
    if (this.fault !== undefined) throw this.fault
    this.attached.add(receiver)
    await receiver.connected(this.client, session)
  }

  async detach(receiver: Receiver, options: DetachOptions = {}): Promise<DetachResult> {
    this.detached.push([receiver.id, options])
    await this.drained
    await receiver.disconnected(options.reason ?? { type: 'killed' })
    this.attached.delete(receiver)
    return { unsettled: 0 }
  }

  inFlight(): number {
    return 0
  }
}

/** One instance, which the test ends. */
export class StagedIncarnation implements Incarnation, Receiver {
  readonly id = 'staged'
  readonly ending = new Deferred<Error | undefined>()
  readonly messages: string[] = []
  readonly told: string[] = []
  filters: string[] = ['#']
  readonly #wishes = new Map<string, Partial<Interest>>()
  outcome: Outcome | Promise<Outcome> = { type: 'done', handled: true }
  isClosed = false
  client: Client | undefined = undefined
  /** Subscribed to by hand, at each connection. */
  wants: readonly string[] = []
  readonly #plan: Plan
  readonly #listeners = new Set<() => void>()

  constructor(plan: Partial<Plan> = {}) {
    this.#plan = { ...plainPlan, ...plan }
  }

  get receiver(): Receiver {
    return this
  }

  get ended(): Promise<Error | undefined> {
    return this.ending.promise
  }

  get listeners(): number {
    return this.#listeners.size
  }

  async close(): Promise<void> {
    this.isClosed = true
  }

  interests(): readonly Interest[] {
    const rest = {
      share: undefined,
      qos: 1,
      noLocal: false,
      retainHandling: 0,
      retainAsPublished: false,
    } as const
    return this.filters.map((filter) => ({ filter, source: filter, ...rest, ...this.#wishes.get(filter) }))
  }

  onInterests(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  want(filter: string, more: Partial<Interest> = {}): void {
    this.#wishes.set(filter, more)
    this.filters.push(filter)
    for (const listener of this.#listeners) listener()
  }

  plan(): Plan {
    return this.#plan
  }

  receive(message: Message): Outcome | Promise<Outcome> {
    this.messages.push(`${message.topic}:${message.payload.toString()}`)
    return this.outcome
  }

  async connected(client: Client): Promise<void> {
    this.client = client
    this.told.push('connected')
    for (const filter of this.wants) await client.subscribe(filter)
  }

  async disconnected(): Promise<void> {
    this.told.push('disconnected')
  }
}

/** Starts staged instances; the test says which fail. */
export class StagedHost implements WorkerHost {
  readonly started: StagedIncarnation[] = []
  readonly #plan: Partial<Plan>
  fault: Error | undefined = undefined
  wants: readonly string[] = []

  constructor(plan: Partial<Plan> = {}) {
    this.#plan = plan
  }

  get last(): StagedIncarnation {
    return this.started.at(-1)!
  }

  async start(): Promise<Incarnation> {
    if (this.fault !== undefined) throw this.fault
    const one = new StagedIncarnation(this.#plan)
    one.wants = this.wants
    this.started.push(one)
    return one
  }
}

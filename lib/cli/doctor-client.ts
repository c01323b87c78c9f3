// A connection for questions: it subscribes to nothing that counts, acknowledges what comes, and leaves no session.
import type { PublishResult, QoS } from '../core/message.ts'
import { systemClock } from '../system-clock.ts'
import type {
  Arrival,
  ConnectionFailure,
  ConnectionInfo,
  SubscriptionRequest,
  Transport,
} from '../transport/transport.ts'

/** A message that came in answer to a question. */
export type Answer = Pick<Arrival, 'topic' | 'payload' | 'qos' | 'subscriptionIdentifiers'>

/** How long the broker may take for an answer. */
const PATIENCE_MS = 3_000

export class DoctorClient {
  readonly transport: Transport
  /** Is told of all that arrives. */
  heard: (answer: Answer) => void = () => {}
  #connected: (info: ConnectionInfo) => void = () => {}
  #ended: (failure: ConnectionFailure) => void = () => {}
  #failure: ConnectionFailure | undefined = undefined

  constructor(transport: Transport) {
    this.transport = transport
    transport.listen({
      connected: (info) => this.#connected(info),
      arrived: (arrival) => this.#arrived(arrival),
      skipped: ({ packetId }) => {
        if (packetId !== 0) transport.acknowledge([packetId])
      },
      closed: (failure) => {
        this.#failure = failure
        this.#ended(failure)
      },
    })
  }

  /** Why the connection has ended; undefined while it is up. */
  get failure(): ConnectionFailure | undefined {
    return this.#failure
  }

  /** With `auto`: MQTT 5, and 3.1.1 where the broker refuses that version. */
  async connect(version: 'auto' | 4 | 5): Promise<ConnectionInfo | ConnectionFailure> {
    const answer = await this.#try(version === 'auto' ? 5 : version)
    const isTooNew = 'type' in answer && answer.type === 'version' && version === 'auto'
    return isTooNew ? this.#try(4) : answer
  }

  /** The code of SUBACK; undefined when none came in time, or the connection ended. */
  async subscribe(filter: string, qos: QoS): Promise<number | undefined> {
    const request: SubscriptionRequest = {
      filter,
      qos,
      noLocal: false,
      // Nothing retained: it is not ours to read.
      retainHandling: 2,
      retainAsPublished: false,
      identifier: undefined,
    }
    return (await this.within(this.transport.subscribe([request])))?.[0]
  }

  async unsubscribe(filter: string): Promise<void> {
    await this.within(this.transport.unsubscribe([filter]))
  }

  publish(topic: string, payload: Buffer): Promise<PublishResult | undefined> {
    return this.within(this.transport.publish(topic, payload, { qos: 1 }))
  }

  /** Undefined when it took too long or failed. */
  within<T>(answer: Promise<T>, ms: number = PATIENCE_MS): Promise<T | undefined> {
    return new Promise((resolve) => {
      const cancel = systemClock.after(ms, () => resolve(undefined))
      answer.then(resolve, () => resolve(undefined)).finally(cancel)
    })
  }

  async close(): Promise<void> {
    await this.transport.close(1_000)
  }

  #try(version: 4 | 5): Promise<ConnectionInfo | ConnectionFailure> {
    this.#failure = undefined
    return new Promise((resolve) => {
      this.#connected = resolve
      this.#ended = resolve
      this.transport.connect(version)
    })
  }

  #arrived(arrival: Arrival): void {
    if (arrival.packetId !== 0) {
      const settled = Promise.resolve(this.transport.settled?.(arrival.packetId))
      // What can not be noted is not acknowledged, and ends with the session.
      settled.then(() => this.transport.acknowledge([arrival.packetId])).catch(() => {})
    }
    this.heard(arrival)
  }
}

/** Whether CONNACK said yes. */
export function isConnected(answer: ConnectionInfo | ConnectionFailure): answer is ConnectionInfo {
  return 'sessionPresent' in answer
}

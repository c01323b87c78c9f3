// A connection on which handlers can publish, and whose messages are dead letters: the broker is asked for none.
import type { DeadLetter } from '../core/dead-letter.ts'
import { Deferred } from '../core/deferred.ts'
import { MqttasgiError } from '../core/errors.ts'
import type { PublishOptions, PublishResult } from '../core/message.ts'
import { matches, sharedFilter } from '../core/topic.ts'
import { memoryArrival } from '../testing/memory-arrival.ts'
import type {
  ConnectionFailure,
  SubscriptionRequest,
  Transport,
  TransportListener,
} from '../transport/transport.ts'

/** Hands letters to a server as if they had just come, one at a time. */
export class ReplayTransport implements Transport {
  readonly #inner: Transport
  readonly #subscribed = new Map<string, SubscriptionRequest>()
  #listener: TransportListener | undefined
  #packetId = 0
  #acknowledged: Deferred | undefined

  /** `inner` makes the connection. */
  constructor(inner: Transport) {
    this.#inner = inner
  }

  get awaiting(): boolean {
    return this.#inner.awaiting
  }

  /** Its topic is wanted, but no more by the share group for which it had come, or no more outside of groups. */
  isForOthers(letter: DeadLetter): boolean {
    const matching = this.#matching(letter)
    return letter.share !== undefined && matching.length > 0 && askedFor(letter, matching).length === 0
  }

  /**
   * Resolves when the server has acknowledged it; with QoS 1, so that it counts as any message that must not be lost.
   * Rejects with `ERR_CONNECTION_CLOSED` when the connection ends first: nobody would say then what became of it.
   */
  hand(letter: DeadLetter): Promise<void> {
    const { topic, payload, retain, properties } = letter
    this.#packetId = (this.#packetId % 65_535) + 1
    const acknowledged = new Deferred()
    this.#acknowledged = acknowledged
    const packetId = this.#packetId
    // Of all that match, so that the one whose copy runs the chain is among them.
    const requests = askedFor(letter, this.#matching(letter))
    const subscriptionIdentifiers = requests.flatMap(({ identifier }) => identifier ?? [])
    const delivery = { qos: 1, retain, dup: true, packetId, properties, subscriptionIdentifiers } as const
    this.#listener?.arrived(memoryArrival(topic, payload, delivery))
    return acknowledged.promise
  }

  listen(listener: TransportListener): void {
    this.#listener = listener
    this.#inner.listen({
      // By them it is said for which share group a letter is, whether the broker has them or not.
      connected: (info) => {
        this.#subscribed.clear()
        listener.connected({ ...info, sessionPresent: false, subscriptionIdentifiers: true })
      },
      arrived: (arrival) => listener.arrived(arrival),
      skipped: (packet) => listener.skipped(packet),
      closed: (failure) => {
        this.#acknowledged?.reject(connectionEnded(failure))
        listener.closed(failure)
      },
    })
  }

  connect(protocolVersion: 4 | 5): void {
    this.#inner.connect(protocolVersion)
  }

  publish(topic: string, payload: Buffer, options: PublishOptions): Promise<PublishResult> {
    return this.#inner.publish(topic, payload, options)
  }

  async subscribe(requests: readonly SubscriptionRequest[]): Promise<readonly number[]> {
    for (const request of requests) this.#subscribed.set(request.filter, request)
    return requests.map(({ qos }) => qos)
  }

  async unsubscribe(filters: readonly string[]): Promise<void> {
    for (const filter of filters) this.#subscribed.delete(filter)
  }

  acknowledge(packetIds: readonly number[]): boolean {
    if (packetIds.includes(this.#packetId)) this.#acknowledged?.resolve()
    return true
  }

  pause(): void {}

  resume(): void {}

  cut(failure: ConnectionFailure): void {
    this.#inner.cut(failure)
  }

  close(timeoutMs: number): Promise<void> {
    return this.#inner.close(timeoutMs)
  }

  #matching({ topic }: DeadLetter): readonly SubscriptionRequest[] {
    return [...this.#subscribed.values()].filter(({ filter }) => matches(filter, topic))
  }
}

/** Those for which the letter had come; none where that is not known. */
function askedFor(
  { share }: DeadLetter,
  requests: readonly SubscriptionRequest[],
): readonly SubscriptionRequest[] {
  return requests.filter(({ filter }) => (sharedFilter(filter)?.group ?? null) === share)
}

function connectionEnded({ message }: ConnectionFailure): MqttasgiError {
  return new MqttasgiError(
    'ERR_CONNECTION_CLOSED',
    `The connection ended while a dead letter was handled, which stays. Replay again when the broker is back. ${message}`,
  )
}

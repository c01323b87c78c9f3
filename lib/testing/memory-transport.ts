// A transport without a network: the broker's side is an object of the test's, with faults on order.
import { MqttasgiError } from '../core/errors.ts'
import type { PublishOptions, PublishResult } from '../core/message.ts'
import type {
  ConnectionFailure,
  ConnectionInfo,
  SubscriptionRequest,
  Transport,
  TransportListener,
} from '../server/transport.ts'
import { memoryArrival, type MemoryDelivery } from './memory-arrival.ts'

/** A publication that reached the broker. */
export interface MemoryPublication {
  readonly topic: string
  readonly payload: Buffer
  readonly options: PublishOptions
}

/** Operations that can be made to fail. */
export type MemoryOperation = 'connect' | 'subscribe' | 'publish' | 'acknowledge'

/** What becomes of an operation: it is refused with a code, or the connection is lost at it. */
export type MemoryFault =
  | { readonly type: 'refuse'; readonly reasonCode: number }
  | { readonly type: 'lose'; readonly failure?: ConnectionFailure }

const LOST: ConnectionFailure = { type: 'closed', message: 'The connection was lost.' }

/**
 * The server's connection in memory. Calls to the listener come in turns of their own, as from a network.
 *
 * @example
 * const transport = new MemoryTransport()
 * const server = new Server({ transport, … })
 * await server.start()
 * transport.deliver('sensors/hall/temp', '21.5')
 */
export class MemoryTransport implements Transport {
  /** What CONNACK will say. */
  info: ConnectionInfo = {
    sessionPresent: false,
    protocolVersion: 5,
    receiveMaximum: 65_535,
    maximumPacketSize: undefined,
    subscriptionIdentifiers: true,
    sharedSubscriptions: true,
  }
  /** Packet ids in the order they were acknowledged. */
  readonly acknowledged: number[] = []
  readonly published: MemoryPublication[] = []
  readonly subscriptions: Map<string, SubscriptionRequest> = new Map<string, SubscriptionRequest>()
  /** Everything the server asked for, in order. */
  readonly calls: string[] = []
  /** Hold back the answers to publications until `answer()`. */
  holdAnswers = false
  connected = false
  closed = false
  paused = false
  #listener: TransportListener | undefined = undefined
  #nextPacketId = 1
  #unanswered: (() => void)[] = []
  readonly #faults = new Map<string, MemoryFault>()
  readonly #counts = new Map<MemoryOperation, number>()

  get awaiting(): boolean {
    return this.#unanswered.length > 0
  }

  /** The n-th call of this operation, counted from 1, goes wrong. */
  failAt(operation: MemoryOperation, nth: number, fault: MemoryFault): void {
    this.#faults.set(`${operation} ${nth}`, fault)
  }

  /** Sends a message to the server. Returns its packet id, 0 for QoS 0. */
  deliver(topic: string, payload: string | Buffer = '', delivery: MemoryDelivery = {}): number {
    const packetId = delivery.qos === 0 ? 0 : (delivery.packetId ?? this.#nextPacketId++)
    this.#listener?.arrived(memoryArrival(topic, Buffer.from(payload), { ...delivery, packetId }))
    return packetId
  }

  /** A message above the size limit went by. */
  skip(topic: string, bytes: number, packetId: number): void {
    this.#listener?.skipped({ topic, bytes, packetId })
  }

  /** Answers all publications that were held back. */
  answer(): void {
    for (const answer of this.#unanswered.splice(0)) answer()
  }

  /** The connection breaks. `packetIds` start anew where the session is lost. */
  lose(failure: ConnectionFailure = LOST): void {
    if (!this.connected) return
    this.connected = false
    this.#listener?.closed(failure)
  }

  listen(listener: TransportListener): void {
    this.#listener = listener
  }

  connect(protocolVersion: 4 | 5): void {
    this.calls.push(`connect ${protocolVersion}`)
    const fault = this.#faultOf('connect')
    queueMicrotask(() => {
      if (this.closed) return this.#listener?.closed(LOST)
      if (fault?.type === 'lose') return this.#listener?.closed(fault.failure ?? LOST)
      this.connected = true
      this.paused = false
      const subscriptionIdentifiers = protocolVersion === 5 && this.info.subscriptionIdentifiers
      this.#listener?.connected({ ...this.info, protocolVersion, subscriptionIdentifiers })
    })
  }

  publish(topic: string, payload: Buffer, options: PublishOptions): Promise<PublishResult> {
    this.calls.push(`publish ${topic}`)
    const fault = this.#faultOf('publish')
    if (fault?.type === 'lose') this.lose(fault.failure)
    if (!this.connected)
      return refuse('ERR_NOT_CONNECTED', `"${topic}" was not published: there is no connection.`)
    if (fault?.type === 'refuse') {
      return refuse('ERR_PUBLISH_REFUSED', `"${topic}" was refused with reason code ${fault.reasonCode}.`)
    }
    this.published.push({ topic, payload, options })
    if (!this.holdAnswers || options.qos === 0) return Promise.resolve({ reasonCode: 0 })
    return new Promise((resolve) => this.#unanswered.push(() => resolve({ reasonCode: 0 })))
  }

  subscribe(requests: readonly SubscriptionRequest[]): Promise<readonly number[]> {
    for (const { filter } of requests) this.calls.push(`subscribe ${filter}`)
    const fault = this.#faultOf('subscribe')
    if (fault?.type === 'lose') this.lose(fault.failure)
    if (!this.connected) return refuse('ERR_NOT_CONNECTED', 'Nothing was subscribed: there is no connection.')
    if (fault?.type === 'refuse') return Promise.resolve(requests.map(() => fault.reasonCode))
    for (const request of requests) this.subscriptions.set(request.filter, request)
    return Promise.resolve(requests.map(({ qos }) => qos))
  }

  unsubscribe(filters: readonly string[]): Promise<void> {
    for (const filter of filters) {
      this.calls.push(`unsubscribe ${filter}`)
      this.subscriptions.delete(filter)
    }
    return Promise.resolve()
  }

  acknowledge(packetIds: readonly number[]): void {
    if (!this.connected) return
    const fault = this.#faultOf('acknowledge')
    if (fault?.type === 'lose') return this.lose(fault.failure)
    this.acknowledged.push(...packetIds)
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
  }

  cut(failure: ConnectionFailure): void {
    queueMicrotask(() => this.lose(failure))
  }

  async close(): Promise<void> {
    this.closed = true
    await Promise.resolve()
    this.lose({ type: 'closed', message: 'The connection was closed by us.' })
  }

  #faultOf(operation: MemoryOperation): MemoryFault | undefined {
    const count = (this.#counts.get(operation) ?? 0) + 1
    this.#counts.set(operation, count)
    return this.#faults.get(`${operation} ${count}`)
  }
}

function refuse(code: 'ERR_NOT_CONNECTED' | 'ERR_PUBLISH_REFUSED', message: string): Promise<never> {
  return Promise.reject(new MqttasgiError(code, message))
}

// A transport without a network: the broker's side is an object of the test's, with faults on order; long for all that can go wrong.
import { MqttasgiError } from '../core/errors.ts'
import { unlimited } from '../transport/broker-limits.ts'
import type { PublishOptions, PublishResult } from '../core/message.ts'
import { Fifo } from '../server/fifo.ts'
import type {
  ConnectionFailure,
  ConnectionInfo,
  SubscriptionRequest,
  Transport,
  TransportListener,
} from '../transport/transport.ts'
import { memoryArrival, type MemoryDelivery } from './memory-arrival.ts'

/** A publication that reached the broker. */
export interface MemoryPublication {
  readonly topic: string
  readonly payload: Buffer
  readonly options: PublishOptions
}

/** Operations that can be made to fail. */
export type MemoryOperation = 'connect' | 'subscribe' | 'unsubscribe' | 'publish' | 'acknowledge'

/** What becomes of an operation: it is refused with a code, or the connection is lost at it. */
export type MemoryFault =
  | { readonly type: 'refuse'; readonly reasonCode: number }
  | { readonly type: 'lose'; readonly failure?: ConnectionFailure }

interface OpenPublication extends MemoryPublication {
  readonly resolve: (result: PublishResult) => void
  readonly reject: (error: MqttasgiError) => void
}

const LOST: ConnectionFailure = { type: 'closed', message: 'The connection was lost.' }
const CLOSED: ConnectionFailure = { type: 'closed', message: 'The connection was closed by us.' }

/**
 * The server's connection in memory. As from a network, messages and answers come in order, in turns of
 * their own, and not while the server has paused the socket.
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
    limits: unlimited,
  }
  /** What SUBACK will say to a request; as it was asked for, unless told otherwise. */
  grant: (request: SubscriptionRequest) => number = ({ qos }) => qos
  /** Packet ids in the order they were acknowledged. */
  readonly acknowledged: number[] = []
  /** What reached the broker; once more where it was sent again on a new connection. */
  readonly published: MemoryPublication[] = []
  readonly subscriptions: Map<string, SubscriptionRequest> = new Map<string, SubscriptionRequest>()
  /** Everything the server asked for, in order. */
  readonly calls: string[] = []
  /** Told what reaches the broker, when it does. */
  reached: ((publication: MemoryPublication) => void) | undefined = undefined
  /** Told what was granted, and whether there was such a subscription before. */
  granted: ((request: SubscriptionRequest, isNew: boolean) => void) | undefined = undefined
  /** Hold back the answers to publications until `answer()`. */
  holdAnswers = false
  connected = false
  closed = false
  paused = false
  #listener: TransportListener | undefined = undefined
  #nextPacketId = 1
  // What is on its way to the server on this connection: messages and answers.
  readonly #inbound = new Fifo<() => void>()
  #flowing = false
  readonly #unanswered = new Set<OpenPublication>()
  // SUBSCRIBEs and UNSUBSCRIBEs without an answer, by what refuses them.
  readonly #questions = new Set<() => void>()
  readonly #faults = new Map<string, MemoryFault>()
  readonly #counts = new Map<MemoryOperation, number>()

  get awaiting(): boolean {
    return this.#unanswered.size + this.#questions.size > 0
  }

  /** The n-th call of this operation, counted from 1, goes wrong. */
  failAt(operation: MemoryOperation, nth: number, fault: MemoryFault): void {
    this.#faults.set(`${operation} ${nth}`, fault)
  }

  /** How often this operation has been asked for. */
  count(operation: MemoryOperation): number {
    return this.#counts.get(operation) ?? 0
  }

  /** Sends a message to the server; without a connection it is lost. Returns its packet id, 0 for QoS 0. */
  deliver(topic: string, payload: string | Buffer = '', delivery: MemoryDelivery = {}): number {
    const packetId = delivery.qos === 0 ? 0 : (delivery.packetId ?? this.#takePacketId())
    const arrival = memoryArrival(topic, Buffer.from(payload), { ...delivery, packetId })
    this.#arrive(() => this.#listener?.arrived(arrival))
    return packetId
  }

  /** A message above the size limit went by. */
  skip(topic: string, bytes: number, packetId: number): void {
    this.#arrive(() => this.#listener?.skipped({ topic, bytes, packetId, dup: false }))
  }

  /** Answers all publications that were held back. */
  answer(): void {
    for (const publication of this.#unanswered) this.#arrive(() => this.#answered(publication))
  }

  /** The connection breaks. */
  lose(failure: ConnectionFailure = LOST): void {
    if (!this.connected) return
    this.connected = false
    this.#inbound.clear()
    queueMicrotask(() => {
      for (const refuseQuestion of this.#questions) refuseQuestion()
      this.#questions.clear()
      this.#listener?.closed(failure)
    })
  }

  listen(listener: TransportListener): void {
    this.#listener = listener
  }

  connect(protocolVersion: 4 | 5): void {
    this.calls.push(`connect ${protocolVersion}`)
    const fault = this.#faultOf('connect')
    queueMicrotask(() => {
      if (this.closed) this.#listener?.closed(CLOSED)
      else if (fault === undefined) this.#open(protocolVersion)
      else this.#listener?.closed(fault.type === 'lose' ? (fault.failure ?? LOST) : refused(fault.reasonCode))
    })
  }

  publish(topic: string, payload: Buffer, options: PublishOptions): Promise<PublishResult> {
    this.calls.push(`publish ${topic}`)
    const fault = this.#faultOf('publish')
    if (!this.connected) return Promise.reject(this.#unreachable(`"${topic}" was not published`))
    if (fault?.type === 'refuse') {
      const message = `"${topic}" was refused with reason code ${fault.reasonCode}.`
      return Promise.reject(new MqttasgiError('ERR_PUBLISH_REFUSED', message, { topic }))
    }
    if (fault?.type === 'lose') this.lose(fault.failure)
    if (options.qos === 0) {
      if (!this.connected) return Promise.reject(unanswered(`the publication to "${topic}"`))
      this.#keep({ topic, payload, options })
      return Promise.resolve({ reasonCode: 0 })
    }
    return new Promise((resolve, reject) => {
      const publication: OpenPublication = { topic, payload, options, resolve, reject }
      this.#unanswered.add(publication)
      if (this.connected) this.#reach(publication)
    })
  }

  subscribe(requests: readonly SubscriptionRequest[]): Promise<readonly number[]> {
    for (const { filter } of requests) this.calls.push(`subscribe ${filter}`)
    return this.#ask('subscribe', (reasonCode) =>
      requests.map((request) => {
        const code = reasonCode ?? this.grant(request)
        if (code < 0x80) this.#grant(request)
        return code
      }),
    )
  }

  async unsubscribe(filters: readonly string[]): Promise<void> {
    for (const filter of filters) this.calls.push(`unsubscribe ${filter}`)
    const code = await this.#ask('unsubscribe', (reasonCode = 0) => {
      if (reasonCode < 0x80) for (const filter of filters) this.subscriptions.delete(filter)
      return reasonCode
    })
    if (code < 0x80) return
    const message = `The broker refused to end ${filters.join(', ')} with reason code ${code}.`
    throw new MqttasgiError('ERR_UNSUBSCRIBE_REFUSED', message)
  }

  acknowledge(packetIds: readonly number[]): boolean {
    if (!this.connected) return false
    const fault = this.#faultOf('acknowledge')
    // They were written, and get lost on the way.
    if (fault?.type === 'lose') this.lose(fault.failure)
    else this.acknowledged.push(...packetIds)
    return true
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
    this.#flow()
  }

  cut(failure: ConnectionFailure): void {
    this.lose(failure)
  }

  async close(): Promise<void> {
    this.closed = true
    this.lose(CLOSED)
    for (const { reject, topic } of this.#unanswered) reject(unanswered(`the publication to "${topic}"`))
    this.#unanswered.clear()
    await Promise.resolve()
  }

  #open(protocolVersion: 4 | 5): void {
    this.connected = true
    this.paused = false
    if (!this.info.sessionPresent) this.subscriptions.clear()
    const subscriptionIdentifiers = protocolVersion === 5 && this.info.subscriptionIdentifiers
    const older = [...this.#unanswered]
    this.#listener?.connected({ ...this.info, protocolVersion, subscriptionIdentifiers })
    for (const publication of older) if (this.connected) this.#reach(publication)
  }

  /** The broker has got a publication. */
  #reach(publication: OpenPublication): void {
    const { options, payload, topic } = publication
    this.#keep({ topic, payload, options })
    if (!this.holdAnswers) this.#arrive(() => this.#answered(publication))
  }

  #keep(publication: MemoryPublication): void {
    this.published.push(publication)
    this.reached?.(publication)
  }

  #grant(request: SubscriptionRequest): void {
    const isNew = !this.subscriptions.has(request.filter)
    this.subscriptions.set(request.filter, request)
    this.granted?.(request, isNew)
  }

  #answered(publication: OpenPublication): void {
    this.#unanswered.delete(publication)
    publication.resolve({ reasonCode: 0 })
  }

  /** `answer` is what the broker makes of it; it is given the reason code of a refusal. */
  #ask<T>(operation: 'subscribe' | 'unsubscribe', answer: (reasonCode: number | undefined) => T): Promise<T> {
    const fault = this.#faultOf(operation)
    if (!this.connected) return Promise.reject(this.#unreachable(`Nothing was asked (${operation})`))
    return new Promise((resolve, reject) => {
      const refuseQuestion = (): void => reject(unanswered(operation))
      this.#questions.add(refuseQuestion)
      if (fault?.type === 'lose') return this.lose(fault.failure)
      const said = answer(fault?.reasonCode)
      this.#arrive(() => {
        this.#questions.delete(refuseQuestion)
        resolve(said)
      })
    })
  }

  #arrive(tell: () => void): void {
    if (!this.connected) return
    this.#inbound.push(tell)
    this.#flow()
  }

  #flow(): void {
    if (this.#flowing) return
    this.#flowing = true
    queueMicrotask(() => {
      this.#flowing = false
      while (!this.paused && this.#inbound.size > 0) this.#inbound.shift()?.()
    })
  }

  #takePacketId(): number {
    const packetId = this.#nextPacketId
    this.#nextPacketId = (packetId % 65_535) + 1
    return packetId
  }

  #faultOf(operation: MemoryOperation): MemoryFault | undefined {
    const count = this.count(operation) + 1
    this.#counts.set(operation, count)
    return this.#faults.get(`${operation} ${count}`)
  }

  #unreachable(what: string): MqttasgiError {
    return this.closed
      ? new MqttasgiError('ERR_CONNECTION_CLOSED', `${what}: the connection was closed.`)
      : new MqttasgiError('ERR_NOT_CONNECTED', `${what}: there is no connection.`)
  }
}

function unanswered(what: string): MqttasgiError {
  return new MqttasgiError(
    'ERR_CONNECTION_CLOSED',
    `The connection ended before the broker answered ${what}.`,
  )
}

function refused(reasonCode: number): ConnectionFailure {
  return { type: 'refused', message: `The broker refused the connection (${reasonCode}).`, reasonCode }
}

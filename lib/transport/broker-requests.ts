// Publications, SUBSCRIBEs and UNSUBSCRIBEs that the broker has not answered yet, and what becomes of them.
import { MqttasgiError } from '../core/errors.ts'
import type { PublishOptions, PublishResult } from '../core/message.ts'
import { assertTopic, quote } from '../core/topic.ts'
import {
  limitFault,
  noLimits,
  measurePublish,
  tooLarge,
  type PublishLimits,
  type OutgoingPublish,
  type WireProperties,
} from './outgoing-publish.ts'
import { Quarantine } from './quarantine.ts'
import { closedError, notConnected, unbearable, unsubscribeFault } from './request-faults.ts'
import { reasonText } from './reason-codes.ts'
import type { SubscriptionRequest } from './transport.ts'

/** An acknowledgement of the broker's, as far as it matters here. */
interface Answer {
  readonly cmd: string
  readonly messageId?: number | undefined
  readonly reasonCode?: number | undefined
  readonly granted?: readonly unknown[] | undefined
}

type Callback = (error?: Error | null, answer?: Answer) => void

/** The part of MQTT.js that is used here. */
export interface RequestClient {
  publish(
    topic: string,
    payload: Buffer,
    options: { qos: 0 | 1 | 2; retain: boolean; properties?: WireProperties },
    callback: Callback,
  ): unknown
  subscribe(
    filter: string,
    options: {
      qos: 0 | 1 | 2
      nl: boolean
      rap: boolean
      rh: number
      properties?: { subscriptionIdentifier: number }
    },
    callback: (error: Error | null, granted?: unknown, answer?: Answer) => void,
  ): unknown
  unsubscribe(filters: string[], callback: Callback): unknown
  getLastMessageId(): number
  removeOutgoingMessage(messageId: number): unknown
  readonly outgoingStore: {
    get(packet: { messageId: number }, callback: (error?: Error, packet?: Answer) => void): unknown
  }
}

/** The first call counts: the answer, the end of the connection, or MQTT.js's own opinion of that. */
interface Settle<T> {
  readonly done: (value: T) => void
  readonly fail: (error: MqttasgiError) => void
}

interface OpenRequest {
  /** For messages to people. */
  readonly what: string
  /** MQTT.js keeps it over a reconnect and sends it again. */
  readonly durable: boolean
  /** Of its frame; 0 where nobody asks. */
  readonly bytes: number
  /** The packet id, while MQTT.js stores it. */
  id: number | undefined
  send(): void
  fail(error: MqttasgiError): void
}

/**
 * The requests made through one client.
 *
 * When connected again, MQTT.js first sends what it has stored, one by one. What it is asked for meanwhile it fails when that
 * connection ends too, publications as well; so all is held here until it says that it is through.
 */
export class BrokerRequests {
  readonly #client: RequestClient
  readonly #version: 4 | 5
  readonly #open = new Set<OpenRequest>()
  /** The reason codes of PUBACK and PUBREC by packet id, for MQTT.js hands back the PUBLISH instead. */
  readonly #reasons = new Map<number, number>()
  readonly #quarantine: Quarantine<OpenRequest>
  #held: OpenRequest[] = []
  #limits = noLimits
  #state: 'apart' | 'connected' | 'ready' | 'closed' = 'apart'

  /** `now` is a monotonic clock in milliseconds. */
  constructor(client: RequestClient, protocolVersion: 4 | 5, now = (): number => performance.now()) {
    this.#client = client
    this.#version = protocolVersion
    this.#quarantine = new Quarantine(now)
  }

  /** How many are not answered. */
  get size(): number {
    return this.#open.size
  }

  /** Whatever is sent now was handed over on an earlier connection. */
  get resending(): boolean {
    return this.#state === 'connected'
  }

  /** CONNACK said yes; MQTT.js has not begun to send what it has stored. */
  connected(limits: PublishLimits): void {
    this.#state = 'connected'
    this.#limits = limits
    this.#dropTooLarge()
  }

  /** MQTT.js takes new requests: what was held goes first. */
  ready(): void {
    if (this.#state !== 'connected') return
    this.#state = 'ready'
    const held = this.#held
    this.#held = []
    for (const request of held) request.send()
  }

  /** The connection has ended, perhaps for what was sent. */
  lost(isSuspicious: boolean): void {
    if (this.#state === 'closed') return
    this.#state = 'apart'
    this.#limits = noLimits
    this.#reasons.clear()
    const culprit = this.#quarantine.ended(isSuspicious)
    if (culprit?.id !== undefined) this.#withdraw(culprit, culprit.id, unbearable(culprit.what))
    this.#held = this.#held.filter((request) => request.durable)
    for (const request of this.#open) if (!request.durable) request.fail(closedError(request.what))
  }

  /** There will be no other connection. */
  close(): void {
    this.#state = 'closed'
    this.#held = []
    for (const request of this.#open) request.fail(closedError(request.what))
  }

  /** To be shown each acknowledgement before MQTT.js handles it. */
  received(answer: Answer): void {
    const { cmd, messageId, reasonCode = 0 } = answer
    if ((cmd !== 'puback' && cmd !== 'pubrec') || messageId === undefined) return
    if (reasonCode !== 0) this.#reasons.set(messageId, reasonCode)
    // A PUBACK settles the request with it; behind PUBREC it stays open, and can do no harm.
    const taken = cmd === 'pubrec' ? this.#withId(messageId) : undefined
    if (taken !== undefined) this.#quarantine.answered(taken)
  }

  /** To be told of each PUBLISH that MQTT.js sends by itself. */
  resent(messageId: number): void {
    const request = this.#withId(messageId)
    if (request !== undefined) this.#quarantine.sent(request)
  }

  publish(topic: string, payload: Buffer, options: PublishOptions): Promise<PublishResult> {
    const qos = options.qos ?? 1
    const retain = options.retain === true
    const what = `the publication to ${quote(topic)}`
    let packet: OutgoingPublish
    try {
      assertTopic(topic)
      packet = measurePublish(topic, payload, options, this.#version)
    } catch (error) {
      return Promise.reject(error)
    }
    return this.#ask<PublishResult>({ what, durable: qos > 0, bytes: packet.bytes }, (settle, request) => {
      const over = limitFault(topic, { qos, retain, bytes: packet.bytes }, this.#limits)
      if (over !== undefined) return settle.fail(over)
      const settings = packet.properties === undefined ? {} : { properties: packet.properties }
      this.#client.publish(topic, payload, { qos, retain, ...settings }, (error, answer) =>
        this.#published(topic, settle, error, answer),
      )
      if (qos === 0 || !this.#open.has(request)) return
      request.id = this.#client.getLastMessageId()
      this.#quarantine.sent(request)
    })
  }

  /** One SUBSCRIBE each: MQTT.js fails a whole packet for one refused filter. */
  async subscribe(requests: readonly SubscriptionRequest[]): Promise<readonly number[]> {
    return Promise.all(requests.map((request) => this.#subscribe(request)))
  }

  async unsubscribe(filters: readonly string[]): Promise<void> {
    if (filters.length === 0) return
    const what = `UNSUBSCRIBE for ${filters.map(quote).join(', ')}`
    await this.#ask<true>({ what, durable: false, bytes: 0 }, (settle) => {
      this.#client.unsubscribe([...filters], (error, answer) => {
        const fault = error ? closedError(what, error) : unsubscribeFault(filters, answer?.granted ?? [])
        if (fault === undefined) settle.done(true)
        else settle.fail(fault)
      })
    })
  }

  #subscribe(wanted: SubscriptionRequest): Promise<number> {
    const { filter, identifier, noLocal, qos, retainAsPublished, retainHandling } = wanted
    const what = `SUBSCRIBE for ${quote(filter)}`
    const properties = identifier === undefined ? {} : { properties: { subscriptionIdentifier: identifier } }
    const options = { qos, nl: noLocal, rap: retainAsPublished, rh: retainHandling, ...properties }
    return this.#ask<number>({ what, durable: false, bytes: 0 }, (settle) => {
      this.#client.subscribe(filter, options, (error, _granted, answer) => {
        // A refusal is an error to MQTT.js; SUBACK comes along with it.
        const [code, ...more] = answer?.granted ?? []
        if (typeof code === 'number' && more.length === 0) settle.done(code)
        else settle.fail(closedError(what, error ?? undefined))
      })
    })
  }

  #ask<T>(
    about: Pick<OpenRequest, 'what' | 'durable' | 'bytes'>,
    send: (settle: Settle<T>, request: OpenRequest) => void,
  ): Promise<T> {
    if (this.#state === 'apart') return Promise.reject(notConnected(about.what))
    if (this.#state === 'closed') return Promise.reject(closedError(about.what))
    return new Promise((resolve, reject) => {
      const settle: Settle<T> = {
        done: (value) => {
          if (this.#close(request)) resolve(value)
        },
        fail: (error) => {
          if (this.#close(request)) reject(error)
        },
      }
      const request: OpenRequest = {
        ...about,
        id: undefined,
        send: () => send(settle, request),
        fail: settle.fail,
      }
      this.#open.add(request)
      if (this.#state === 'ready') request.send()
      else this.#held.push(request)
    })
  }

  #close(request: OpenRequest): boolean {
    this.#quarantine.answered(request)
    return this.#open.delete(request)
  }

  #withId(messageId: number): OpenRequest | undefined {
    for (const request of this.#open) if (request.id === messageId) return request
    return undefined
  }

  /** It fails, and MQTT.js does not send it again. */
  #withdraw(request: OpenRequest, id: number, error: MqttasgiError): void {
    request.fail(error)
    this.#client.removeOutgoingMessage(id)
  }

  #published(
    topic: string,
    settle: Settle<PublishResult>,
    error: Error | null | undefined,
    answer: Answer | undefined,
  ): void {
    const code = error !== null && error !== undefined && 'code' in error ? error.code : undefined
    const id = answer?.messageId ?? 0
    const told = this.#reasons.get(id) ?? 0
    this.#reasons.delete(id)
    if (!error) return settle.done({ reasonCode: told })
    if (typeof code !== 'number') return settle.fail(closedError(`the publication to ${quote(topic)}`, error))
    settle.fail(
      new MqttasgiError(
        'ERR_PUBLISH_REFUSED',
        `The broker refused the publication to ${quote(topic)} (${reasonText(code)}): check what this client may publish.`,
        { topic, cause: error },
      ),
    )
  }

  /**
   * A broker that came back with a smaller limit would end the connection at each resend, for ever. What it has taken
   * already (QoS 2, behind PUBREC) is small.
   */
  #dropTooLarge(): void {
    const limit = this.#limits.maximumPacketSize ?? Number.POSITIVE_INFINITY
    for (const request of this.#open) {
      const { id } = request
      if (request.bytes <= limit || id === undefined) continue
      this.#client.outgoingStore.get({ messageId: id }, (_error, packet) => {
        if (packet?.cmd !== 'publish') return
        this.#withdraw(request, id, tooLarge(request.what, request.bytes, limit))
      })
    }
  }
}

// The context behind the interface: reads the message lazily and asks its receiver's client for the rest.
import type { ChannelLayer } from './channel-layer.ts'
import { ChainPosition, type Ending } from './compose.ts'
import type { ApplicationHandle, Context } from './context.ts'
import { MqttasgiError } from './errors.ts'
import { hopsOf, oneHopOn } from './hops.ts'
import { readJson, type JsonLimits } from './json-guard.ts'
import type { Layer } from './layer.ts'
import { inLog, type Logger } from './log.ts'
import type {
  Message,
  MessageProperties,
  Payload,
  PublishOptions,
  PublishResult,
  QoS,
  SubscribeOptions,
  SubscribeResult,
} from './message.ts'
import { outcomeOf } from './outcomes.ts'
import { encodePayload } from './payload.ts'
import type { PublishRates } from './publish-rates.ts'
import { checkPublishOptions } from './publish-options.ts'
import type { Attempt, Client, Outcome, RunningChain } from './receiver.ts'
import { MAX_REPLY_BYTES, replyRefused, replyTopicOf } from './reply.ts'
import type { Scope } from './scope.ts'

/** What the server asks of publications that handlers make. */
export interface PublishRules {
  /** Filters of the topics that replies may go to; undefined allows all that do not begin with `$`. */
  readonly replyTopics: readonly string[] | undefined
  /** Publications carry how many have led to them. */
  readonly countHops: boolean
}

/** What all contexts of one receiver have in common. */
export interface ContextHost {
  readonly app: ApplicationHandle
  readonly scope: Scope
  readonly log: Logger
  readonly client: Client
  /** Left out where no server is. */
  readonly rules?: PublishRules | undefined
  /** Left out where nobody counts. */
  readonly rates?: PublishRates | undefined
  readonly channels?: ChannelLayer | undefined
}

/** The layers a message goes through, and what becomes of it at their end. */
export interface Chain {
  readonly layers: readonly Layer[]
  readonly ending: Ending<MessageContext, Outcome>
}

const NO_PARAMS: object = Object.freeze(Object.create(null) as object)

export class MessageContext extends ChainPosition implements Context, RunningChain {
  /** Nobody waits for it any more. */
  isGivenUp = false
  readonly #host: ContextHost
  readonly #message: Message
  readonly #attempt: Attempt
  readonly #chain: Chain
  #replied = false
  #state: Record<string, unknown> | undefined = undefined
  // The params of the layer at `#paramsAt`, kept until another layer asks.
  #params: object = NO_PARAMS
  #paramsAt = -1

  constructor(host: ContextHost, message: Message, chain: Chain, attempt: Attempt) {
    super()
    this.#host = host
    this.#message = message
    this.#chain = chain
    this.#attempt = attempt
  }

  /** Enters no further layer, and lets onError hear why. The layer that runs may go on; nobody asks what it ends in. */
  async giveUp(error: Error): Promise<Outcome> {
    // It has failed, and only onError has not ended: what it failed with is told, and not that it took long.
    if (this.ended && this.failure !== undefined) {
      this.log.warn(
        `A handler of onError for "${inLog(this.topic)}" has not ended in time, and is not waited for.`,
      )
      return outcomeOf(this.failure.error, this.route)
    }
    this.ended = true
    this.failure = { error, at: Math.max(this.at, 0) }
    const outcome = this.#chain.ending.failed(error, this)
    this.isGivenUp = true
    return outcome
  }

  get topic(): string {
    return this.#message.topic
  }

  get params(): object {
    if (this.#paramsAt !== this.at) {
      this.#paramsAt = this.at
      this.#params = this.#chain.layers[this.at]?.pattern?.params(this.#message.topic) ?? NO_PARAMS
    }
    return this.#params
  }

  get payload(): Buffer {
    return this.#message.payload
  }

  text(): string {
    return this.#message.payload.toString()
  }

  json<T = unknown>(limits?: JsonLimits): T {
    return readJson(this.#message.payload, this.#message.topic, limits) as T
  }

  get qos(): QoS {
    return this.#message.qos
  }

  get retain(): boolean {
    return this.#message.retain
  }

  get dup(): boolean {
    return this.#message.dup
  }

  get properties(): MessageProperties {
    return this.#message.properties
  }

  get route(): string | undefined {
    return this.#routeAhead?.pattern?.text
  }

  /** The layer that has control, or behind it the first that belongs to a route. */
  get #routeAhead(): Layer | undefined {
    const { layers } = this.#chain
    for (let i = Math.max(this.at, 0); i < layers.length; i++) {
      const layer = layers[i]
      if (layer?.route !== undefined) return layer
    }
    return undefined
  }

  get scope(): Scope {
    return this.#host.scope
  }

  get state(): Record<string, unknown> {
    this.#state ??= {}
    return this.#state
  }

  get signal(): AbortSignal {
    return this.#attempt.signal
  }

  get attempt(): number {
    return this.#attempt.number
  }

  extend(ms: number): void {
    if (!(Number.isFinite(ms) && ms >= 0)) {
      throw new MqttasgiError(
        'ERR_OUTCOME_INVALID',
        `ctx.extend() takes milliseconds, 0 or more, and got ${String(ms)}.`,
        { topic: this.topic },
      )
    }
    this.#attempt.extend(ms)
  }

  get app(): ApplicationHandle {
    return this.#host.app
  }

  get channels(): ChannelLayer {
    const { channels } = this.#host
    if (channels !== undefined) return channels
    throw new MqttasgiError(
      'ERR_CHANNEL_LAYER',
      'There is no channel layer here: it is part of a server that serve() or the command line runs.',
    )
  }

  get log(): Logger {
    return this.#host.log
  }

  publish(topic: string, payload: Payload, options?: PublishOptions): Promise<PublishResult> {
    const { client, rates, rules } = this.#host
    const refusal = rates?.refusal(this.#routeAhead, topic)
    if (refusal !== undefined) return Promise.reject(refusal)
    if (rules?.countHops !== true) return client.publish(topic, payload, options)
    return client.publish(topic, payload, oneHopOn(hopsOf(this.#message.properties), options))
  }

  subscribe(filter: string, options?: SubscribeOptions): Promise<SubscribeResult> {
    return this.#host.client.subscribe(filter, options)
  }

  unsubscribe(filter: string): Promise<void> {
    return this.#host.client.unsubscribe(filter)
  }

  async reply(payload: Payload, options: PublishOptions = {}): Promise<PublishResult> {
    const topic = replyTopicOf(this.#message, this.#host.rules?.replyTopics)
    const bytes = encodePayload(payload, topic)
    if (bytes.length > MAX_REPLY_BYTES) {
      throw replyRefused(this.#message, `it has ${bytes.length} bytes, ${MAX_REPLY_BYTES} are allowed`)
    }
    checkPublishOptions(topic, options)
    if (this.#replied)
      throw replyRefused(this.#message, 'there was one already, and a request has one answer')
    this.#replied = true
    const { correlationData } = this.#message.properties
    const properties = {
      ...options.properties,
      ...(correlationData === undefined ? {} : { correlationData }),
    }
    try {
      return await this.publish(topic, bytes, { ...options, properties })
    } catch (error) {
      this.#replied = false
      throw error
    }
  }
}

// The context behind the interface: reads the message lazily and asks its receiver's client for the rest.
import { ChainPosition } from './compose.ts'
import type { ApplicationHandle, Context } from './context.ts'
import { MqttasgiError } from './errors.ts'
import { readJson, type JsonLimits } from './json-guard.ts'
import type { Layer } from './layer.ts'
import type { Logger } from './log.ts'
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
import type { Attempt, Client } from './receiver.ts'
import type { Scope } from './scope.ts'
import { isTopic } from './topic.ts'

/** What all contexts of one receiver have in common. */
export interface ContextHost {
  readonly app: ApplicationHandle
  readonly scope: Scope
  readonly log: Logger
  readonly client: Client
}

const NO_PARAMS: object = Object.freeze(Object.create(null) as object)

export class MessageContext extends ChainPosition implements Context {
  readonly #host: ContextHost
  readonly #message: Message
  readonly #attempt: Attempt
  readonly #layers: readonly Layer[]
  #state: Record<string, unknown> | undefined = undefined
  // The params of the layer at `#paramsAt`, kept until another layer asks.
  #params: object = NO_PARAMS
  #paramsAt = -1

  constructor(host: ContextHost, message: Message, layers: readonly Layer[], attempt: Attempt) {
    super()
    this.#host = host
    this.#message = message
    this.#layers = layers
    this.#attempt = attempt
  }

  get topic(): string {
    return this.#message.topic
  }

  get params(): object {
    if (this.#paramsAt !== this.at) {
      this.#paramsAt = this.at
      this.#params = this.#layers[this.at]?.pattern?.params(this.#message.topic) ?? NO_PARAMS
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
    for (let i = Math.max(this.at, 0); i < this.#layers.length; i++) {
      const layer = this.#layers[i]
      if (layer?.route !== undefined) return layer.pattern?.text
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

  get app(): ApplicationHandle {
    return this.#host.app
  }

  get log(): Logger {
    return this.#host.log
  }

  publish(topic: string, payload: Payload, options?: PublishOptions): Promise<PublishResult> {
    return this.#host.client.publish(topic, payload, options)
  }

  subscribe(filter: string, options?: SubscribeOptions): Promise<SubscribeResult> {
    return this.#host.client.subscribe(filter, options)
  }

  unsubscribe(filter: string): Promise<void> {
    return this.#host.client.unsubscribe(filter)
  }

  async reply(payload: Payload, options: PublishOptions = {}): Promise<PublishResult> {
    const { responseTopic, correlationData } = this.#message.properties
    // The response topic is the sender's text: a wildcard in it is forbidden [MQTT-3.3.2-14].
    if (responseTopic === undefined || !isTopic(responseTopic)) {
      const what =
        responseTopic === undefined ? 'names no response topic' : 'names a response topic that is no topic'
      throw new MqttasgiError(
        'ERR_NO_RESPONSE_TOPIC',
        `The message on "${this.topic}" ${what}, so there is nowhere to reply to.`,
        {
          topic: this.topic,
        },
      )
    }
    const properties = {
      ...options.properties,
      ...(correlationData === undefined ? {} : { correlationData }),
    }
    return this.publish(responseTopic, payload, { ...options, properties })
  }
}

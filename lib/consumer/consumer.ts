// The class that users extend: one object with what it remembers, whose methods run one at a time.
import type { ChannelEvent, ChannelLayer } from '../core/channel-layer.ts'
import type { Next } from '../core/compose.ts'
import type { Context, Handler } from '../core/context.ts'
import type { DeliveryOptions } from '../core/delivery-options.ts'
import { MqttasgiError } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'
import type {
  Payload,
  PublishOptions,
  PublishResult,
  QoS,
  SubscribeOptions,
  SubscribeResult,
} from '../core/message.ts'
import type { TopicParams } from '../core/pattern.ts'
import type { DisconnectReason, SessionInfo } from '../core/receiver.ts'
import type { RouteOptions } from '../core/route.ts'
import type { Mountable } from '../core/router.ts'
import type { Scope, ScopeParams } from '../core/scope.ts'
import type {
  KillOptions,
  WorkerApplication,
  WorkerHandle,
  WorkerInfo,
  WorkerOptions,
} from '../core/workforce.ts'
import { sessionOf } from './consumer-session.ts'

/** Who a consumer is; `params` are what the configuration or `spawn()` gave, and are not checked. */
export interface ConsumerScope<P extends object = ScopeParams> extends Omit<Scope, 'params'> {
  readonly params: Readonly<P>
}

/** A message at `receive()`. Its params are those of the mount and of the pattern that was subscribed to. */
export type ConsumerMessage = Context<Readonly<Record<string, string | string[] | undefined>>>

/** The names of the methods that take a channel event. */
type EventMethod<C> = {
  [K in keyof C]: C[K] extends (event: ChannelEvent) => unknown ? K : never
}[keyof C]

/**
 * Which handler takes which channel event: the name of a method of the consumer, or a function.
 *
 * @example
 * static readonly channelHandlers: ChannelHandlers<Meter> = { 'alarm.raised': 'onAlarm' }
 */
export type ChannelHandlers<C> = Readonly<
  Record<string, EventMethod<C> | ((this: C, event: ChannelEvent) => unknown)>
>

/** A handler of a consumer's route: `this` is the consumer. */
export type ConsumerHandler<C, P extends object> = (this: C, ctx: Context<P>, next: Next) => unknown

/**
 * A consumer: an object on a server, whose `connect`, `receive`, `disconnect` and handlers run one at a time, so
 * that what it remembers needs no locks. The server makes it; it is given to `serve()`, `workers` and `spawn()` as
 * a class. Its methods can be used from `connect()` on; before that they throw `ERR_NOT_ATTACHED`.
 *
 * `static options` say how its messages are run, `static routes` is a router, `static channelHandlers` say which
 * channel events it takes.
 *
 * @example
 * class Meter extends MqttConsumer<{ unit: string }> {
 *   async connect() {
 *     await this.subscribe('meters/+meter')
 *   }
 *   async receive(message: Context<{ meter: string }>) {
 *     await this.publish(`units/${message.params.meter}`, `${message.text()} ${this.scope.params.unit}`)
 *   }
 * }
 */
export class MqttConsumer<Params extends object = ScopeParams> {
  /** How messages are run: time limits, retries, dead letters. Default: those of routes. */
  static readonly options: DeliveryOptions = {}
  /** Routes of every instance; what none of them matches, or the last one lets through, goes to `receive()`. */
  static readonly routes: Mountable<never> | undefined = undefined
  /** The channel events that are taken; all others are counted and dropped. */
  static readonly channelHandlers: Readonly<Record<string, unknown>> = {}

  /**
   * Runs after each CONNACK; messages wait behind it. To subscribe here again after a reconnect is right and costs
   * no packet. What it throws ends the consumer, and who runs it decides what follows.
   */
  connect(_session: SessionInfo): unknown {
    return undefined
  }

  /**
   * Runs for each message that no route of the consumer matches, and behind the last one that does, when that calls
   * `next()`. What it throws decides what becomes of the message, as in any handler: another attempt, a dead letter,
   * `Retry`, `Reject`, `Drop`. The consumer goes on.
   */
  receive(_message: ConsumerMessage): unknown {
    return undefined
  }

  /**
   * Runs once, at the end: it was killed, the server stops, or it has failed. What it throws is logged. It should not
   * unsubscribe where the session is to bring what comes meanwhile: a killed worker is unsubscribed anyway.
   */
  disconnect(_reason: DisconnectReason): unknown {
    return undefined
  }

  /** Runs when the connection was lost, which is not the end: `connect()` follows. */
  connectionLost(_reason: DisconnectReason): unknown {
    return undefined
  }

  /** Who this consumer is: its id, `master` or `worker`, its params. */
  get scope(): ConsumerScope<Params> {
    const { scope } = sessionOf(this).identity
    return { ...scope, params: scope.params as Params }
  }

  get log(): Logger {
    return sessionOf(this).identity.log
  }

  /**
   * Publishes to a whole topic; a mount changes nothing in it. Resolves on the broker's answer, rejects on its
   * refusal. QoS is 1 unless told otherwise.
   *
   * @example
   * await this.publish('status/pump', 'on', { retain: true })
   */
  async publish(topic: string, payload: Payload, options?: PublishOptions): Promise<PublishResult> {
    return sessionOf(this).publish(topic, payload, options)
  }

  /**
   * Subscribes to a pattern under the mount; its names are in the params of the messages. Patterns that are one filter
   * to the broker have the best QoS of them there. Rejects with `ERR_SUBSCRIBE_REFUSED` when the broker does not grant
   * it, with `ERR_SUBSCRIBE_OPTIONS_DIFFER`, `ERR_PATTERN_INVALID`, `ERR_ROUTE_OPTION`.
   */
  async subscribe(pattern: string, options?: SubscribeOptions): Promise<SubscribeResult> {
    return sessionOf(this).subscriptions.subscribe(pattern, options)
  }

  /** Takes a subscription back, as it was written at `subscribe()`. */
  async unsubscribe(pattern: string): Promise<void> {
    return sessionOf(this).subscriptions.unsubscribe(pattern)
  }

  /** What was subscribed to with `subscribe()`, as it was written, with the QoS that the broker has granted. */
  get subscriptions(): ReadonlyMap<string, QoS> {
    return sessionOf(this).subscriptions.granted
  }

  /**
   * Adds a route under the mount; its messages go to `receive()` only when the last route that matches calls
   * `next()`. A pattern that is registered again, as at a reconnect, has the new handler and keeps its
   * first options. Throws `ERR_PATTERN_INVALID`, `ERR_ROUTE_OPTION`, `ERR_MOUNT_INVALID`, `ERR_HANDLER_INVALID`.
   *
   * @example
   * this.topic('valves/+valve', function (ctx) { this.turn(ctx.params.valve) })
   */
  topic<const T extends string>(pattern: T, handler: ConsumerHandler<this, TopicParams<T>>): void
  topic<const T extends string>(
    pattern: T,
    options: RouteOptions<TopicParams<T>>,
    handler: ConsumerHandler<this, TopicParams<T>>,
  ): void
  topic(text: string, ...args: readonly unknown[]): void {
    const [options, handler] = args.length > 1 ? args : [{}, args[0]]
    if (typeof handler !== 'function') {
      throw new MqttasgiError(
        'ERR_HANDLER_INVALID',
        `this.topic("${text}") expects a function (ctx, next) => …, and got a value of type ${typeof handler}.`,
      )
    }
    const bound = handler.bind(this) as Handler
    sessionOf(this).plans.topic(text, options as RouteOptions, bound)
  }

  /**
   * Starts a worker. Resolves when it runs and its subscriptions are granted. Only for the application itself:
   * `ERR_WORKER_FORBIDDEN` in a worker; `ERR_RECEIVER_DUPLICATE`, `ERR_WORKER_START`, `ERR_APPLICATION_*`.
   *
   * @example
   * const worker = await this.spawn('pump-7', './pump.ts#Pump', { params: { pump: 7 } })
   */
  async spawn(id: string, application: WorkerApplication, options?: WorkerOptions): Promise<WorkerHandle> {
    return sessionOf(this).workforce.spawn(id, application, options)
  }

  /** Ends a worker. Codes: `ERR_WORKER_UNKNOWN`, `ERR_WORKER_FORBIDDEN`, `ERR_WORKER_MASTER`, `ERR_WORKER_OPTION`. */
  async kill(id: string, options?: KillOptions): Promise<void> {
    return sessionOf(this).workforce.kill(id, options)
  }

  /** The workers beside this application; none in a worker. */
  workers(): readonly WorkerInfo[] {
    return sessionOf(this).workforce.workers()
  }

  /** The channel layer of the server. Throws `ERR_CHANNEL_LAYER` where there is none. */
  get channelLayer(): ChannelLayer {
    return sessionOf(this).channels.layer
  }

  /** The consumer's own channel. Throws `ERR_CHANNEL_LAYER` where it has none. */
  get channelName(): string {
    return sessionOf(this).channels.channel
  }

  /** Puts the consumer's own channel into a group, until it ends. */
  async groupAdd(group: string): Promise<void> {
    return sessionOf(this).channels.groupAdd(group)
  }

  async groupDiscard(group: string): Promise<void> {
    return sessionOf(this).channels.groupDiscard(group)
  }

  /** Sends an event to all channels of a group, its own included. Codes as those of the layer's `groupSend`. */
  async groupSend(group: string, event: ChannelEvent): Promise<void> {
    return sessionOf(this).channels.layer.groupSend(group, event)
  }

  /** Sends an event to one channel. Codes as those of the layer's `send`. */
  async channelSend(channel: string, event: ChannelEvent): Promise<void> {
    return sessionOf(this).channels.layer.send(channel, event)
  }
}

/** A class that extends `MqttConsumer`, as far as whoever runs it needs to know. */
export interface ConsumerClass {
  new (): MqttConsumer<object>
  readonly options: DeliveryOptions
  readonly routes: Mountable<never> | undefined
  readonly channelHandlers: Readonly<Record<string, unknown>>
}

export function isConsumerClass(value: unknown): value is ConsumerClass {
  return typeof value === 'function' && (value === MqttConsumer || value.prototype instanceof MqttConsumer)
}

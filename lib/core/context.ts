// What a handler is given: one message on its way through the chain, as users see it.
import type { ChannelLayer } from './channel-layer.ts'
import type { Next } from './compose.ts'
import type { JsonLimits } from './json-guard.ts'
import type { Logger } from './log.ts'
import type {
  MessageProperties,
  Payload,
  PublishOptions,
  PublishResult,
  QoS,
  SubscribeOptions,
  SubscribeResult,
} from './message.ts'
import type { Scope } from './scope.ts'

/** A handler or a middleware. It may be synchronous; what it returns is awaited, its value is ignored. */
export type Handler<P extends object = object> = (ctx: Context<P>, next: Next) => unknown

/**
 * Sees every error of the chain, at each attempt. What it returns changes nothing; a `Retry`, `Reject` or
 * `Drop` that it throws decides what becomes of the message.
 */
export type ErrorHandler = (error: Error, ctx: Context) => unknown

/** Is told of a message that no route matched, after the middleware has run. */
export type UnmatchedHandler = (ctx: Context) => unknown

/** What a handler can reach of the application it runs in. */
export interface ApplicationHandle {
  /** Registers a route while the server runs; `ready()` says when the broker knows it. */
  topic(pattern: string, ...handlers: Handler[]): unknown
  /** Resolves when every server the application is attached to has subscribed to all it wants. */
  ready(): Promise<void>
}

/**
 * One message on its way through the chain. The same object for every layer of one receiver; `params`
 * and `route` are those of the layer that has control.
 *
 * @example
 * app.topic('sensors/+room/temp', async (ctx) => {
 *   const { celsius } = ctx.json<{ celsius: number }>()
 *   if (celsius > 80) await ctx.publish(`alerts/${ctx.params.room}`, { celsius })
 * })
 */
export interface Context<P extends object = object> {
  readonly topic: string
  /** The named levels of the pattern under which this layer was registered. Has no prototype. */
  readonly params: P
  /** The bytes as they came. A view into a larger buffer: copy it to keep it for long. */
  readonly payload: Buffer
  /** The payload as UTF-8 text. */
  text(): string
  /**
   * The payload read as JSON; its shape is not checked. Throws `ERR_PAYLOAD_JSON`, also for more than 1 MiB,
   * for more than 64 levels, and for names such as `__proto__`, unless `limits` say otherwise.
   *
   * @example
   * const { celsius } = ctx.json<{ celsius: number }>({ maxBytes: 4_096 })
   */
  json<T = unknown>(limits?: JsonLimits): T
  /** The quality of service it was delivered with. */
  readonly qos: QoS
  /** Set on retained messages that a subscription brought, and with `retainAsPublished` (3.3.1.3). */
  readonly retain: boolean
  /** The broker says that it may have delivered this before. */
  readonly dup: boolean
  /** MQTT 5 properties, user properties as arrays; empty on 3.1.1. */
  readonly properties: MessageProperties
  /** The pattern of the route that has control; in a middleware, of the route ahead, if there is one. */
  readonly route: string | undefined
  readonly scope: Scope
  /** A place for middleware to leave things for the layers behind it; one object per message. */
  readonly state: Record<string, unknown>
  /** Aborts when the time of this attempt is over and when the server stops waiting. */
  readonly signal: AbortSignal
  /** Which start of the chain for this message this is, in this process: 1 for the first. */
  readonly attempt: number
  /**
   * Gives this attempt `ms` more milliseconds before its `signal` aborts, and the message as many more of its
   * `holdMs`. The broker is not asked: it waits as long as the connection lasts.
   *
   * @example
   * for (const part of parts) { ctx.extend(5_000); await send(part) }
   */
  extend(ms: number): void
  readonly app: ApplicationHandle
  readonly log: Logger
  /**
   * The channel layer of this server: events for consumers, channel handlers and other processes. Throws
   * `ERR_CHANNEL_LAYER` where there is none.
   *
   * @example
   * await ctx.channels.groupSend('alarms', { type: 'alarm.raised', room: ctx.params.room })
   */
  readonly channels: ChannelLayer
  /**
   * Publishes. Resolves on the broker's acknowledgement with its reason code, rejects on its refusal.
   * QoS is 1 unless told otherwise. May be awaited in a handler: it never waits for that handler.
   */
  publish(topic: string, payload: Payload, options?: PublishOptions): Promise<PublishResult>
  /** Adds a subscription while running; its messages go through this application's routes. */
  subscribe(filter: string, options?: SubscribeOptions): Promise<SubscribeResult>
  unsubscribe(filter: string): Promise<void>
  /**
   * Publishes to the response topic of this message with its correlation data (4.10): once, at most 1 MiB.
   * The topic is the requester's choice: it may not begin with `$`, and must be among `replyTopics` where the
   * configuration has them. Rejects with `ERR_NO_RESPONSE_TOPIC`, `ERR_REPLY_REFUSED`.
   */
  reply(payload: Payload, options?: PublishOptions): Promise<PublishResult>
}

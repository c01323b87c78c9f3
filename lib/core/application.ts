// The application: the router at the root, with its lifecycle, and the receivers it becomes on a server.
import { ApplicationReceiver, type ChainSource } from './application-receiver.ts'
import type { ReceiverIdentity } from './hosted.ts'
import { ChannelHandlers, type ChannelHandler, type ChannelHandlerOptions } from './channel-handlers.ts'
import type { UnmatchedHandler } from './context.ts'
import { resolveDelivery, type DeliveryOptions, type ResolvedDelivery } from './delivery-options.ts'
import { stillClock } from './clock.ts'
import { MqttasgiError } from './errors.ts'
import { silentLog } from './log.ts'
import type { DisconnectReason, SessionInfo } from './receiver.ts'
import { RouterNode, type Router } from './router.ts'
import { masterScope } from './scope.ts'
import type { ConnectClient } from './workforce.ts'

/** Called after each CONNACK. */
export type ConnectHandler = (client: ConnectClient, session: SessionInfo) => unknown

/** Called when a connection has ended. */
export type DisconnectHandler = (reason: DisconnectReason) => unknown

/** Something an application is attached to: a server. */
export interface Attachment {
  ready(): Promise<void>
}

/**
 * An application: middleware, routes and routers, and what happens around them. Made by `mqttasgi()`,
 * connected by `serve(app)` or the command line, tried by `dispatch(app, …)`.
 */
export interface Application extends Router {
  /**
   * Is told of each message that no route matched, after the middleware has let it through. What it throws counts as in a
   * route, by the options of the application.
   *
   * @example
   * app.onUnmatched((ctx) => ctx.log.warn(`nobody wants ${ctx.topic}`))
   */
  onUnmatched(handler: UnmatchedHandler): this
  /**
   * Runs after each successful connect, with a client to publish, subscribe and spawn workers, and the
   * session's state. Messages do not wait for it; what it throws is logged.
   *
   * @example
   * app.onConnect((client) => client.publish('status/greenhouse', 'online', { retain: true }))
   */
  onConnect(handler: ConnectHandler): this
  /** Runs when the connection is lost, and when the server stops. */
  onDisconnect(handler: DisconnectHandler): this
  /**
   * Handles events of this type that come over the channel layer: those sent to `ctx.channelName`, and those of the
   * groups that `group` names, which the application is in as long as a server runs it. One event at a time, each within
   * `timeoutMs` of the application. An event of a type that was not declared is counted, said once, and dropped. Types
   * that begin with `mqtt.` or `mqttasgi.` can not be declared. Codes: `ERR_HANDLER_INVALID`, `ERR_CHANNEL_NAME`.
   *
   * @example
   * app.channel('alarm.raised', { group: 'alarms' }, async (event, ctx) => {
   *   await ctx.publish(`alarms/${event['room']}`, event)
   * })
   */
  channel(type: string, handler: ChannelHandler): this
  channel(type: string, options: ChannelHandlerOptions, handler: ChannelHandler): this
  /**
   * Resolves when every server this application is attached to has subscribed to all of its routes; at
   * once when there is none. Rejects with what the broker refused.
   *
   * @example
   * app.topic('late/+id', handler)
   * await app.ready()
   */
  ready(): Promise<void>
}

/** The application behind the interface. */
export class ApplicationNode extends RouterNode implements Application, ChainSource {
  readonly unmatchedHandlers: UnmatchedHandler[] = []
  readonly connectHandlers: ConnectHandler[] = []
  readonly disconnectHandlers: DisconnectHandler[] = []
  readonly channelHandlers: ChannelHandlers = new ChannelHandlers()
  // No route says it itself, so QoS 0 is neither tried again nor kept.
  readonly unmatchedDelivery: ResolvedDelivery = resolveDelivery(this.options, {})
  readonly #attachments = new Set<Attachment>()

  onUnmatched(handler: UnmatchedHandler): this {
    this.unmatchedHandlers.push(checked(handler, 'onUnmatched()'))
    return this
  }

  onConnect(handler: ConnectHandler): this {
    this.connectHandlers.push(checked(handler, 'onConnect()'))
    return this
  }

  onDisconnect(handler: DisconnectHandler): this {
    this.disconnectHandlers.push(checked(handler, 'onDisconnect()'))
    return this
  }

  channel(type: string, handler: ChannelHandler): this
  channel(type: string, options: ChannelHandlerOptions, handler: ChannelHandler): this
  channel(type: string, first: ChannelHandlerOptions | ChannelHandler, second?: ChannelHandler): this {
    if (typeof first === 'function') this.channelHandlers.declare(type, {}, first)
    else this.channelHandlers.declare(type, first ?? {}, second as ChannelHandler)
    return this
  }

  async ready(): Promise<void> {
    await Promise.all([...this.#attachments].map((attachment) => attachment.ready()))
  }

  /** Says that a server runs this application; returns the undo. */
  attach(attachment: Attachment): () => void {
    this.#attachments.add(attachment)
    return () => this.#attachments.delete(attachment)
  }

  /** This application as a receiver; one application can be several, each under its own mount. */
  receiver(identity: Partial<ReceiverIdentity> = {}): ApplicationReceiver {
    return new ApplicationReceiver(this, {
      id: 'application',
      mount: '',
      scope: masterScope,
      log: silentLog,
      clock: stillClock,
      ...identity,
    })
  }

  protected override prefixes(): readonly string[] {
    return ['', ...super.prefixes()]
  }
}

/**
 * Makes an application. Its options count for all of its routes that do not say otherwise, and, as far as they say how long
 * a message may take and what follows when it fails, for messages that no route matches; `ERR_ROUTE_OPTION` where one is wrong.
 *
 * @example
 * const app = mqttasgi({ retry: { attempts: 5 } })
 * app.topic('sensors/+room/temp', (ctx) => ctx.log.info(`${ctx.params.room}: ${ctx.text()}`))
 */
export function mqttasgi(options: DeliveryOptions = {}): Application {
  return new ApplicationNode('mqttasgi(): ', options)
}

/** The application behind what a user exports or hands over: an application, or a router. */
export function asApplication(value: unknown, what: string): ApplicationNode {
  if (value instanceof ApplicationNode) return value
  if (value instanceof RouterNode) return new ApplicationNode('', value.options).use(value)
  throw new MqttasgiError(
    'ERR_APPLICATION_INVALID',
    `${what} is expected to be made by mqttasgi() or Router(), and is ${value === null ? 'null' : `a value of type ${typeof value}`}. If it looks right, two copies of mqttasgi may be in use: installed twice, or loaded once by import and once by require (then npm pkg set type=module helps).`,
  )
}

function checked<H>(handler: H, where: string): H {
  if (typeof handler === 'function') return handler
  throw new MqttasgiError(
    'ERR_HANDLER_INVALID',
    `${where} expects a function, and got a value of type ${typeof handler}.`,
  )
}

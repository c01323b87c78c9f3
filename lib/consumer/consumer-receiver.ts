// A consumer as the server sees it: everything that happens to it goes through its line.
import type { ChannelEvent } from '../core/channel-layer.ts'
import type { ChainPlan } from '../core/chain-plan.ts'
import type { Clock } from '../core/clock.ts'
import type { Context } from '../core/context.ts'
import { Deadline } from '../core/deadline.ts'
import type { ResolvedDelivery } from '../core/delivery-options.ts'
import { Deferred } from '../core/deferred.ts'
import { MqttasgiError, toError } from '../core/errors.ts'
import type { HostedReceiver, ReceiverIdentity } from '../core/hosted.ts'
import { limitOf, LineLimit } from '../core/line-limit.ts'
import { inLog } from '../core/log.ts'
import type { Message } from '../core/message.ts'
import {
  FAREWELL_MS,
  type Attempt,
  type Client,
  type DisconnectReason,
  type Interest,
  type Outcome,
  type SessionInfo,
} from '../core/receiver.ts'
import type { FlatRoute } from '../core/router.ts'
import { unattachedClient } from '../core/unattached-client.ts'
import { begin } from './begin.ts'
import { boundHandlers, ConsumerChannels, type BoundChannelHandler } from './consumer-channels.ts'
import { ConsumerPlans } from './consumer-plans.ts'
import { attachSession, ConsumerSession } from './consumer-session.ts'
import type { ConsumerClass, ConsumerMessage, MqttConsumer } from './consumer.ts'
import { Farewell } from './farewell.ts'
import { HeldSubscriptions } from './held-subscriptions.ts'
import { Line } from './line.ts'

/** What of a consumer's class counts besides the object itself. */
export type ConsumerStatics = Pick<ConsumerClass, 'options' | 'routes' | 'channelHandlers'>

export class ConsumerReceiver implements HostedReceiver {
  readonly asksWhenConnected = true
  readonly id: string
  readonly #consumer: MqttConsumer<object>
  readonly #session: ConsumerSession
  readonly #line = new Line()
  readonly #limit: LineLimit
  readonly #clock: Clock
  readonly #farewell: Farewell
  readonly #ended = new Deferred<Error | undefined>()
  readonly #listeners = new Set<() => void>()
  readonly #stopListening: () => void
  #everConnected = false
  #dismissal: DisconnectReason | undefined = undefined
  #ending: Promise<void> | undefined = undefined
  // The one whose message is being handled.
  #attempt: Attempt | undefined = undefined

  /** Throws what the class throws that makes the consumer, and what is wrong in its statics. */
  constructor(consumer: MqttConsumer<object>, statics: ConsumerStatics, identity: ReceiverIdentity) {
    this.id = identity.id
    this.#consumer = consumer
    this.#clock = identity.clock
    const subscriptions = new HeldSubscriptions({
      mount: identity.mount,
      client: () => this.#session.client,
      log: identity.log,
      changed: () => this.#changed(),
      gone: (text) => this.#session.plans.forget(text),
    })
    const plans = new ConsumerPlans({
      identity,
      options: statics.options,
      routes: statics.routes,
      receive: receiveOf(consumer),
      patternOf: (topic) => subscriptions.patternOf(topic),
    })
    this.#limit = new LineLimit({
      id: this.id,
      clock: this.#clock,
      ms: limitOf(plans.delivery),
      over: (error) => void this.end(error),
    })
    const channels = new ConsumerChannels({
      layer: identity.channels,
      handlers: boundHandlers(consumer, statics.channelHandlers),
      run: (handler, event) => this.#line.run(() => this.#heard(handler, event)),
      count: identity.countEvent,
      log: identity.log,
      clock: this.#clock,
    })
    this.#session = new ConsumerSession({ identity, subscriptions, plans, channels })
    attachSession(consumer, this.#session)
    this.#farewell = new Farewell({
      id: this.id,
      tell: async (reason) => {
        if (this.#everConnected) await this.#guarded('disconnect', reason)
      },
      leaveGroups: () => channels.end(),
      clock: this.#clock,
      log: identity.log,
    })
    this.#stopListening = plans.application.onInterests(() => this.#changed())
  }

  /** Resolves when the consumer has ended by itself. */
  get ended(): Promise<Error | undefined> {
    return this.#ended.promise
  }

  interests(): readonly Interest[] {
    return this.#session.plans.application.interests()
  }

  onInterests(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  routes(): readonly FlatRoute[] {
    const { plans, subscriptions } = this.#session
    return plans.routes(subscriptions.all)
  }

  get unmatchedDelivery(): ResolvedDelivery {
    return this.#session.plans.delivery
  }

  plan(message: Message): ChainPlan {
    return this.#session.plans.plan(message)
  }

  receive(message: Message, plan: ChainPlan, attempt: Attempt): Outcome | Promise<Outcome> {
    if (this.#line.isFree) return this.#line.run(() => this.#handle(message, plan, attempt))
    // What it waits for here is not its own doing: it gets that time back.
    const since = this.#clock.now()
    let givenUp: Outcome | undefined
    attempt.isWaiting = true
    attempt.chain = {
      giveUp: async (error) => {
        givenUp = { type: 'failed', error, route: plan.routes[0] }
        if (this.#isStuck) void this.end(this.#stuck(error))
        return givenUp
      },
    }
    return this.#line.run(() => {
      if (givenUp !== undefined) return givenUp
      if (attempt.signal.aborted)
        return { type: 'failed', error: toError(attempt.signal.reason), route: plan.routes[0] }
      attempt.chain = undefined
      begin(attempt, this.#clock.now() - since)
      // What it has waited for may have been connect(), which says what there is.
      return this.#handle(message, this.plan(message), attempt)
    })
  }

  async connected(client: Client, session: SessionInfo): Promise<void> {
    this.#everConnected = true
    this.#session.client = client
    this.#session.plans.application.useClient(client)
    this.#limit.count()
    await this.#line.open(() => this.#connect(session))
  }

  async disconnected(reason: DisconnectReason): Promise<void> {
    if (reason.type !== 'lost') return this.#leave(reason)
    this.#limit.pause()
    if (this.#everConnected) await this.#line.run(() => this.#connectionLost(reason))
  }

  /** It ends, and will take nothing more; without an error it has done its work. */
  end(error?: Error): Promise<void> {
    this.#ending ??= this.#end(error)
    return this.#ending
  }

  async #end(error: Error | undefined): Promise<void> {
    if (this.#farewell.hasBegun) return
    // What fails because the server stops is no failure of its own.
    const isOwn = !(error instanceof MqttasgiError && error.code === 'ERR_STOPPED')
    if (error !== undefined && isOwn) {
      this.#session.identity.log.error(`"${this.id}" has failed: ${error.message}`, { error })
    }
    await this.#farewell.say(error === undefined ? { type: 'stopped' } : { type: 'failed', error })
    this.#line.letGo()
    this.#ended.resolve(error)
  }

  release(): void {
    // Whatever still runs has no limit any more, for nobody waits for it.
    this.#limit.pause()
    void this.#letGo()
    this.#stopListening()
    this.#session.plans.release()
    this.#listeners.clear()
  }

  async #connect(session: SessionInfo): Promise<void> {
    if (this.#farewell.hasBegun) return
    const { channels, subscriptions } = this.#session
    subscriptions.connected()
    try {
      await this.#limit.run('connect()', async () => {
        await channels.begin()
        await this.#consumer.connect(session)
      })
    } catch (thrown) {
      return this.end(toError(thrown))
    }
    // One that has ended at it is not to be taken for one that is there.
    if (this.#ending !== undefined) return this.#ending
    void subscriptions.confirm()
  }

  #connectionLost(reason: DisconnectReason): Promise<void> | undefined {
    return this.#farewell.hasBegun ? undefined : this.#guarded('connectionLost', reason)
  }

  #heard(handler: BoundChannelHandler, event: ChannelEvent): unknown {
    if (this.#farewell.hasBegun) return undefined
    return this.#limit.run(`The handler of the channel event "${inLog(event.type)}"`, () => handler(event))
  }

  #handle(message: Message, plan: ChainPlan, attempt: Attempt): Outcome | Promise<Outcome> {
    if (this.#farewell.hasBegun) return this.#notHere(plan)
    const session = this.#session
    session.running = { message, plan }
    this.#attempt = attempt
    const over = (): void => {
      session.running = undefined
      this.#attempt = undefined
    }
    const outcome = session.plans.application.receive(message, plan, attempt)
    if (outcome instanceof Promise) void outcome.then(over)
    else over()
    return outcome
  }

  /** Nobody waits any more for what it does, and it does not end. */
  get #isStuck(): boolean {
    return this.#attempt?.signal.aborted === true
  }

  #stuck(cause: Error): MqttasgiError {
    return new MqttasgiError(
      'ERR_HANDLER_TIMEOUT',
      `A handler of "${this.id}" has not ended, long after its time was over, and others wait behind it. Heed message.signal in it.`,
      { cause, receiver: this.id },
    )
  }

  // Whoever takes the consumer's place gets the message.
  #notHere(plan: ChainPlan): Outcome {
    const error = new MqttasgiError('ERR_STOPPED', `"${this.id}" has ended and takes no message any more.`, {
      receiver: this.id,
    })
    return { type: 'notTaken', error, route: plan.routes[0] }
  }

  // What does not heed that nobody waits for it must not keep the rest from its end.
  async #leave(reason: DisconnectReason): Promise<void> {
    this.#dismissal ??= reason
    // Events come until then only: a handler that does not end must not keep it in its groups.
    void this.#session.channels.end()
    const say = (): Promise<void> => this.#farewell.say(reason)
    await (this.#isStuck || this.#farewell.hasBegun ? say() : this.#line.open(say))
  }

  // Its last words go out before. Who has been told already, and has not had its turn, does not get one any more.
  async #letGo(): Promise<void> {
    const reason = this.#dismissal ?? { type: 'stopped' }
    // A server that stops while there is no connection has told nobody.
    if (this.#dismissal === undefined && !this.#farewell.hasBegun) {
      await new Deadline(this.#clock, FAREWELL_MS).within(this.#leave(reason))
    }
    await this.#farewell.say(reason)
    this.#line.letGo()
    this.#session.client = unattachedClient
  }

  async #guarded(method: 'disconnect' | 'connectionLost', reason: DisconnectReason): Promise<void> {
    try {
      // The farewell has a time of its own.
      const call = async (): Promise<unknown> => this.#consumer[method](reason)
      await (method === 'disconnect' ? call() : this.#limit.run('connectionLost()', call))
    } catch (thrown) {
      const error = toError(thrown)
      this.#session.identity.log.error(`${method}() of "${this.id}" failed: ${error.message}`, { error })
    }
  }

  #changed(): void {
    for (const listener of this.#listeners) listener()
  }
}

function receiveOf(consumer: MqttConsumer<object>): (ctx: Context) => unknown {
  return function receive(ctx) {
    // Params are made of the topic: the compiler only does not know their names.
    return consumer.receive(ctx as ConsumerMessage)
  }
}

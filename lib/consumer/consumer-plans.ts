// Which handlers of a consumer a message goes to: its routes, and behind them, or where none matches, its `receive`.
import { ApplicationNode } from '../core/application.ts'
import type { ApplicationReceiver } from '../core/application-receiver.ts'
import { followedBy, PlanFamily, type ChainPlan } from '../core/chain-plan.ts'
import type { Next } from '../core/compose.ts'
import type { Context, Handler } from '../core/context.ts'
import { resolveDelivery, type DeliveryOptions } from '../core/delivery-options.ts'
import type { ReceiverIdentity } from '../core/hosted.ts'
import { Layer } from '../core/layer.ts'
import type { Message } from '../core/message.ts'
import { pattern } from '../core/pattern.ts'
import type { Plan } from '../core/receiver.ts'
import { resolveRouteOptions, type ResolvedRouteOptions, type RouteOptions } from '../core/route.ts'
import type { FlatRoute, Mountable } from '../core/router.ts'
import { unattachedClient } from '../core/unattached-client.ts'
import type { Subscribed } from './held-subscriptions.ts'

/** What the plans are made of. */
export interface ConsumerPlansParts {
  readonly identity: ReceiverIdentity
  readonly options: DeliveryOptions
  readonly routes: Mountable<never> | undefined
  /** What a message goes to that no route matches, or that the last of them lets through. */
  readonly receive: Handler
  /** The subscribed pattern through which a topic comes. */
  readonly patternOf: (topic: string) => string | undefined
}

export class ConsumerPlans {
  /** The routes as an application under the consumer's mount. */
  readonly application: ApplicationReceiver
  readonly #parts: ConsumerPlansParts
  readonly #node: ApplicationNode
  readonly #mount: string
  // A pattern that is registered again goes to its newest handler.
  readonly #handlers = new Map<string, Handler>()
  readonly #rest = new PlansByPattern()
  readonly #routed = new PlansByPattern()
  readonly #terms = new Map<string, ResolvedRouteOptions>()
  readonly #inLine = new WeakMap<ChainPlan, ChainPlan>()

  constructor(parts: ConsumerPlansParts) {
    this.#parts = parts
    const { identity, options, routes } = parts
    this.#node = new ApplicationNode('static options: ', options)
    if (routes !== undefined) this.#node.use(routes)
    this.application = this.#node.receiver(identity)
    this.#mount = identity.mount === '' ? '#' : `${identity.mount}/#`
  }

  topic(text: string, options: RouteOptions, handler: Handler): void {
    const isKnown = this.#handlers.has(text)
    this.#handlers.set(text, handler)
    if (isKnown) return
    const newest = (ctx: Context, next: Next): unknown => this.#handlers.get(text)?.(ctx, next)
    try {
      this.#node.topic(text, options, Object.defineProperty(newest, 'name', { value: handler.name }))
    } catch (error) {
      this.#handlers.delete(text)
      throw error
    }
  }

  plan(message: Message): ChainPlan {
    const matched = this.application.plan(message)
    return this.#lined(matched.routes.length > 0 ? this.#routedOf(matched, message) : this.#restOf(message))
  }

  /** How many patterns of subscriptions plans are kept for. */
  get kept(): number {
    return this.#rest.size + this.#routed.size
  }

  /** No message comes through this pattern any more. */
  forget(text: string): void {
    this.#rest.delete(text)
    this.#routed.delete(text)
    this.#terms.delete(text)
  }

  /** All routes, and those that the subscriptions are. */
  routes(subscribed: readonly Subscribed[]): readonly FlatRoute[] {
    const { delivery } = this
    const received = subscribed.map(({ pattern: text, share }) => {
      const { filter } = pattern<string>(text)
      return { pattern: text, filter, options: plainOptions(text, share), delivery, handlers: ['receive'] }
    })
    return [...this.#node.routes(this.#parts.identity.mount), ...received].map((route) =>
      this.#linedRoute(route),
    )
  }

  release(): void {
    this.application.release()
    this.#node.letGo()
  }

  get #isAlone(): boolean {
    return (this.#parts.identity.instances ?? 1) === 1
  }

  /** Of what goes to `receive`. */
  get delivery(): ReturnType<typeof resolveDelivery> {
    const { options } = this.#parts
    return resolveDelivery(options, options)
  }

  // One thing at a time, in the order of arrival. It is a lane of this receiver only: nothing is said to the broker.
  // What sheds needs a line for each topic to tell what is newer, and instances share by topic.
  #lined(plan: ChainPlan): ChainPlan {
    if (!this.#isAlone || plan.order !== 'topic' || plan.shedding !== undefined) return plan
    let lined = this.#inLine.get(plan)
    if (lined === undefined) this.#inLine.set(plan, (lined = { ...plan, order: 'strict' } satisfies Plan))
    return lined
  }

  #linedRoute(route: FlatRoute): FlatRoute {
    const { delivery } = route
    if (!this.#isAlone || delivery.order !== 'topic' || delivery.overflow !== 'block') return route
    return { ...route, delivery: { ...delivery, order: 'strict' } }
  }

  // What a route lets through goes on to what would take the message without it.
  #routedOf(matched: ChainPlan, { topic }: Message): ChainPlan {
    const text = this.#patternOf(topic)
    return this.#routed.of(text, matched, () => followedBy(matched, this.#receiveLayer(text)))
  }

  #restOf({ dup, payload, properties, qos, retain, topic }: Message): ChainPlan {
    // Of a message without a group all middleware is known.
    const around = this.application.plan({ dup, payload, properties, qos, retain, topic })
    const text = this.#patternOf(topic)
    return this.#rest.of(text, around, () => this.#restPlan(around, text))
  }

  #patternOf(topic: string): string {
    return this.#parts.patternOf(topic) ?? this.#mount
  }

  #restPlan({ layers, routes }: ChainPlan, text: string): ChainPlan {
    // Where no route matches, the last layer stands for that.
    const middleware = (routes.length === 0 ? layers.slice(0, -1) : layers).filter(
      ({ route }) => route === undefined,
    )
    const { log, scope } = this.#parts.identity
    const host = { app: this.#node, scope, log, client: unattachedClient }
    return new PlanFamily([...middleware, this.#receiveLayer(text)], this.#node, host).of(undefined)
  }

  // One for all plans of a pattern: by it what `receive` publishes is counted.
  #termsOf(text: string): ResolvedRouteOptions {
    let terms = this.#terms.get(text)
    if (terms === undefined) this.#terms.set(text, (terms = plainOptions(text)))
    return terms
  }

  #receiveLayer(text: string): Layer {
    const whole = pattern<string>(text)
    return new Layer({
      handler: this.#parts.receive,
      pattern: whole,
      filter: whole.filter,
      route: this.#termsOf(text),
      delivery: this.delivery,
      owners: [this.#node],
    })
  }
}

/** By the subscribed pattern, and for each by the plan that they are made of. */
class PlansByPattern {
  readonly #plans = new Map<string, WeakMap<ChainPlan, ChainPlan>>()

  get size(): number {
    return this.#plans.size
  }

  of(text: string, source: ChainPlan, make: () => ChainPlan): ChainPlan {
    let known = this.#plans.get(text)
    if (known === undefined) this.#plans.set(text, (known = new WeakMap<ChainPlan, ChainPlan>()))
    let plan = known.get(source)
    if (plan === undefined) known.set(source, (plan = make()))
    return plan
  }

  delete(text: string): void {
    this.#plans.delete(text)
  }
}

function plainOptions(text: string, share?: string): ResolvedRouteOptions {
  return resolveRouteOptions(text, {}, share)
}

// What will happen to a message at an application: its layers, how they are run, and the outcome they end in.
import type { Ending } from './compose.ts'
import type { Context, UnmatchedHandler } from './context.ts'
import { noSuchKey, type DeliveryOptions, type ResolvedDelivery } from './delivery-options.ts'
import { MqttasgiError, toError } from './errors.ts'
import { Layer, type Owner } from './layer.ts'
import { MessageContext, type Chain, type ContextHost } from './message-context.ts'
import type { Message, QoS } from './message.ts'
import { decidesOutcome, outcomeOf } from './outcomes.ts'
import { onceOnly } from './plain-plan.ts'
import type { ConcurrencyLimit, FailurePolicy, Order, Outcome, Plan, SheddingPolicy } from './receiver.ts'

/** A plan together with the layers that it stands for, so that they are looked up once. */
export interface ChainPlan extends Plan, Chain {}

/** What a plan needs of the application behind it. */
export interface PlanSource extends Owner {
  readonly unmatchedHandlers: readonly UnmatchedHandler[]
  /** Where no route matches: how long a message may take, and what follows when it fails. */
  readonly unmatchedDelivery: ResolvedDelivery
}

/** A route that matches, with its options decided. */
interface MatchedRoute {
  readonly name: string
  readonly layer: Layer
  readonly delivery: ResolvedDelivery
}

/** For QoS 0, and for what is to be kept until it is handled. */
type Policies = Readonly<Record<'once' | 'kept', FailurePolicy>>

const HANDLED: Outcome = Object.freeze({ type: 'done', handled: true })
const NOT_HANDLED: Outcome = Object.freeze({ type: 'done', handled: false })
// The stricter, the further in front.
const ORDERS: readonly Order[] = ['strict', 'key', 'topic', 'none']

/** The plans of one list of matching layers: one for own subscriptions, one for each share group. */
export class PlanFamily {
  readonly #matched: readonly Layer[]
  readonly #source: PlanSource
  readonly #host: ContextHost
  readonly #own: ChainPlan
  readonly #others = new Map<string | null, ChainPlan>()

  constructor(matched: readonly Layer[], source: PlanSource, host: ContextHost) {
    this.#matched = matched
    this.#source = source
    this.#host = host
    this.#own = this.#plan(matched.filter((layer) => layer.route?.share === undefined))
  }

  of(share: string | null | undefined): ChainPlan {
    if (share === undefined) return this.#own
    let plan = this.#others.get(share)
    if (plan === undefined) {
      plan = this.#plan(share === null ? this.#matched : layersOfGroup(this.#matched, share))
      this.#others.set(share, plan)
    }
    return plan
  }

  #plan(matched: readonly Layer[]): ChainPlan {
    const routes = matchedRoutes(matched)
    const deliveries = routes.map(({ delivery }) => delivery)
    const order = ORDERS.find((one) => deliveries.some((delivery) => delivery.order === one)) ?? 'topic'
    // Nothing may run without an end, and nothing be acknowledged unhandled, for want of a route to ask.
    const { unmatchedDelivery } = this.#source
    const timed = routes.length === 0 ? [unmatchedDelivery] : deliveries
    const firstRoute = placeOfRoute(matched)
    const layers = firstRoute === -1 ? [...matched, unmatchedLayer(this.#source)] : matched
    return {
      layers,
      routes: [...new Set(routes.map(({ name }) => name))],
      order,
      keyOf: order === 'key' ? this.#keyOf(routes) : undefined,
      limits: limitsOf(routes),
      shedding: sheddingOf(routes),
      timeoutMs: least(timed.map(({ timeoutMs }) => timeoutMs)),
      holdMs: least(timed.map(({ holdMs }) => holdMs)),
      failurePolicy: failurePolicies(routes, unmatchedDelivery),
      ending: endingOf(layers, firstRoute),
    }
  }

  // The first key counts: a message has one place in one line.
  #keyOf(routes: readonly MatchedRoute[]): (message: Message) => string {
    const { delivery, layer, name } = routes.find((route) => route.delivery.key !== undefined)!
    const key = delivery.key as NonNullable<DeliveryOptions['key']>
    if (typeof key === 'string') return (message) => parameterOf(layer, key, message.topic)
    const chain: Chain = { layers: [layer], ending: endingOf([layer], 0) }
    return (message) => {
      const ctx = new MessageContext(this.#host, message, chain, notRunning)
      ctx.at = 0
      return textOnly(key(ctx), name)
    }
  }
}

/** The plan with one more layer behind all others, which changes nothing of how the message is run. */
export function followedBy(plan: ChainPlan, last: Layer): ChainPlan {
  const layers = [...plan.layers, last]
  return { ...plan, layers, ending: endingOf(layers, placeOfRoute(layers)) }
}

/** The first layer that belongs to a route. */
export function firstRouteOf(layers: readonly Layer[]): Layer | undefined {
  return layers[placeOfRoute(layers)]
}

function placeOfRoute(layers: readonly Layer[]): number {
  return layers.findIndex((layer) => layer.route !== undefined)
}

function parameterOf(layer: Layer, name: string, topic: string): string {
  // A route has a pattern.
  const pattern = layer.pattern!
  if (!pattern.names.includes(name)) throw noSuchKey(pattern.text, name)
  const value: unknown = Reflect.get(pattern.params(topic), name)
  return Array.isArray(value) ? value.join('/') : String(value)
}

// An `async` key would put all messages into one line, for all promises have one text.
function textOnly(key: unknown, route: string): string {
  if (typeof key === 'string') return key
  // What it rejects with is nobody's any more, and must not end the process.
  if (key instanceof Promise) key.catch(() => {})
  const what = `${key instanceof Promise ? 'a promise' : `a value of type ${typeof key}`}, expected a text`
  throw new MqttasgiError('ERR_ROUTE_OPTION', `The key function of route "${route}" returned ${what}.`)
}

// A key is asked for before there is an attempt: it has neither time nor number.
const notRunning = Object.freeze({
  number: 0,
  signal: new AbortController().signal,
  chain: undefined,
  extend() {},
})

// The handlers of one route share its options; another route may have the same pattern, and options of its own.
function matchedRoutes(matched: readonly Layer[]): MatchedRoute[] {
  const routes = new Map<ResolvedDelivery, MatchedRoute>()
  for (const layer of matched) {
    const { delivery } = layer
    if (delivery === undefined || routes.has(delivery)) continue
    routes.set(delivery, { name: layer.pattern!.text, layer, delivery })
  }
  return [...routes.values()]
}

// Each name once, and all in one order, or two messages could wait for each other's places.
function limitsOf(routes: readonly MatchedRoute[]): readonly ConcurrencyLimit[] {
  const limits = new Map<string, number>()
  for (const { delivery, name } of routes) {
    const { concurrency } = delivery
    if (concurrency !== undefined) limits.set(name, Math.min(concurrency, limits.get(name) ?? concurrency))
  }
  return [...limits]
    .map(([name, most]) => ({ name, most }))
    .sort((one, other) => (one.name < other.name ? -1 : 1))
}

// A group's deliveries run its routes and the middleware before them; what stands behind its last route
// belongs to the application's own subscriptions.
function layersOfGroup(matched: readonly Layer[], share: string): readonly Layer[] {
  const last = matched.findLastIndex((layer) => layer.route?.share === share)
  return matched
    .slice(0, last + 1)
    .filter((layer) => layer.route === undefined || layer.route.share === share)
}

/** 0 says nothing. */
function least(limits: readonly number[]): number {
  const given = limits.filter((limit) => limit > 0)
  return given.length === 0 ? 0 : Math.min(...given)
}

// A message is not thrown away over the head of a route that wants them all.
function sheddingOf(routes: readonly MatchedRoute[]): SheddingPolicy | undefined {
  const policies = routes.map(({ name, delivery: { overflow, maxWaiting, throttleMs, debounceMs } }) =>
    overflow === 'block' ? undefined : { name, overflow, maxWaiting, throttleMs, debounceMs },
  )
  return policies.includes(undefined) ? undefined : policies[0]
}

function failurePolicies(
  routes: readonly MatchedRoute[],
  unmatched: ResolvedDelivery,
): (route: string | undefined, qos: QoS) => FailurePolicy {
  const byRoute = new Map<string, Policies>()
  for (const { delivery, name } of routes) {
    const { kept, once } = policiesOf(delivery)
    const other = byRoute.get(name)
    byRoute.set(name, { once: safer(once, other?.once), kept: safer(kept, other?.kept) })
  }
  const [first = policiesOf(unmatched)] = byRoute.values()
  return (route, qos) => (byRoute.get(route ?? '') ?? first)[qos === 0 ? 'once' : 'kept']
}

function policiesOf({ asks, deadLetter, retry }: ResolvedDelivery): Policies {
  return {
    kept: { retry, deadLetter },
    // QoS 0 is at most once: what is lost on the wire anyway is not kept here unless somebody asks.
    once: { retry: asks.retry ? retry : onceOnly.retry, deadLetter: asks.deadLetter },
  }
}

// A failure is told by the pattern of its route: of two with one pattern that counts which loses less.
function safer(one: FailurePolicy, other: FailurePolicy = one): FailurePolicy {
  const { retry } = other.retry.attempts > one.retry.attempts ? other : one
  return { retry, deadLetter: one.deadLetter || other.deadLetter }
}

function unmatchedLayer(source: PlanSource): Layer {
  return new Layer({
    handler: function unmatched(ctx) {
      if (source.unmatchedHandlers.length === 0) return undefined
      return eachUnmatched(source.unmatchedHandlers, ctx)
    },
    pattern: undefined,
    filter: undefined,
    route: undefined,
    delivery: undefined,
    owners: [source],
  })
}

async function eachUnmatched(handlers: readonly UnmatchedHandler[], ctx: Context): Promise<void> {
  for (const handler of handlers) await handler(ctx)
}

function endingOf(layers: readonly Layer[], firstRoute: number): Ending<MessageContext, Outcome> {
  return {
    done: (ctx) => {
      if (ctx.failure !== undefined) sayForgiven(ctx, ctx.failure.error)
      return firstRoute !== -1 && ctx.deepest >= firstRoute ? HANDLED : NOT_HANDLED
    },
    failed: (thrown, ctx) => failed(thrown, ctx, layers),
  }
}

// A layer that looks at what comes of next() and does not throw it on has caught it, whether or not it meant to.
function sayForgiven(ctx: Context, thrown: unknown): void {
  const { message } = toError(thrown)
  ctx.log.debug(`The chain for "${ctx.topic}" ended well, though a layer of it failed: ${message}.`)
}

// onError observes from the router of the failing layer outwards; only one of the three that decide changes
// what becomes of the message.
async function failed(thrown: unknown, ctx: MessageContext, layers: readonly Layer[]): Promise<Outcome> {
  let decision = thrown
  // Whoever ends a chain with an error has noted where that happened.
  ctx.at = ctx.failure!.at
  // It has been told when the chain was given up.
  const owners = ctx.isGivenUp ? [] : layers[ctx.at]!.owners
  for (const owner of owners) {
    for (const handler of owner.errorHandlers) {
      try {
        await handler(toError(decision), ctx)
      } catch (another) {
        if (decidesOutcome(another)) decision = another
        else sayOnErrorFailed(ctx, another)
      }
    }
  }
  return outcomeOf(decision, ctx.route)
}

function sayOnErrorFailed(ctx: Context, thrown: unknown): void {
  const error = toError(thrown)
  ctx.log.error(`A handler of onError failed for "${ctx.topic}": ${error.message}`, { error })
}

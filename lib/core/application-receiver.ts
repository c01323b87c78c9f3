// An application as the server sees it: which filters it wants, and what becomes of one message.
import { run, type Ending } from './compose.ts'
import type { ApplicationHandle, Context, UnmatchedHandler } from './context.ts'
import { toError } from './errors.ts'
import { Layer, type Owner } from './layer.ts'
import type { Logger } from './log.ts'
import { MessageContext, type PublishRules } from './message-context.ts'
import type { Message } from './message.ts'
import type {
  Attempt,
  Client,
  DisconnectReason,
  Interest,
  Outcome,
  Plan,
  Receiver,
  SessionInfo,
} from './receiver.ts'
import type { FlatRoute } from './router.ts'
import type { Scope } from './scope.ts'
import { topicTree, type TopicIndex } from './topic-tree.ts'
import { unattachedClient } from './unattached-client.ts'

/** Who the application is on this server, and where it is mounted. */
export interface ReceiverIdentity {
  readonly id: string
  /** The prefix of all its patterns; '' for none. */
  readonly mount: string
  readonly scope: Scope
  readonly log: Logger
  readonly rules?: PublishRules | undefined
}

/** What a receiver needs of the application behind it. */
export interface ChainSource extends ApplicationHandle, Owner {
  readonly unmatchedHandlers: readonly UnmatchedHandler[]
  readonly connectHandlers: readonly ((client: Client, session: SessionInfo) => unknown)[]
  readonly disconnectHandlers: readonly ((reason: DisconnectReason) => unknown)[]
  flatten(prefix: string): Layer[]
  routes(prefix: string): FlatRoute[]
  checkUnder(prefix: string): unknown
  mountedIn(mount: { prefix: string; prefixes(): readonly string[]; changed(): void }): () => void
}

/** A plan together with the layers that it stands for, so that they are looked up once. */
export interface ChainPlan extends Plan {
  readonly layers: readonly Layer[]
  /** The outcome of a chain over these layers. */
  readonly ending: Ending<MessageContext, Outcome>
}

const HANDLED: Outcome = Object.freeze({ type: 'done', handled: true })
const NOT_HANDLED: Outcome = Object.freeze({ type: 'done', handled: false })

export class ApplicationReceiver implements Receiver<ChainPlan> {
  readonly id: string
  readonly mount: string
  readonly #source: ChainSource
  readonly #host: {
    app: ApplicationHandle
    scope: Scope
    log: Logger
    client: Client
    rules: PublishRules | undefined
  }
  readonly #listeners = new Set<() => void>()
  readonly #unmount: () => void
  #tree: TopicIndex<Layer> | undefined = undefined
  #interests: readonly Interest[] | undefined = undefined
  // Lists of the tree are shared by all topics that match the same layers, so a plan is made once for each.
  #plans = new WeakMap<readonly Layer[], PlanFamily>()

  constructor(source: ChainSource, identity: ReceiverIdentity) {
    source.checkUnder(identity.mount)
    this.id = identity.id
    this.mount = identity.mount
    this.#source = source
    const { scope, log, rules } = identity
    this.#host = { app: source, scope, log, client: unattachedClient, rules }
    this.#unmount = source.mountedIn({
      prefix: identity.mount,
      prefixes: () => [''],
      changed: () => this.#changed(),
    })
  }

  interests(): readonly Interest[] {
    this.#interests ??= this.#source.routes(this.mount).map(({ pattern, filter, options }) => ({
      filter,
      share: options.share,
      qos: options.qos,
      noLocal: options.noLocal,
      retainHandling: options.retainHandling,
      retainAsPublished: options.retainAsPublished,
      source: pattern,
    }))
    return this.#interests
  }

  onInterests(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  plan(message: Message): ChainPlan {
    this.#tree ??= topicTree(
      this.#source.flatten(this.mount).map((layer) => ({ filter: layer.filter, value: layer })),
    )
    const matched = this.#tree.match(message.topic)
    let family = this.#plans.get(matched)
    if (family === undefined) {
      family = new PlanFamily(matched, this.#source)
      this.#plans.set(matched, family)
    }
    return family.of(message.share)
  }

  receive(message: Message, plan: ChainPlan, attempt: Attempt): Outcome | Promise<Outcome> {
    const ctx = new MessageContext(this.#host, message, plan.layers, attempt)
    const outcome = run(plan.layers, ctx, plan.ending)
    if (plan.timeoutMs === 0 || !(outcome instanceof Promise)) return outcome
    return orAborted(outcome, attempt.signal, ctx, plan)
  }

  /** What contexts publish and subscribe with from now on. */
  useClient(client: Client): void {
    this.#host.client = client
  }

  async connected(client: Client, session: SessionInfo): Promise<void> {
    this.useClient(client)
    await this.#each('onConnect', this.#source.connectHandlers, (handler) => handler(client, session))
  }

  async disconnected(reason: DisconnectReason): Promise<void> {
    await this.#each('onDisconnect', this.#source.disconnectHandlers, (handler) => handler(reason))
  }

  /** Lets go of the application: what is registered from now on is no longer noticed here. */
  release(): void {
    this.#host.client = unattachedClient
    this.#unmount()
    this.#listeners.clear()
  }

  #changed(): void {
    this.#tree = undefined
    this.#interests = undefined
    for (const listener of this.#listeners) listener()
  }

  async #each<H>(name: string, handlers: readonly H[], call: (handler: H) => unknown): Promise<void> {
    for (const handler of handlers) {
      try {
        await call(handler)
      } catch (thrown) {
        this.#host.log.error(`A handler of ${name} failed: ${toError(thrown).message}`, {
          error: toError(thrown),
        })
      }
    }
  }
}

/** The plans of one list of matching layers: one for own subscriptions, one for each share group. */
class PlanFamily {
  readonly #matched: readonly Layer[]
  readonly #source: ChainSource
  readonly #own: ChainPlan
  readonly #others = new Map<string | null, ChainPlan>()

  constructor(matched: readonly Layer[], source: ChainSource) {
    this.#matched = matched
    this.#source = source
    this.#own = makePlan(
      matched.filter((layer) => layer.route?.share === undefined),
      source,
    )
  }

  of(share: string | null | undefined): ChainPlan {
    if (share === undefined) return this.#own
    let plan = this.#others.get(share)
    if (plan === undefined) {
      plan = makePlan(share === null ? this.#matched : layersOfGroup(this.#matched, share), this.#source)
      this.#others.set(share, plan)
    }
    return plan
  }
}

// A group's deliveries run its routes and the middleware before them; what stands behind its last route
// belongs to the application's own subscriptions.
function layersOfGroup(matched: readonly Layer[], share: string): readonly Layer[] {
  const last = matched.findLastIndex((layer) => layer.route?.share === share)
  return matched
    .slice(0, last + 1)
    .filter((layer) => layer.route === undefined || layer.route.share === share)
}

function makePlan(matched: readonly Layer[], source: ChainSource): ChainPlan {
  const firstRoute = matched.findIndex((layer) => layer.route !== undefined)
  const layers = firstRoute === -1 ? [...matched, unmatchedLayer(source)] : matched
  const routes = [...new Set(matched.flatMap((layer) => (layer.route ? [layer.pattern?.text ?? ''] : [])))]
  const limits = matched.flatMap((layer) => layer.route?.timeoutMs || [])
  return {
    layers,
    routes,
    order: 'topic',
    timeoutMs: limits.length === 0 ? 0 : Math.min(...limits),
    ending: {
      done: (ctx) => {
        if (ctx.failure !== undefined) sayForgiven(ctx, ctx.failure.error)
        return firstRoute !== -1 && ctx.deepest >= firstRoute ? HANDLED : NOT_HANDLED
      },
      failed: (thrown, ctx) => failed(thrown, ctx, layers),
    },
  }
}

function unmatchedLayer(source: ChainSource): Layer {
  return new Layer({
    handler: function unmatched(ctx) {
      if (source.unmatchedHandlers.length === 0) return undefined
      return eachUnmatched(source.unmatchedHandlers, ctx)
    },
    pattern: undefined,
    filter: undefined,
    route: undefined,
    owners: [source],
  })
}

async function eachUnmatched(handlers: readonly UnmatchedHandler[], ctx: Context): Promise<void> {
  for (const handler of handlers) await handler(ctx)
}

// A chain that is out of time has failed, wherever it stands: onError hears of it, and no layer is entered
// any more. The handler itself may go on; what it ends in is nobody's concern then.
function orAborted(
  outcome: Promise<Outcome>,
  signal: AbortSignal,
  ctx: MessageContext,
  plan: ChainPlan,
): Promise<Outcome> {
  return new Promise((resolve) => {
    const abort = (): void => {
      ctx.ended = true
      ctx.failure = { error: signal.reason, at: Math.max(ctx.at, 0) }
      resolve(plan.ending.failed(signal.reason, ctx))
    }
    signal.addEventListener('abort', abort, { once: true })
    void outcome.then((value) => {
      signal.removeEventListener('abort', abort)
      resolve(value)
    })
  })
}

// Whether a layer caught what came out of next(), or did not look, can not be told apart.
function sayForgiven(ctx: Context, thrown: unknown): void {
  const { message } = toError(thrown)
  ctx.log.debug(
    `The chain for "${ctx.topic}" ended well, though a layer of it failed: ${message}. If no layer in front was meant to catch that, one of them does not await next().`,
  )
}

// onError observes from the router of the failing layer outwards; only what it throws changes the error.
async function failed(thrown: unknown, ctx: MessageContext, layers: readonly Layer[]): Promise<Outcome> {
  let error = toError(thrown)
  ctx.at = ctx.failure !== undefined && ctx.failure.error === thrown ? ctx.failure.at : 0
  for (const owner of layers[ctx.at]?.owners ?? []) {
    for (const handler of owner.errorHandlers) {
      try {
        await handler(error, ctx)
      } catch (replacement) {
        error = toError(replacement)
      }
    }
  }
  return { type: 'failed', error, route: ctx.route }
}

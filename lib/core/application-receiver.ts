// An application as the server sees it: which filters it wants, and how one message goes through it.
import { ApplicationChannels } from './application-channels.ts'
import type { ChannelHandlers } from './channel-handlers.ts'
import type { ChannelLayer } from './channel-layer.ts'
import { PlanFamily, type ChainPlan, type PlanSource } from './chain-plan.ts'
import { run } from './compose.ts'
import type { ApplicationHandle } from './context.ts'
import type { ResolvedDelivery } from './delivery-options.ts'
import { toError } from './errors.ts'
import type { Layer } from './layer.ts'
import { limitOf } from './line-limit.ts'
import type { Logger } from './log.ts'
import { MessageContext, type PublishRules } from './message-context.ts'
import type { Message } from './message.ts'
import { mountedClient } from './mounted-client.ts'
import { PublishRates } from './publish-rates.ts'
import type {
  Attempt,
  Client,
  DisconnectReason,
  Interest,
  Outcome,
  Receiver,
  SessionInfo,
} from './receiver.ts'
import type { HostedReceiver, ReceiverIdentity } from './hosted.ts'
import { interestOf, type FlatRoute } from './router.ts'
import type { Scope } from './scope.ts'
import { topicTree, type TopicIndex } from './topic-tree.ts'
import { unattachedClient } from './unattached-client.ts'
import { unattachedWorkforce } from './refusing-workforce.ts'
import { withWorkforce, type ConnectClient, type Workforce } from './workforce.ts'

/** What a receiver needs of the application behind it. */
export interface ChainSource extends ApplicationHandle, PlanSource {
  readonly connectHandlers: readonly ((client: ConnectClient, session: SessionInfo) => unknown)[]
  readonly disconnectHandlers: readonly ((reason: DisconnectReason) => unknown)[]
  readonly channelHandlers: ChannelHandlers
  flatten(prefix: string): Layer[]
  routes(prefix: string): FlatRoute[]
  checkUnder(prefix: string): unknown
  checkOptionsUnder(prefix: string): void
  /** Says that a server runs it; returns the undo. */
  attach(attachment: { ready(): Promise<void> }): () => void
  mountedIn(mount: { prefix: string; prefixes(): readonly string[]; changed(): void }): () => void
}

export class ApplicationReceiver implements Receiver<ChainPlan>, HostedReceiver {
  readonly id: string
  readonly mount: string
  /** How fast its routes publish. */
  readonly rates: PublishRates
  readonly #source: ChainSource
  readonly #host: {
    app: ApplicationHandle
    scope: Scope
    log: Logger
    client: Client
    rules: PublishRules | undefined
    rates: PublishRates
    channels: ChannelLayer | undefined
  }
  readonly #channels: ApplicationChannels | undefined
  readonly #listeners = new Set<() => void>()
  readonly #unmount: () => void
  readonly #detach: () => void
  readonly #workforce: Workforce
  #tree: TopicIndex<Layer> | undefined = undefined
  #interests: readonly Interest[] | undefined = undefined
  // Lists of the tree are shared by all topics that match the same layers, so a plan is made once for each.
  #plans = new WeakMap<readonly Layer[], PlanFamily>()

  constructor(source: ChainSource, identity: ReceiverIdentity) {
    source.checkUnder(identity.mount)
    source.checkOptionsUnder(identity.mount)
    this.id = identity.id
    this.mount = identity.mount
    this.#source = source
    const { channels, clock, log, ready, rules, scope, workforce = unattachedWorkforce } = identity
    this.rates = new PublishRates({ clock, log, refused: () => identity.countEvent?.('loops') })
    this.#workforce = workforce
    this.#detach = ready === undefined ? (): void => {} : source.attach({ ready })
    this.#host = { app: source, scope, log, client: unattachedClient, rules, rates: this.rates, channels }
    if (channels !== undefined) {
      this.#channels = new ApplicationChannels({
        layer: channels,
        handlers: source.channelHandlers,
        handlerMs: limitOf(source.unmatchedDelivery),
        client: () => this.#host.client,
        identity,
      })
    }
    this.#unmount = source.mountedIn({
      prefix: identity.mount,
      prefixes: () => [''],
      changed: () => this.#changed(),
    })
  }

  get unmatchedDelivery(): ResolvedDelivery {
    return this.#source.unmatchedDelivery
  }

  interests(): readonly Interest[] {
    this.#interests ??= this.routes().map(interestOf)
    return this.#interests
  }

  routes(): readonly FlatRoute[] {
    return this.#source.routes(this.mount)
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
      family = new PlanFamily(matched, this.#source, this.#host)
      this.#plans.set(matched, family)
    }
    return family.of(message.share)
  }

  receive(message: Message, plan: ChainPlan, attempt: Attempt): Outcome | Promise<Outcome> {
    const ctx = new MessageContext(this.#host, message, plan, attempt)
    const outcome = run(plan.layers, ctx, plan.ending)
    if (outcome instanceof Promise) attempt.chain = ctx
    return outcome
  }

  /** What contexts publish and subscribe with from now on, under the mount. */
  useClient(client: Client): Client {
    this.#host.client = mountedClient(client, this.mount)
    return this.#host.client
  }

  async connected(client: Client, session: SessionInfo): Promise<void> {
    const all = withWorkforce(this.useClient(client), this.#workforce)
    const channels = this.#channels?.connected()
    await this.#each('onConnect', this.#source.connectHandlers, (handler) => handler(all, session))
    await channels
  }

  async disconnected(reason: DisconnectReason): Promise<void> {
    if (reason.type === 'lost') this.#channels?.lost()
    await this.#each('onDisconnect', this.#source.disconnectHandlers, (handler) => handler(reason))
    if (reason.type !== 'lost') await this.#channels?.end()
  }

  /** Lets go of the application: what is registered from now on is no longer noticed here. */
  release(): void {
    this.#channels?.stop()
    this.#host.client = unattachedClient
    this.#unmount()
    this.#detach()
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

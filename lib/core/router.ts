// A router: an ordered list of middleware, routes and mounted routers, flattened into layers on demand; long for its docstrings.
import type { ErrorHandler, Handler } from './context.ts'
import {
  checkDeliveryOptions,
  checkResolved,
  inheritDelivery,
  noSuchKey,
  resolveDelivery,
  type DeliveryOptions,
  type ResolvedDelivery,
} from './delivery-options.ts'
import { MqttasgiError } from './errors.ts'
import { Layer, type Owner } from './layer.ts'
import { warnOfLeadingSlash } from './leading-slash.ts'
import { joinPatterns, pattern, type Pattern, type TopicParams } from './pattern.ts'
import type { Interest } from './receiver.ts'
import { resolveRouteOptions, type ResolvedRouteOptions, type RouteOptions } from './route.ts'

declare const requires: unique symbol

/** Something that can be mounted where the parameters `P` are there. The property is never set. */
export interface Mountable<in P extends object> {
  readonly [requires]?: (params: P) => void
}

/** What `use()` takes: middleware, or a router whose declared parameters the prefix provides. */
export type Usable<P extends object> = Handler<P> | Mountable<P>

/**
 * An ordered list of middleware and routes that can be mounted under a pattern, at any depth and more
 * than once. `P` declares the parameters of the prefix it will be mounted under; the compiler checks
 * them there.
 *
 * @example
 * const floors = Router<{ floor: string }>()
 * floors.topic('temp', (ctx) => ctx.log.info(`${ctx.params.floor}: ${ctx.text()}`))
 * app.use('building/+floor', floors)
 */
export interface Router<P extends object = object> extends Mountable<P> {
  /**
   * Adds middleware or routers for every message, or for a prefix and all below it: `use('a/+x', …)`
   * covers `a/+x/#`, so `a/1` itself too. Never subscribes to anything. Throws `ERR_MOUNT_INVALID` for a
   * prefix with `#` or `$share`, and where a name of the prefix is used again below it.
   *
   * @example
   * app.use(async (ctx, next) => { ctx.log.debug(ctx.topic); await next() })
   */
  use(...items: Usable<P>[]): this
  use<const T extends string>(prefix: T, ...items: Usable<TopicParams<T> & P>[]): this
  /**
   * Adds a route: the server subscribes to its filter and runs the handlers for each message that
   * matches. Throws `ERR_PATTERN_INVALID`, `ERR_ROUTE_OPTION`, `ERR_HANDLER_INVALID`.
   *
   * @example
   * app.topic('sensors/+room/temp', { qos: 1 }, (ctx) => ctx.log.info(ctx.params.room))
   */
  topic<const T extends string>(pattern: T, ...handlers: Handler<TopicParams<T> & P>[]): this
  topic<const T extends string>(
    pattern: T,
    options: RouteOptions<TopicParams<T> & P>,
    ...handlers: Handler<TopicParams<T> & P>[]
  ): this
  /**
   * Observes the errors of this router's layers, at each attempt, innermost router first. What the handler
   * returns changes nothing. What it throws is logged, unless it is a `Retry`, `Reject` or `Drop`: that decides.
   */
  onError(handler: ErrorHandler): this
}

/**
 * Makes a router. Its options count for all routes below that do not say otherwise; `ERR_ROUTE_OPTION`
 * where one is wrong.
 *
 * @example
 * const rooms = Router<{ room: string }>({ timeoutMs: 5_000, retry: { attempts: 5 } })
 */
export function Router<P extends object = object>(options: DeliveryOptions<P> = {}): Router<P> {
  return new RouterNode('Router(): ', options as DeliveryOptions)
}

/** A route as it stands in one place of the tree. */
export interface FlatRoute {
  /** The whole pattern, prefixes included, without the share group. */
  readonly pattern: string
  readonly filter: string
  readonly options: ResolvedRouteOptions
  readonly delivery: ResolvedDelivery
  readonly handlers: readonly string[]
}

/** What a route asks the broker for. */
export function interestOf({ pattern, filter, options, delivery }: FlatRoute): Interest {
  const { noLocal, qos, retainAsPublished, retainHandling, share } = options
  return {
    filter,
    share,
    qos,
    noLocal,
    retainHandling,
    retainAsPublished,
    strict: delivery.order === 'strict',
    sheds: delivery.overflow !== 'block',
    source: pattern,
  }
}

/** Where a router is mounted: under `prefix` of something that itself stands under `prefixes()`. */
interface Mount {
  readonly prefix: string
  prefixes(): readonly string[]
  changed(): void
}

type Entry =
  | { readonly type: 'use'; readonly prefix: string; readonly handler: Handler }
  | { readonly type: 'mount'; readonly prefix: string; readonly router: RouterNode }
  | {
      readonly type: 'topic'
      readonly text: string
      readonly options: ResolvedRouteOptions
      readonly handlers: readonly Handler[]
    }

/** The router behind the interface, for any `P`: parameters are the compiler's concern. An application extends it. */
export class RouterNode implements Router, Owner {
  readonly errorHandlers: ErrorHandler[] = []
  readonly options: DeliveryOptions
  readonly #entries: Entry[] = []
  readonly #mounts = new Set<Mount>()
  readonly #unmounts: (() => void)[] = []

  /** `what` begins the message about an option that is wrong. */
  constructor(what: string, options: DeliveryOptions) {
    checkDeliveryOptions(what, options)
    this.options = options
  }

  use(...args: unknown[]): this {
    const prefix = typeof args[0] === 'string' ? args[0] : ''
    const items = typeof args[0] === 'string' ? args.slice(1) : args
    if (items.length === 0) throw handlerInvalid(`use(${prefix})`, undefined)
    checkPrefix(prefix)
    const entries = items.map((item) => useEntry(prefix, item))
    for (const entry of entries) {
      if (entry.type === 'mount') this.#checkMount(entry.prefix, entry.router)
      else this.#check([prefix], [])
    }
    for (const entry of entries) {
      this.#entries.push(entry)
      if (entry.type === 'mount') {
        const unmount = entry.router.mountedIn({
          prefix,
          prefixes: () => this.prefixes(),
          changed: () => this.changed(),
        })
        this.#unmounts.push(unmount)
      }
    }
    this.changed()
    return this
  }

  topic(text: string, ...args: unknown[]): this {
    const hasOptions = typeof args[0] === 'object' && args[0] !== null
    const handlers = hasOptions ? args.slice(1) : args
    if (handlers.length === 0) throw handlerInvalid(`topic("${text}")`, undefined)
    for (const handler of handlers) {
      if (typeof handler !== 'function') throw handlerInvalid(`topic("${text}")`, handler)
    }
    const [share, inner] = splitShare(text)
    const options = resolveRouteOptions(text, hasOptions ? (args[0] as RouteOptions) : {}, share)
    this.#check([], [inner])
    for (const outer of this.prefixes()) checkKey(joinPatterns(outer, inner), options.delivery)
    checkResolved(`Route "${text}": `, deliveryOf(this.options, options))
    warnOfLeadingSlash(inner)
    this.#entries.push({ type: 'topic', text: inner, options, handlers: handlers as Handler[] })
    this.changed()
    return this
  }

  onError(handler: ErrorHandler): this {
    if (typeof handler !== 'function') throw handlerInvalid('onError()', handler)
    this.errorHandlers.push(handler)
    return this
  }

  /** Says where this router is mounted, so that what is added later is checked and noticed there too. */
  mountedIn(mount: Mount): () => void {
    this.#mounts.add(mount)
    return () => this.#mounts.delete(mount)
  }

  /** Lets go of the routers mounted here: what is registered with them from now on is no longer noticed. */
  letGo(): void {
    for (const unmount of this.#unmounts.splice(0)) unmount()
  }

  /** Every layer below, in registration order, as it stands under `prefix` with the options around it. */
  flatten(prefix: string, outer: readonly Owner[] = [], around: DeliveryOptions = {}): Layer[] {
    const owners = [this, ...outer]
    const options = inheritDelivery(around, this.options)
    return this.#entries.flatMap((entry) => {
      if (entry.type === 'mount') {
        return entry.router.flatten(joinPatterns(prefix, entry.prefix), owners, options)
      }
      if (entry.type === 'use')
        return [middlewareLayer(joinPatterns(prefix, entry.prefix), entry.handler, owners)]
      const whole = pattern(joinPatterns(prefix, entry.text))
      const { filter } = whole
      const delivery = deliveryOf(options, entry.options)
      return entry.handlers.map(
        (handler) => new Layer({ handler, pattern: whole, filter, route: entry.options, delivery, owners }),
      )
    })
  }

  /** Every route below, in registration order, as it stands under `prefix` with the options around it. */
  routes(prefix: string, around: DeliveryOptions = {}): FlatRoute[] {
    const inherited = inheritDelivery(around, this.options)
    return this.#entries.flatMap((entry): FlatRoute[] => {
      if (entry.type === 'use') return []
      if (entry.type === 'mount') return entry.router.routes(joinPatterns(prefix, entry.prefix), inherited)
      const { text, filter } = pattern(joinPatterns(prefix, entry.text))
      const handlers = entry.handlers.map((handler) => handler.name || '(anonymous)')
      const { options } = entry
      return [{ pattern: text, filter, options, delivery: deliveryOf(inherited, options), handlers }]
    })
  }

  /** Throws when `prefix` is no prefix, or something below does not fit under it; returns what is below. */
  checkUnder(prefix: string): { readonly prefixes: string[]; readonly routes: string[] } {
    checkPrefix(prefix)
    const below = this.#texts()
    for (const text of [...below.prefixes, ...below.routes]) under(prefix, text)
    return below
  }

  /** Throws when a route below has options that do not fit together with its pattern under `prefix`, or what is around it. */
  checkOptionsUnder(prefix: string): void {
    for (const { pattern: text, delivery } of this.routes(prefix)) {
      checkKey(text, delivery)
      checkResolved(`Route "${text}": `, delivery)
    }
  }

  /** Every prefix this router stands under; none as long as it is not mounted in an application. */
  protected prefixes(): readonly string[] {
    return [...this.#mounts].flatMap((mount) =>
      mount.prefixes().map((outer) => joinPatterns(outer, mount.prefix)),
    )
  }

  protected changed(): void {
    for (const mount of this.#mounts) mount.changed()
  }

  #checkMount(prefix: string, router: RouterNode): void {
    if (router.#contains(this)) {
      throw new MqttasgiError(
        'ERR_MOUNT_INVALID',
        `The router mounted under "${prefix}" holds the router it is mounted in. Mount a router of its own.`,
      )
    }
    const below = router.checkUnder(prefix)
    this.#check(
      [prefix, ...below.prefixes.map((text) => joinPatterns(prefix, text))],
      below.routes.map((text) => joinPatterns(prefix, text)),
    )
  }

  // A text that is fine alone may not be under a prefix: a name may come twice, or nothing may be left of it.
  #check(prefixes: readonly string[], routes: readonly string[]): void {
    for (const outer of this.prefixes()) {
      for (const text of prefixes) under(outer, text)
      for (const text of routes) if (under(outer, text) === '') pattern('')
    }
  }

  #contains(other: RouterNode): boolean {
    if (other === this) return true
    return this.#entries.some((entry) => entry.type === 'mount' && entry.router.#contains(other))
  }

  #texts(): { readonly prefixes: string[]; readonly routes: string[] } {
    const prefixes: string[] = []
    const routes: string[] = []
    for (const entry of this.#entries) {
      if (entry.type === 'topic') routes.push(entry.text)
      else prefixes.push(entry.prefix)
      if (entry.type !== 'mount') continue
      const below = entry.router.#texts()
      prefixes.push(...below.prefixes.map((text) => joinPatterns(entry.prefix, text)))
      routes.push(...below.routes.map((text) => joinPatterns(entry.prefix, text)))
    }
    return { prefixes, routes }
  }
}

function deliveryOf(around: DeliveryOptions, { delivery }: ResolvedRouteOptions): ResolvedDelivery {
  return resolveDelivery(inheritDelivery(around, delivery), delivery)
}

function checkKey(text: string, { key }: Pick<ResolvedDelivery, 'key'> | Pick<DeliveryOptions, 'key'>): void {
  if (typeof key === 'string' && !pattern(text).names.includes(key)) throw noSuchKey(text, key)
}

function useEntry(prefix: string, item: unknown): Entry {
  if (item instanceof RouterNode) return { type: 'mount', prefix, router: item }
  if (typeof item !== 'function') throw handlerInvalid(`use("${prefix}")`, item)
  return { type: 'use', prefix, handler: item as Handler }
}

const nowhere = { pattern: undefined, filter: undefined, route: undefined, delivery: undefined } as const

function middlewareLayer(prefix: string, handler: Handler, owners: readonly Owner[]): Layer {
  if (prefix === '') return new Layer({ handler, ...nowhere, owners })
  const whole: Pattern = pattern<string>(`${prefix}/#`)
  return new Layer({ ...nowhere, handler, pattern: whole, filter: whole.filter, owners })
}

function splitShare(text: string): [share: string | undefined, inner: string] {
  if (text === '') return [undefined, text]
  const { share } = pattern(text)
  return share === undefined ? [undefined, text] : [share, text.slice(`$share/${share}/`.length)]
}

function checkPrefix(prefix: string): void {
  if (prefix === '') return
  if (prefix.startsWith('$share/')) {
    throw mountInvalid(prefix, 'a share group belongs to a route. Use the option share of topic() instead')
  }
  if (prefix.split('/').some((level) => level.startsWith('#'))) {
    throw mountInvalid(prefix, 'use() covers everything below a prefix anyway. Leave the # out')
  }
  pattern(prefix)
  warnOfLeadingSlash(prefix)
}

// The whole pattern of `text` under `outer`; what does not fit together is said here, where it is registered.
function under(outer: string, text: string): string {
  const whole = joinPatterns(outer, text)
  if (whole === '') return whole
  try {
    pattern(whole)
  } catch (cause) {
    if (outer === '' || !(cause instanceof MqttasgiError)) throw cause
    throw new MqttasgiError(
      'ERR_MOUNT_INVALID',
      `"${text}" can not stand under "${outer}": ${cause.message} Give the names of prefix and route different words.`,
      { cause },
    )
  }
  return whole
}

function mountInvalid(prefix: string, why: string): MqttasgiError {
  return new MqttasgiError('ERR_MOUNT_INVALID', `"${prefix}" can not be a prefix: ${why}.`)
}

function handlerInvalid(where: string, got: unknown): MqttasgiError {
  const what = got === undefined ? 'nothing' : got === null ? 'null' : `a value of type ${typeof got}`
  return new MqttasgiError(
    'ERR_HANDLER_INVALID',
    `${where} expects functions (ctx, next) => …${where.startsWith('use') ? ' or routers' : ''}, and got ${what}.`,
  )
}

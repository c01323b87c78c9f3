// How messages are run and what becomes of those that fail: options of a route, a router or an application, and their defaults.
import { LONGEST_TIMER_MS } from './clock.ts'
import type { Context } from './context.ts'
import { MqttasgiError } from './errors.ts'
import type { ErrorClass, Order, Overflow, RetryPolicy } from './receiver.ts'

/** What a `key` function is given: the message before its chain runs. */
export type KeyContext<P extends object = object> = Pick<
  Context<P>,
  'topic' | 'params' | 'payload' | 'text' | 'json' | 'qos' | 'retain' | 'properties'
>

/** The name of a parameter. Where the compiler does not know which there are, any text. */
export type KeyName<P extends object> = keyof P extends never ? string : keyof P & string

/** How often and when a failed message is tried again. What is left out comes from the router, or is the default. */
export interface RetryOptions {
  /** Starts of the chain in all, the first included; 1 tries nothing again. Default: 3. */
  readonly attempts?: number
  /** Milliseconds before the second attempt, doubled before each further one. Default: 200. */
  readonly minDelayMs?: number
  /** Milliseconds that no wait exceeds. Default: 5,000. */
  readonly maxDelayMs?: number
  /** Wait a random part of the delay (full jitter) instead of all of it. Default: true. */
  readonly jitter?: boolean
  /** Errors of these classes are never tried again. */
  readonly never?: readonly ErrorClass[]
}

/**
 * How the messages of a route are run. A router and an application take the same: their options count for
 * all routes below that do not say otherwise.
 */
export interface DeliveryOptions<P extends object = object> {
  /** Milliseconds one attempt may take; 0 leaves it to `holdMs`. Default: 30,000. The least of the matching routes counts. */
  readonly timeoutMs?: number
  /**
   * Milliseconds a message may be in hand, all attempts and waits together; then it becomes a dead letter.
   * Default: 60,000, or twice `timeoutMs` if that is more.
   */
  readonly holdMs?: number
  readonly retry?: RetryOptions
  /** Keep what can not be handled as a dead letter. Default: true; for messages of QoS 0 only where the route says so. */
  readonly deadLetter?: boolean
  /**
   * Which messages wait for each other: those of one `topic` (default), those with the same `key`, all of this
   * receiver (`strict`, one unacknowledged message at a time on the whole connection), or `none`.
   */
  readonly order?: Order
  /** The key of a message, or the parameter of the pattern that is the key; gives `order: 'key'`. */
  readonly key?: ((ctx: KeyContext<P>) => string) | KeyName<P>
  /** How many messages of this route may run at one time, beside what order allows. */
  readonly concurrency?: number
  /** What to do with messages that can not start at once, when `maxWaiting` of this route wait already. Default: block. */
  readonly overflow?: Overflow
  /** How many may wait, for `overflow` other than `block`. Default: 1,000; `latest` keeps one for each key or topic. */
  readonly maxWaiting?: number
  /** At most one start in so many milliseconds for each key or topic; of those between, only the newest runs. */
  readonly throttleMs?: number
  /** Start only when no other message of the key or topic has come for so many milliseconds; only the newest runs. */
  readonly debounceMs?: number
  /**
   * How many messages the handlers of this route may publish within a second; above it their publications are refused
   * for ten seconds (`ERR_PUBLISH_RATE`). 0 is no limit. Default: 0. `maxHops` ends what goes round in a circle on MQTT 5;
   * this does on 3.1.1, and where others are part of the circle.
   */
  readonly maxPublishRate?: number
}

/** Every option decided. */
export interface ResolvedDelivery {
  readonly timeoutMs: number
  readonly holdMs: number
  readonly retry: RetryPolicy
  readonly deadLetter: boolean
  /** The route itself asks for them: then they count for QoS 0 too. */
  readonly asks: { readonly retry: boolean; readonly deadLetter: boolean }
  readonly order: Order
  readonly key: DeliveryOptions['key']
  readonly concurrency: number | undefined
  readonly overflow: Overflow
  readonly maxWaiting: number
  readonly throttleMs: number
  readonly debounceMs: number
  /** 0 is no limit. */
  readonly maxPublishRate: number
}

export const defaultTimeoutMs = 30_000
const defaultHoldMs = 60_000
const defaultMaxWaiting = 1_000
export const defaultRetry: RetryPolicy = {
  attempts: 3,
  minDelayMs: 200,
  maxDelayMs: 5_000,
  jitter: true,
  never: [],
}

type Rule = readonly [expected: string, check: (value: unknown) => boolean]

// One line an option: what it must be, in words and as a check.
export const deliveryRules: Readonly<Record<keyof DeliveryOptions, Rule>> = {
  timeoutMs: [
    'a whole number of milliseconds, 0 (no limit of its own) or more',
    isWhole(0, LONGEST_TIMER_MS),
  ],
  holdMs: ['a whole number of milliseconds, 1 or more', isWhole(1, LONGEST_TIMER_MS)],
  retry: ['an object such as { attempts: 5 }', isObject],
  deadLetter: ['true or false', (value) => typeof value === 'boolean'],
  order: ["'topic', 'key', 'strict' or 'none'", isOneOf('topic', 'key', 'strict', 'none')],
  key: [
    'a function that returns a text, or the name of a parameter',
    (value) => typeof value === 'function' || (typeof value === 'string' && value !== ''),
  ],
  concurrency: ['a whole number, 1 or more', isWhole(1, 65_535)],
  overflow: [
    "'block', 'drop-oldest', 'drop-newest' or 'latest'",
    isOneOf('block', 'drop-oldest', 'drop-newest', 'latest'),
  ],
  maxWaiting: ['a whole number, 1 or more', isWhole(1, 1_000_000)],
  throttleMs: ['a whole number of milliseconds, 1 or more', isWhole(1, LONGEST_TIMER_MS)],
  debounceMs: ['a whole number of milliseconds, 1 or more', isWhole(1, LONGEST_TIMER_MS)],
  maxPublishRate: ['a whole number, 0 (no limit) or more', isWhole(0, 1_000_000)],
}

const retryRules: Readonly<Record<keyof RetryOptions, Rule>> = {
  attempts: ['a whole number, 1 or more', isWhole(1, 1_000_000)],
  minDelayMs: ['a whole number of milliseconds, 0 or more', isWhole(0, LONGEST_TIMER_MS)],
  maxDelayMs: ['a whole number of milliseconds, 0 or more', isWhole(0, LONGEST_TIMER_MS)],
  jitter: ['true or false', (value) => typeof value === 'boolean'],
  never: ['a list of error classes', (value) => Array.isArray(value) && value.every(isClass)],
}

/** Checks options as somebody wrote them; `where` begins the message. Throws `ERR_ROUTE_OPTION`. */
export function checkDeliveryOptions(where: string, options: DeliveryOptions): void {
  checkByRules(where, options, deliveryRules)
  const { retry = {}, order, key, overflow, maxWaiting, throttleMs, debounceMs } = options
  checkByRules(`${where}retry.`, retry, retryRules)
  if (order === 'key' && key === undefined) {
    throw routeOption(
      where,
      "order is 'key' without a key. Give key: 'the name of a parameter', or key: (ctx) => a text.",
    )
  }
  if (key !== undefined && order !== undefined && order !== 'key') {
    throw routeOption(where, `key does not go together with order '${order}'. Leave one of them out.`)
  }
  if (maxWaiting !== undefined && (overflow === undefined || overflow === 'block')) {
    throw routeOption(where, "maxWaiting is for overflow 'drop-oldest', 'drop-newest' or 'latest'.")
  }
  if (throttleMs !== undefined && debounceMs !== undefined) {
    throw routeOption(where, 'throttleMs and debounceMs exclude each other. Leave one of them out.')
  }
  for (const [name, value] of Object.entries({ throttleMs, debounceMs }))
    checkWait(where, options, name, value)
}

// A message that waits is unacknowledged meanwhile, and others behind it with it.
function checkWait(
  where: string,
  { holdMs = defaultHoldMs, overflow }: DeliveryOptions,
  name: string,
  value: number | undefined,
): void {
  if (value === undefined) return
  if (overflow === 'block') {
    throw routeOption(
      where,
      `overflow 'block' does not go together with ${name}: it drops what comes between.`,
    )
  }
  if (value >= holdMs) throw tooLong(where, name, value, holdMs)
}

function tooLong(where: string, name: string, value: number, holdMs: number): MqttasgiError {
  return routeOption(where, `${name} is ${value}, and holdMs ${holdMs}: expected less. Raise holdMs too.`)
}

/** Checks names and values against rules; unknown names, and what is no object, are refused. Throws `ERR_ROUTE_OPTION`. */
export function checkByRules(where: string, options: object, rules: Readonly<Record<string, Rule>>): void {
  const given: unknown = options
  if (typeof given !== 'object' || given === null) {
    const what = given === null ? 'null' : `a value of type ${typeof given}`
    throw routeOption(where, `expected an object with options, got ${what}.`)
  }
  for (const [name, value] of Object.entries(options)) {
    const rule = Object.hasOwn(rules, name) ? rules[name] : undefined
    if (rule === undefined) {
      throw routeOption(where, `"${name}" is not an option. There are: ${Object.keys(rules).join(', ')}.`)
    }
    if (value === undefined) continue
    const [expected, check] = rule
    if (!check(value)) throw routeOption(where, `${name} is ${show(value)}, expected ${expected}.`)
  }
}

/** The options of something inside with what it leaves out taken from what is around it. */
export function inheritDelivery(outer: DeliveryOptions, inner: DeliveryOptions): DeliveryOptions {
  const left = withoutWait(withoutKey(outer, inner), inner)
  const order = inner.key === undefined ? {} : { order: 'key' as const }
  return { ...left, ...defined(inner), ...order, ...retryOf(outer, inner) }
}

// Each says how order is kept, so the inner one replaces what the outer one says with the other.
function withoutKey(outer: DeliveryOptions, { order }: DeliveryOptions): DeliveryOptions {
  if (order === undefined || order === 'key') return outer
  const { key: _, ...rest } = outer
  return rest
}

// The same with what becomes of messages that come too fast: what may not be said together does not stay from outside.
function withoutWait(outer: DeliveryOptions, inner: DeliveryOptions): DeliveryOptions {
  const waits = inner.throttleMs !== undefined || inner.debounceMs !== undefined
  const blocks = inner.overflow === 'block'
  if (!waits && !blocks) return outer
  const { debounceMs: _, maxWaiting, overflow, throttleMs: __, ...rest } = outer
  if (blocks || overflow === undefined || overflow === 'block') return rest
  return { ...rest, overflow, ...(maxWaiting === undefined ? {} : { maxWaiting }) }
}

/** The options of a route with every default in place; `own` are those of the route itself. */
export function resolveDelivery(options: DeliveryOptions, own: DeliveryOptions): ResolvedDelivery {
  const { timeoutMs = defaultTimeoutMs, throttleMs = 0, debounceMs = 0, concurrency } = options
  const { overflow = throttleMs + debounceMs > 0 ? 'latest' : 'block' } = options
  return {
    timeoutMs,
    holdMs: options.holdMs ?? Math.min(LONGEST_TIMER_MS, Math.max(defaultHoldMs, 2 * timeoutMs)),
    retry: { ...defaultRetry, ...defined(options.retry ?? {}) },
    deadLetter: options.deadLetter ?? true,
    asks: { retry: own.retry !== undefined, deadLetter: own.deadLetter === true },
    order: options.order ?? (options.key === undefined ? 'topic' : 'key'),
    key: options.key,
    concurrency,
    overflow,
    maxWaiting: options.maxWaiting ?? defaultMaxWaiting,
    throttleMs,
    debounceMs,
    maxPublishRate: options.maxPublishRate ?? 0,
  }
}

/**
 * Checks what only shows once all that is around a route is known. `where` begins the message. Throws
 * `ERR_ROUTE_OPTION`.
 */
export function checkResolved(where: string, { debounceMs, holdMs, throttleMs }: ResolvedDelivery): void {
  for (const [name, value] of Object.entries({ throttleMs, debounceMs })) {
    if (value >= holdMs) throw tooLong(where, name, value, holdMs)
  }
}

/** What is said of a wrong option; `where` names what it belongs to. */
export function routeOption(where: string, what: string): MqttasgiError {
  return new MqttasgiError('ERR_ROUTE_OPTION', `${where}${what}`)
}

/** What is said of a route whose key is no parameter of its pattern. */
export function noSuchKey(route: string, name: string): MqttasgiError {
  return routeOption(`Route "${route}": `, `key is "${name}", and its pattern has no parameter of that name.`)
}

function retryOf(outer: DeliveryOptions, inner: DeliveryOptions): Pick<DeliveryOptions, 'retry'> {
  if (outer.retry === undefined && inner.retry === undefined) return {}
  return { retry: { ...outer.retry, ...defined(inner.retry ?? {}) } }
}

function defined<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T
}

function show(value: unknown): string {
  return typeof value === 'string' ? `"${value}"` : `${String(value)} (${typeof value})`
}

function isWhole(min: number, max: number): (value: unknown) => boolean {
  return (value) => typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max
}

function isOneOf(...choices: readonly string[]): (value: unknown) => boolean {
  return (value) => typeof value === 'string' && choices.includes(value)
}

// An arrow function is none, and `instanceof` would throw for it when the first message fails.
function isClass(value: unknown): boolean {
  return typeof value === 'function' && typeof value.prototype === 'object'
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

// A route: a pattern with its options, checked when it is registered.
import { MqttasgiError } from './errors.ts'
import type { QoS } from './message.ts'
import { sharedFilter } from './topic.ts'

/** How a route is subscribed and run. Different routes on one filter must agree on the subscribe options. */
export interface RouteOptions {
  /** The highest quality of service to be delivered with; 1 unless told otherwise. 2 is requested as 1. */
  readonly qos?: QoS
  /** Do not deliver what this client published itself. MQTT 5 only; not with `share`. */
  readonly noLocal?: boolean
  /** Retained messages: 0 at each subscribe (default), 1 at a new subscription, 2 never. MQTT 5 only. */
  readonly retainHandling?: 0 | 1 | 2
  /** Keep the retain flag as it was published. MQTT 5 only. */
  readonly retainAsPublished?: boolean
  /** Share the messages of this filter with the other members of the group: each goes to one of them. */
  readonly share?: string
  /** Milliseconds the chain may take once it has started; where several routes match, the least counts. */
  readonly timeoutMs?: number
  /** A sentence for people; shown by `mqttasgi routes`. */
  readonly description?: string
}

/** Route options with every default in place. */
export interface ResolvedRouteOptions {
  readonly qos: QoS
  readonly noLocal: boolean
  readonly retainHandling: 0 | 1 | 2
  readonly retainAsPublished: boolean
  readonly share: string | undefined
  readonly timeoutMs: number
  readonly description: string | undefined
}

// One line an option: what it must be, in words and as a check.
const rules: Record<keyof RouteOptions, readonly [expected: string, check: (value: unknown) => boolean]> = {
  qos: ['0, 1 or 2', isUpTo2],
  noLocal: ['true or false', isBoolean],
  retainHandling: ['0, 1 or 2', isUpTo2],
  retainAsPublished: ['true or false', isBoolean],
  share: ['the name of a group without /, + and #', isGroup],
  timeoutMs: ['a whole number of milliseconds, 1 or more', isDuration],
  description: ['a string', (value) => typeof value === 'string'],
}

/**
 * Checks the options of one route and fills in the defaults. `share` is the group written in the
 * pattern, if there is one. Throws `ERR_ROUTE_OPTION`.
 */
export function resolveRouteOptions(
  pattern: string,
  options: RouteOptions,
  share: string | undefined,
): ResolvedRouteOptions {
  for (const [name, value] of Object.entries(options)) checkOption(pattern, name, value)
  if (share !== undefined && options.share !== undefined && share !== options.share) {
    throw routeOption(
      pattern,
      `share is "${options.share}", but the pattern says "$share/${share}/". Write the group once.`,
    )
  }
  const group = options.share ?? share
  if (options.noLocal === true && group !== undefined) {
    // A Protocol Error [MQTT-3.8.3-4]: the broker would end the connection.
    throw routeOption(pattern, 'noLocal and share exclude each other [MQTT-3.8.3-4]. Leave one of them out.')
  }
  return {
    qos: options.qos ?? 1,
    noLocal: options.noLocal ?? false,
    retainHandling: options.retainHandling ?? 0,
    retainAsPublished: options.retainAsPublished ?? false,
    share: group,
    timeoutMs: options.timeoutMs ?? 0,
    description: options.description,
  }
}

function checkOption(pattern: string, name: string, value: unknown): void {
  if (!Object.hasOwn(rules, name)) {
    throw routeOption(
      pattern,
      `"${name}" is not a route option. There are: ${Object.keys(rules).join(', ')}.`,
    )
  }
  if (value === undefined) return
  const [expected, check] = rules[name as keyof RouteOptions]
  if (!check(value)) throw routeOption(pattern, `${name} is ${show(value)}, expected ${expected}.`)
}

function routeOption(pattern: string, what: string): MqttasgiError {
  return new MqttasgiError('ERR_ROUTE_OPTION', `Route "${pattern}": ${what}`)
}

function show(value: unknown): string {
  return typeof value === 'string' ? `"${value}"` : `${String(value)} (${typeof value})`
}

function isBoolean(value: unknown): boolean {
  return typeof value === 'boolean'
}

function isUpTo2(value: unknown): boolean {
  return value === 0 || value === 1 || value === 2
}

function isDuration(value: unknown): boolean {
  // Timers of Node run at once beyond 2^31-1.
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 2_147_483_647
}

function isGroup(value: unknown): boolean {
  // [MQTT-4.8.2-1] [MQTT-4.8.2-2]
  return typeof value === 'string' && sharedFilter(`$share/${value}/x`)?.group === value
}

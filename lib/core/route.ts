// A route: a pattern with its options, checked when it is registered.
import {
  checkByRules,
  checkDeliveryOptions,
  deliveryRules,
  routeOption,
  type DeliveryOptions,
} from './delivery-options.ts'
import type { QoS } from './message.ts'
import { sharedFilter } from './topic.ts'

/** How a route is subscribed and run. Different routes on one filter must agree on the subscribe options. */
export interface RouteOptions<P extends object = object> extends DeliveryOptions<P> {
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
  /** How its messages are run, as far as the route itself says so. */
  readonly delivery: DeliveryOptions
  readonly description: string | undefined
}

type SubscribeOption = Exclude<keyof RouteOptions, keyof DeliveryOptions>

// One line an option: what it must be, in words and as a check.
const subscribeRules: Readonly<
  Record<SubscribeOption, readonly [expected: string, check: (value: unknown) => boolean]>
> = {
  qos: ['0, 1 or 2', isUpTo2],
  noLocal: ['true or false', isBoolean],
  retainHandling: ['0, 1 or 2', isUpTo2],
  retainAsPublished: ['true or false', isBoolean],
  share: ['the name of a group without /, + and #', isGroup],
  description: ['a string', (value) => typeof value === 'string'],
}

const rules = { ...subscribeRules, ...deliveryRules }

/**
 * Checks the options of one route and fills in the defaults. `share` is the group written in the
 * pattern, if there is one. Throws `ERR_ROUTE_OPTION`.
 */
export function resolveRouteOptions(
  pattern: string,
  options: RouteOptions,
  share: string | undefined,
): ResolvedRouteOptions {
  const where = `Route "${pattern}": `
  checkByRules(where, options, rules)
  const { qos = 1, noLocal = false, retainHandling = 0, retainAsPublished = false, ...more } = options
  const { share: named, description, ...delivery } = more
  checkDeliveryOptions(where, delivery)
  if (share !== undefined && named !== undefined && share !== named) {
    throw routeOption(
      where,
      `share is "${named}", but the pattern says "$share/${share}/". Write the group once.`,
    )
  }
  const group = named ?? share
  if (noLocal && group !== undefined) {
    // A Protocol Error [MQTT-3.8.3-4]: the broker would end the connection.
    throw routeOption(where, 'noLocal and share exclude each other [MQTT-3.8.3-4]. Leave one of them out.')
  }
  return { qos, noLocal, retainHandling, retainAsPublished, share: group, delivery, description }
}

function isBoolean(value: unknown): boolean {
  return typeof value === 'boolean'
}

function isUpTo2(value: unknown): boolean {
  return value === 0 || value === 1 || value === 2
}

function isGroup(value: unknown): boolean {
  // [MQTT-4.8.2-1] [MQTT-4.8.2-2]
  return typeof value === 'string' && sharedFilter(`$share/${value}/x`)?.group === value
}

// Who wants which filter, what the broker is to be told of it, and whose copy of a message runs the chain.
import { MqttasgiError } from '../core/errors.ts'
import type { QoS } from '../core/message.ts'
import type { Interest } from '../core/receiver.ts'
import { coveringFilters } from '../core/filter-cover.ts'
import { subscriptionIdentifier } from './subscription-identifier.ts'
import type { SubscriptionRequest } from '../transport/transport.ts'

/** A subscription that the server wants to hold at the broker. */
export interface Subscription {
  /** The filter without the share prefix. */
  readonly filter: string
  readonly share: string | undefined
  readonly request: SubscriptionRequest
}

/** What the broker has granted, by the filter on the wire. */
type Held = ReadonlyMap<string, SubscriptionRequest>

/**
 * The subscriptions for these interests. Identical filters become one with the highest QoS; a filter
 * that another one covers is left out where both are subscribed alike, unless it is `held` already: to put
 * one in the place of the other would bring each message twice meanwhile, or not at all. What is held keeps
 * its QoS at least: else a younger filter would be the surer one for what is queued already. Throws
 * `ERR_SUBSCRIBE_OPTIONS_DIFFER` where one filter is wanted with different options.
 */
export function planSubscriptions(
  interests: readonly Interest[],
  held: Held = new Map(),
): readonly Subscription[] {
  const taken = new Set<number>()
  return mergeContained(mergeIdentical(interests), held).map((interest) => {
    const filter = wireFilter(interest)
    const identifier = subscriptionIdentifier(filter, taken)
    taken.add(identifier)
    const { noLocal, retainHandling, retainAsPublished } = interest
    // QoS 2 is requested as 1: two more packets would bring no message that this does not.
    const qos: QoS = interest.qos === 0 ? 0 : 1
    const request = { filter, qos, noLocal, retainHandling, retainAsPublished, identifier }
    return { filter: interest.filter, share: interest.share, request }
  })
}

/** What has to be told to the broker to get from `granted` to `wanted`. */
export function difference(
  wanted: readonly Subscription[],
  granted: ReadonlyMap<string, SubscriptionRequest>,
): { readonly subscribe: SubscriptionRequest[]; readonly unsubscribe: string[] } {
  const names = new Set(wanted.map(({ request }) => request.filter))
  return {
    subscribe: wanted
      .map(({ request }) => request)
      .filter((request) => !same(request, granted.get(request.filter))),
    unsubscribe: [...granted.keys()].filter((filter) => !names.has(filter)),
  }
}

/** The filter as the broker is told it. */
export function wireFilter({
  filter,
  share,
}: {
  readonly filter: string
  readonly share: string | undefined
}): string {
  return share === undefined ? filter : `$share/${share}/${filter}`
}

function mergeIdentical(interests: readonly Interest[]): Interest[] {
  const merged = new Map<string, Interest>()
  for (const interest of interests) {
    const key = wireFilter(interest)
    const first = merged.get(key)
    if (first === undefined) {
      merged.set(key, interest)
      continue
    }
    if (optionsOf(first) !== optionsOf(interest)) throw optionsDiffer(first, interest)
    if (interest.qos > first.qos) merged.set(key, { ...first, qos: interest.qos })
  }
  return [...merged.values()]
}

// Only what is subscribed alike, in the same share group, can stand for one another.
function mergeContained(interests: readonly Interest[], held: Held): Interest[] {
  const groups = new Map<string, Interest[]>()
  for (const interest of interests) {
    const key = `${interest.share ?? ''}\n${optionsOf(interest)}`
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [interest])
    else group.push(interest)
  }
  const kept = new Map<Interest, QoS>()
  for (const group of groups.values()) {
    const byFilter = new Map(group.map((interest) => [interest.filter, interest]))
    const covering = coveringFilters([...byFilter.keys()])
    for (const interest of group) {
      const covered = held.has(wireFilter(interest)) ? undefined : covering.get(interest.filter)
      const cover = byFilter.get(covered ?? interest.filter) ?? interest
      const least = held.get(wireFilter(cover))?.qos ?? 0
      kept.set(cover, Math.max(least, kept.get(cover) ?? 0, interest.qos) as QoS)
    }
  }
  // In the order of registration: the first matching filter is the one whose copy runs the chain.
  return interests.flatMap((interest) => {
    const qos = kept.get(interest)
    return qos === undefined ? [] : [{ ...interest, qos }]
  })
}

function optionsOf({ noLocal, retainHandling, retainAsPublished }: Interest): string {
  return `noLocal ${noLocal}, retainHandling ${retainHandling}, retainAsPublished ${retainAsPublished}`
}

function same(wanted: SubscriptionRequest, granted: SubscriptionRequest | undefined): boolean {
  return (
    granted !== undefined &&
    wanted.qos === granted.qos &&
    wanted.noLocal === granted.noLocal &&
    wanted.retainHandling === granted.retainHandling &&
    wanted.retainAsPublished === granted.retainAsPublished
  )
}

function optionsDiffer(one: Interest, other: Interest): MqttasgiError {
  return new MqttasgiError(
    'ERR_SUBSCRIBE_OPTIONS_DIFFER',
    `The routes "${one.source}" and "${other.source}" both subscribe to "${wireFilter(one)}", but one with ${optionsOf(one)} and the other with ${optionsOf(other)}. The broker keeps one subscription per filter: give both the same options.`,
  )
}

// Which subscriptions still overlap once they are planned, and which of them no one could serve rightly.
import { MqttasgiError } from '../core/errors.ts'
import { commonTopic, OverlapIndex } from '../core/filter-overlap.ts'
import type { Subscription } from './subscriptions.ts'

/**
 * What is done where filters overlap and the broker has no Subscription Identifiers. `accept`: each copy runs;
 * `superset`: the least superset is subscribed instead, and what it brings too much is dropped.
 */
export type Overlap = 'accept' | 'superset'

/** Two subscriptions that match a common topic. */
export interface Overlapping {
  readonly one: Subscription
  readonly other: Subscription
  /** Such a topic. */
  readonly topic: string
}

/** The pairs of subscriptions that overlap, in their order; there may be very many. */
export function* overlappingPairs(subscriptions: readonly Subscription[]): Generator<Overlapping> {
  const index = new OverlapIndex(subscriptions.map(({ filter }) => filter))
  for (const [at, one] of subscriptions.entries()) {
    const later = index.find(one.filter).filter((place) => place > at)
    for (const place of later.toSorted((a, b) => a - b)) {
      const other = subscriptions[place]
      const topic = other === undefined ? undefined : commonTopic(one.filter, other.filter)
      if (other !== undefined && topic !== undefined) yield { one, other, topic }
    }
  }
}

/**
 * Throws `ERR_OVERLAP_SHARED` where subscriptions of different share groups, or of a group and of our own,
 * overlap. Without identifiers a delivery of the one can not be told from a delivery of the other: each
 * would run the routes of both, in every member of the group.
 */
export function refuseAmbiguousShares(subscriptions: readonly Subscription[]): void {
  if (subscriptions.every(({ share }) => share === subscriptions[0]?.share)) return
  for (const pair of overlappingPairs(subscriptions)) {
    if (pair.one.share !== pair.other.share) throw ambiguous(pair)
  }
}

function ambiguous({ one, other, topic }: Overlapping): MqttasgiError {
  return new MqttasgiError(
    'ERR_OVERLAP_SHARED',
    `"${one.request.filter}" and "${other.request.filter}" both match "${topic}", and the broker has no Subscription Identifiers (MQTT 3.1.1 has none): nobody could say which of the two a message came for, and each would run the routes of both. Use MQTT 5, run them in processes of their own, or say overlap: 'accept'.`,
  )
}

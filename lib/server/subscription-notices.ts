// What people should hear about their subscriptions before it surprises them.
import type { Interest } from '../core/receiver.ts'
import { type Overlap, overlappingPairs } from './overlaps.ts'
import { heardByRoutes, type OwnPublications } from './own-publications.ts'
import type { Subscription } from './subscriptions.ts'
import type { ConnectionInfo } from '../transport/transport.ts'

/** What the notices depend on. */
export interface NoticeTerms extends Pick<ConnectionInfo, 'protocolVersion' | 'subscriptionIdentifiers'> {
  readonly overlap?: Overlap | undefined
  /** Default: 1. */
  readonly highestQoS?: 1 | 2 | undefined
  /** What the server publishes by itself. Default: nothing. */
  readonly own?: readonly OwnPublications[] | undefined
}

/** One sentence for each thing that will not be as it was written. */
export function subscriptionNotices(
  interests: readonly Interest[],
  subscriptions: readonly Subscription[],
  terms: NoticeTerms,
): string[] {
  return [
    ...(terms.highestQoS === 2 ? [] : downgraded(interests)),
    ...(terms.protocolVersion === 4 ? onlyIn5(interests) : []),
    ...(terms.subscriptionIdentifiers ? [] : indistinguishable(subscriptions, terms.overlap)),
    ...widened(subscriptions),
    ...heardByRoutes(interests, terms.own ?? [], terms.protocolVersion).map(
      (heard) =>
        `${heard}. Where the answer is another publication it may go round in a circle: a narrower pattern, or noLocal on MQTT 5, keeps it away.`,
    ),
  ]
}

function downgraded(interests: readonly Interest[]): string[] {
  const sources = interests.filter(({ qos }) => qos === 2).map(({ source }) => `"${source}"`)
  if (sources.length === 0) return []
  return [
    `QoS 2 is requested as 1 for ${sources.join(', ')}: every message at least once, never lost over a crash. qos2: 'durable' asks for 2.`,
  ]
}

function onlyIn5(interests: readonly Interest[]): string[] {
  const sources = interests
    .filter((interest) => interest.noLocal || interest.retainAsPublished || interest.retainHandling !== 0)
    .map(({ source }) => `"${source}"`)
  if (sources.length === 0) return []
  return [
    `The broker speaks MQTT 3.1.1, which has no noLocal, retainHandling and retainAsPublished: they have no effect for ${sources.join(', ')}.`,
  ]
}

// More than a few would hide the sentence.
const SHOWN = 3
const MANY = 100

// Without Subscription Identifiers all copies look alike.
function indistinguishable(subscriptions: readonly Subscription[], overlap: Overlap | undefined): string[] {
  const [alike, mixed]: [string[], string[]] = [[], []]
  for (const { one, other } of overlappingPairs(subscriptions)) {
    const pair = `"${one.request.filter}" and "${other.request.filter}"`
    ;(one.share === other.share ? alike : mixed).push(pair)
    if (alike.length + mixed.length > MANY) break
  }
  const begin = 'The broker has no Subscription Identifiers, so where'
  const mend =
    overlap === 'superset'
      ? 'Their options differ, so that no filter can stand for both.'
      : "overlap: 'superset' asks for one filter instead."
  const own = `${begin} ${listed(alike)} match the same topic, it may send a message once for each, and each copy runs. ${mend}`
  const both = `${begin} ${listed(mixed)} match the same topic, each copy runs the routes of both, in every member of the group.`
  return [...(alike.length > 0 ? [own] : []), ...(mixed.length > 0 ? [both] : [])]
}

function listed(pairs: readonly string[]): string {
  const more = pairs.length - SHOWN
  const rest = more > MANY - SHOWN ? 'many more pairs' : more === 1 ? '1 more pair' : `${more} more pairs`
  return pairs.slice(0, SHOWN).join(', ') + (more > 0 ? ` and ${rest}` : '')
}

function widened(subscriptions: readonly Subscription[]): string[] {
  return subscriptions
    .filter((subscription) => subscription.widened)
    .map(({ request, serves }) => {
      const routes = [...new Set(serves.map(({ source }) => `"${source}"`))].join(', ')
      return `overlap: 'superset' subscribes to "${request.filter}" for ${routes}: what it brings beyond them is acknowledged, counted as surplus, and not handled.`
    })
}

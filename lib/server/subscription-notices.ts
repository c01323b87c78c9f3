// What people should hear about their subscriptions before it surprises them.
import type { Interest } from '../core/receiver.ts'
import type { Subscription } from './subscriptions.ts'
import type { ConnectionInfo } from '../transport/transport.ts'

/** One sentence for each thing that will not be as it was written. */
export function subscriptionNotices(
  interests: readonly Interest[],
  subscriptions: readonly Subscription[],
  connection: Pick<ConnectionInfo, 'protocolVersion' | 'subscriptionIdentifiers'>,
): string[] {
  return [
    ...exactlyOnce(interests),
    ...(connection.protocolVersion === 4 ? onlyIn5(interests) : []),
    ...(connection.subscriptionIdentifiers ? [] : indistinguishable(subscriptions)),
  ]
}

function exactlyOnce(interests: readonly Interest[]): string[] {
  const sources = interests.filter(({ qos }) => qos === 2).map(({ source }) => `"${source}"`)
  if (sources.length === 0) return []
  return [
    `QoS 2 is requested as 1 for ${sources.join(', ')}: every message at least once, never lost over a crash.`,
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

// Without Subscription Identifiers the copies of a shared and of a plain subscription look alike.
function indistinguishable(subscriptions: readonly Subscription[]): string[] {
  const shared = subscriptions.filter(({ share }) => share !== undefined)
  if (shared.length === 0 || shared.length === subscriptions.length) return []
  return [
    `The broker has no Subscription Identifiers, so where ${shared.map(({ request }) => `"${request.filter}"`).join(', ')} and a subscription without a group match the same topic, each copy runs the routes of both.`,
  ]
}

// What the planner made of all interests, with its reasons: as data for --json, and for the words of mqttasgi plan.
import { MqttasgiError, type ErrorCode } from '../core/errors.ts'
import type { Interest } from '../core/receiver.ts'
import { type Overlap, overlappingPairs, refuseAmbiguousShares } from '../server/overlaps.ts'
import { heardByRoutes, type OwnPublications } from '../server/own-publications.ts'
import { planSubscriptions, type Subscription } from '../server/subscriptions.ts'
import type { Settings } from '../config/settings.ts'
import { ownPublications } from '../server-terms.ts'

/** An interest, and the receiver that has it. */
export interface Placement {
  readonly receiver: string
  readonly interest: Interest
}

/** One subscription, and why it is as it is. */
export interface PlannedSubscription {
  /** As the broker is told it, `$share/group/` included. */
  readonly filter: string
  readonly qos: 0 | 1 | 2
  readonly noLocal: boolean
  readonly retainHandling: 0 | 1 | 2
  readonly retainAsPublished: boolean
  /** The Subscription Identifier; null where there are none. */
  readonly identifier: number | null
  readonly serves: readonly {
    readonly receiver: string
    readonly route: string
    readonly filter: string
    readonly qos: 0 | 1 | 2
  }[]
  /** One sentence for each thing that was decided. */
  readonly why: readonly string[]
  /** It brings messages that no route wants. */
  readonly surplus: boolean
}

/** Two subscriptions that match a common topic, and what comes of it. */
export interface PlannedOverlap {
  readonly filters: readonly [string, string]
  readonly topic: string
  readonly meaning: string
}

/** The plan for one version of the protocol. */
export interface PlanReport {
  readonly protocolVersion: 4 | 5
  /** What would make the start fail. */
  readonly fault: { readonly code: ErrorCode; readonly message: string } | null
  readonly subscriptions: readonly PlannedSubscription[]
  /** The first hundred. */
  readonly overlaps: readonly PlannedOverlap[]
  readonly moreOverlaps: boolean
}

const MOST_OVERLAPS = 100

/** MQTT 5 with Subscription Identifiers, or 3.1.1 without. */
export function reportPlan(
  placements: readonly Placement[],
  protocolVersion: 4 | 5,
  settings: Pick<Settings, 'channels' | 'deadLetter' | 'overlap' | 'qos2'>,
): PlanReport {
  const { overlap, qos2 } = settings
  const own = ownPublications(settings)
  const interests = placements.map(({ interest }) => interest)
  const superset = protocolVersion === 4 && overlap === 'superset'
  const highestQoS = qos2 === 'durable' ? 2 : 1
  try {
    const plan = planSubscriptions(interests, { protocolVersion, superset, highestQoS })
    const receivers = new Map(placements.map(({ interest, receiver }) => [interest, receiver]))
    const pairs = overlapsOf(plan, protocolVersion, overlap)
    return {
      protocolVersion,
      fault: protocolVersion === 4 && overlap !== 'accept' ? ambiguityOf(plan) : null,
      subscriptions: plan.map((one) => described(one, { receivers, protocolVersion, own })),
      overlaps: pairs.slice(0, MOST_OVERLAPS),
      moreOverlaps: pairs.length > MOST_OVERLAPS,
    }
  } catch (error) {
    const nothing = { subscriptions: [], overlaps: [], moreOverlaps: false }
    return { protocolVersion, fault: faultOf(error), ...nothing }
  }
}

function ambiguityOf(plan: readonly Subscription[]): PlanReport['fault'] {
  try {
    refuseAmbiguousShares(plan)
    return null
  } catch (error) {
    return faultOf(error)
  }
}

function faultOf(error: unknown): PlanReport['fault'] {
  if (!(error instanceof MqttasgiError)) throw error
  return { code: error.code, message: error.message }
}

interface PlanTerms {
  readonly receivers: ReadonlyMap<Interest, string>
  readonly protocolVersion: 4 | 5
  readonly own: readonly OwnPublications[]
}

function described(subscription: Subscription, terms: PlanTerms): PlannedSubscription {
  const { own, protocolVersion, receivers } = terms
  const { request, serves, widened } = subscription
  const { filter, identifier, noLocal, qos, retainAsPublished, retainHandling } = request
  return {
    filter,
    qos,
    noLocal,
    retainHandling,
    retainAsPublished,
    identifier: protocolVersion === 5 ? (identifier ?? null) : null,
    serves: serves.map((interest) => ({
      receiver: receivers.get(interest) ?? '',
      route: interest.source,
      filter: interest.filter,
      qos: interest.qos,
    })),
    why: [...reasonsOf(subscription, protocolVersion), ...heardByRoutes(serves, own, protocolVersion)],
    surplus: widened,
  }
}

function reasonsOf(
  { filter, raisedBy, request, serves, widened }: Subscription,
  protocolVersion: 4 | 5,
): string[] {
  const narrower = [...new Set(serves.map((interest) => interest.filter))].filter((one) => one !== filter)
  const names = narrower.map((one) => `"${one}"`).join(', ')
  const wanted = Math.max(...serves.map(({ qos }) => qos))
  const hasOptions = serves.some(
    ({ noLocal, retainAsPublished, retainHandling }) => noLocal || retainAsPublished || retainHandling !== 0,
  )
  return [
    ...(widened
      ? [
          `the least filter that covers ${names}: what it brings beyond them is acknowledged and counted as surplus`,
        ]
      : narrower.length > 0
        ? [`covers ${names}, so that is not subscribed by itself`]
        : []),
    ...(serves.length > 1 && narrower.length === 0 ? [`one subscription for ${serves.length} routes`] : []),
    ...(raisedBy === undefined
      ? []
      : [
          `QoS ${request.qos} instead of ${wanted}, because "${raisedBy}" overlaps with it and a broker may send one copy for both`,
        ]),
    ...(wanted > request.qos
      ? [`QoS ${request.qos} instead of ${wanted}: the same messages, with fewer packets`]
      : []),
    ...(protocolVersion === 4 && hasOptions
      ? ['MQTT 3.1.1 has no noLocal, retainHandling and retainAsPublished: they have no effect']
      : []),
  ]
}

function overlapsOf(
  plan: readonly Subscription[],
  protocolVersion: 4 | 5,
  overlap: Overlap | undefined,
): PlannedOverlap[] {
  const found: PlannedOverlap[] = []
  for (const { one, other, topic } of overlappingPairs(plan)) {
    const isMixed = one.share !== other.share
    const meaning = meaningOf({ isMixed, protocolVersion, overlap })
    found.push({ filters: [one.request.filter, other.request.filter], topic, meaning })
    if (found.length > MOST_OVERLAPS) break
  }
  return found
}

function meaningOf({
  isMixed,
  overlap,
  protocolVersion,
}: {
  readonly isMixed: boolean
  readonly overlap: Overlap | undefined
  readonly protocolVersion: 4 | 5
}): string {
  if (protocolVersion === 5) {
    return isMixed
      ? 'two deliveries, told apart by their identifiers: each runs its own routes once'
      : 'copies are told apart by their identifiers: the chain runs once'
  }
  if (isMixed && overlap === 'accept')
    return 'can not be told apart: each delivery runs the routes of both, in every member'
  if (isMixed) return 'can not be told apart: refused at the start (ERR_OVERLAP_SHARED)'
  return "a broker may send a copy for each, and each copy runs; overlap: 'superset' asks for one filter instead"
}

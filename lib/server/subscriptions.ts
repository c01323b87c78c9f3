// The plan of subscriptions: from what all receivers want to what the broker is told. docs/overlaps.md has the rules.
import { MqttasgiError } from '../core/errors.ts'
import type { QoS } from '../core/message.ts'
import type { Interest } from '../core/receiver.ts'
import { coveringFilters } from '../core/filter-cover.ts'
import { mergeOverlapping, OverlapIndex } from '../core/filter-overlap.ts'
import { stemOf, subscriptionIdentifier } from './subscription-identifier.ts'
import type { SubscriptionRequest } from '../transport/transport.ts'

/** A subscription that the server wants to hold at the broker. */
export interface Subscription {
  /** The filter without the share prefix. */
  readonly filter: string
  readonly share: string | undefined
  readonly request: SubscriptionRequest
  /** The interests it stands for, in the order of registration. */
  readonly serves: readonly Interest[]
  /** It is the least superset of several, and brings what none of them wants. */
  readonly widened: boolean
  /** The filter on the wire for whose sake it is asked for with a better QoS than its own routes want. */
  readonly raisedBy: string | undefined
}

/** What the broker has granted, by the filter on the wire. */
type Held = ReadonlyMap<string, SubscriptionRequest>

/** What the plan depends on besides the interests. */
export interface PlanRules {
  /** What is held already, where copies can be told apart. */
  readonly held?: Held | undefined
  /** How often each was given up in this session, by the filter on the wire. */
  readonly lives?: ReadonlyMap<string, number>
  /** MQTT 3.1.1 has no subscribe options: what is not told keeps nothing apart. Default: 5. */
  readonly protocolVersion?: 4 | 5
  /** Subscribe to the least superset of filters that overlap. */
  readonly superset?: boolean
  /** The best that is asked for. Default: 1, for QoS 2 brings no message that QoS 1 does not. */
  readonly highestQoS?: 1 | 2
}

/** One subscription in the making. */
interface Draft {
  readonly interest: Interest
  /** The interests it stands for, by their place. */
  readonly serves: readonly number[]
  readonly qos: QoS
  readonly widened: boolean
}

/**
 * The subscriptions for these interests. Identical filters become one with the highest QoS; a filter
 * that another one covers is left out where both are subscribed alike, unless it is `held` already: to put
 * one in the place of the other would bring each message twice meanwhile, or not at all. Filters that overlap
 * get the best QoS that is wanted among them, because some brokers send one copy for all, with the QoS of any.
 *
 * Codes: `ERR_SUBSCRIBE_OPTIONS_DIFFER`, `ERR_OVERLAP_TOO_WIDE`.
 */
export function planSubscriptions(
  interests: readonly Interest[],
  {
    held = new Map(),
    lives = new Map(),
    protocolVersion = 5,
    superset = false,
    highestQoS = 1,
  }: PlanRules = {},
): readonly Subscription[] {
  const told = protocolVersion === 5 ? interests : interests.map(withoutOptions)
  const covering = mergeContained(mergeIdentical(told, highestQoS), held)
  const drafts = superset ? mergeOverlaps(covering, told) : covering
  const taken = new Set(drafts.map(({ interest }) => stemOf(held.get(wireFilter(interest))?.identifier ?? 0)))
  const raised = raisers(drafts)
  return drafts.map(({ interest, qos, serves, widened }, at) => {
    const { filter, noLocal, retainAsPublished, retainHandling, share } = interest
    const wire = wireFilter(interest)
    const identifier = held.get(wire)?.identifier ?? subscriptionIdentifier(wire, taken, lives.get(wire))
    taken.add(stemOf(identifier))
    const asked = bestOf(qos, raised[at]?.qos ?? 0)
    const request = { filter: wire, qos: asked, noLocal, retainHandling, retainAsPublished, identifier }
    const served = serves.map((place) => interests[place]!)
    return { filter, share, request, serves: served, widened, raisedBy: raised[at]?.filter }
  })
}

/** Throws `ERR_SUBSCRIBE_OPTIONS_DIFFER` when one of the others has the same filter with other options. */
export function refuseContradiction(interest: Interest, others: readonly Interest[]): void {
  const wire = wireFilter(interest)
  const options = optionsOf(interest)
  const other = others.find((one) => wireFilter(one) === wire && optionsOf(one) !== options)
  if (other !== undefined) throw optionsDiffer(other, interest)
}

/** What has to be asked for to get from `granted` to `wanted`. */
export function notGranted(
  wanted: readonly Subscription[],
  granted: ReadonlyMap<string, SubscriptionRequest>,
): SubscriptionRequest[] {
  return wanted
    .map(({ request }) => request)
    .filter((request) => {
      const before = granted.get(request.filter)
      return before === undefined || before.qos !== request.qos || !sameOptions(request, before)
    })
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

/** Whether two requests for one filter differ in nothing but their QoS. */
export function sameOptions(one: SubscriptionRequest, other: SubscriptionRequest): boolean {
  return (
    one.noLocal === other.noLocal &&
    one.retainHandling === other.retainHandling &&
    one.retainAsPublished === other.retainAsPublished
  )
}

function withoutOptions(interest: Interest): Interest {
  return { ...interest, noLocal: false, retainAsPublished: false, retainHandling: 0 }
}

function mergeIdentical(interests: readonly Interest[], highestQoS: 1 | 2): Draft[] {
  const merged = new Map<string, Draft>()
  for (const [at, interest] of interests.entries()) {
    const key = wireFilter(interest)
    const first = merged.get(key)
    const own = interest.qos > highestQoS ? highestQoS : interest.qos
    const qos = bestOf(own, first?.qos ?? 0)
    if (first === undefined) merged.set(key, { interest, serves: [at], qos, widened: false })
    else if (optionsOf(first.interest) !== optionsOf(interest)) throw optionsDiffer(first.interest, interest)
    else merged.set(key, { ...first, qos, serves: [...first.serves, at] })
  }
  return [...merged.values()]
}

function mergeContained(drafts: readonly Draft[], held: Held): Draft[] {
  const heirOf = eachAlike(drafts, coveringFilters)
  const isHeld = ({ interest }: Draft): boolean => held.has(wireFilter(interest))
  return merge(drafts, (draft) => (isHeld(draft) ? draft.interest.filter : heirOf(draft)))
}

function mergeOverlaps(drafts: readonly Draft[], interests: readonly Interest[]): Draft[] {
  return merge(drafts, eachAlike(drafts, mergeOverlapping)).map((draft) => {
    if (draft.widened && draft.interest.filter === '#') {
      throw tooWide(draft.serves.map((at) => interests[at]!))
    }
    return draft
  })
}

/** Lays a rule that maps filters to filters over those that can stand for one another. */
function eachAlike(
  drafts: readonly Draft[],
  rule: (filters: readonly string[]) => ReadonlyMap<string, string>,
): (draft: Draft) => string {
  const filters = new Map<string, string[]>()
  for (const draft of drafts) {
    const kin = kinOf(draft)
    const group = filters.get(kin)
    if (group === undefined) filters.set(kin, [draft.interest.filter])
    else group.push(draft.interest.filter)
  }
  const heirs = new Map([...filters].map(([kin, group]) => [kin, rule(group)]))
  return (draft) => heirs.get(kinOf(draft))!.get(draft.interest.filter)!
}

/** In the order of registration: of two filters alike in all else the first one's copy runs the chain. */
function merge(drafts: readonly Draft[], heirOf: (draft: Draft) => string): Draft[] {
  const merged = new Map<string, Draft[]>()
  for (const draft of drafts) {
    const key = `${kinOf(draft)}\n${heirOf(draft)}`
    const kin = merged.get(key)
    if (kin === undefined) merged.set(key, [draft])
    else kin.push(draft)
  }
  return [...merged.values()].map(([first, ...others]) => {
    // Each has one at least.
    const all = [first!, ...others]
    const filter = heirOf(first!)
    const own = all.find(({ interest }) => interest.filter === filter)
    return {
      interest: own?.interest ?? { ...first!.interest, filter },
      serves: all.flatMap(({ serves }) => serves).toSorted((one, other) => one - other),
      qos: bestOf(...all.map(({ qos }) => qos)),
      widened: own === undefined,
    }
  })
}

/** Only what is subscribed alike, in the same share group, can stand for one another. */
function kinOf({ interest }: Draft): string {
  return `${interest.share ?? ''}\n${optionsOf(interest)}`
}

/**
 * For each draft one that overlaps with it and has a better QoS: the best there is. One step is enough: of the
 * filters that match a topic each overlaps with the one that has the best QoS.
 */
function raisers(
  drafts: readonly Draft[],
): readonly ({ readonly filter: string; readonly qos: QoS } | undefined)[] {
  const better = ([2, 1] as const).flatMap((level) => {
    const sure = drafts.filter(({ qos }) => qos === level)
    if (sure.length === 0 || sure.length === drafts.length) return []
    return [{ level, sure, index: new OverlapIndex(sure.map(({ interest }) => interest.filter)) }]
  })
  return drafts.map(({ interest, qos }) => {
    for (const { level, sure, index } of better) {
      const [at] = qos < level ? index.find(interest.filter, 1) : []
      const other = at === undefined ? undefined : sure[at]
      if (other !== undefined) return { filter: wireFilter(other.interest), qos: level }
    }
    return undefined
  })
}

function bestOf(...all: readonly QoS[]): QoS {
  return all.includes(2) ? 2 : all.includes(1) ? 1 : 0
}

function optionsOf({ noLocal, retainHandling, retainAsPublished }: Interest): string {
  return `noLocal ${noLocal}, retainHandling ${retainHandling}, retainAsPublished ${retainAsPublished}`
}

function optionsDiffer(one: Interest, other: Interest): MqttasgiError {
  return new MqttasgiError(
    'ERR_SUBSCRIBE_OPTIONS_DIFFER',
    `"${one.source}" and "${other.source}" both subscribe to "${wireFilter(one)}", but one with ${optionsOf(one)} and the other with ${optionsOf(other)}. The broker keeps one subscription per filter: give both the same options.`,
  )
}

function tooWide(interests: readonly Interest[]): MqttasgiError {
  const all = [...new Set(interests.map(({ source }) => `"${source}"`))]
  const sources = all.length > 8 ? `${all.slice(0, 8).join(', ')} and others` : all.join(', ')
  return new MqttasgiError(
    'ERR_OVERLAP_TOO_WIDE',
    `With overlap: 'superset' the routes ${sources} would become one subscription to "#", which brings everything. Use overlap: 'accept', or routes whose filters have their literal levels at the same places; a route on "#" says that everything is meant.`,
  )
}

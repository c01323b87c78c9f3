// Copies: where filters overlap a broker may send one publication several times; one copy runs the chain.
import type { QoS } from '../core/message.ts'
import { topicTree, type TopicIndex } from '../core/topic-tree.ts'
import { stemOf } from './subscription-identifier.ts'
import type { Subscription } from './subscriptions.ts'
import type { Arrival, SubscriptionRequest } from '../transport/transport.ts'

/** What one arriving copy is. */
export type CopyVerdict =
  /** Run the chain; `share` as in `Message.share`. */
  | { readonly type: 'run'; readonly share: string | null | undefined }
  /** Another copy runs the chain: acknowledge this one and do nothing. */
  | { readonly type: 'copy' }
  /** A filter that was widened has brought what nobody wants: acknowledge it and do nothing. */
  | { readonly type: 'surplus' }

const GRANTED = 0b1000
const MOST_RETIRED = 10_000
const COPY: CopyVerdict = Object.freeze({ type: 'copy' })
const SURPLUS: CopyVerdict = Object.freeze({ type: 'surplus' })
const RUN: CopyVerdict = Object.freeze({ type: 'run', share: undefined })

/** What is looked at of an arrival. */
export type CopyArrival = Pick<Arrival, 'topic' | 'subscriptionIdentifiers' | 'retain' | 'qos'>

/** The subscriptions that match one topic, sorted by who asked for them. */
interface Matching {
  /** Of our own, and of each share group, the one whose copy runs the chain. */
  readonly firsts: ReadonlyMap<string | undefined, Subscription>
  readonly withoutIdentifiers: CopyVerdict
}

/** When a filter was asked for. */
interface Age {
  /** Its place among all, the first time: what was published before does not come with its identifier. */
  readonly since: number
  /** The number of the batch, the last time: that brought what is retained. */
  readonly last: number
}

/**
 * Tells copies of one publication apart by their Subscription Identifiers: the copy that carries the
 * identifier of the first matching filter runs the chain. Where the broker has no identifiers nothing is
 * guessed: everything that comes runs.
 */
export class Copies {
  #tree: TopicIndex<Subscription> = topicTree<Subscription>([])
  #byStem: ReadonlyMap<number, Subscription> = new Map()
  // Stems of those that are wanted no more.
  readonly #retired = new Set<number>()
  // What is wanted, where some filter brings more than that.
  #wanted: TopicIndex<true> | undefined = undefined
  #anyShared = false
  #isOwnSession = true
  #matching = new WeakMap<readonly Subscription[], Matching>()
  // Both by the filter on the wire, so that they outlive a new plan. A filter has proved itself when it was
  // granted, or has brought something, for each quality of service by itself, one bit each: they may overtake
  // each other on their way through the session.
  readonly #proven = new Map<string, number>()
  readonly #ages = new Map<string, Age>()
  #batch = 0
  #places = 0

  /** Whether this process began the session, so that nothing in it can be of an older one. */
  inSession(isOwn: boolean): void {
    this.#isOwnSession = isOwn
  }

  /** The subscriptions have changed. */
  update(subscriptions: readonly Subscription[]): void {
    this.#tree = topicTree(subscriptions.map((value) => ({ filter: value.filter, value })))
    for (const stem of this.#byStem.keys()) this.#retire(stem)
    this.#byStem = new Map(subscriptions.map((value) => [stemOf(value.request.identifier ?? 0), value]))
    for (const stem of this.#byStem.keys()) this.#retired.delete(stem)
    this.#wanted = subscriptions.some(({ widened }) => widened) ? wantedBy(subscriptions) : undefined
    this.#anyShared = subscriptions.some(({ share }) => share !== undefined)
    this.#matching = new WeakMap()
    const filters = new Set(subscriptions.map(({ request }) => request.filter))
    for (const known of [this.#ages, this.#proven]) {
      for (const filter of known.keys()) if (!filters.has(filter)) known.delete(filter)
    }
  }

  /**
   * These are about to be asked for together, in this order: what is retained comes as soon as the broker
   * knows them. `fresh`: the session has just begun with them, so nothing in it can be of any other.
   */
  asked(requests: readonly SubscriptionRequest[], fresh: boolean): void {
    const last = ++this.#batch
    for (const { filter } of requests) {
      const place = ++this.#places
      const since = fresh ? place : (this.#ageOf(filter)?.since ?? place)
      this.#ages.set(filter, { since, last })
    }
    if (fresh) this.granted(requests.map(({ filter }) => filter))
    this.#matching = new WeakMap()
  }

  /**
   * These filters were granted, and from now on every publication that matches one comes with its
   * identifier. It is not so in a session that an older process began: it may hold messages for other
   * filters, and a copy that looks like the second of two may be the only one.
   */
  granted(filters: readonly string[]): void {
    for (const filter of filters) this.#proven.set(filter, (this.#proven.get(filter) ?? 0) | GRANTED)
  }

  /**
   * Whether it came over a filter that this process has not asked for: it carries an unknown identifier, or
   * matches nothing that was asked for. Only in a session that another process began.
   */
  isStale({
    subscriptionIdentifiers,
    topic,
  }: Pick<CopyArrival, 'subscriptionIdentifiers' | 'topic'>): boolean {
    if (this.#isOwnSession) return false
    if (subscriptionIdentifiers.length === 0) return this.#lookUp(topic).firsts.size === 0
    return subscriptionIdentifiers.some(
      (id) => !this.#byStem.has(stemOf(id)) && !this.#retired.has(stemOf(id)),
    )
  }

  judge(arrival: CopyArrival): CopyVerdict {
    const { subscriptionIdentifiers, topic } = arrival
    if (this.#wanted?.match(topic).length === 0 && this.#isWidened(topic)) return SURPLUS
    if (subscriptionIdentifiers.length === 0) {
      return this.#anyShared ? this.#lookUp(topic).withoutIdentifiers : RUN
    }
    const matching = this.#lookUp(topic)
    const carried = this.#carried(arrival)
    if (carried.length < subscriptionIdentifiers.length && this.#mayBeAlone(arrival, matching))
      return matching.withoutIdentifiers
    const shares = new Set<string | undefined>()
    for (const subscription of carried) {
      if (!this.#isCopy(subscription, matching, arrival)) shares.add(subscription.share)
    }
    if (shares.size === 0) return COPY
    const [share] = shares
    return shares.size === 1 && share === undefined
      ? RUN
      : { type: 'run', share: shares.size === 1 ? share : null }
  }

  // The youngest last; the oldest are forgotten, for what they brought has long been read.
  #retire(stem: number): void {
    this.#retired.delete(stem)
    this.#retired.add(stem)
    const [oldest] = this.#retired
    if (this.#retired.size > MOST_RETIRED) this.#retired.delete(oldest!)
  }

  #isWidened(topic: string): boolean {
    return this.#tree.match(topic).some(({ widened }) => widened)
  }

  #isCopy(subscription: Subscription, { firsts }: Matching, { qos, retain, topic }: CopyArrival): boolean {
    const bringsRetained = retain && subscription.request.retainHandling !== 2
    const first = bringsRetained ? this.#firstOfBatch(subscription, topic) : firsts.get(subscription.share)
    if (first === undefined || first === subscription) return false
    // What was queued before a younger one was asked for did not come with it; behind that, it does.
    const isYounger = this.#since(first) > this.#since(subscription)
    return this.#proved(first, isYounger ? bitOf(qos) : bitOf(qos) | GRANTED)
  }

  // A retained message comes for each new subscription on its own, so its copies are those of the filters that were
  // asked for together.
  #firstOfBatch(subscription: Subscription, topic: string): Subscription | undefined {
    const last = this.#last(subscription)
    let first: Subscription | undefined
    for (const other of this.#tree.match(topic)) {
      const { retainHandling } = other.request
      if (other.share !== subscription.share || this.#last(other) !== last || retainHandling === 2) continue
      // In the session of an older process it may be no new subscription, and bring nothing at all (3.8.3.1).
      if (other !== subscription && retainHandling === 1 && !this.#proved(other, GRANTED)) continue
      if (first === undefined || this.#goesBefore(other, first)) first = other
    }
    return first
  }

  // It came over a filter that is wanted no more. If that was ours its copy may be the one that runs. One of an
  // older process, whose filter is not known, is a copy when the first of our own brings all there is.
  #mayBeAlone({ qos, subscriptionIdentifiers }: CopyArrival, { firsts }: Matching): boolean {
    const ours = subscriptionIdentifiers.some((id) => this.#retired.has(stemOf(id)))
    return ours || !this.#proved(firsts.get(undefined), bitOf(qos))
  }

  #proved(first: Subscription | undefined, by: number): boolean {
    return first !== undefined && (this.#provenOf(first) & by) !== 0
  }

  #provenOf({ request }: Subscription): number {
    return this.#proven.get(request.filter) ?? 0
  }

  #last({ request }: Subscription): number {
    return this.#ageOf(request.filter)?.last ?? 0
  }

  #ageOf(filter: string): Age | undefined {
    return this.#ages.get(filter)
  }

  #carried({ qos, subscriptionIdentifiers }: CopyArrival): Subscription[] {
    const carried: Subscription[] = []
    for (const identifier of subscriptionIdentifiers) {
      const subscription = this.#byStem.get(stemOf(identifier))
      if (subscription === undefined) continue
      this.#proven.set(subscription.request.filter, this.#provenOf(subscription) | bitOf(qos))
      carried.push(subscription)
    }
    return carried
  }

  #lookUp(topic: string): Matching {
    const matched = this.#tree.match(topic)
    let matching = this.#matching.get(matched)
    if (matching === undefined) {
      matching = this.#sort(matched)
      this.#matching.set(matched, matching)
    }
    return matching
  }

  #sort(matched: readonly Subscription[]): Matching {
    const firsts = new Map<string | undefined, Subscription>()
    for (const subscription of matched) {
      const first = firsts.get(subscription.share)
      if (first === undefined || this.#goesBefore(subscription, first))
        firsts.set(subscription.share, subscription)
    }
    return { firsts, withoutIdentifiers: { type: 'run', share: shareWithoutIdentifiers(firsts) } }
  }

  // The surest copy is the first one: what we publish ourselves does not come over a noLocal filter, and a
  // younger filter does not bring what was queued before it. That must not change while a filter is held, or
  // what is on its way would find another first one than its copies did, and each be taken for the copy of
  // another: so neither the QoS of now nor the order of the routes counts.
  #goesBefore(one: Subscription, other: Subscription): boolean {
    if (one.request.noLocal !== other.request.noLocal) return other.request.noLocal
    return this.#since(one) < this.#since(other)
  }

  #since({ request }: Subscription): number {
    return this.#ageOf(request.filter)?.since ?? Number.POSITIVE_INFINITY
  }
}

function wantedBy(subscriptions: readonly Subscription[]): TopicIndex<true> {
  const interests = subscriptions.flatMap(({ serves }) => serves)
  return topicTree(interests.map(({ filter }) => ({ filter, value: true })))
}

function bitOf(qos: QoS): number {
  return 1 << qos
}

function shareWithoutIdentifiers(
  firsts: ReadonlyMap<string | undefined, Subscription>,
): string | null | undefined {
  if (firsts.size > 1) return null
  const [share] = firsts.keys()
  return share
}

// Copies: where filters overlap a broker may send one publication several times; one copy runs the chain.
import { topicTree, type TopicIndex } from '../core/topic-tree.ts'
import type { Subscription } from './subscriptions.ts'

/** What one arriving copy is. */
export type CopyVerdict =
  /** Run the chain; `share` as in `Message.share`. */
  | { readonly type: 'run'; readonly share: string | null | undefined }
  /** Another copy runs the chain: acknowledge this one and do nothing. */
  | { readonly type: 'copy' }

const COPY: CopyVerdict = Object.freeze({ type: 'copy' })
const RUN: CopyVerdict = Object.freeze({ type: 'run', share: undefined })

/** The subscriptions that match one topic, sorted by who asked for them. */
interface Matching {
  /**
   * The oldest of our own, for a younger one does not bring what was queued before it; messages of one's own
   * publishing do not come over a noLocal one, so those come last.
   */
  readonly own: Subscription | undefined
  /** The oldest of each share group. */
  readonly shared: ReadonlyMap<string, Subscription>
  readonly withoutIdentifiers: CopyVerdict
}

/**
 * Tells copies of one publication apart by their Subscription Identifiers: the copy that carries the
 * identifier of the first matching filter runs the chain. Where the broker has no identifiers nothing is
 * guessed: everything that comes runs.
 */
export class Copies {
  #tree: TopicIndex<Subscription> = topicTree<Subscription>([])
  #byIdentifier: ReadonlyMap<number, Subscription> = new Map()
  #anyShared = false
  #matching = new WeakMap<readonly Subscription[], Matching>()
  // Both by the filter on the wire, so that they outlive a new plan.
  readonly #proven = new Set<string>()
  readonly #since = new Map<string, number>()
  #batch = 0

  /** The subscriptions have changed. */
  update(subscriptions: readonly Subscription[]): void {
    this.#tree = topicTree(subscriptions.map((value) => ({ filter: value.filter, value })))
    this.#byIdentifier = new Map(subscriptions.map((value) => [value.request.identifier ?? 0, value]))
    this.#anyShared = subscriptions.some(({ share }) => share !== undefined)
    this.#matching = new WeakMap()
  }

  /** These filters are about to be asked for together: what is retained comes as soon as the broker knows them. */
  asked(filters: readonly string[]): void {
    this.#batch++
    for (const filter of filters) this.#since.set(filter, this.#batch)
    this.#matching = new WeakMap()
  }

  /**
   * These filters were granted, and from now on every publication that matches one comes with its
   * identifier. It is not so in a session that an older process began: it may hold messages for other
   * filters, and a copy that looks like the second of two may be the only one.
   */
  granted(filters: readonly string[]): void {
    for (const filter of filters) this.#proven.add(filter)
  }

  judge(topic: string, identifiers: readonly number[], retain: boolean): CopyVerdict {
    if (identifiers.length === 0) return this.#anyShared ? this.#lookUp(topic).withoutIdentifiers : RUN
    const matching = this.#lookUp(topic)
    const carried = this.#carried(identifiers)
    // A number nobody here gave out is of an older process: its filter is not known, so nothing is known.
    if (carried.length === 0) return matching.withoutIdentifiers
    const firsts = carried.filter((subscription) => firstOf(matching, subscription.share) === subscription)
    if (firsts.length === 1 && firsts[0]?.share === undefined) return RUN
    if (firsts.length > 0) return { type: 'run', share: firsts.length === 1 ? firsts[0]?.share : null }
    if (carried.some((subscription) => this.#isCopy(subscription, matching, retain))) return COPY
    return { type: 'run', share: carried[0]?.share }
  }

  #isCopy(subscription: Subscription, matching: Matching, retain: boolean): boolean {
    const first = firstOf(matching, subscription.share)
    if (first === undefined || !this.#proven.has(first.request.filter)) return false
    return !(retain && this.#bringsRetainedAlone(subscription, first))
  }

  // A retained message comes for each new subscription on its own: the first filter had it earlier, or never.
  #bringsRetainedAlone(subscription: Subscription, first: Subscription): boolean {
    if (first.request.retainHandling === 2) return subscription.request.retainHandling !== 2
    return this.#sinceOf(subscription) > this.#sinceOf(first)
  }

  #sinceOf({ request }: Subscription): number {
    return this.#since.get(request.filter) ?? 0
  }

  #carried(identifiers: readonly number[]): Subscription[] {
    const carried: Subscription[] = []
    for (const identifier of identifiers) {
      const subscription = this.#byIdentifier.get(identifier)
      if (subscription === undefined) continue
      this.#proven.add(subscription.request.filter)
      carried.push(subscription)
    }
    return carried
  }

  #lookUp(topic: string): Matching {
    const matched = this.#tree.match(topic)
    let matching = this.#matching.get(matched)
    if (matching === undefined) {
      // Sorting is stable: what was asked for together stays in the order of registration.
      matching = sort(matched.toSorted((one, other) => this.#sinceOf(one) - this.#sinceOf(other)))
      this.#matching.set(matched, matching)
    }
    return matching
  }
}

function firstOf(matching: Matching, share: string | undefined): Subscription | undefined {
  return share === undefined ? matching.own : matching.shared.get(share)
}

function sort(matched: readonly Subscription[]): Matching {
  const own = matched.filter(({ share }) => share === undefined)
  const shared = new Map<string, Subscription>()
  for (const subscription of matched) {
    if (subscription.share !== undefined && !shared.has(subscription.share))
      shared.set(subscription.share, subscription)
  }
  return {
    own: own.find(({ request }) => !request.noLocal) ?? own[0],
    shared,
    withoutIdentifiers: { type: 'run', share: shareWithoutIdentifiers(own.length, shared) },
  }
}

function shareWithoutIdentifiers(
  own: number,
  shared: ReadonlyMap<string, Subscription>,
): string | null | undefined {
  if (shared.size === 0) return undefined
  const [group] = shared.keys()
  return own === 0 && shared.size === 1 ? group : null
}

// Newcomers: for whom a SUBSCRIBE brings what is retained, for those who have had it are not to run it again.
import type { Interest } from '../core/receiver.ts'
import { topicTree, type TopicIndex } from '../core/topic-tree.ts'
import type { Arrival } from '../transport/transport.ts'
import type { Named } from './admission.ts'
import type { Slot } from './job.ts'
import type { Wish } from './recipients.ts'
import { stemOf } from './subscription-identifier.ts'
import { wireFilter, type Subscription } from './subscriptions.ts'

/** Filters that are asked for together, and who is new among those who want them. */
interface Batch {
  /** With whether retain stands on what is published now as well (3.8.3.1). */
  readonly asked: TopicIndex<boolean>
  /** Ids of receivers. */
  readonly newcomers: TopicIndex<string>
  /** When the last of it came, or it was asked for, or answered. */
  lastAt: number
}

/** What it works with. */
export interface NewcomersParts {
  /** Milliseconds that only go forward. */
  readonly now: () => number
  /** Retained messages are unacknowledged: more of their kind may stand behind them. */
  readonly holdsRetained: () => boolean
}

type Wishes = readonly Wish<Slot>[]

// A SUBSCRIBE brings nothing more after so long a silence. What comes later all the same is for everybody.
const SILENCE_MS = 500
const MOST_OPEN = 100

/**
 * To the broker all receivers are one client, and each time a filter is asked for what is retained comes for all
 * of them. Here each is a subscriber of its own: it gets that once, when its own filter is new. Each SUBSCRIBE that
 * brings it has another Subscription Identifier, so an arrival says for whom it is; without identifiers what comes
 * belongs to the filters that were asked for last.
 */
export class Newcomers {
  readonly #parts: NewcomersParts
  // What each has had, by the id of the receiver: names, and the filter on the wire of each.
  #known = new Map<string, ReadonlyMap<string, string>>()
  readonly #byIdentifier = new Map<number, Batch>()
  #open: Batch[] = []
  /** Asked for, and not answered. */
  #asked: Batch | undefined = undefined

  constructor(parts: NewcomersParts) {
    this.#parts = parts
  }

  /** What came on an older connection may come again on this one, and is for everybody. */
  connected(sessionPresent: boolean): void {
    this.#byIdentifier.clear()
    this.#open = []
    if (!sessionPresent) this.#known.clear()
  }

  /** A receiver has come. What one with its id has had it has not; but a filter that was kept for it is not new (3.8.3.1). */
  came({ kept, receiver }: Pick<Slot, 'kept' | 'receiver'>): void {
    const known = this.#known.get(receiver.id)
    if (known === undefined) return
    const isKnown = (one: Interest): boolean => one.retainHandling === 1 && known.has(nameOf(one))
    this.#known.set(receiver.id, new Map(kept.filter(isKnown).map(named)))
  }

  /** Of these, the ones that must be asked for, held or not: somebody is new there who wants what is retained. */
  among(wishes: Wishes, wanted: readonly Subscription[]): Subscription[] {
    const isNew = new Set(
      this.#newOf(wishes).flatMap(({ interest }) => (interest.retainHandling === 2 ? [] : [interest])),
    )
    return isNew.size === 0 ? [] : wanted.filter(({ serves }) => serves.some((one) => isNew.has(one)))
  }

  /** These are about to be asked for together. `protocolVersion` 4 has no options: what is retained comes in any case. */
  asked(wishes: Wishes, subscriptions: readonly Subscription[], protocolVersion: 4 | 5): void {
    if (subscriptions.length === 0) return
    const served = new Set(subscriptions.flatMap(({ serves }) => serves))
    const newcomers = this.#newOf(wishes).filter(
      ({ interest }) => served.has(interest) && (protocolVersion === 4 || interest.retainHandling !== 2),
    )
    const batch: Batch = {
      asked: topicTree(
        subscriptions.map(({ filter, request }) => ({ filter, value: request.retainAsPublished })),
      ),
      newcomers: topicTree(newcomers.map(({ id, interest }) => ({ filter: interest.filter, value: id }))),
      lastAt: this.#parts.now(),
    }
    this.#forgetOver()
    this.#open.push(batch)
    this.#asked = batch
    for (const { request } of subscriptions) this.#byIdentifier.set(request.identifier!, batch)
  }

  /**
   * The broker has answered, and holds `held` for us; `refused` it does not hold as they are wanted: whoever asked
   * for those may go back to what it had of the same filters. Of all others nothing is kept, for some are refused
   * for good.
   */
  granted(wishes: Wishes, held: readonly Subscription[], refused: readonly Subscription[]): void {
    const served = new Set(held.flatMap(({ serves }) => serves))
    const inVain = new Set(refused.flatMap(({ serves }) => serves))
    const before = this.#known
    this.#known = new Map(
      wishes.map(({ interests, recipient: { receiver } }) => {
        const open = new Set(interests.filter((one) => inVain.has(one)).map(wireFilter))
        const had = [...(before.get(receiver.id) ?? [])].filter(([, filter]) => open.has(filter))
        return [receiver.id, new Map([...had, ...interests.filter((one) => served.has(one)).map(named)])]
      }),
    )
    this.#forgetAllBut(held)
    if (this.#asked !== undefined) this.#asked.lastAt = this.#parts.now()
    this.#asked = undefined
  }

  /** Of those who want this retained message, the ones for whom it was brought. */
  of<N extends Named>({ subscriptionIdentifiers, topic }: Arrival, slots: readonly N[]): readonly N[] {
    const batches = this.#batchesOf(subscriptionIdentifiers, topic)
    if (batches.length === 0) return slots
    for (const batch of batches) batch.lastAt = this.#parts.now()
    // It may be published now, and for everybody.
    if (batches.some(({ asked }) => asked.match(topic).includes(true))) return slots
    const brought = new Set(batches.flatMap(({ newcomers }) => newcomers.match(topic)))
    return slots.filter(({ receiver }) => brought.has(receiver.id))
  }

  // None where one of the identifiers is not known.
  #batchesOf(identifiers: readonly number[], topic: string): readonly Batch[] {
    if (identifiers.length === 0) return this.#open.filter(({ asked }) => asked.match(topic).length > 0)
    const batches = identifiers.flatMap((one) => this.#byIdentifier.get(one) ?? [])
    return batches.length === identifiers.length ? batches : []
  }

  // What comes over filters that nobody wants any more is for nobody in particular.
  #forgetAllBut(held: readonly Subscription[]): void {
    const stems = new Set(held.map(({ request }) => stemOf(request.identifier!)))
    for (const identifier of this.#byIdentifier.keys()) {
      if (!stems.has(stemOf(identifier))) this.#byIdentifier.delete(identifier)
    }
  }

  #forgetOver(): void {
    const now = this.#parts.now()
    const mayGoOn = this.#parts.holdsRetained()
    this.#open = this.#open.filter(({ lastAt }) => mayGoOn || now - lastAt < SILENCE_MS)
    this.#open.splice(0, this.#open.length - MOST_OPEN + 1)
  }

  // A group gets nothing that is retained (4.8.2).
  #newOf(wishes: Wishes): { readonly id: string; readonly interest: Interest }[] {
    return wishes.flatMap(({ interests, recipient }) => {
      const { id } = recipient.receiver
      const known = this.#known.get(id)
      const isNew = (one: Interest): boolean => one.share === undefined && known?.has(nameOf(one)) !== true
      return interests.filter(isNew).map((interest) => ({ id, interest }))
    })
  }
}

function named(interest: Interest): readonly [name: string, filter: string] {
  return [nameOf(interest), wireFilter(interest)]
}

function nameOf(interest: Interest): string {
  const { noLocal, retainAsPublished, retainHandling } = interest
  return `${wireFilter(interest)} ${noLocal} ${retainAsPublished} ${retainHandling}`
}

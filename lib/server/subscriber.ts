// Brings what the broker knows of our subscriptions in line with what the receivers want, and says when it is; long, because each answer changes what is asked next.
import { Deferred } from '../core/deferred.ts'
import { MqttasgiError, toError } from '../core/errors.ts'
import { covers } from '../core/filter-cover.ts'
import type { Logger } from '../core/log.ts'
import type { SubscribeOptions, SubscribeResult } from '../core/message.ts'
import type { Interest, Receiver } from '../core/receiver.ts'
import { resolveRouteOptions } from '../core/route.ts'
import { assertFilter, sharedFilter } from '../core/topic.ts'
import { tracer } from '../core/trace.ts'
import type { Copies } from './copies.ts'
import { Holdings } from './holdings.ts'
import type { Slot } from './job.ts'
import { reasonText } from '../transport/reason-codes.ts'
import type { Newcomers } from './newcomers.ts'
import type { Wish } from './recipients.ts'
import { interestsOf, type Roster } from './roster.ts'
import { type Overlap, refuseAmbiguousShares } from './overlaps.ts'
import type { OwnFilters, StaleFilters } from './stale-filters.ts'
import type { OwnPublications } from './own-publications.ts'
import type { ShareCheck } from './share-check.ts'
import { subscriptionNotices } from './subscription-notices.ts'
import { unavailable } from './subscription-limits.ts'
import { planSubscriptions, refuseContradiction, type Subscription, wireFilter } from './subscriptions.ts'
import type { ConnectionInfo, SubscriptionRequest, Transport } from '../transport/transport.ts'

/** What the subscriber works with. */
export interface SubscriberParts {
  readonly broker: Pick<Transport, 'subscribe' | 'unsubscribe'>
  readonly roster: Roster
  readonly copies: Copies
  readonly newcomers: Newcomers
  readonly log: Logger
  /** What to do where filters overlap and copies can not be told apart; undefined where nobody said. */
  readonly overlap?: Overlap | undefined
  /** The best that is asked for. Default: 1. */
  readonly highestQoS?: 1 | 2 | undefined
  /** What the server publishes by itself. Default: nothing. */
  readonly own?: readonly OwnPublications[] | undefined
  /** Tries shared subscriptions where the broker can not say that it has them; left out where that is not wanted. */
  readonly shareCheck?: ShareCheck | undefined
  /** Somebody waits for what the broker has granted. */
  readonly waitedFor?: (() => void) | undefined
  /** What older processes have left in the session. */
  readonly stale?: StaleFilters | undefined
}

const trace = tracer('subscriptions')

// A broker has a limit for the requests it has not answered, and for the filters in one packet.
const FILTERS_AT_ONCE = 100

export class Subscriber {
  readonly #parts: SubscriberParts
  readonly #holdings: Holdings
  readonly #stopListening: () => void
  #wishes: readonly Wish<Slot>[] = []
  #wanted: readonly Subscription[] = []
  #connection: ConnectionInfo | undefined = undefined
  // In a session that another process began, older filters may still bring messages.
  #ownSession = false
  // Nothing has been subscribed in it yet.
  #freshSession = false
  #everConnected = false
  #everReady = false
  #isSubscribed = false
  #isLeaving = false
  #waiting = 0
  #everAsked = false
  #changed = true
  #syncing = false
  #closed = false
  #ready = new Deferred()
  #told: Promise<void> = Promise.resolve()
  #saidNotices = new Set<string>()

  /** Throws `ERR_SUBSCRIBE_OPTIONS_DIFFER` when the receivers contradict each other. */
  constructor(parts: SubscriberParts) {
    this.#parts = parts
    this.#holdings = new Holdings(parts.stale?.lives)
    this.#stopListening = parts.roster.onChange(() => this.#onChange())
    this.#plan()
  }

  /** Resolves when the broker has granted everything that is wanted now; rejects with what it refused. */
  async ready(): Promise<void> {
    this.#waiting++
    this.#parts.waitedFor?.()
    try {
      await this.#ready.promise
    } finally {
      this.#waiting--
    }
  }

  /**
   * For the start of the server: resolves when all routes are granted. What was refused of what receivers ask for
   * themselves, when they hear of the connection, is said to them alone: they may live without it.
   */
  async started(): Promise<void> {
    try {
      await this.#ready.promise
    } catch (error) {
      const routes = this.#parts.roster.slots.flatMap(({ receiver }) => receiver.interests())
      if (!isRefusal(error) || !this.#holdsAll(routes)) throw error
    }
  }

  /** Resolves when all that one receiver wants is granted, whatever was refused to others. */
  async granted(slot: Slot): Promise<void> {
    try {
      await this.ready()
    } catch (error) {
      if (this.#closed || !this.#holdsAll(interestsOf(slot))) throw error
    }
  }

  /** Resolves when the broker has answered all that it is asked now, or the connection has ended. Never rejects. */
  async told(): Promise<void> {
    await this.#told
  }

  /** Throws what a receiver would contradict the others in, if it came. */
  refuseContradictions(receiver: Receiver): void {
    const others = this.#parts.roster.slots.filter((slot) => slot.receiver.id !== receiver.id)
    this.#planFor([...others.flatMap(interestsOf), ...receiver.interests()])
  }

  /** Somebody waits for it who may hold up a handler meanwhile. */
  get isWaitedFor(): boolean {
    return this.#waiting > 0
  }

  /** There is a connection, and the broker has granted on it all that is wanted now. */
  get isSubscribed(): boolean {
    return this.#isSubscribed
  }

  /** Some of what is wanted keeps the retain flag of publications. */
  get keepsRetain(): boolean {
    return this.#wanted.some(({ request }) => request.retainAsPublished)
  }

  /** Gives up all that is shared with a group. Whoever asks for such a filter from now on has had it for no time. */
  async leaveShared(): Promise<void> {
    this.#isLeaving = true
    this.#onChange()
    await this.#told
    // Whatever else the broker did not end has been said already.
    if (this.#connection !== undefined || this.#holdings.superfluous(this.#sought).length === 0) return
    this.#parts.log.warn('The shared subscriptions could not be given up: the connection has ended.')
  }

  connected(info: ConnectionInfo): void {
    this.#connection = info
    this.#holdings.connected(info)
    this.#parts.newcomers.connected(info.sessionPresent)
    if (!info.sessionPresent) {
      this.#ownSession = true
      this.#freshSession = true
      this.#parts.stale?.forget()
    } else if (!this.#everConnected) {
      this.#ownSession = false
    }
    this.#everConnected = true
    this.#parts.copies.inSession(this.#ownSession)
    this.#onChange()
  }

  disconnected(): void {
    this.#connection = undefined
    this.#renew()
  }

  /** Ends all waiting with this error, and listens to no receiver any more. */
  close(error: MqttasgiError): void {
    this.#connection = undefined
    this.#stopListening()
    this.#renew()
    this.#ready.reject(error)
    this.#closed = true
  }

  /**
   * Adds a subscription for a receiver. Rejects, and takes it back, when the broker refuses it; at once where somebody
   * has the same filter with other options, for nothing that others want could be planned with both.
   */
  async add(slot: Slot, text: string, options: SubscribeOptions): Promise<SubscribeResult> {
    const interest = interestOf(text, options)
    const { added, isGone, isVacant, receiver } = slot
    if (isGone || isVacant) throw gone(receiver.id)
    const before = added.get(text)
    this.#refuseContradiction(slot, interest, before)
    added.set(text, interest)
    try {
      this.#parts.roster.changed()
      await this.ready()
    } catch (error) {
      if (!isRefusal(error) || !this.#holdsAll([interest])) {
        if (before === undefined) added.delete(text)
        else added.set(text, before)
        this.#parts.roster.changed()
        throw error
      }
    }
    return { filter: text, qos: interest.qos > this.#highestQoS ? this.#highestQoS : interest.qos }
  }

  async remove(slot: Slot, text: string): Promise<void> {
    assertFilter(text)
    const interest = slot.added.get(text)
    if (!slot.added.delete(text) && this.#parts.stale?.release(text) !== true) return
    this.#parts.roster.changed()
    try {
      await this.ready()
    } catch (error) {
      // What is refused to others is nothing to whoever gives one up.
      if (!isRefusal(error)) throw error
    }
    const refusal = this.#holdings.stuck.get(interest === undefined ? text : wireFilter(interest))
    if (refusal !== undefined) throw refusal
  }

  // What its predecessor has left it takes the place of, as what it had before itself.
  #refuseContradiction(slot: Slot, interest: Interest, before: Interest | undefined): void {
    if (this.#connection?.protocolVersion === 4) return
    const own = new Set([before, ...slot.kept])
    const others = this.#parts.roster.slots.flatMap(interestsOf).filter((other) => !own.has(other))
    refuseContradiction(interest, others)
  }

  // The broker has granted each of these, or one that covers it, whatever it refused besides.
  #holdsAll(interests: readonly Interest[]): boolean {
    const granted = this.#wanted.filter((wanted) => this.#holdings.holds(wanted))
    return interests.every(({ filter, share }) =>
      granted.some((wanted) => wanted.share === share && covers(wanted.filter, filter)),
    )
  }

  // Several registrations of one turn become one SUBSCRIBE.
  #onChange(): void {
    this.#changed = true
    this.#renew()
    if (this.#syncing || this.#connection === undefined) return
    this.#syncing = true
    this.#told = Promise.resolve().then(() => this.#sync())
  }

  // A promise that has settled speaks of what was wanted then.
  #renew(): void {
    this.#isSubscribed = false
    if (this.#ready.settled && !this.#closed) this.#ready = new Deferred()
  }

  #plan(): void {
    const { copies, newcomers, roster } = this.#parts
    const wishes = roster.slots.map((slot) => ({ recipient: slot, interests: interestsOf(slot) }))
    const interests = wishes.flatMap((wish) => wish.interests)
    const wanted = this.#planFor(interests)
    this.#wishes = wishes
    const renewed = newcomers.among(wishes, wanted).filter(({ request }) => this.#holdings.renew(request))
    this.#wanted = renewed.length === 0 ? wanted : this.#planFor(interests)
    copies.update(this.#wanted)
  }

  get #highestQoS(): 1 | 2 {
    return this.#parts.highestQoS ?? 1
  }

  // With identifiers copies can be told apart: nothing has to be widened, and what is held may stay beside
  // the filter that covers it.
  #planFor(interests: readonly Interest[]): readonly Subscription[] {
    const highestQoS = this.#highestQoS
    const { granted, lives } = this.#holdings
    if (this.#connection === undefined) return planSubscriptions(interests, { lives, highestQoS })
    const { protocolVersion, subscriptionIdentifiers } = this.#connection
    if (subscriptionIdentifiers) {
      const held = new Map([...this.#left, ...granted])
      return planSubscriptions(interests, { held, lives, protocolVersion, highestQoS })
    }
    const { overlap } = this.#parts
    const superset = overlap === 'superset'
    const plan = planSubscriptions(interests, { protocolVersion, superset, highestQoS })
    if (overlap !== 'accept') refuseAmbiguousShares(plan)
    return plan
  }

  async #sync(): Promise<void> {
    let failure: unknown
    while (this.#changed && this.#connection !== undefined) {
      this.#changed = false
      const connection = this.#connection
      failure = undefined
      try {
        this.#plan()
      } catch (error) {
        // What was wanted before goes on being wanted.
        failure = error
      }
      try {
        // At the start there is nothing that was wanted before, and the start will fail.
        if (failure === undefined || this.#everReady) await this.#tell(connection)
      } catch (error) {
        // Of a connection that is gone nothing is to be said: the next one begins anew.
        if (this.#connection === connection) failure ??= error
      }
    }
    this.#syncing = false
    if (this.#connection === undefined) return
    if (failure === undefined) {
      this.#everReady = true
      this.#isSubscribed = true
      this.#ready.resolve()
      return
    }
    // At start-up whoever waits for it says so; later it may be that nobody waits.
    if (this.#everReady) this.#parts.log.error(toError(failure).message)
    this.#ready.reject(failure)
  }

  async #tell(connection: ConnectionInfo): Promise<void> {
    this.#sayNotices(connection)
    const unsubscribe = this.#leaving()
    const missing = this.#holdings.missing(this.#sought)
    const subscribe = missing.filter(({ filter }) => unavailable(filter, connection) === undefined)
    await this.#parts.stale?.willAsk(this.#own(unsubscribe), !this.#everAsked)
    this.#everAsked = true
    await this.#parts.shareCheck?.before(subscribe, connection)
    // Another one is up by now, and will be told anew.
    if (this.#connection !== connection) return
    trace('subscribe %o, unsubscribe %o', subscribe, unsubscribe)
    const refused = missing.flatMap(({ filter }) => {
      const code = unavailable(filter, connection)
      return code === undefined ? [] : `"${filter}" (${reasonText(code)})`
    })
    this.#asking(subscribe, connection)
    for (const some of portions(subscribe)) refused.push(...(await this.#subscribe(some, connection)))
    const held = this.#wanted.filter(({ request }) => this.#holdings.granted.has(request.filter))
    const lacking = this.#wanted.filter((wanted) => !this.#holdings.holds(wanted))
    this.#parts.newcomers.granted(this.#wishes, held, lacking)
    // Unsubscribing last leaves no gap where one filter takes the place of others.
    const ended = await this.#unsubscribeEach(portions(unsubscribe))
    if (ended.length > 0) await this.#parts.stale?.gaveUp(ended, this.#own([]))
    if (refused.length > 0) {
      throw new MqttasgiError('ERR_SUBSCRIBE_REFUSED', `The broker refused: ${refused.join('; ')}.`)
    }
  }

  #asking(requests: readonly SubscriptionRequest[], { protocolVersion }: ConnectionInfo): void {
    const { copies, newcomers } = this.#parts
    const brings = requests.filter((request) => this.#holdings.bringsRetained(request))
    copies.asked(brings, this.#freshSession)
    this.#freshSession = false
    // MQTT 3.1.1 has no way to ask for a filter anew without it.
    const asked = new Set(protocolVersion === 4 ? requests : brings)
    const bringing = this.#wanted.filter(({ request, share }) => share === undefined && asked.has(request))
    newcomers.asked(this.#wishes, bringing, protocolVersion)
  }

  async #unsubscribeEach(portions: Iterable<readonly string[]>): Promise<readonly string[]> {
    const ended: string[] = []
    for (const some of portions) ended.push(...(await this.#unsubscribe(some)))
    return ended
  }

  // Gives those that have ended. What the broker refuses to end brings what nobody wants, and keeps nobody from anything.
  async #unsubscribe(filters: readonly string[]): Promise<readonly string[]> {
    try {
      await this.#parts.broker.unsubscribe(filters)
      for (const filter of filters) this.#holdings.gaveUp(filter)
      return filters
    } catch (error) {
      if (!(error instanceof MqttasgiError) || error.code !== 'ERR_UNSUBSCRIBE_REFUSED') throw error
      // One by one, to know which it was.
      if (filters.length > 1) return this.#unsubscribeEach(filters.map((filter) => [filter]))
      this.#holdings.staysHeld(filters[0]!, error)
      this.#parts.log.warn(`${error.message} It goes on bringing messages that nobody wants.`)
      return []
    }
  }

  // What this process holds and does not want any more, and behind that what older ones have left.
  #leaving(): readonly string[] {
    const older = this.#parts.stale?.givenUpForSure(this.#wireFilters) ?? []
    const { stuck } = this.#holdings
    const all = new Set([...this.#holdings.superfluous(this.#sought), ...older])
    const leaving = [...all].filter((filter) => !stuck.has(filter))
    for (const filter of leaving) this.#holdings.leaves(filter)
    return leaving
  }

  #own(leaving: readonly string[]): OwnFilters {
    const { lives, stuck } = this.#holdings
    return { wanted: this.#wireFilters, leaving: [...leaving, ...stuck.keys()], lives }
  }

  get #wireFilters(): string[] {
    return this.#sought.map(({ request }) => request.filter)
  }

  // What the broker is to hold. What still comes of a group that was left is wanted as before.
  get #sought(): readonly Subscription[] {
    return this.#isLeaving ? this.#wanted.filter(({ share }) => share === undefined) : this.#wanted
  }

  // As it was asked for: what still comes of it carries these identifiers.
  get #left(): readonly (readonly [string, SubscriptionRequest])[] {
    if (!this.#isLeaving) return []
    return this.#wanted.flatMap(({ request, share }) =>
      share === undefined ? [] : [[request.filter, request] as const],
    )
  }

  async #subscribe(requests: readonly SubscriptionRequest[], connection: ConnectionInfo): Promise<string[]> {
    const codes = await this.#parts.broker.subscribe(
      requests.map((request) => ({
        ...this.#holdings.told(request),
        identifier: connection.subscriptionIdentifiers ? request.identifier : undefined,
      })),
    )
    const refused: string[] = []
    const granted: string[] = []
    for (const [i, request] of requests.entries()) {
      const code = codes[i] ?? 0x80
      this.#holdings.answered(request, code)
      if (code >= 0x80) refused.push(`"${request.filter}" (${reasonText(code)})`)
      else if (code < request.qos) refused.push(`"${request.filter}" (${less(request.qos, code)})`)
      else granted.push(request.filter)
    }
    if (this.#ownSession) this.#parts.copies.granted(granted)
    return refused
  }

  #sayNotices(connection: ConnectionInfo): void {
    const { highestQoS, overlap, own, roster } = this.#parts
    const interests = roster.slots.flatMap(({ isVacant, receiver }) => (isVacant ? [] : receiver.interests()))
    const notices = subscriptionNotices(interests, this.#wanted, { ...connection, overlap, highestQoS, own })
    for (const notice of notices) if (!this.#saidNotices.has(notice)) this.#parts.log.warn(notice)
    // What is not so any more is said again when it is so again: else each receiver that ever came would be remembered.
    this.#saidNotices = new Set(notices)
  }
}

function less(asked: number, granted: number): string {
  const mend = asked === 2 ? "; with qos2: 'downgrade' no more than 1 is asked for" : ''
  return `asked for QoS ${asked}, granted ${granted}${mend}`
}

function* portions<T>(all: readonly T[]): Generator<T[]> {
  for (let at = 0; at < all.length; at += FILTERS_AT_ONCE) yield all.slice(at, at + FILTERS_AT_ONCE)
}

// As strict as for routes: what is a Protocol Error would end each connection anew [MQTT-3.8.3-4].
function interestOf(text: string, options: SubscribeOptions): Interest {
  assertFilter(text)
  const shared = sharedFilter(text)
  const resolved = resolveRouteOptions(text, options, shared?.group)
  const { noLocal, qos, retainAsPublished, retainHandling, share } = resolved
  const filter = shared?.filter ?? text
  const source = `${text} (subscribed by hand)`
  return { filter, share, qos, noLocal, retainHandling, retainAsPublished, source }
}

function gone(id: string): MqttasgiError {
  return new MqttasgiError(
    'ERR_NOT_ATTACHED',
    `"${id}" has been detached from its server: it can not subscribe to anything any more.`,
    { receiver: id },
  )
}

function isRefusal(error: unknown): boolean {
  return error instanceof MqttasgiError && error.code === 'ERR_SUBSCRIBE_REFUSED'
}

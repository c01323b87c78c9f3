// Brings what the broker knows of our subscriptions in line with what the receivers want, and says when it is; long, because each answer changes what is asked next.
import { Deferred } from '../core/deferred.ts'
import { MqttasgiError, toError } from '../core/errors.ts'
import { covers } from '../core/filter-cover.ts'
import type { Logger } from '../core/log.ts'
import type { SubscribeOptions, SubscribeResult } from '../core/message.ts'
import type { Interest } from '../core/receiver.ts'
import { resolveRouteOptions } from '../core/route.ts'
import { assertFilter, sharedFilter } from '../core/topic.ts'
import { tracer } from '../core/trace.ts'
import type { Copies } from './copies.ts'
import { Holdings } from './holdings.ts'
import type { Slot } from './job.ts'
import { reasonText } from '../transport/reason-codes.ts'
import type { Recipients } from './recipients.ts'
import { type Overlap, refuseAmbiguousShares } from './overlaps.ts'
import type { StaleFilters } from './stale-filters.ts'
import type { ShareCheck } from './share-check.ts'
import { subscriptionNotices } from './subscription-notices.ts'
import { unavailable } from './subscription-limits.ts'
import { planSubscriptions, type Subscription } from './subscriptions.ts'
import type { ConnectionInfo, SubscriptionRequest, Transport } from '../transport/transport.ts'

/** What the subscriber works with. */
export interface SubscriberParts {
  readonly broker: Pick<Transport, 'subscribe' | 'unsubscribe'>
  readonly slots: readonly Slot[]
  readonly recipients: Recipients<Slot>
  readonly copies: Copies
  readonly log: Logger
  /** What to do where filters overlap and copies can not be told apart; undefined where nobody said. */
  readonly overlap?: Overlap | undefined
  /** The best that is asked for. Default: 1. */
  readonly highestQoS?: 1 | 2 | undefined
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
  // Subscriptions that were asked for by hand, by receiver and filter.
  readonly #added = new Map<Slot, Map<string, Interest>>()
  readonly #holdings = new Holdings()
  readonly #stopListening: (() => void)[]
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
  readonly #saidNotices = new Set<string>()

  /** Throws `ERR_SUBSCRIBE_OPTIONS_DIFFER` when the receivers contradict each other. */
  constructor(parts: SubscriberParts) {
    this.#parts = parts
    this.#stopListening = parts.slots.map((slot) => slot.receiver.onInterests(() => this.#onChange()))
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

  /** The same for the start of the server, which no handler waits for. */
  started(): Promise<void> {
    return this.#ready.promise
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

  /** Gives up all that is shared with a group. Nothing is asked for anew from now on. */
  async leaveShared(): Promise<void> {
    this.#isLeaving = true
    const shared = [...this.#holdings.granted.keys()].filter((filter) => sharedFilter(filter) !== null)
    try {
      for (const some of portions(shared)) await this.#parts.broker.unsubscribe(some)
    } catch (error) {
      // With the connection the session goes, or is taken up by nobody.
      this.#parts.log.warn(`The shared subscriptions could not be given up: ${toError(error).message}`)
    }
  }

  connected(info: ConnectionInfo): void {
    this.#connection = info
    this.#holdings.connected(info)
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
    for (const stop of this.#stopListening) stop()
    this.#renew()
    this.#ready.reject(error)
    this.#closed = true
  }

  /** Adds a subscription for a receiver. Rejects, and takes it back, when the broker refuses it. */
  async add(slot: Slot, text: string, options: SubscribeOptions): Promise<SubscribeResult> {
    const interest = interestOf(text, options)
    const added = this.#addedBy(slot)
    const before = added.get(text)
    added.set(text, interest)
    try {
      this.#onChange()
      await this.ready()
    } catch (error) {
      if (!isRefusal(error) || !this.#holds(interest)) {
        if (before === undefined) added.delete(text)
        else added.set(text, before)
        this.#onChange()
        throw error
      }
    }
    return { filter: text, qos: interest.qos > this.#highestQoS ? this.#highestQoS : interest.qos }
  }

  async remove(slot: Slot, text: string): Promise<void> {
    assertFilter(text)
    if (!this.#addedBy(slot).delete(text) && this.#parts.stale?.release(text) !== true) return
    this.#onChange()
    try {
      await this.ready()
    } catch (error) {
      // What is refused to others is nothing to whoever gives one up.
      if (!isRefusal(error)) throw error
    }
  }

  // The broker has granted this one, or one that covers it, whatever it refused besides.
  #holds({ filter, share }: Interest): boolean {
    const granted = this.#wanted.filter((wanted) => this.#holdings.holds(wanted))
    return granted.some((wanted) => wanted.share === share && covers(wanted.filter, filter))
  }

  #addedBy(slot: Slot): Map<string, Interest> {
    let added = this.#added.get(slot)
    if (added === undefined) this.#added.set(slot, (added = new Map<string, Interest>()))
    return added
  }

  // Several registrations of one turn become one SUBSCRIBE.
  #onChange(): void {
    this.#changed = true
    this.#renew()
    if (this.#syncing || this.#isLeaving || this.#connection === undefined) return
    this.#syncing = true
    queueMicrotask(() => void this.#sync())
  }

  // A promise that has settled speaks of what was wanted then.
  #renew(): void {
    this.#isSubscribed = false
    if (this.#ready.settled && !this.#closed) this.#ready = new Deferred()
  }

  #plan(): void {
    const { slots, recipients, copies } = this.#parts
    const wishes = slots.map((slot) => ({
      recipient: slot,
      interests: [...slot.receiver.interests(), ...(this.#added.get(slot)?.values() ?? [])],
    }))
    this.#wanted = this.#planFor(wishes.flatMap(({ interests }) => interests))
    recipients.update(wishes)
    copies.update(this.#wanted)
  }

  get #highestQoS(): 1 | 2 {
    return this.#parts.highestQoS ?? 1
  }

  // With identifiers copies can be told apart: nothing has to be widened, and what is held may stay beside
  // the filter that covers it.
  #planFor(interests: readonly Interest[]): readonly Subscription[] {
    const highestQoS = this.#highestQoS
    if (this.#connection === undefined) return planSubscriptions(interests, { highestQoS })
    const { protocolVersion, subscriptionIdentifiers } = this.#connection
    const { granted, lives } = this.#holdings
    if (subscriptionIdentifiers)
      return planSubscriptions(interests, { held: granted, lives, protocolVersion, highestQoS })
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
    const unsubscribe = this.#holdings.superfluous(this.#wanted)
    const missing = this.#holdings.missing(this.#wanted)
    const subscribe = missing.filter(({ filter }) => unavailable(filter, connection) === undefined)
    await this.#parts.stale?.willAsk(this.#wireFilters, !this.#everAsked)
    this.#everAsked = true
    await this.#parts.shareCheck?.before(subscribe, connection)
    // Another one is up by now, and will be told anew.
    if (this.#connection !== connection) return
    trace('subscribe %o, unsubscribe %o', subscribe, unsubscribe)
    const refused = missing.flatMap(({ filter }) => {
      const code = unavailable(filter, connection)
      return code === undefined ? [] : `"${filter}" (${reasonText(code)})`
    })
    this.#parts.copies.asked(
      subscribe.filter((request) => this.#holdings.bringsRetained(request)),
      this.#freshSession,
    )
    this.#freshSession = false
    for (const some of portions(subscribe)) refused.push(...(await this.#subscribe(some, connection)))
    // Unsubscribing last leaves no gap where one filter takes the place of others.
    for (const some of portions(unsubscribe)) {
      await this.#parts.broker.unsubscribe(some)
      for (const filter of some) this.#holdings.gaveUp(filter)
    }
    await this.#giveUpStale()
    if (refused.length > 0) {
      throw new MqttasgiError('ERR_SUBSCRIBE_REFUSED', `The broker refused: ${refused.join('; ')}.`)
    }
  }

  get #wireFilters(): string[] {
    return this.#wanted.map(({ request }) => request.filter)
  }

  async #giveUpStale(): Promise<void> {
    const { broker, log, stale } = this.#parts
    for (const some of portions(stale?.givenUpForSure() ?? [])) {
      await broker.unsubscribe(some)
      const names = some.map((filter) => `"${filter}"`).join(', ')
      log.warn(`The session still held ${names}, which nobody wants any more: unsubscribed.`)
      await stale?.gaveUp(some, this.#wireFilters)
    }
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
    const interests = this.#parts.slots.flatMap((slot) => slot.receiver.interests())
    const { highestQoS, overlap } = this.#parts
    const terms = { ...connection, overlap, highestQoS }
    for (const notice of subscriptionNotices(interests, this.#wanted, terms)) {
      if (this.#saidNotices.has(notice)) continue
      this.#saidNotices.add(notice)
      this.#parts.log.warn(notice)
    }
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
  return { filter, share, qos, noLocal, retainHandling, retainAsPublished, source: text }
}

function isRefusal(error: unknown): boolean {
  return error instanceof MqttasgiError && error.code === 'ERR_SUBSCRIBE_REFUSED'
}

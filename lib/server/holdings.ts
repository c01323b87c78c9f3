// What the broker holds for us in this session, as far as it has told us: granted, to be confirmed, given up.
import { sharedFilter } from '../core/topic.ts'
import type { QoS } from '../core/message.ts'
import { nextIdentifier } from './subscription-identifier.ts'
import { notGranted, sameOptions, type Subscription } from './subscriptions.ts'
import type { ConnectionInfo, SubscriptionRequest } from '../transport/transport.ts'

const MOST_LIVES = 1_000

export class Holdings {
  readonly #granted = new Map<string, SubscriptionRequest>()
  // Granted on an older connection of a session that goes on.
  #unconfirmed = new Set<string>()
  // To be asked for again for the sake of the retained messages that this brings.
  readonly #renewed = new Set<string>()
  // UNSUBSCRIBE is on its way, or was when a connection ended.
  readonly #leaving = new Set<string>()
  // The broker has refused to end them, on this connection.
  readonly #stuck = new Map<string, Error>()
  readonly #lives: Map<string, number>

  /** `lives`: how often older processes have given each up in this session, the youngest last. */
  constructor(lives: ReadonlyMap<string, number> = new Map()) {
    this.#lives = new Map(lives)
  }

  /** By the filter on the wire. */
  get granted(): ReadonlyMap<string, SubscriptionRequest> {
    return this.#granted
  }

  /** How often each was given up in this session, by the filter on the wire. */
  get lives(): ReadonlyMap<string, number> {
    return this.#lives
  }

  connected({ protocolVersion, sessionPresent }: ConnectionInfo): void {
    this.#renewed.clear()
    this.#stuck.clear()
    if (!sessionPresent) {
      this.#granted.clear()
      this.#leaving.clear()
      this.#lives.clear()
    }
    // Told again, for a broker may have kept the session and lost what it granted last: one that writes its
    // state now and then and was killed in between, or mosquitto 2.0, which forgets shared ones in a restart.
    // MQTT 3.1.1 has no way to say so without bringing all retained messages again, but for shared ones (4.8.2).
    const isTellable = (filter: string): boolean => protocolVersion === 5 || sharedFilter(filter) !== null
    this.#unconfirmed = new Set([...this.#granted.keys()].filter(isTellable))
  }

  /** It is granted as it is wanted now. */
  holds(wanted: Subscription): boolean {
    return notGranted([wanted], this.#granted).length === 0
  }

  /** What is to be asked for, in this order, so that all that is wanted is held. */
  missing(wanted: readonly Subscription[]): SubscriptionRequest[] {
    const confirmed = [...this.#granted].filter(
      ([filter]) => !this.#unconfirmed.has(filter) && !this.#renewed.has(filter),
    )
    return notGranted(wanted, new Map(confirmed)).toSorted(
      (one, other) => this.#rank(one) - this.#rank(other),
    )
  }

  /** What is held, or may be, and is wanted no more. */
  superfluous(wanted: readonly Subscription[]): string[] {
    const names = new Set(wanted.map(({ request }) => request.filter))
    return [...this.#granted.keys(), ...this.#leaving].filter((filter) => !names.has(filter))
  }

  /** What is wanted no more and comes all the same, for the broker refuses to end it. */
  get stuck(): ReadonlyMap<string, Error> {
    return this.#stuck
  }

  /**
   * What is held like this is asked for once more, and brings what is retained; under another identifier, so that
   * this can be told from what it has brought before. False when it is not held like this, and is asked for anyway.
   */
  renew(request: SubscriptionRequest): boolean {
    const granted = this.#granted.get(request.filter)
    if (granted === undefined || !sameOptions(granted, request)) return false
    this.#renewed.add(request.filter)
    this.#granted.set(request.filter, { ...granted, identifier: nextIdentifier(granted.identifier!) })
    return true
  }

  /** What the broker has already does so only when it is asked for anew, with Retain Handling 0 (3.8.3.1). */
  bringsRetained(request: SubscriptionRequest): boolean {
    const { filter, retainHandling } = request
    if (this.#renewed.has(filter)) return true
    return !this.#granted.has(filter) || (retainHandling === 0 && !this.#isKnown(request))
  }

  /** As it is told to the broker: what that still knows brings nothing retained a second time (3.8.3.1). */
  told(request: SubscriptionRequest): SubscriptionRequest {
    if (this.#renewed.has(request.filter)) return { ...request, retainHandling: 0 }
    if (!this.#isKnown(request) || request.retainHandling !== 0) return request
    return { ...request, retainHandling: 1 }
  }

  /** SUBACK came, with this code. */
  answered(request: SubscriptionRequest, code: number): void {
    this.#unconfirmed.delete(request.filter)
    this.#renewed.delete(request.filter)
    if (code >= 0x80) return
    this.#leaving.delete(request.filter)
    this.#stuck.delete(request.filter)
    // Noted as it is, so that it is asked for again when less was granted.
    this.#granted.set(request.filter, { ...request, qos: Math.min(code, request.qos) as QoS })
  }

  /**
   * It is about to be given up: whoever asks for it from now on begins another life of it, for nobody can say whether
   * the broker has heard of this end before the connection has.
   */
  leaves(filter: string): void {
    if (this.#leaving.has(filter)) return
    this.#leaving.add(filter)
    this.#granted.delete(filter)
    this.#renewed.delete(filter)
    const lives = (this.#lives.get(filter) ?? 0) + 1
    // The youngest last.
    this.#lives.delete(filter)
    this.#lives.set(filter, lives)
    if (this.#lives.size > MOST_LIVES) this.#forgetOldest()
  }

  /** UNSUBACK came. */
  gaveUp(filter: string): void {
    this.leaves(filter)
    this.#leaving.delete(filter)
  }

  /** The broker has refused to end it: it is asked again on the next connection. */
  staysHeld(filter: string, error: Error): void {
    this.leaves(filter)
    this.#stuck.set(filter, error)
  }

  // What it brought has long been read.
  #forgetOldest(): void {
    // The one that has just been given up is not held, so there is one.
    this.#lives.delete([...this.#lives.keys()].find((filter) => !this.#granted.has(filter))!)
  }

  // The broker has it already, and only its QoS may have changed.
  #isKnown(request: SubscriptionRequest): boolean {
    const granted = this.#granted.get(request.filter)
    return this.#unconfirmed.has(request.filter) || (granted !== undefined && sameOptions(granted, request))
  }

  // What is held is asked for first, so that its better QoS is there before the filter for whose sake it is
  // raised; then what is surest, for of filters of one age the copy of the first one runs.
  #rank({ filter, noLocal, qos }: SubscriptionRequest): number {
    return (this.#granted.has(filter) ? 0 : 4) + (noLocal ? 2 : 0) + (qos > 0 ? 0 : 1)
  }
}

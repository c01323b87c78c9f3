// A seat: the place of one instance of a worker, and the messages that wait there while it is started again.
import { Deferred } from '../core/deferred.ts'
import { MqttasgiError } from '../core/errors.ts'
import type { Message, SubscribeOptions } from '../core/message.ts'
import type {
  Attempt,
  Client,
  DisconnectReason,
  Interest,
  Outcome,
  Plan,
  Receiver,
  RunningChain,
  SessionInfo,
} from '../core/receiver.ts'
import { HeldFilters } from './held-filters.ts'

/** A connection as an instance that is started while it is up has to know it. */
export interface Connection {
  readonly client: Client
  readonly session: SessionInfo
}

/** What becomes of messages that nobody will ever take here. */
export type Refusal = (plan: Plan) => Outcome

/** One message that waits for the next instance. */
class Waiting implements RunningChain {
  readonly message: Message
  readonly attempt: Attempt
  readonly plan: Plan
  readonly outcome = new Deferred<Outcome>()
  readonly since: number
  readonly #leave: (waiting: Waiting) => void

  constructor(message: Message, plan: Plan, attempt: Attempt, since: number, leave: (one: Waiting) => void) {
    this.message = message
    this.plan = plan
    this.attempt = attempt
    this.since = since
    this.#leave = leave
  }

  async giveUp(error: Error): Promise<Outcome> {
    const outcome: Outcome = { type: 'failed', error, route: this.plan.routes[0] }
    this.#leave(this)
    this.outcome.resolve(outcome)
    return outcome
  }
}

/** What a seat works with. */
export interface SeatParts {
  readonly now: () => number
  /** What is wanted here has changed. */
  readonly changed: () => void
  /** What instances get to see of a message. */
  readonly seenAs: (message: Message) => Message
  /** Something has been subscribed to here, or given up. */
  readonly asked: () => void
  /** With which options somebody at another seat has subscribed to it; those with the best QoS. */
  readonly heldElsewhere: (seat: Seat, filter: string) => SubscribeOptions | undefined
}

export class Seat {
  readonly #now: () => number
  readonly #changed: () => void
  readonly #waiting = new Set<Waiting>()
  // Which instance a plan is of: after a restart an attempt may come with an older one's.
  readonly #owners = new WeakMap<Plan, Receiver>()
  readonly #running = new Set<Message>()
  // What was in hand when an instance was lost: one of them may have ended it, so each runs alone.
  readonly #suspects = new WeakSet<Message>()
  readonly #seenAs: (message: Message) => Message
  readonly #held: HeldFilters
  #isAlone = false
  #current: Receiver | undefined = undefined
  #last: Receiver | undefined = undefined
  #stopListening: () => void = () => {}
  #refusal: Refusal | undefined = undefined
  // Of what was given to an instance that has ended, and not begun by it.
  #notBegun: Refusal | undefined = undefined
  // What the last one here wanted, when nobody will sit here any more and others go on.
  #lastWish: readonly string[] | undefined = undefined

  constructor({ asked, changed, heldElsewhere, now, seenAs }: SeatParts) {
    this.#now = now
    this.#changed = changed
    this.#seenAs = seenAs
    this.#held = new HeldFilters((filter) => heldElsewhere(this, filter), asked)
  }

  /** Whoever sits here asks for something when it is connected. */
  get asksWhenConnected(): boolean {
    return this.#current?.asksWhenConnected === true
  }

  /** Somebody sits here. */
  get isTaken(): boolean {
    return this.#current !== undefined
  }

  /** Nobody will sit here any more, and others of its worker go on. */
  get isRetired(): boolean {
    return this.#lastWish !== undefined
  }

  /** The filters of whoever sits here or has sat here last: its routes, and what it has subscribed to. */
  get asksFor(): readonly string[] {
    return this.#lastWish ?? [...this.interests().map(onWire), ...this.#held.filters]
  }

  /** Somebody sits here or has sat here: there are routes to plan by. */
  get hasRoutes(): boolean {
    return this.#last !== undefined
  }

  interests(): readonly Interest[] {
    return this.#last?.interests() ?? []
  }

  /** As the instance plans it, or the one before as long as the next one is not there. */
  plan(message: Message): Plan {
    // A worker is attached when its first instances are there.
    const receiver = this.#last!
    const plan = receiver.plan(this.#seenAs(message))
    this.#owners.set(plan, receiver)
    return plan
  }

  receive(message: Message, plan: Plan, attempt: Attempt): Outcome | Promise<Outcome> {
    if (this.#refusal !== undefined) return this.#refusal(plan)
    if (this.#current === undefined || this.#waiting.size > 0 || !this.#hasRoomFor(message)) {
      return this.#wait(message, plan, attempt, this.#now())
    }
    return this.#begin(this.#current, message, plan, attempt)
  }

  /** From now on this instance takes the messages, those that waited first. */
  occupy(receiver: Receiver, connection: Connection | undefined): void {
    this.#current = receiver
    this.#last = receiver
    this.#stopListening = receiver.onInterests(this.#changed)
    this.#changed()
    this.#held.next()
    if (connection !== undefined) void this.connected(connection)
    this.#pump()
  }

  /** Whoever sat here is gone; messages wait. */
  vacate(): void {
    this.#stopListening()
    this.#current = undefined
  }

  /** Nobody will sit here any more. */
  refuse(refusal: Refusal, notBegun: Refusal = refusal): void {
    this.vacate()
    this.#refusal = refusal
    this.#notBegun = notBegun
    for (const { outcome, plan } of this.#waiting) outcome.resolve(notBegun(plan))
    this.#waiting.clear()
  }

  /** The same, and others of its worker go on: `notBegun` leaves to them what waits here. */
  retire(refusal: Refusal, notBegun: Refusal, connection: Connection | undefined): void {
    this.#lastWish = this.asksFor
    this.refuse(refusal, notBegun)
    this.#held.next()
    if (connection !== undefined) void this.#held.giveUpLeft(connection.client)
  }

  async connected({ client, session }: Connection): Promise<void> {
    const receiver = this.#current
    await receiver?.connected(this.#held.noting(client), session)
    // One that has failed at it has not said all that it wants.
    const hasSaidAll = receiver !== undefined && this.#current === receiver
    if (hasSaidAll || this.isRetired) void this.#held.giveUpLeft(client)
  }

  /** How whoever sits here, or has sat here last and has a successor, has subscribed to it by hand. */
  holding(filter: string): SubscribeOptions | undefined {
    return this.#refusal === undefined ? this.#held.of(filter) : undefined
  }

  async disconnected(reason: DisconnectReason): Promise<void> {
    await this.#current?.disconnected(reason)
  }

  #pump(): void {
    for (const waiting of this.#waiting) {
      const { attempt, message, outcome, plan, since } = waiting
      if (this.#current === undefined || !this.#hasRoomFor(message)) return
      this.#waiting.delete(waiting)
      attempt.begins?.(this.#now() - since)
      void Promise.resolve(this.#begin(this.#current, message, plan, attempt)).then((one) =>
        outcome.resolve(one),
      )
    }
  }

  #hasRoomFor(message: Message): boolean {
    return !this.#isAlone && (this.#running.size === 0 || !this.#suspects.has(message))
  }

  #begin(receiver: Receiver, message: Message, plan: Plan, attempt: Attempt): Outcome | Promise<Outcome> {
    const seen = this.#seenAs(message)
    const own = this.#owners.get(plan) === receiver ? plan : receiver.plan(seen)
    const outcome = receiver.receive(seen, own, attempt)
    if (!(outcome instanceof Promise) && outcome.type !== 'notTaken') return outcome
    const since = this.#now()
    this.#running.add(message)
    if (this.#suspects.has(message)) this.#runAlone(message, attempt)
    return Promise.resolve(outcome).then((value) => {
      if (wasBegun(value, attempt)) {
        this.#ended(message, value, receiver)
        return value
      }
      return this.#putBack(receiver, message, plan, attempt, since)
    })
  }

  // It goes on waiting, for as long as it already has.
  #putBack(
    receiver: Receiver,
    message: Message,
    plan: Plan,
    attempt: Attempt,
    since: number,
  ): Outcome | Promise<Outcome> {
    this.#leftBy(receiver)
    const outcome = this.#notBegun?.(plan) ?? this.#wait(message, plan, attempt, since)
    this.#leave(message)
    return outcome
  }

  // Until it has ended, or nobody waits for it any more: it must not keep all others waiting for ever.
  #runAlone(message: Message, attempt: Attempt): void {
    const { chain } = attempt
    this.#isAlone = true
    attempt.chain = {
      giveUp: async (error) => {
        this.#leave(message)
        return (await chain?.giveUp(error)) ?? { type: 'failed', error, route: undefined }
      },
    }
  }

  #leave(message: Message): void {
    if (!this.#running.delete(message)) return
    this.#isAlone = false
    this.#pump()
  }

  #ended(message: Message, outcome: Outcome, receiver: Receiver): void {
    if (isLoss(outcome)) {
      this.#suspects.add(message)
      this.#leftBy(receiver)
    } else this.#suspects.delete(message)
    this.#leave(message)
  }

  // Its end is about to be told: nothing more is given to it.
  #leftBy(receiver: Receiver): void {
    if (this.#current === receiver) this.vacate()
  }

  #wait(message: Message, plan: Plan, attempt: Attempt, since: number): Promise<Outcome> {
    const waiting = new Waiting(message, plan, attempt, since, (one) => this.#waiting.delete(one))
    this.#waiting.add(waiting)
    attempt.isWaiting = true
    attempt.chain = waiting
    return waiting.outcome.promise
  }
}

// What stood in the line of an instance that is gone was given to nobody; of what is given up its chain has said how it ended.
function wasBegun(outcome: Outcome, attempt: Attempt): boolean {
  if (outcome.type !== 'notTaken' && !(isLoss(outcome) && attempt.isWaiting === true)) return true
  return attempt.signal.aborted
}

function onWire({ filter, share }: Interest): string {
  return share === undefined ? filter : `$share/${share}/${filter}`
}

function isLoss(outcome: Outcome): boolean {
  if (outcome.type !== 'retry') return false
  return outcome.error instanceof MqttasgiError && outcome.error.code === 'ERR_WORKER_CRASHED'
}

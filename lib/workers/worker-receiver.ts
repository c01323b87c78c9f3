// A worker as the server sees it: one receiver that stays, whatever becomes of the instances behind it.
import type { MqttasgiError } from '../core/errors.ts'
import type { Message } from '../core/message.ts'
import type {
  Attempt,
  Client,
  DisconnectReason,
  Interest,
  Outcome,
  Plan,
  Receiver,
  SessionInfo,
} from '../core/receiver.ts'
import { Blame, type Charge } from './blame.ts'
import { bestOf } from './held-filters.ts'
import { Seat, type Connection, type Refusal } from './seat.ts'
import { Wanting } from './wanting.ts'
import { WorkerGroup } from './worker-group.ts'

/** What a worker is to the server. */
export interface WorkerReceiverParts {
  readonly id: string
  readonly instances: number
  /** Everything it subscribes to is shared with this group. */
  readonly share: string | undefined
  readonly now: () => number
}

export class WorkerReceiver implements Receiver {
  readonly id: string
  readonly seats: readonly [Seat, ...Seat[]]
  readonly #group: WorkerGroup | undefined
  readonly #listeners = new Set<() => void>()
  readonly #blame = new Blame<Seat>()
  readonly #wanting: Wanting<Seat>
  /** It was told that it is over: the server stops, or it is being ended. */
  isDismissed = false
  #connection: Connection | undefined = undefined
  // Where messages without an order go next.
  #turn = 0
  // Those that are not retired.
  #staying: readonly Seat[]

  constructor({ id, instances, now, share }: WorkerReceiverParts) {
    this.id = id
    this.#group = share === undefined ? undefined : new WorkerGroup(id, share)
    const seat = (): Seat =>
      new Seat({
        now,
        changed: () => this.#changed(),
        asked: () => this.#wanting.changed(),
        seenAs: (message) => this.#seen(message),
        heldElsewhere: (one, filter) =>
          bestOf(this.seats.flatMap((other) => (other === one ? [] : (other.holding(filter) ?? [])))),
      })
    this.seats = [seat(), ...Array.from({ length: instances - 1 }, seat)]
    this.#staying = this.seats
    this.#wanting = new Wanting(this.seats)
  }

  get asksWhenConnected(): boolean {
    return this.seats.some((seat) => seat.asksWhenConnected)
  }

  /** The connection that is up, for an instance that comes late. */
  get connection(): Connection | undefined {
    return this.#connection
  }

  /** Never throws: it is asked for the messages of all receivers. */
  interests(): readonly Interest[] {
    const own = this.#staying.flatMap((seat) => seat.interests())
    return this.#group?.shared(own) ?? own
  }

  /** What an instance wants that its worker can not have. */
  conflictOf(instance: Receiver): MqttasgiError | undefined {
    return this.#group?.conflict(instance.interests())
  }

  onInterests(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  plan(message: Message): Plan {
    if (this.seats.length === 1) return this.seats[0].plan(message)
    const meant = this.#meantFor(message)
    // A worker may be given up while some of its instances have not been loaded yet.
    return (meant.find(({ hasRoutes }) => hasRoutes) ?? meant[0]!).plan(message)
  }

  receive(message: Message, plan: Plan, attempt: Attempt): Outcome | Promise<Outcome> {
    const seat = this.#seatOf(message, plan)
    const outcome = seat.receive(message, plan, attempt)
    if (outcome instanceof Promise) return this.#blame.watch(seat, message, attempt, outcome)
    this.#blame.ended(seat, message, outcome)
    return outcome
  }

  /** The instance at this seat has failed: what that is charged to. */
  charge(seat: Seat): Charge | undefined {
    return this.#blame.charge(seat)
  }

  async connected(client: Client, session: SessionInfo): Promise<void> {
    const connection = { client: this.#group?.clientOf(client) ?? client, session }
    this.#connection = connection
    await Promise.all(this.seats.map((seat) => seat.connected(connection)))
  }

  async disconnected(reason: DisconnectReason): Promise<void> {
    this.#connection = undefined
    if (reason.type !== 'lost') this.isDismissed = true
    await Promise.all(this.seats.map((seat) => seat.disconnected(reason)))
  }

  /** No instance will take messages any more. */
  refuse(refusal: Refusal): void {
    for (const seat of this.seats) seat.refuse(refusal)
  }

  /** No instance will sit here any more, and the others go on: they take what it has not begun. */
  retire(seat: Seat, refusal: Refusal, notBegun: Refusal): void {
    this.#staying = this.#staying.filter((one) => one !== seat)
    seat.retire(refusal, notBegun, this.#connection)
    this.#changed()
  }

  #changed(): void {
    this.#wanting.changed()
    for (const listener of this.#listeners) listener()
  }

  // What waits for each other always meets at one instance, the same at each attempt.
  #seatOf(message: Message, plan: Plan): Seat {
    const { seats } = this
    if (seats.length === 1) return seats[0]
    const charged = this.#blame.chargedAt(message)
    // What may have ended one for good might end the next one, too.
    if (charged?.isRetired === true) return charged
    const meant = this.#meantFor(message)
    const number = plan.order === 'none' ? this.#turn++ : hash(placeOf(message, plan))
    const seat = seats[number % seats.length]!
    // Its place does not depend on how many they are, so whatever has one at an instance that stays keeps it.
    return meant.includes(seat) ? seat : meant[Math.floor(number / seats.length) % meant.length]!
  }

  // What only those have asked for that nobody sits at any more has its end there.
  #meantFor(message: Message): readonly Seat[] {
    const meant = this.#wanting.of(this.#seen(message))
    if (this.#staying.length === this.seats.length) return meant
    const staying = meant.filter((seat) => !seat.isRetired)
    return staying.length === 0 ? meant : staying
  }

  #seen(message: Message): Message {
    return this.#group?.own(message) ?? message
  }
}

function placeOf(message: Message, { keyOf, order }: Plan): string {
  if (order === 'strict') return ''
  if (order !== 'key' || keyOf === undefined) return message.topic
  return keyOf(message)
}

/** FNV-1a. */
function hash(text: string): number {
  let value = 0x811c9dc5
  for (let at = 0; at < text.length; at++) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193)
  return value >>> 0
}

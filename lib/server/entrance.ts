// The entrance: messages that wait in front of the window, in the order they came, or to be shed where there are too many.
import type { Clock } from '../core/clock.ts'
import type { Plan } from '../core/receiver.ts'
import type { Arrival } from '../transport/transport.ts'
import { Fifo } from './fifo.ts'
import type { Delivery, Slot } from './job.ts'
import type { Recipients } from './recipients.ts'
import { laneKey } from './runner.ts'
import { Shedding, type Ticket } from './shedding.ts'
import type { Window } from './window.ts'

/** What it works with. */
export interface EntranceParts {
  readonly clock: Clock
  readonly window: Window
  readonly recipients: Pick<Recipients<Slot>, 'of'>
  /** A message was thrown away. */
  readonly shed: (delivery: Delivery) => void
  /** One may go in that could not before. */
  readonly ready: () => void
}

/** Counts the bytes of what waits in the window's books. */
export class Entrance {
  readonly #parts: EntranceParts
  readonly #line = new Fifo<Delivery>()
  readonly #shedding: Shedding<Delivery>
  #sheds = false
  // Whether the line had the last turn.
  #turn = false

  constructor(parts: EntranceParts) {
    this.#parts = parts
    const shed = (delivery: Delivery): void => {
      parts.window.admit(delivery.arrival.bytes)
      parts.shed(delivery)
    }
    this.#shedding = new Shedding(parts.clock, shed, parts.ready)
  }

  get size(): number {
    return this.#line.size + this.#shedding.size
  }

  /** From now on some routes have messages that may be shed. */
  mayShed(): void {
    this.#sheds = true
  }

  /** Whether this one can go in at once, if there is room; else it waits here now. */
  passes(delivery: Delivery): boolean {
    const { arrival } = delivery
    const ticket = this.#sheds ? this.#ticketOf(arrival) : undefined
    if (ticket === undefined && this.#line.size === 0 && this.#parts.window.hasRoom) return true
    if (this.isPrompt(arrival)) return true
    this.#parts.window.wait(arrival.bytes)
    if (ticket === undefined) {
      delivery.inLine = true
      this.#line.push(delivery)
    } else this.#shedding.offer(delivery, ticket)
    return false
  }

  /**
   * Whether it waits for no place. Never where an acknowledgement is owed, which would have to wait for those before it
   * [MQTT-4.6.0-2].
   */
  isPrompt(arrival: Arrival): boolean {
    if (arrival.packetId !== 0) return false
    const slots = this.#parts.recipients.of(arrival.topic, arrival.share)
    return slots.every(
      ({ receiver, waiting }) => waiting === undefined && receiver.plan(arrival).isPrompt === true,
    )
  }

  /** The next one that may go in; in turns, so that neither kind waits for ever. */
  next(): Delivery | undefined {
    this.#turn = !this.#turn
    const next = this.#turn
      ? (this.#line.shift() ?? this.#shedding.next())
      : (this.#shedding.next() ?? this.#line.shift())
    if (next !== undefined) this.#leaves(next)
    return next
  }

  /**
   * The one that must go in first for the sake of this one, if it waits for nothing but room: itself, or what it
   * stands behind. Asked at each arrival while one waits for its time, so it looks at no other.
   */
  nextFor(delivery: Delivery): Delivery | undefined {
    const next = delivery.inLine ? this.#line.shift() : this.#shedding.nextFor(delivery)
    if (next !== undefined) this.#leaves(next)
    return next
  }

  /** A message that went in has ended: the next of its key may. */
  ended(delivery: Delivery): void {
    if (this.#sheds) this.#shedding.ended(delivery)
  }

  /** Takes out, and gives, those of which this is so. */
  takeOut(isOver: (delivery: Delivery) => boolean): Delivery[] {
    const out = [...this.#line.items().filter(isOver), ...this.#shedding.takeOut(isOver)]
    const isOut = new Set(out)
    this.#line.drop((delivery) => isOut.has(delivery))
    for (const delivery of out) this.#leaves(delivery)
    return out
  }

  /** Nothing waits for its time any more. */
  hurry(): void {
    this.#shedding.hurry()
  }

  /** Leaves no timer. */
  stop(): void {
    this.#shedding.stop()
  }

  #leaves(delivery: Delivery): void {
    delivery.inLine = false
    this.#parts.window.admit(delivery.arrival.bytes)
  }

  // Only where every receiver can do without it.
  #ticketOf(arrival: Arrival): Ticket | undefined {
    const slots = this.#parts.recipients.of(arrival.topic, arrival.share)
    // For whoever comes in the place of another it waits as it is.
    if (slots.some(({ waiting }) => waiting !== undefined)) return undefined
    const plans = slots.map(({ receiver }) => receiver.plan(arrival))
    const [first] = plans
    if (first?.shedding === undefined || plans.some(({ shedding }) => shedding === undefined))
      return undefined
    const gates = slots.flatMap((slot, at) => plans[at]!.limits.map((limit) => ({ limit, slot })))
    return {
      policy: first.shedding,
      key: keyFor(first, arrival),
      serial: first.order !== 'none',
      limits: gates.map(({ limit, slot }) => `${slot.receiver.id}\0${limit.name}`).join('\0'),
      hasRoom: () => gates.every(({ limit, slot }) => slot.limits.hasRoom(limit)),
    }
  }
}

// A key that can not be made is its chain's to fail for.
function keyFor(plan: Plan, arrival: Arrival): string {
  try {
    return laneKey(plan, arrival) ?? arrival.topic
  } catch {
    return arrival.topic
  }
}

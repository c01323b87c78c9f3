// The backlog: what comes before those have subscribed who want it waits here, while receivers are still connecting.
import type { Clock } from '../core/clock.ts'
import type { Arrival } from '../transport/transport.ts'
import { Fifo } from './fifo.ts'
import type { Delivery } from './job.ts'
import type { Window } from './window.ts'

/** What it works with. */
export interface BacklogParts {
  readonly clock: Clock
  readonly window: Window
  /** Somebody wants it now. */
  readonly isWanted: (arrival: Arrival) => boolean
  /** These wait no longer: they are to be looked at as if they came now, in this order. */
  readonly released: (deliveries: readonly Delivery[]) => void
}

// Acknowledgements keep the order of arrival, so all that comes later waits as well.
const PATIENCE_MS = 10_000

/** Counts the bytes of what waits in the window's books. */
export class Backlog {
  readonly #parts: BacklogParts
  readonly #held = new Fifo<Delivery>()
  // The order of a topic is kept: what comes behind something that waits does so too.
  #topics = new Set<string>()
  #isOpen = false
  #cancel = nothing

  constructor(parts: BacklogParts) {
    this.#parts = parts
  }

  /** Receivers are connecting: what nobody wants may wait. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  get size(): number {
    return this.#held.size
  }

  /** Receivers are connecting from now on. */
  open(): void {
    this.#cancel()
    this.#isOpen = true
    this.#cancel = this.#parts.clock.after(PATIENCE_MS, () => this.release())
  }

  /** Whether this one waits here now. */
  takes(delivery: Delivery): boolean {
    const { arrival } = delivery
    // What is only to be acknowledged is no one's.
    if (arrival.invalid !== undefined || arrival.settled === true) return false
    if (!this.#topics.has(arrival.topic)) {
      if (this.#parts.isWanted(arrival)) return false
      this.#topics.add(arrival.topic)
    }
    this.#parts.window.wait(arrival.bytes)
    this.#held.push(delivery)
    return true
  }

  /** Nobody is connecting any more, or it has taken too long. */
  release(): void {
    this.stop()
    this.#isOpen = false
    this.#topics = new Set()
    const deliveries = this.#held.clear()
    for (const { arrival } of deliveries) this.#parts.window.admit(arrival.bytes)
    if (deliveries.length > 0) this.#parts.released(deliveries)
  }

  /** Takes out, and gives, those of which this is so. */
  takeOut(isOver: (delivery: Delivery) => boolean): Delivery[] {
    const out = this.#held.items().filter(isOver)
    const isOut = new Set(out)
    this.#held.drop((delivery) => isOut.has(delivery))
    this.#topics = new Set(this.#held.items().map(({ arrival }) => arrival.topic))
    for (const { arrival } of out) this.#parts.window.admit(arrival.bytes)
    return out
  }

  /** Waits for no time any more, and leaves no timer: the connection has ended, perhaps for another one to come. */
  stop(): void {
    this.#cancel()
    this.#cancel = nothing
  }
}

function nothing(): void {}

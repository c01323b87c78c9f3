// The roster: which receivers there are now, what each of them wants, and who is told when that changes.
import type { Interest, Receiver } from '../core/receiver.ts'
import { slotOf, type Slot } from './job.ts'
import type { Wish } from './recipients.ts'
import { wireFilter } from './subscriptions.ts'

/** What this one wants now. */
export function interestsOf(slot: Slot): readonly Interest[] {
  return slot.isVacant ? slot.kept : withKept(slot, slot.receiver.interests())
}

/**
 * These, and what it has asked for by hand. A successor goes on wanting what was kept for it, as long as it has not said
 * otherwise.
 */
export function withKept({ added, kept }: Slot, routes: readonly Interest[]): readonly Interest[] {
  const own = [...routes, ...added.values()]
  if (kept.length === 0) return own
  const asked = new Set(own.map(wireFilter))
  return [...own, ...kept.filter((interest) => !asked.has(wireFilter(interest)))]
}

export class Roster {
  readonly #listeners = new Set<() => void>()
  /** How to stop listening to each receiver. */
  readonly #stops = new Map<Slot, () => void>()
  #slots: readonly Slot[] = []

  constructor(receivers: readonly Receiver[]) {
    this.#slots = receivers.map(slotOf)
    for (const slot of this.#slots) this.#listenTo(slot)
  }

  /** In the order in which they came. */
  get slots(): readonly Slot[] {
    return this.#slots
  }

  /** Who gets messages, and of which filters. */
  get wishes(): readonly Wish<Slot>[] {
    return this.#slots
      .filter(({ isLeaving, waiting }) => !isLeaving || waiting !== undefined)
      .map((slot) => ({ recipient: slot, interests: interestsOf(slot) }))
  }

  /** Calls `listener` whenever somebody came or left, or wants something else; returns its undo. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Something has changed in a slot that only its owner could see. */
  changed(): void {
    for (const listener of this.#listeners) listener()
  }

  withId(id: string): Slot | undefined {
    return this.#slots.find(({ receiver }) => receiver.id === id)
  }

  /** The place of this receiver, also after it has left it to a successor. */
  of(receiver: Receiver): Slot | undefined {
    return this.#slots.find((slot) => slot.receiver === receiver)
  }

  /** Adds a receiver, in the place that one with its id has left to it. */
  enter(receiver: Receiver): Slot {
    const slot = slotOf(receiver)
    const before = this.withId(receiver.id)
    if (before === undefined) this.#slots = [...this.#slots, slot]
    else {
      // Whoever has left a place has left it to be waited for.
      const waiting = before.waiting!
      slot.waiting = waiting
      slot.inFlight = waiting.size
      slot.kept = before.kept
      before.waiting = undefined
      before.isGone = true
      this.#slots = this.#slots.map((one) => (one === before ? slot : one))
    }
    this.#listenTo(slot)
    this.changed()
    return slot
  }

  /** The receiver goes, and its place is kept for one with the same id, with these filters. */
  vacate(slot: Slot, kept: readonly Interest[]): void {
    this.#stopListeningTo(slot)
    slot.isVacant = true
    slot.isLeaving = false
    slot.kept = kept
    slot.added.clear()
    this.changed()
  }

  remove(slot: Slot): void {
    this.#stopListeningTo(slot)
    slot.isGone = true
    this.#slots = this.#slots.filter((one) => one !== slot)
    this.changed()
  }

  /** Nobody is told of anything any more. */
  close(): void {
    this.#listeners.clear()
    for (const slot of this.#slots) this.#stopListeningTo(slot)
  }

  #listenTo(slot: Slot): void {
    this.#stops.set(
      slot,
      slot.receiver.onInterests(() => this.changed()),
    )
  }

  #stopListeningTo(slot: Slot): void {
    this.#stops.get(slot)?.()
    this.#stops.delete(slot)
  }
}

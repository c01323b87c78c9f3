// Shedding: messages of routes that need not see them all wait here, and too many of them are dropped.
import type { Clock } from '../core/clock.ts'
import type { SheddingPolicy } from '../core/receiver.ts'
import { Fifo } from './fifo.ts'
import { StartLines, type Start } from './start-lines.ts'

/** Under which policy, and with which others of its key, a message waits. */
export interface Ticket extends Start {
  readonly policy: SheddingPolicy
  readonly key: string
  /** Not beside another one of its key. */
  readonly serial: boolean
}

interface Entry<D> {
  readonly delivery: D
  readonly ticket: Ticket
  /** Dropped, or started. */
  gone: boolean
}

/** What waits with one key, and when the next of it may start. */
interface Pen<D> {
  readonly name: string
  readonly entries: Fifo<Entry<D>>
  waiting: number
  running: number
  readyAt: number
  queued: boolean
  /** Takes its timer back; `nothing` where there is none. */
  cancel: () => void
}

/** What waits under one policy, in the order it came. */
interface Crowding<D> {
  readonly entries: Fifo<Entry<D>>
  waiting: number
}

// Keys whose last start is remembered for throttling: an attacker's topics must not fill the memory.
const REMEMBERED_KEYS = 10_000
// How many of them are looked at for one that can be forgotten.
const LOOKED_AT = 16
// So many that are gone may stand in a queue beside as many as wait, before they are taken out.
const SPENT = 64

/**
 * Holds messages until their key is free and its time has come; says which may start, and what is dropped. It
 * starts nothing itself.
 */
export class Shedding<D> {
  readonly #clock: Clock
  readonly #dropped: (delivery: D) => void
  readonly #ready: () => void
  readonly #pens = new Map<string, Pen<D>>()
  readonly #crowds = new Map<string, Crowding<D>>()
  // Pens of which one may start, in the order in which that came about.
  readonly #startable = new StartLines<Pen<D>>(
    (pen) => this.#startOf(pen)?.ticket,
    (pen) => (pen.queued = false),
  )
  // One entry for each that waits: it is looked up by its delivery, however many others wait.
  readonly #waiting = new Map<D, Entry<D>>()
  readonly #started = new Map<D, Ticket>()
  #hurries = false

  /** `dropped`: a message was thrown away; `ready`: one may start that could not before. */
  constructor(clock: Clock, dropped: (delivery: D) => void, ready: () => void) {
    this.#clock = clock
    this.#dropped = dropped
    this.#ready = ready
  }

  /** Messages that wait. */
  get size(): number {
    return this.#waiting.size
  }

  /** Keys that are remembered. */
  get keys(): number {
    return this.#pens.size
  }

  /** A message comes, and waits at least until `next` is asked. */
  offer(delivery: D, ticket: Ticket): void {
    const { policy } = ticket
    const pen = this.#penOf(ticket)
    const crowd = this.#crowdOf(policy)
    let old = policy.overflow === 'latest' ? this.#firstOf(pen.entries) : undefined
    if (old === undefined && crowd.waiting >= policy.maxWaiting) {
      if (policy.overflow === 'drop-newest') {
        this.#forget(pen)
        return this.#dropped(delivery)
      }
      old = this.#firstOf(crowd.entries)
    }
    if (old !== undefined) this.#leaveFor(pen, old)
    const entry = { delivery, ticket, gone: false }
    this.#join(entry, pen)
    if (policy.debounceMs > 0) this.#wait(pen, this.#clock.now() + policy.debounceMs)
    this.#queue(pen)
    // Last, for whoever hears of it may ask for the next one at once, and end it.
    if (old !== undefined) this.#dropped(old.delivery)
  }

  /** The next message that may start now; it counts as running then. */
  next(): D | undefined {
    const pen = this.#startable.next()
    if (pen === undefined) return undefined
    const entry = this.#firstOf(pen.entries)!
    this.#start(pen, entry)
    return entry.delivery
  }

  /** The first of the key of this one, if it may start now; it counts as running then. */
  nextFor(delivery: D): D | undefined {
    const entry = this.#waiting.get(delivery)
    if (entry === undefined) return undefined
    const pen = this.#penOf(entry.ticket)
    const first = this.#firstOf(pen.entries)!
    if (!this.#mayStart(pen, first.ticket) || !first.ticket.hasRoom()) return undefined
    this.#start(pen, first)
    return first.delivery
  }

  /** A message that `next` gave has ended, or is not to be run. */
  ended(delivery: D): void {
    const ticket = this.#started.get(delivery)
    if (ticket === undefined) return
    this.#started.delete(delivery)
    // While one of its messages runs a pen is not forgotten.
    const pen = this.#pens.get(penName(ticket))!
    pen.running--
    this.#queue(pen)
    this.#forget(pen)
  }

  /** Waits for no time any more: all that waits may start when its key is free. */
  hurry(): void {
    this.#hurries = true
    for (const pen of this.#pens.values()) {
      pen.cancel()
      pen.cancel = nothing
      this.#queue(pen)
    }
  }

  /** Takes out, and gives, the waiting messages of which this is so; they do not count as dropped. */
  takeOut(isOver: (delivery: D) => boolean): D[] {
    const out = [...this.#crowds.values()]
      .flatMap(({ entries }) => entries.items())
      .filter(({ delivery, gone }) => !gone && isOver(delivery))
    for (const entry of out) this.#forget(this.#leave(entry))
    return out.map(({ delivery }) => delivery)
  }

  /** Leaves no timer. */
  stop(): void {
    for (const pen of this.#pens.values()) pen.cancel()
  }

  #start(pen: Pen<D>, entry: Entry<D>): void {
    const { delivery, ticket } = entry
    this.#leave(entry)
    pen.running++
    this.#started.set(delivery, ticket)
    if (ticket.policy.throttleMs > 0) this.#wait(pen, this.#clock.now() + ticket.policy.throttleMs)
    // Another one of the key may run beside it.
    this.#queue(pen)
  }

  #mayStart(pen: Pen<D>, { serial }: Ticket): boolean {
    const inTime = this.#hurries || pen.readyAt <= this.#clock.now()
    return inTime && !(serial && pen.running > 0)
  }

  #startOf(pen: Pen<D>): Entry<D> | undefined {
    const first = this.#firstOf(pen.entries)
    return first !== undefined && this.#mayStart(pen, first.ticket) ? first : undefined
  }

  #queue(pen: Pen<D>): void {
    if (pen.queued || pen.waiting === 0) return
    const first = this.#startOf(pen)
    if (first === undefined) return
    pen.queued = true
    const line = this.#startable.push(pen, first.ticket)
    if (line.size > 2 * this.#pens.size + SPENT) line.drop((one) => this.#pens.get(one.name) !== one)
  }

  #wait(pen: Pen<D>, until: number): void {
    pen.readyAt = until
    pen.cancel()
    if (this.#hurries) return
    pen.cancel = this.#clock.after(until - this.#clock.now(), () => {
      pen.cancel = nothing
      // Timers may be a little early.
      pen.readyAt = Math.min(pen.readyAt, this.#clock.now())
      this.#queue(pen)
      if (pen.queued) this.#ready()
      this.#forget(pen)
    })
  }

  // The pen that one comes to keeps its turn.
  #leaveFor(coming: Pen<D>, old: Entry<D>): void {
    const pen = this.#leave(old)
    if (pen !== coming) this.#forget(pen)
  }

  // The crowd anew: with the last one that left it, it was forgotten.
  #join(entry: Entry<D>, pen: Pen<D>): void {
    this.#waiting.set(entry.delivery, entry)
    for (const queue of [this.#crowdOf(entry.ticket.policy), pen]) {
      queue.entries.push(entry)
      queue.waiting++
    }
  }

  #leave(entry: Entry<D>): Pen<D> {
    entry.gone = true
    this.#waiting.delete(entry.delivery)
    const crowd = this.#crowdOf(entry.ticket.policy)
    const pen = this.#penOf(entry.ticket)
    // What is gone must not be held for long: its payload is.
    for (const queue of [crowd, pen]) {
      queue.waiting--
      if (queue.entries.size > 2 * queue.waiting + SPENT) queue.entries.drop(({ gone }) => gone)
    }
    // Receivers come and go, and their policies with them.
    if (crowd.waiting === 0) this.#crowds.delete(entry.ticket.policy.name)
    return pen
  }

  // What is gone is left in its queues until it is their first.
  #firstOf(entries: Fifo<Entry<D>>): Entry<D> | undefined {
    for (let entry = entries.peek(); entry !== undefined; entry = entries.peek()) {
      if (!entry.gone) return entry
      entries.shift()
    }
    return undefined
  }

  #penOf(ticket: Ticket): Pen<D> {
    const name = penName(ticket)
    let pen = this.#pens.get(name)
    if (pen === undefined) {
      if (this.#pens.size >= REMEMBERED_KEYS) this.#forgetOldest()
      pen = {
        name,
        entries: new Fifo(),
        waiting: 0,
        running: 0,
        readyAt: 0,
        queued: false,
        cancel: nothing,
      }
      this.#pens.set(name, pen)
    }
    return pen
  }

  #crowdOf({ name }: SheddingPolicy): Crowding<D> {
    let crowd = this.#crowds.get(name)
    if (crowd === undefined) this.#crowds.set(name, (crowd = { entries: new Fifo(), waiting: 0 }))
    return crowd
  }

  // Nothing of its key is here, and no time of it is to be remembered.
  #forget(pen: Pen<D>): void {
    const isIdle = pen.running === 0 && pen.waiting === 0 && pen.cancel === nothing
    if (isIdle && this.#pens.get(pen.name) === pen) this.#pens.delete(pen.name)
  }

  #forgetOldest(): void {
    const pens = this.#pens.values()
    for (let looked = 0; looked < LOOKED_AT && this.#pens.size >= REMEMBERED_KEYS; looked++) {
      const pen = pens.next().value!
      this.#pens.delete(pen.name)
      // What is needed goes to the end: the next search begins behind it.
      if (pen.running > 0 || pen.waiting > 0) this.#pens.set(pen.name, pen)
      else pen.cancel()
    }
  }
}

function nothing(): void {}

function penName({ key, policy }: Ticket): string {
  return `${policy.name}\0${key}`
}

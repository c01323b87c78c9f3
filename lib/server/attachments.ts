// Attachments: how a receiver comes to a server that runs, and how it goes, with what it has in hand and what it holds.
import type { Clock } from '../core/clock.ts'
import { Deadline, drainTimeoutFault } from '../core/deadline.ts'
import { Deferred } from '../core/deferred.ts'
import { MqttasgiError } from '../core/errors.ts'
import { FAREWELL_MS, type DisconnectReason, type Interest, type Receiver } from '../core/receiver.ts'
import type { DetachOptions, DetachResult } from '../core/receiver-host.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { Introductions } from './introductions.ts'
import type { Slot } from './job.ts'
import type { Newcomers } from './newcomers.ts'
import { withKept, type Roster } from './roster.ts'
import type { Subscriber } from './subscriber.ts'

/** What they work with. */
export interface AttachmentsParts {
  readonly roster: Roster
  readonly introductions: Introductions
  readonly newcomers: Newcomers
  readonly subscriber: Subscriber
  readonly dispatcher: Dispatcher
  readonly clock: Clock
  readonly drainTimeoutMs: number
  /** The server has ended. */
  readonly isClosed: () => boolean
}

/** How a receiver goes. */
interface Departure {
  readonly reason: DisconnectReason
  readonly drainTimeoutMs: number
  /** What is kept for a successor; undefined when its place goes with it. */
  readonly keeps: (() => readonly Interest[]) | undefined
}

export class Attachments {
  readonly #parts: AttachmentsParts
  // What ends the wait of those that are about to come.
  readonly #arriving = new Map<Slot, Deferred<never>>()
  readonly #leaving = new Map<Slot, Promise<DetachResult>>()
  #error: MqttasgiError | undefined = undefined

  constructor(parts: AttachmentsParts) {
    this.#parts = parts
  }

  async attach(receiver: Receiver, until?: Promise<never>): Promise<void> {
    const { newcomers, roster, subscriber } = this.#parts
    if (this.#error !== undefined) throw this.#error
    const before = roster.withId(receiver.id)
    if (before !== undefined && !before.isVacant) throw duplicate(receiver.id)
    subscriber.refuseContradictions(receiver)
    const kept = before?.kept
    const slot = roster.enter(receiver)
    if (before !== undefined) this.#parts.dispatcher.waitFor(slot, before)
    newcomers.came(slot)
    const isOver = new Deferred<never>()
    this.#arriving.set(slot, isOver)
    until?.catch((error: unknown) => isOver.reject(error))
    try {
      await Promise.race([this.#arrive(slot), isOver.promise])
      // What comes in the turn in which it has arrived has lost the race, and ends its coming all the same.
      if (isOver.settled) await isOver.promise
    } catch (error) {
      if (!slot.isLeaving && this.#error === undefined) await this.#takeBack(slot, kept, error)
      throw error
    } finally {
      this.#arriving.delete(slot)
    }
    this.#settleIn(slot)
  }

  detach(receiver: Receiver, options: DetachOptions = {}): Promise<DetachResult> {
    const slot = this.#parts.roster.of(receiver)
    if (slot === undefined) return Promise.resolve({ unsettled: 0 })
    if (this.#parts.isClosed()) return Promise.resolve({ unsettled: slot.inFlight })
    const under = this.#leaving.get(slot)
    if (under !== undefined) return under
    const { drainTimeoutMs = this.#parts.drainTimeoutMs, keepSubscriptions, reason } = options
    const fault = drainTimeoutFault(drainTimeoutMs)
    if (fault !== undefined) return Promise.reject(fault)
    if (slot.isVacant) return this.#giveUp(slot, keepSubscriptions === true)
    this.#arriving.get(slot)?.reject(gone(receiver.id))
    const interests = receiver.interests()
    return this.#leave(slot, {
      reason: reason ?? { type: 'killed' },
      drainTimeoutMs,
      keeps: keepSubscriptions === true ? () => withKept(slot, interests) : undefined,
    })
  }

  inFlight(receiver: Receiver): number {
    return this.#parts.roster.of(receiver)?.inFlight ?? 0
  }

  /** The server stops: nobody comes any more. */
  close(error: MqttasgiError): void {
    this.#error ??= error
    for (const isOver of this.#arriving.values()) isOver.reject(error)
  }

  async #arrive(slot: Slot): Promise<void> {
    await this.#parts.introductions.introduce(slot)
    await this.#parts.subscriber.granted(slot)
  }

  // What a predecessor has left is run, and what it held and this one does not want is given up.
  #settleIn(slot: Slot): void {
    if (slot.waiting === undefined) return
    slot.kept = []
    this.#parts.dispatcher.takeUp(slot)
    this.#parts.roster.changed()
  }

  // The place that a predecessor has left goes on waiting, as it was.
  async #takeBack(slot: Slot, kept: readonly Interest[] | undefined, error: unknown): Promise<void> {
    const reason: DisconnectReason = { type: 'failed', ...(error instanceof Error && { error }) }
    await this.#leave(slot, { reason, drainTimeoutMs: 0, keeps: kept && (() => kept) })
  }

  #leave(slot: Slot, departure: Departure): Promise<DetachResult> {
    const leaving = this.#go(slot, departure).finally(() => this.#leaving.delete(slot))
    this.#leaving.set(slot, leaving)
    return leaving
  }

  async #go(slot: Slot, { drainTimeoutMs, keeps, reason }: Departure): Promise<DetachResult> {
    const { clock, dispatcher, introductions, roster, subscriber } = this.#parts
    slot.isLeaving = true
    if (keeps !== undefined) dispatcher.waitFor(slot)
    roster.changed()
    let unsettled = (await this.#drain(slot, drainTimeoutMs)) + slot.givenBack
    const farewell = introductions.leave(slot, reason)
    // The time for the messages may be over when it begins.
    await new Deadline(clock, Math.max(drainTimeoutMs, FAREWELL_MS)).within(farewell)
    if (keeps === undefined) {
      roster.remove(slot)
      // What waited for it to be attached, in the place of another one.
      unsettled = Math.max(unsettled, dispatcher.giveUpWaiting(slot))
      dispatcher.forget(slot)
    } else roster.vacate(slot, keeps())
    await subscriber.told()
    return { unsettled }
  }

  async #drain(slot: Slot, drainTimeoutMs: number): Promise<number> {
    const { clock, dispatcher } = this.#parts
    const idle = dispatcher.idle(slot)
    if (slot.idle === undefined) return 0
    if (drainTimeoutMs > 0) {
      const deadline = new Deadline(clock, drainTimeoutMs)
      await deadline.within(idle)
      if (!deadline.isOver) return 0
    }
    return dispatcher.letGo(slot)
  }

  async #giveUp(slot: Slot, isKept: boolean): Promise<DetachResult> {
    const { dispatcher, roster, subscriber } = this.#parts
    if (isKept) return { unsettled: 0 }
    roster.remove(slot)
    const unsettled = dispatcher.giveUpWaiting(slot)
    dispatcher.forget(slot)
    await subscriber.told()
    return { unsettled }
  }
}

function duplicate(id: string): MqttasgiError {
  return new MqttasgiError(
    'ERR_RECEIVER_DUPLICATE',
    `A receiver with the id "${id}" is attached to this server already. Give each one an id of its own, or detach that one first.`,
    { receiver: id },
  )
}

function gone(id: string): MqttasgiError {
  return new MqttasgiError(
    'ERR_RECEIVER_DETACHED',
    `"${id}" was detached again before it was attached to its server.`,
    { receiver: id },
  )
}

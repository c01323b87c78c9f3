// A delivery, and the work it is for each receiver that gets it.
import type { MqttasgiError } from '../core/errors.ts'
import type { Attempt, Interest, Plan, Receiver, RunningChain } from '../core/receiver.ts'
import type { Owed } from './acks.ts'
import type { Member } from './crowd.ts'
import { Lanes, type Lane } from './lanes.ts'
import { Limits } from './limits.ts'
import type { Burial } from './settlement.ts'
import type { Vacancy } from './vacancy.ts'
import type { Arrival } from '../transport/transport.ts'

/** A message with an acknowledgement owed for it, until all its receivers are done with it. */
export class Delivery implements Owed {
  readonly arrival: Arrival
  /** 0 when nothing is owed. Changes when a redelivery on a new connection joins. */
  packetId: number
  settled = false
  /** It is settled, and that is about to be kept (QoS 2). */
  keeping = false
  /** The connection that waits for the acknowledgement is the one that is up. */
  current: boolean
  /** It takes a place in the window. */
  inWindow = false
  /** It waits in the line in front of the window. */
  inLine = false
  /** It was begun on an older connection, and has come again on this one. */
  resumed = false
  /** It was given back to the broker without having been begun. */
  isLeft = false
  /** The broker does not have it any more and will not send it again: what is left undone of it is lost. */
  isOurs = false
  /** A receiver has given it up, for it will come again: it has no end here. */
  isAbandoned = false
  /** A receiver has been started for it. */
  begun = false
  /** Receivers that are not done. */
  remaining = 0
  /** It may be what the process before this one died of. */
  suspect = false
  /** So many have died of it that it is not run any more. */
  isQuarantined = false
  /** For its acknowledgement on MQTT 5; 0 for yes. */
  reasonCode = 0
  /** It can not be run, and is a dead letter at whoever would have had it. */
  readonly burial: Burial | undefined

  constructor(arrival: Arrival, burial?: Burial) {
    this.arrival = arrival
    this.burial = burial
    this.packetId = arrival.packetId
    this.current = arrival.packetId !== 0
  }

  /** Nobody sends it again, so what was begun of it is brought to its end. */
  get mustEnd(): boolean {
    return this.isOurs || (this.arrival.qos === 0 && this.begun)
  }
}

/** A receiver with what keeps order and limits for it, and how it stands with the server. */
export interface Slot {
  readonly receiver: Receiver
  readonly lanes: Lanes<Job>
  readonly limits: Limits<Job>
  /** Subscriptions that it has asked for by hand, by the filter on the wire. */
  readonly added: Map<string, Interest>
  /** Messages that were handed to it and have no end. */
  inFlight: number
  /** Called when it has nothing any more that was begun or stands in its lanes. */
  idle: (() => void) | undefined
  /** It is about to go: nothing new is begun at it. */
  isLeaving: boolean
  /** What runs at it has been told that nobody waits for it any more. */
  isLetGo: boolean
  /** Messages that it was given and has not begun, and that wait for its successor. */
  givenBack: number
  /** It has gone, and nothing of its place is left, or another one has it. */
  isGone: boolean
  /** It has gone, and left its place to whoever comes with the same id. */
  isVacant: boolean
  /** What waits for that one; undefined where messages are begun. */
  waiting: Vacancy<Delivery> | undefined
  /** The filters that were kept for that one. */
  kept: readonly Interest[]
}

export function slotOf(receiver: Receiver): Slot {
  return {
    receiver,
    lanes: new Lanes<Job>(),
    limits: new Limits<Job>(),
    added: new Map<string, Interest>(),
    inFlight: 0,
    idle: undefined,
    isLeaving: false,
    isLetGo: false,
    givenBack: 0,
    isGone: false,
    isVacant: false,
    waiting: undefined,
    kept: [],
  }
}

/**
 * waiting: for its lane, a limit, or its time to be tried again · running · expired: nobody waits for its handler
 * any more · burying: on its way to the dead letters · over.
 */
export type Stage = 'waiting' | 'running' | 'expired' | 'burying' | 'over'

/** For what may be held without a limit: the default of `holdMs`. */
const NO_HOLD_MS = 60_000

/** One attempt at one delivery at one receiver. It is also what the receiver sees of its run. */
export class Job implements Attempt, Member {
  readonly delivery: Delivery
  readonly slot: Slot
  readonly plan: Plan
  readonly number: number
  /** The lane it runs in; undefined where no order is kept. */
  key: string | undefined = undefined
  /** What the user's `key` function threw: it fails instead of running. */
  fault: Error | undefined = undefined
  /** The lane of its key, once it has it. */
  lane: Lane<Job> | undefined = undefined
  /** How many of the limits of its plan it has a place in. */
  places = 0
  stage: Stage = 'waiting'
  /** The handler has not ended, whether or not somebody waits for it. */
  handlerRuns = false
  chain: RunningChain | undefined = undefined
  /** On the clock of the runner, 0 for none; times of a job that was never waited for are not taken. */
  deadline = 0
  heldSince = 0
  holdUntil = 0
  /** It waits to be tried again: what it becomes if it can not, and how to take the wait back. */
  retry: { readonly burial: Burial; readonly cancel: () => void } | undefined = undefined
  /** What the attempt before this one failed with. */
  readonly failure: Burial | undefined
  /** Begun before, it waits for places to be tried again. */
  isParked = false
  /** Among the jobs that are not over. */
  place = 0
  /** Its receiver can not begin it yet. */
  isWaiting = false
  /** Its receiver has ended without having begun it: the one that follows has the same number. */
  isUntaken = false
  #extraMs = 0
  // Of the time for one attempt, before it was limited by `holdUntil`.
  #until = 0
  #controller: AbortController | undefined = undefined
  #aborted: MqttasgiError | undefined = undefined

  /** `before` is the attempt that failed, with `failure`. */
  constructor(delivery: Delivery, slot: Slot, plan: Plan, before?: Job, failure?: Burial) {
    this.delivery = delivery
    this.slot = slot
    this.plan = plan
    this.failure = failure
    if (before === undefined) {
      this.number = 1
      return
    }
    this.number = before.isUntaken ? before.number : before.number + 1
    this.key = before.key
    this.fault = before.fault
    this.lane = before.lane
    this.heldSince = before.heldSince
    this.holdUntil = before.holdUntil
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#aborted !== undefined) this.#controller.abort(this.#aborted)
    }
    return this.#controller.signal
  }

  /** How long it is in hand, when that is more than twice as long as it may be; else 0. */
  overdueMs(now: number): number {
    const mayMs = this.holdUntil > 0 ? this.holdUntil - this.heldSince : NO_HOLD_MS
    const heldMs = now - this.heldSince
    return heldMs > 2 * mayMs ? heldMs : 0
  }

  abort(reason: MqttasgiError): void {
    this.#aborted ??= reason
    this.#controller?.abort(reason)
  }

  /** Its handler has been started and is waited for. */
  began(now: number): void {
    const { holdMs, timeoutMs } = this.plan
    // Whole numbers: a fraction would cost each message an object for each of them.
    const whole = Math.floor(now)
    if (this.failure === undefined) {
      this.heldSince = whole
      if (holdMs > 0) this.holdUntil = whole + holdMs
    }
    if (this.holdUntil > 0) this.holdUntil += this.#extraMs
    this.#until = timeoutMs > 0 ? whole + timeoutMs + this.#extraMs : 0
    this.deadline = this.#until
    this.#limitByHold()
  }

  extend(ms: number): void {
    if (this.stage === 'waiting') this.#extraMs += ms
    if (this.stage !== 'running') return
    if (this.holdUntil > 0) this.holdUntil += ms
    if (this.deadline > 0) this.deadline += ms
    this.#limitByHold()
  }

  /** Its time is over, and it has not begun: it goes on waiting, unless it is held too long. */
  waitsOn(now: number): boolean {
    const { holdUntil, plan } = this
    if (!this.isWaiting || (holdUntil > 0 && holdUntil <= now + 1)) return false
    this.deadline = Math.floor(now) + plan.timeoutMs
    this.#limitByHold()
    return true
  }

  begins(afterMs: number): void {
    this.isWaiting = false
    if (this.#until === 0) return
    // It may have waited several times, at one receiver after the other.
    this.#until += Math.ceil(afterMs)
    this.deadline = this.#until
    this.#limitByHold()
  }

  #limitByHold(): void {
    const { deadline, holdUntil } = this
    if (holdUntil > 0 && (deadline === 0 || deadline > holdUntil)) this.deadline = holdUntil
  }
}

// A delivery, and the work it is for each receiver that gets it.
import type { MqttasgiError } from '../core/errors.ts'
import type { Clock } from '../core/clock.ts'
import type { Attempt, Plan, Receiver } from '../core/receiver.ts'
import type { Owed } from './acks.ts'
import type { Member } from './crowd.ts'
import type { Lanes } from './lanes.ts'
import type { Arrival } from '../transport/transport.ts'

/** A message with an acknowledgement owed for it, until all its receivers are done with it. */
export class Delivery implements Owed {
  readonly arrival: Arrival
  /** 0 when nothing is owed. Changes when a redelivery on a new connection joins. */
  packetId: number
  settled = false
  /** The connection that waits for the acknowledgement is the one that is up. */
  current: boolean
  /** It takes a place in the window. */
  inWindow = false
  /** It was begun on an older connection, and has come again on this one. */
  resumed = false
  /** Receivers that are not done. */
  remaining = 0

  constructor(arrival: Arrival) {
    this.arrival = arrival
    this.packetId = arrival.packetId
    this.current = arrival.packetId !== 0
  }
}

/** A receiver with the lanes that keep its order. */
export interface Slot {
  readonly receiver: Receiver
  readonly lanes: Lanes<Job>
}

interface Limit {
  readonly clock: Clock
  readonly expired: () => void
  deadline: number
  cancel: () => void
}

/** One delivery at one receiver. It is also what the receiver sees of its run. */
export class Job implements Attempt, Member {
  readonly delivery: Delivery
  readonly slot: Slot
  readonly plan: Plan
  /** The lane it runs in; undefined where no order is kept. */
  readonly key: string | undefined
  readonly number = 1
  /** It has the lane of its key already. */
  hasLane = false
  over = false
  /** Among the jobs that run. */
  place = 0
  #controller: AbortController | undefined = undefined
  #aborted: MqttasgiError | undefined = undefined
  #limit: Limit | undefined = undefined

  constructor(delivery: Delivery, slot: Slot, plan: Plan, key: string | undefined) {
    this.delivery = delivery
    this.slot = slot
    this.plan = plan
    this.key = key
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#aborted !== undefined) this.#controller.abort(this.#aborted)
    }
    return this.#controller.signal
  }

  abort(reason: MqttasgiError): void {
    this.#limit?.cancel()
    this.#limit = undefined
    this.#aborted ??= reason
    this.#controller?.abort(reason)
  }

  /** Calls `expired` when the time of the plan, and what `extend` added, is over. */
  limit(clock: Clock, expired: () => void): void {
    const { timeoutMs } = this.plan
    this.#limit = {
      clock,
      expired,
      deadline: clock.now() + timeoutMs,
      cancel: clock.after(timeoutMs, expired),
    }
  }

  extend(ms: number): void {
    const limit = this.#limit
    if (this.over || limit === undefined) return
    limit.deadline += ms
    limit.cancel()
    limit.cancel = limit.clock.after(Math.max(0, limit.deadline - limit.clock.now()), limit.expired)
  }

  /** The run is over: no timer is left. */
  end(): void {
    this.over = true
    this.#limit?.cancel()
  }
}

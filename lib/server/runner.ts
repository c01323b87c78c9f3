// Runs deliveries at their receivers: in lanes, within their time, until they are over or given up.
import type { Clock } from '../core/clock.ts'
import { MqttasgiError } from '../core/errors.ts'
import type { Outcome, Plan } from '../core/receiver.ts'
import type { Arrival } from '../transport/transport.ts'
import { Crowd } from './crowd.ts'
import { Job, type Delivery, type Slot } from './job.ts'

/** What the runner works with. */
export interface RunnerParts {
  readonly clock: Clock
  /** A job has ended; called before those behind it in its lane are begun. */
  readonly concluded: (job: Job, outcome: Outcome) => void
  /** A job that had to be waited for is over, and what stood behind it has been begun. */
  readonly over: () => void
  readonly defer: (callback: () => void) => void
}

export class Runner {
  readonly #parts: RunnerParts
  readonly #running = new Crowd<Job>()
  #givenUp = false

  constructor(parts: RunnerParts) {
    this.#parts = parts
  }

  /** Handlers that have been started and have not settled. */
  get running(): number {
    return this.#running.size
  }

  /** Runs a delivery at one receiver: now, or when its lane is free. */
  start(delivery: Delivery, slot: Slot): void {
    const { arrival } = delivery
    const plan = slot.receiver.plan(arrival)
    const job = new Job(delivery, slot, plan, laneKey(plan, arrival))
    if (job.key !== undefined && slot.lanes.busy(job.key)) slot.lanes.queue(job.key, job)
    else this.#run(job)
  }

  /** Begins nothing that waits in a lane. */
  dropWaiting(): void {
    for (const job of this.#running) job.slot.lanes.clearWaiting()
  }

  /**
   * Tells every handler that still runs that nobody waits for it any more. One that succeeds all the same
   * has done its work; one that fails for it has not, and its message is left to come again.
   */
  giveUp(reason: MqttasgiError): void {
    this.#givenUp = true
    for (const job of this.#running) job.abort(reason)
  }

  /** Hears no more of what still runs, and leaves no timer of it. Returns how many handlers that are. */
  leave(): number {
    for (const job of this.#running) job.end()
    return this.#running.size
  }

  // A job, and as long as they need not be waited for, those behind it in its lane.
  #run(first: Job): void {
    for (let job: Job | undefined = first; job !== undefined; job = nextInLane(job)) {
      const outcome = job.slot.receiver.receive(job.delivery.arrival, job.plan, job)
      if (outcome instanceof Promise) return this.#await(job, outcome)
      this.#parts.concluded(job, outcome)
    }
  }

  #await(job: Job, outcome: Promise<Outcome>): void {
    this.#running.add(job)
    if (job.key !== undefined && !job.hasLane) {
      job.slot.lanes.take(job.key, job)
      job.hasLane = true
    }
    if (job.plan.timeoutMs > 0) job.limit(this.#parts.clock, () => this.#expired(job))
    void outcome.then((value) => this.#over(job, value))
  }

  #expired(job: Job): void {
    const { topic } = job.delivery.arrival
    const error = new MqttasgiError(
      'ERR_HANDLER_TIMEOUT',
      `The chain for "${topic}" has not ended within ${job.plan.timeoutMs} ms (timeoutMs of ${job.plan.routes.join(', ')}).`,
      { topic, receiver: job.slot.receiver.id },
    )
    job.abort(error)
    // The receiver may have something to say to it, but it is not waited for beyond this turn.
    this.#parts.defer(() => this.#over(job, { type: 'failed', error, route: job.plan.routes[0] }))
  }

  #over(job: Job, outcome: Outcome): void {
    // After a timeout the chain may still end; its message has been settled then.
    if (job.over || (this.#givenUp && outcome.type !== 'done')) return
    job.end()
    this.#running.remove(job)
    this.#parts.concluded(job, outcome)
    const next = nextInLane(job)
    if (next !== undefined) this.#run(next)
    this.#parts.over()
  }
}

function nextInLane(job: Job): Job | undefined {
  if (!job.hasLane || job.key === undefined) return undefined
  const next = job.slot.lanes.next(job.key)
  if (next !== undefined) next.hasLane = true
  return next
}

function laneKey(plan: Plan, arrival: Arrival): string | undefined {
  switch (plan.order) {
    case 'topic':
      return arrival.topic
    case 'key':
      return plan.keyOf?.(arrival) ?? arrival.topic
    case 'strict':
      return ''
    case 'none':
      return undefined
  }
}

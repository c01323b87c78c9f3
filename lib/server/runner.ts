// Runs deliveries at their receivers, in lanes and within limits, and again where they failed, until each has ended; long, for all its stages.
import type { Random } from '../core/backoff.ts'
import type { Clock } from '../core/clock.ts'
import { MqttasgiError, toError } from '../core/errors.ts'
import { onceOnly, plainPlan } from '../core/plain-plan.ts'
import type { Outcome, Plan } from '../core/receiver.ts'
import type { Arrival } from '../transport/transport.ts'
import { Crowd } from './crowd.ts'
import { Deadlines } from './deadlines.ts'
import { Fifo } from './fifo.ts'
import { Job, type Delivery, type Slot } from './job.ts'
import { Vacancy } from './vacancy.ts'
import { burialOrFailure, decide, endOf, type Burial, type Decision, type Settlement } from './settlement.ts'

/** What the runner works with. */
export interface RunnerParts {
  readonly clock: Clock
  readonly random: Random
  /** A job has ended; called before those behind it in its lane are begun. */
  readonly concluded: (job: Job, settlement: Settlement) => void
  /** A job is tried again after so many milliseconds. */
  readonly again: (job: Job, error: Error, afterMs: number) => void
  /** Keeps the message of a job as a dead letter. Resolves with its id when it is kept; never rejects. Undefined: nothing is kept. */
  readonly bury: ((job: Job, burial: Burial) => Promise<string>) | undefined
  /** A job was given up, and its message is left to come again: nothing behind it can be acknowledged any more. */
  readonly abandoned: (job: Job) => void
  /** A job that was not begun never will be: its message comes again, or is of QoS 0. */
  readonly dropped: (job: Job) => void
  /** A receiver that goes has not begun something: it waits for its successor. */
  readonly givenBack: (slot: Slot) => void
  /** A job that had to be waited for is over, or has left its places, and what stood behind it has been begun. */
  readonly over: () => void
  readonly defer: (callback: () => void) => void
}

/** How the end is gone about. no: not at all · hurry: without waiting between attempts · leave: nothing is tried again. */
type Ending = 'no' | 'hurry' | 'leave'

export class Runner {
  readonly #parts: RunnerParts
  /** Begun and not over: they run, wait to be tried again, or are on their way to the dead letters. */
  readonly #open = new Crowd<Job>()
  readonly #deadlines: Deadlines<Job>
  readonly #launching = new Fifo<Job>()
  /** Places that somebody has left, in which messages wait. */
  readonly #vacancies = new Set<Slot>()
  #isLaunching = false
  #last: Plan | undefined = undefined
  #ending: Ending = 'no'
  #givenUp = false
  #left = false

  constructor(parts: RunnerParts) {
    this.#parts = parts
    this.#deadlines = new Deadlines(parts.clock, this.#open, (job) => this.#expired(job))
  }

  /** Messages at receivers that have been begun and are not over. */
  get running(): number {
    return this.#open.size
  }

  /** The routes of the chain that was started last. */
  get lastRoutes(): readonly string[] {
    return this.#last?.routes ?? []
  }

  /** How long the oldest message has been in hand, of those that are for more than twice as long as they may; 0 for none. */
  get overdueMs(): number {
    const now = this.#parts.clock.now()
    let longest = 0
    for (const job of this.#open) longest = Math.max(longest, job.overdueMs(now))
    return longest
  }

  /** Runs a delivery at one receiver: now, or when its lane is free. */
  start(delivery: Delivery, slot: Slot): void {
    if (slot.isGone) this.#release(delivery, slot)
    else if (slot.waiting !== undefined) this.#wait(delivery, slot, slot.waiting)
    else this.#begin(delivery, slot)
  }

  #begin(delivery: Delivery, slot: Slot): void {
    const { arrival } = delivery
    const plan = slot.receiver.plan(arrival)
    const job = new Job(delivery, slot, plan)
    setKey(job, plan, arrival)
    const lane = job.key === undefined ? undefined : slot.lanes.find(job.key)
    if (lane !== undefined) lane.queue(job)
    else if (this.#isLaunching) {
      // Its turn comes within this one, and nobody of its key may come in between.
      takeLane(job)
      this.#launch(job)
    } else this.#run(job)
  }

  /** Keeps a message as a dead letter without running it. */
  bury(delivery: Delivery, slot: Slot, burial: Burial): void {
    const job = new Job(delivery, slot, slot.isVacant ? VACANT : slot.receiver.plan(delivery.arrival))
    job.heldSince = Math.floor(this.#parts.clock.now())
    this.#open.add(job)
    // What processes die of is kept whatever the route says of other failures.
    if (burial.cause === 'crashed') this.#follow(job, { type: 'bury', burial })
    else this.#keep(job, burial)
  }

  /** From now on messages for this place wait for whoever comes to it; `before` had it last. */
  waitFor(slot: Slot, before?: Slot): void {
    slot.waiting ??= new Vacancy<Delivery>()
    this.#vacancies.add(slot)
    if (before !== undefined) this.#vacancies.delete(before)
  }

  /** Whoever was waited for is here: what waited is run. */
  takeUp(slot: Slot): void {
    const waiting = slot.waiting!
    // What comes while these are begun is behind them.
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) this.#begin(next, slot)
    slot.waiting = undefined
    this.#vacancies.delete(slot)
  }

  /** Nobody will come: what waited is over. Returns how many messages that are. */
  giveUpWaiting(slot: Slot): number {
    const left = slot.waiting?.clear() ?? []
    this.#vacancies.delete(slot)
    for (const delivery of left) this.#release(delivery, slot)
    return left.length
  }

  /** Tells what runs at this receiver that nobody waits for it any more, and tries nothing of it again. */
  abort(slot: Slot, reason: MqttasgiError): void {
    slot.isLetGo = true
    for (const job of this.#open) {
      if (job.slot !== slot) continue
      job.retry?.cancel()
      if (job.handlerRuns) job.abort(reason)
    }
  }

  /**
   * Hears no more of what runs and waits at this receiver. It waits for a successor where there is to be one; else it
   * is kept as a dead letter, or has failed. Returns how many messages that are.
   */
  letGo(slot: Slot, reason: MqttasgiError): number {
    const open = [...this.#open].filter((job) => job.slot === slot && job.stage !== 'burying')
    const inLanes = slot.lanes.clear().filter((job) => job.stage !== 'burying')
    const jobs = new Set([...inLanes, ...open, ...slot.limits.clear()])
    const isOpen = new Set(open)
    for (const job of jobs) {
      job.retry?.cancel()
      job.stage = 'over'
      job.lane = undefined
      if (isOpen.has(job)) this.#open.remove(job)
    }
    const { waiting } = slot
    for (const job of jobs) {
      if (waiting === undefined) this.#leaveBehind(job, reason)
      else this.#giveBack(job, waiting)
    }
    return jobs.size
  }

  /**
   * Begins nothing that waits in a lane or for a limit, but for what `needed` says. From now on nothing waits
   * between two attempts (`hurry`), or nothing is tried again (`leave`).
   */
  end(ending: 'hurry' | 'leave', needed: (delivery: Delivery) => boolean): void {
    this.#ending = ending
    for (const slot of this.#vacancies) this.#endWaiting(slot)
    for (const job of this.#open) {
      const { retry } = job
      if (retry === undefined) continue
      retry.cancel()
      if (ending === 'hurry' || job.delivery.mustEnd) this.#again(job, retry.burial)
      else this.#abandon(job)
    }
    if (ending === 'hurry') return
    // All of them before the first leaves a place, which would begin the next.
    const parked = [...this.#open].filter(({ delivery, isParked }) => isParked && !delivery.mustEnd)
    for (const job of parked) this.#takeFromLimits(job)
    this.#dropWaiting(needed)
    for (const job of parked) {
      this.#leavePlaces(job)
      this.#abandon(job)
    }
  }

  /** Begins nothing that waits in a lane or for a limit. */
  dropWaiting(): void {
    this.#dropWaiting(() => false)
  }

  /**
   * Tells every handler that still runs that nobody waits for it any more. One that succeeds all the same
   * has done its work; one that fails for it has not, and its message is left to come again.
   */
  giveUp(reason: MqttasgiError): void {
    this.#givenUp = true
    for (const job of this.#open) {
      job.retry?.cancel()
      if (job.handlerRuns) job.abort(reason)
    }
  }

  /** Hears no more of what still runs, and leaves no timer of it. Returns how many messages that are. */
  leave(): number {
    this.#left = true
    this.#deadlines.stop()
    for (const job of this.#open) job.retry?.cancel()
    let waiting = 0
    for (const slot of this.#vacancies) waiting += slot.waiting!.size
    return this.#open.size + waiting
  }

  // Where nobody will send it again it can not wait beyond the end.
  #wait(delivery: Delivery, slot: Slot, waiting: Vacancy<Delivery>): void {
    if (this.#isLost(delivery)) return this.#release(delivery, slot)
    waiting.push(delivery)
  }

  #giveBack({ delivery, slot }: Job, waiting: Vacancy<Delivery>): void {
    if (this.#isLost(delivery)) return this.#release(delivery, slot)
    waiting.giveBack(delivery)
  }

  #endWaiting(slot: Slot): void {
    const waiting = slot.waiting!
    for (const delivery of waiting.clear()) this.#wait(delivery, slot, waiting)
  }

  #isLost({ isOurs }: Delivery): boolean {
    return this.#ending === 'hurry' || (this.#ending === 'leave' && isOurs)
  }

  #release(delivery: Delivery, slot: Slot): void {
    const job = new Job(delivery, slot, VACANT)
    this.#leaveBehind(job, detached(slot.receiver.id))
  }

  #leaveBehind(job: Job, error: MqttasgiError): void {
    const { delivery, plan } = job
    const route = plan.routes[0]
    job.heldSince ||= Math.floor(this.#parts.clock.now())
    this.#open.add(job)
    const burial: Burial = { cause: 'failed', error, route, reasonCode: 0 }
    this.#follow(job, burialOrFailure(burial, plan.failurePolicy(route, delivery.arrival.qos)))
  }

  // A job, and as long as they need not be waited for, those behind it in its lane.
  #run(first: Job): void {
    for (let job: Job | undefined = first; job !== undefined; job = nextInLane(job)) {
      if (job.plan.limits.length > 0 && !this.#hasPlaces(job)) return this.#park(job)
      if (job.isParked) this.#unpark(job)
      const { delivery, plan, slot } = job
      delivery.begun = true
      this.#last = plan
      const outcome =
        job.fault === undefined ? slot.receiver.receive(delivery.arrival, plan, job) : failed(plan, job.fault)
      if (outcome instanceof Promise) return this.#await(job, outcome)
      if (outcome.type !== 'done') return this.#await(job, Promise.resolve(outcome))
      this.#leavePlaces(job)
      job.stage = 'over'
      this.#parts.concluded(job, endOf(outcome))
    }
  }

  // It waits for a place. If it was begun before it is in hand already, and may be held no longer than that.
  #park(job: Job): void {
    takeLane(job)
    if (job.failure === undefined || job.isParked) return
    job.isParked = true
    job.deadline = job.holdUntil
    this.#open.add(job)
    this.#deadlines.watch(job.deadline)
  }

  #unpark(job: Job): void {
    job.isParked = false
    this.#open.remove(job)
  }

  #await(job: Job, outcome: Promise<Outcome>): void {
    takeLane(job)
    job.began(this.#parts.clock.now())
    job.stage = 'running'
    job.handlerRuns = true
    this.#open.add(job)
    this.#deadlines.watch(job.deadline)
    const ended = (value: Outcome): void => {
      job.handlerRuns = false
      if (job.stage !== 'running') return
      // Nearly all end well: there is nothing to decide.
      if (value.type === 'done') this.#end(job, endOf(value))
      else this.#decide(job, value)
    }
    // A receiver that breaks its word is to cost one message, and not the process.
    void outcome.then(ended, (error: unknown) => ended(failed(job.plan, toError(error))))
  }

  #expired(job: Job): void {
    if (job.isParked) return this.#givenUp ? undefined : this.#heldParked(job)
    if (job.stage !== 'running') return
    if (job.waitsOn(this.#parts.clock.now())) return this.#deadlines.watch(job.deadline)
    job.stage = 'expired'
    const error = this.#expiry(job)
    job.abort(error)
    let outcome: Outcome = { type: 'failed', error, route: job.plan.routes[0] }
    void job.chain?.giveUp(error).then((value) => (outcome = value))
    // onError may have something to say to it, but it is not waited for beyond this turn.
    this.#parts.defer(() => this.#decide(job, outcome))
  }

  #heldParked(job: Job): void {
    this.#takeFromLimits(job)
    this.#leavePlaces(job)
    this.#keep(job, { ...job.failure!, cause: 'held' })
    this.#parts.over()
  }

  #keep(job: Job, burial: Burial): void {
    const policy = job.plan.failurePolicy(burial.route, job.delivery.arrival.qos)
    this.#follow(job, burialOrFailure(burial, policy))
  }

  #takeFromLimits(job: Job): void {
    job.isParked = false
    job.slot.limits.dropWaiting((one) => one === job)
  }

  #expiry({ delivery, deadline, holdUntil, plan, slot }: Job): MqttasgiError {
    const { topic } = delivery.arrival
    const routes = plan.routes.join(', ') || 'the application'
    const details = { topic, receiver: slot.receiver.id }
    if (holdUntil === 0 || deadline < holdUntil) {
      const limit = `within ${plan.timeoutMs} ms (timeoutMs of ${routes})`
      return new MqttasgiError(
        'ERR_HANDLER_TIMEOUT',
        `The chain for "${topic}" has not ended ${limit}.`,
        details,
      )
    }
    const limit = `for ${plan.holdMs} ms (holdMs of ${routes})`
    return new MqttasgiError(
      'ERR_MESSAGE_HELD',
      `The message on "${topic}" has been in hand ${limit}.`,
      details,
    )
  }

  #end(job: Job, settlement: Settlement): void {
    if (job.places > 0) this.#leavePlaces(job)
    this.#over(job, settlement)
  }

  #decide(job: Job, outcome: Outcome): void {
    if (this.#left || job.stage === 'over') return
    // What fails for its signal has not failed: its message comes again, or waits for a successor.
    const { waiting } = job.slot
    const isLeft = this.#givenUp || (job.slot.isLetGo && waiting !== undefined)
    if (isLeft && outcome.type !== 'done') return
    if (waiting !== undefined && outcome.type === 'notTaken') return this.#returned(job, waiting)
    this.#leavePlaces(job)
    const { delivery, handlerRuns, number, plan } = job
    this.#follow(
      job,
      decide(outcome, {
        plan,
        qos: delivery.arrival.qos,
        attempt: number,
        leftMs: job.holdUntil === 0 ? Number.POSITIVE_INFINITY : job.holdUntil - this.#parts.clock.now(),
        stillRuns: handlerRuns,
        random: this.#parts.random,
      }),
    )
    // Also while it waits to be tried again, or is being kept, its places are free.
    this.#parts.over()
  }

  #follow(job: Job, decision: Decision): void {
    if (decision.type === 'end') return this.#over(job, decision.settlement)
    const { burial } = decision
    if (decision.type === 'bury') return this.#bury(job, burial)
    if (this.#ending === 'leave' && !job.delivery.mustEnd) return this.#abandon(job)
    job.isUntaken = decision.type === 'later'
    // Nobody comes any more who would take it.
    if (job.isUntaken && this.#ending !== 'no') return this.#keep(job, burial)
    job.stage = 'waiting'
    if (this.#ending !== 'no') return this.#parts.defer(() => this.#again(job, burial))
    const { afterMs } = decision
    if (!job.isUntaken) this.#parts.again(job, burial.error, afterMs)
    job.retry = { burial, cancel: this.#parts.clock.after(afterMs, () => this.#again(job, burial)) }
  }

  // Its receiver goes and has not begun it, and so begins nothing behind it either.
  #returned(job: Job, waiting: Vacancy<Delivery>): void {
    const { lane, slot } = job
    const behind = lane?.drop(() => true) ?? []
    this.#open.remove(job)
    for (const one of [job, ...behind]) {
      one.stage = 'over'
      slot.givenBack++
      this.#giveBack(one, waiting)
    }
    this.#leavePlaces(job)
    nextInLane(job)
    this.#parts.givenBack(slot)
    this.#parts.over()
  }

  #bury(job: Job, burial: Burial): void {
    const { error, reasonCode, route } = burial
    const { bury } = this.#parts
    if (bury === undefined) return this.#over(job, { type: 'failed', error, route, reasonCode })
    job.stage = 'burying'
    void bury(job, burial).then((letter) =>
      this.#over(job, { type: 'deadLettered', error, route, reasonCode, letter }),
    )
  }

  #again(job: Job, burial: Burial): void {
    if (this.#left || this.#givenUp || job.stage !== 'waiting') return
    job.retry = undefined
    // It did not heed its signal. To start it beside itself could do its work twice at once.
    if (job.handlerRuns) return this.#keep(job, burial)
    this.#open.remove(job)
    job.stage = 'over'
    const next = new Job(job.delivery, job.slot, job.plan, job, burial)
    if (next.lane !== undefined) next.lane.running = next
    this.#launch(next)
    this.#parts.over()
  }

  // Not ended, and not to be: its message comes again. What stands behind it in its lane does too, but for what is ours.
  #abandon(job: Job): void {
    job.stage = 'over'
    this.#open.remove(job)
    const behind = job.lane?.drop(({ delivery }) => !delivery.mustEnd) ?? []
    const next = nextInLane(job)
    this.#parts.abandoned(job)
    this.#drop(behind)
    if (next !== undefined) this.#launch(next)
    this.#parts.over()
  }

  #over(job: Job, settlement: Settlement): void {
    if (this.#left) return
    job.stage = 'over'
    this.#open.remove(job)
    this.#parts.concluded(job, settlement)
    const next = nextInLane(job)
    if (next !== undefined) this.#launch(next)
    this.#parts.over()
  }

  // In a loop instead of within each other: thousands may wait for one limit, and end at once.
  #launch(job: Job): void {
    this.#launching.push(job)
    if (this.#isLaunching) return
    this.#isLaunching = true
    for (let next = this.#launching.shift(); next !== undefined; next = this.#launching.shift())
      this.#run(next)
    this.#isLaunching = false
  }

  /** Takes the places that are still missing; false while it waits for one. */
  #hasPlaces(job: Job): boolean {
    const { limits } = job.plan
    for (; job.places < limits.length; job.places++) {
      if (!job.slot.limits.take(limits[job.places]!, job)) return false
    }
    return true
  }

  #leavePlaces(job: Job): void {
    for (; job.places > 0; job.places--) {
      const next = job.slot.limits.leave(job.plan.limits[job.places - 1]!)
      if (next === undefined) continue
      next.places++
      this.#launch(next)
    }
  }

  #dropWaiting(needed: (delivery: Delivery) => boolean): void {
    const isOver = ({ delivery }: Job): boolean => !needed(delivery)
    const slots = [...new Set([...this.#open].map(({ slot }) => slot))]
    const inLanes = slots.flatMap(({ lanes }) => lanes.dropWaiting(isOver))
    const atLimits = slots.flatMap(({ limits }) => limits.dropWaiting(isOver))
    // One that was begun before is among those that are open, and given up there.
    this.#drop([...inLanes, ...atLimits.filter(({ isParked }) => !isParked)])
  }

  // What waited for their end, or stood behind them, and is to be run all the same, goes on.
  #drop(jobs: readonly Job[]): void {
    for (const job of jobs) {
      job.stage = 'over'
      this.#parts.dropped(job)
    }
    for (const job of jobs) {
      this.#leavePlaces(job)
      const next = nextInLane(job)
      if (next !== undefined) this.#launch(next)
    }
  }
}

// Of a receiver that is not here any more nobody can say what it would have done.
const VACANT: Plan = {
  ...plainPlan,
  failurePolicy: (_route, qos) => ({ ...onceOnly, deadLetter: qos > 0 }),
}

/** What becomes of messages that a receiver leaves behind. */
export function detached(id: string): MqttasgiError {
  return new MqttasgiError(
    'ERR_RECEIVER_DETACHED',
    `"${id}" was detached from its server before it was done with this message.`,
    { receiver: id },
  )
}

function takeLane(job: Job): void {
  if (job.key === undefined || job.lane !== undefined) return
  job.lane = job.slot.lanes.take(job.key, job)
}

function nextInLane(job: Job): Job | undefined {
  const { lane } = job
  if (lane === undefined) return undefined
  const next = job.slot.lanes.next(lane)
  if (next !== undefined) next.lane = lane
  return next
}

function setKey(job: Job, plan: Plan, arrival: Arrival): void {
  try {
    job.key = laneKey(plan, arrival)
  } catch (thrown) {
    job.key = arrival.topic
    job.fault = toError(thrown)
  }
}

// NUL is in no topic [MQTT-4.7.3-2], so keys and topics never meet.
export function laneKey(plan: Plan, arrival: Arrival): string | undefined {
  switch (plan.order) {
    case 'topic':
      return arrival.topic
    case 'key':
      return plan.keyOf === undefined ? arrival.topic : `\0${plan.keyOf(arrival)}`
    case 'strict':
      return '\0'
    case 'none':
      return undefined
  }
}

function failed(plan: Plan, error: Error): Outcome {
  return { type: 'failed', error, route: plan.routes[0] }
}

// One simulated process, from start to crash or stop: a dispatcher, its receivers, and what must hold at them at each step.
import { Deferred } from '../../lib/core/deferred.ts'
import { silentLog } from '../../lib/core/log.ts'
import type { FailurePolicy, Outcome, Plan, Receiver } from '../../lib/core/receiver.ts'
import { zeroCounters, type Counters } from '../../lib/server/counters.ts'
import { DeadLetters } from '../../lib/server/dead-letters.ts'
import { Dispatcher, type DispatcherParts } from '../../lib/server/dispatcher.ts'
import { slotOf, type Delivery, type Job, type Slot } from '../../lib/server/job.ts'
import { messageKey } from '../../lib/server/message-key.ts'
import { Recipients } from '../../lib/server/recipients.ts'
import type { Burial, Settlement } from '../../lib/server/settlement.ts'
import { Suspects } from '../../lib/server/suspects.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import type { SeededRandom } from '../helpers/seeded-random.ts'
import type { Publication, SimulatedArrival } from './broker.ts'
import { fail } from './failing.ts'
import type { History } from './history.ts'
import { laneOf, NeverError, type Scenario } from './scenario.ts'
import { Disk, type SimulatedLedger, type SimulatedLetters } from './stores.ts'

/** What all processes of one seed share. */
export interface World {
  readonly random: SeededRandom
  readonly scenario: Scenario
  readonly history: History
  readonly letters: SimulatedLetters
  readonly ledger: SimulatedLedger
  readonly trace: (line: string) => void
}

/** One attempt. */
export interface Run {
  readonly job: Job
  readonly task: Task
  readonly begunAt: number
  readonly ended: Deferred<Outcome>
  /** It ends only when nobody waits for it any more. */
  readonly isStuck: boolean
  extraMs: number
  /** What the server is told, and when. */
  outcome: Outcome | undefined
  endedAt: number | undefined
}

/** One message at one receiver. */
interface Task {
  readonly publication: Publication
  readonly receiver: number
  readonly plan: Plan
  readonly lane: string | undefined
  readonly startedAt: number
  readonly process: number
  readonly runs: Run[]
  readonly delivery: Delivery
  begunAt: number
  extraMs: number
  burial: Burial | undefined
}

export class Process {
  readonly dispatcher: Dispatcher
  readonly counters: Counters = zeroCounters()
  readonly clock: FakeClock = new FakeClock()
  readonly lettersDisk: Disk
  readonly ledgerDisk: Disk
  /** For what is done with of QoS 2. */
  readonly exchangesDisk: Disk
  readonly deadLetters: DeadLetters | undefined
  readonly slots: readonly Slot[]
  drained: 'no' | 'draining' | 'yes' = 'no'
  /** It ended by accident: nothing that it still does counts. */
  isDead = false
  connections = 0
  /** Of what was shed, how much was accounted for. */
  shedSeen = 0
  /** Messages that came for the first time and were to run. */
  admitted = 0
  readonly #world: World
  readonly #number: number
  readonly #ledger: ReturnType<SimulatedLedger['open']> | undefined
  // Begun, and not ended.
  readonly #tasks = new Map<Delivery, Map<number, Task>>()
  readonly #open = new Set<Run>()
  // By key, what processes die of: kept as a dead letter without being run.
  readonly #putAway = new Set<string>()
  #settledDeliveries = 0
  readonly #remaining = new Map<Delivery, number>()
  #deferred: (() => void)[] = []

  constructor(world: World, port: DispatcherParts['port']) {
    this.#world = world
    this.#number = ++world.history.processes
    const { ledger, letters, random, scenario } = world
    this.lettersDisk = new Disk(random, letters.isBroken)
    this.ledgerDisk = new Disk(random)
    this.exchangesDisk = new Disk(random)
    this.#ledger = scenario.ledger ? ledger.open(this.ledgerDisk) : undefined
    this.deadLetters =
      scenario.store === 'none'
        ? undefined
        : new DeadLetters({
            store: letters.open(this.lettersDisk),
            clientId: 'simulated',
            clock: this.clock,
            wallClock: () => 0,
            backoff: ({ tries }) => Math.min(tries, 5) * 10,
            log: silentLog,
          })
    this.slots = scenario.receivers.map((plans, at) => slotOf(this.#receiver(at, plans)))
    this.dispatcher = new Dispatcher({
      port,
      recipients: this.#recipients(),
      copies: {
        judge: ({ subscriptionIdentifiers }) =>
          subscriptionIdentifiers.length > 0 ? { type: 'copy' } : { type: 'run', share: undefined },
      },
      counters: this.counters,
      limits: { maxInFlight: scenario.maxInFlight, maxWaitingBytes: 40 },
      clock: this.clock,
      random: () => random.below(1_000) / 1_000,
      log: silentLog,
      suspects: this.#ledger && new Suspects(this.#ledger, scenario.maxInFlight, silentLog),
      bury: this.deadLetters && ((job, burial) => this.#bury(job, burial)),
      report: (job, settlement) => this.#report(job, settlement),
      defer: (callback) => this.#deferred.push(callback),
    })
    const plans = scenario.receivers.flat()
    this.dispatcher.survey({
      isStrict: plans.some(({ order }) => order === 'strict'),
      sheds: plans.some(({ shedding }) => shedding !== undefined),
    })
  }

  /** Handlers that have not ended. */
  get open(): ReadonlySet<Run> {
    return this.#open
  }

  get hasTasks(): boolean {
    return this.#tasks.size > 0
  }

  /** Deliveries that all their receivers are done with. */
  get settledDeliveries(): number {
    return this.#settledDeliveries
  }

  /** The end of a turn. */
  flush(): void {
    // What comes of it too: an acknowledgement may follow.
    while (this.#deferred.length > 0 && !this.isDead) this.#deferred.shift()?.()
  }

  /** A handler ends as it likes; false when none can. */
  endOne(): boolean {
    const able = [...this.#open].filter(({ isStuck, job }) => !isStuck || job.stage !== 'running')
    const run = this.#world.random.pick(able)
    if (run === undefined) return false
    this.end(run, this.#draw())
    return true
  }

  end(run: Run, outcome: Outcome): void {
    this.#open.delete(run)
    if (run.job.stage === 'running') this.#note(run, outcome)
    this.#world.trace(`${name(run.task)} attempt ${run.job.number} ends: ${outcome.type}`)
    run.ended.resolve(outcome)
  }

  extendOne(): void {
    const run = this.#world.random.pick([...this.#open])
    if (run?.job.stage === 'running') extend(run)
  }

  /** Time goes by; what a timer leads to happens before the next one is due. */
  async advance(ms: number): Promise<void> {
    const { clock } = this
    const end = clock.now() + ms
    await everything()
    for (let at = clock.nextAt; at !== undefined && at <= end; at = clock.nextAt) {
      clock.advance(Math.max(0, at - clock.now()))
      await everything()
      if (this.isDead) return
    }
    clock.advance(end - clock.now())
    this.#checkTimes()
  }

  #checkTimes(): void {
    const now = this.clock.now()
    // Only what is on its way to the dead letters has no limit; and what has none left ends with its turn.
    const isBurying = this.lettersDisk.waiting > 0 || this.deadLetters?.fault !== undefined
    const isTurnOver = this.#deferred.length === 0
    if (this.drained === 'no' && isTurnOver && !isBurying && this.dispatcher.overdueMs > 0)
      fail('a message is in hand for more than twice as long as it may be')
    for (const { begunAt, extraMs, job, task } of this.#open) {
      const { timeoutMs } = task.plan
      if (job.stage === 'running' && timeoutMs > 0 && now > begunAt + timeoutMs + extraMs)
        fail(`${name(task)} runs longer than it may`)
    }
  }

  /** It ends well. */
  async endWell(): Promise<void> {
    await this.#ledger?.cleanEnd()
  }

  /** By key, what was in hand and may be what it died of, and what may be taken for it. */
  get suspects(): { readonly inHand: readonly string[]; readonly noted: readonly string[] } {
    const ledger = this.#ledger
    // What is put away stays in the book until it is acknowledged, and is not run: the next one may be.
    const inHand = [...(ledger?.inHand.keys() ?? [])].filter((key) => !this.#putAway.has(key))
    return { inHand, noted: [...(ledger?.noted ?? [])] }
  }

  /** Nothing is taken that was to be given back. */
  checkNothingIsLeft(): void {
    const { dispatcher } = this
    if (dispatcher.inHand > 0) fail(`${dispatcher.inHand} messages are still in hand`)
    if (dispatcher.running > 0) fail(`${dispatcher.running} handlers run for ever`)
    if (this.deadLetters?.fault !== undefined) fail('the dead letters are still said to be down')
    for (const [at, { lanes, limits }] of this.slots.entries()) {
      if (lanes.size > 0) fail(`${lanes.size} lanes of receiver ${at} are still taken`)
      for (const limit of new Set(this.#world.scenario.receivers[at]!.flatMap((plan) => plan.limits))) {
        for (let i = 0; i < limit.most; i++)
          if (!limits.take(limit, {} as Job)) fail(`a place of ${limit.name} is still taken`)
      }
    }
    const { shed } = this.counters
    if (this.connections === 1 && this.admitted !== this.#settledDeliveries + shed)
      fail(`${this.admitted} messages came, ${this.#settledDeliveries} were settled, and ${shed} shed`)
  }

  #bury(job: Job, burial: Burial): Promise<string> {
    const { publication } = job.delivery.arrival as SimulatedArrival
    const task = this.#taskOf(job, publication)
    task.burial = burial
    if (burial.cause === 'crashed') {
      this.#putAway.add(messageKey(job.delivery.arrival))
      this.#world.history.quarantined(task, job.delivery)
    }
    return this.deadLetters!.bury(job, burial)
  }

  #report(job: Job, settlement: Settlement): void {
    if (this.isDead) return
    const { publication } = job.delivery.arrival as SimulatedArrival
    const task = this.#taskOf(job, publication)
    const { receiver } = task
    this.#world.trace(`${name(task)} has ended: ${settlement.type}`)
    if (this.#tasks.get(job.delivery)?.delete(receiver) !== true) fail(`${name(task)} was reported twice`)
    if (this.#tasks.get(job.delivery)?.size === 0) this.#tasks.delete(job.delivery)
    this.#checkEnd(task, settlement)
    this.#world.history.ended(task, settlement)
    const remaining = (this.#remaining.get(job.delivery) ?? this.slots.length) - 1
    this.#remaining.set(job.delivery, remaining)
    if (remaining < 0) fail(`${name(task)} was reported to more receivers than there are`)
    if (remaining === 0) this.#settledDeliveries++
  }

  // How it ended must follow from how its last attempt did.
  #checkEnd(task: Task, { type }: Settlement): void {
    const { burial, publication, receiver, runs } = task
    const { letters } = this.#world
    // One whose time is over, and that has not said anything to that, has failed.
    const outcome = runs.at(-1)?.outcome ?? failureOf(new Error('too late'))
    if (type === 'deadLettered') {
      if (letters.count(`${receiver}`, publication.topic, publication.payload) === 0)
        fail(`${name(task)} is said to be kept, and is not`)
      if (burial === undefined) fail(`${name(task)} is a dead letter without a cause`)
    }
    if (burial?.cause === 'crashed' || runs.length === 0) return
    const last = runs.at(-1)
    if (last?.outcome === undefined && last?.job.stage === 'running')
      fail(`${name(task)} has ended, and its handler has not`)
    const isDone = type === 'handled' || type === 'unmatched'
    if (isDone !== (outcome.type === 'done')) fail(`${name(task)} ended as ${outcome.type}, and is ${type}`)
    if ((type === 'dropped') !== (outcome.type === 'dropped')) fail(`${name(task)} was dropped, or was not`)
    if (isDone || type === 'dropped') return
    const policy = policyOf(task)
    if (type === 'failed' && policy.deadLetter && this.deadLetters !== undefined)
      fail(`${name(task)} was to be kept, and is not`)
    if (type === 'deadLettered' && !policy.deadLetter) fail(`${name(task)} is kept, and was not to be`)
    this.#checkGivenUp(task, outcome, policy)
  }

  #checkGivenUp(task: Task, outcome: Outcome, { retry }: FailurePolicy): void {
    const { begunAt, extraMs, plan, runs } = task
    const last = runs.at(-1)
    if (outcome.type === 'done' || outcome.type === 'rejected' || runs.length === retry.attempts) return
    if (outcome.error instanceof NeverError && retry.never.length > 0) return
    // It does not end, so it can not be started again.
    if (last?.endedAt === undefined || last.isStuck) return
    const wait = outcome.type === 'retry' ? outcome.afterMs : undefined
    const longest = wait ?? Math.min(retry.maxDelayMs, retry.minDelayMs * 2 ** (runs.length - 1))
    // Times are taken in whole milliseconds, and what is due within one is due.
    const mostMs = plan.holdMs + extraMs - 2
    if (plan.holdMs > 0 && last.endedAt - begunAt + Math.max(longest, 1) >= mostMs) return
    // It waited for a place to be tried again, for as long as it may be held.
    if (plan.holdMs > 0 && plan.limits.length > 0 && this.clock.now() - begunAt >= mostMs) return
    fail(`${name(task)} was given up after ${runs.length} of ${retry.attempts} attempts`)
  }

  #recipients(): Recipients<Slot> {
    const recipients = new Recipients<Slot>()
    const interest = {
      filter: '#',
      source: '#',
      share: undefined,
      qos: 2,
      noLocal: false,
      retainHandling: 0,
      retainAsPublished: false,
    } as const
    recipients.update(this.slots.map((slot) => ({ recipient: slot, interests: [interest] })))
    return recipients
  }

  #receiver(at: number, plans: readonly Plan[]): Receiver {
    return {
      id: `${at}`,
      interests: () => [],
      onInterests: () => () => {},
      plan: ({ topic }) => plans[Number(topic.slice(2))] ?? fail(`no plan for ${topic}`),
      // The attempt of a receiver is the job itself.
      receive: (_message, _plan, attempt) => this.#start(attempt as Job),
      connected: () => Promise.resolve(),
      disconnected: () => Promise.resolve(),
    }
  }

  #taskOf(job: Job, publication: Publication): Task {
    const { delivery, plan } = job
    const receiver = Number(job.slot.receiver.id)
    let tasks = this.#tasks.get(delivery)
    if (tasks === undefined) this.#tasks.set(delivery, (tasks = new Map<number, Task>()))
    let task = tasks.get(receiver)
    if (task === undefined) {
      task = {
        publication,
        receiver,
        plan,
        lane: laneOf(plan, publication.topic, publication.payload),
        startedAt: this.#world.history.tick(),
        process: this.#number,
        runs: [],
        delivery,
        begunAt: this.clock.now(),
        extraMs: 0,
        burial: undefined,
      }
      tasks.set(receiver, task)
    }
    return task
  }

  #start(job: Job): Outcome | Promise<Outcome> {
    if (this.isDead) return new Promise(() => {})
    const { history, random, scenario } = this.#world
    const { publication } = job.delivery.arrival as SimulatedArrival
    this.#checkStart(job, publication)
    const task = this.#taskOf(job, publication)
    if (job.number === 1) history.started(task)
    else history.tally.retried++
    const { holdMs, timeoutMs } = task.plan
    const run: Run = {
      job,
      task,
      begunAt: this.clock.now(),
      ended: new Deferred<Outcome>(),
      isStuck: timeoutMs + holdMs > 0 && random.chance(scenario.trouble * 0.2),
      extraMs: 0,
      outcome: undefined,
      endedAt: undefined,
    }
    task.runs.push(run)
    this.#world.trace(
      `${name(task)} attempt ${job.number} begins${job.delivery.suspect ? ', a suspect' : ''}`,
    )
    if (random.chance(0.1)) extend(run)
    if (publication.poison) {
      this.isDead = true
      history.poisoned(publication)
      return new Promise(() => {})
    }
    if (!run.isStuck && random.chance(0.35)) {
      const outcome = this.#draw()
      this.#note(run, outcome)
      run.ended.resolve(outcome)
      return outcome
    }
    this.#open.add(run)
    if (random.chance(0.3)) job.chain = { giveUp: (error) => this.#giveUp(run, error) }
    return run.ended.promise
  }

  // Its onError may decide, if it is quick.
  #giveUp(run: Run, error: Error): Promise<Outcome> {
    const { random } = this.#world
    const outcome = random.chance(0.5) ? failureOf(error) : this.#draw(true)
    if (random.chance(0.3)) return new Promise(() => {})
    run.outcome = outcome
    return Promise.resolve(outcome)
  }

  #note(run: Run, outcome: Outcome): void {
    run.outcome = outcome
    run.endedAt = this.clock.now()
  }

  #draw(fails = false): Outcome {
    const { random, scenario } = this.#world
    if (!fails && !random.chance(scenario.trouble)) return { type: 'done', handled: random.chance(0.95) }
    const error = new Error('it can not')
    const route = undefined
    const kind = random.below(6)
    if (kind === 0) return { type: 'rejected', error, route, reasonCode: random.chance(0.5) ? 0x99 : 0 }
    if (kind === 1) return { type: 'dropped', error, route }
    if (kind === 2) return { type: 'failed', error: new NeverError('never'), route }
    if (kind === 3) return { type: 'retry', error, route, afterMs: random.pick([undefined, 0, 5, 500]) }
    return failureOf(error)
  }

  #checkStart(job: Job, publication: Publication): void {
    const { delivery, number, plan, slot } = job
    const receiver = Number(slot.receiver.id)
    const what = `${publication.number} at ${receiver}`
    const task = this.#tasks.get(delivery)?.get(receiver)
    const runs = task?.runs ?? []
    if (publication.unwanted !== undefined)
      this.#world.history.unexpected(`${what} is ${publication.unwanted}`)
    if (number !== runs.length + 1) fail(`attempt ${number} of ${what} comes after ${runs.length}`)
    const policy = plan.failurePolicy(undefined, publication.qos)
    if (number > policy.retry.attempts) fail(`attempt ${number} of ${what}, of ${policy.retry.attempts}`)
    if (task !== undefined) this.#checkAgain(task, policy)
    const others = [...this.#tasks].filter(([other, tasks]) => other !== delivery && isInHand(other, tasks))
    const most = this.#most(delivery)
    if (others.length + 1 > most) fail(`${others.length + 1} messages run, of ${most}, with ${what}`)
    const lane = laneOf(plan, publication.topic, publication.payload)
    for (const [{ isAbandoned }, tasks] of others) {
      const other = tasks.get(receiver)
      if (lane === undefined || other?.lane !== lane || (isAbandoned && isOver(other))) continue
      fail(`${what} runs beside ${name(other)}, in ${lane}`)
    }
    for (const { most: limit, name: gate } of plan.limits) {
      const inside = [...this.#open].filter(
        (run) =>
          run.task.receiver === receiver && run.task.plan.routes[0] === gate && run.job.stage === 'running',
      )
      if (inside.length >= limit) fail(`${inside.length + 1} run in ${gate}, of ${limit}, with ${what}`)
    }
  }

  #most(delivery: Delivery): number {
    const isStrict = this.#world.scenario.receivers.flat().some(({ order }) => order === 'strict')
    return isStrict || delivery.suspect ? 1 : this.#world.scenario.maxInFlight
  }

  #checkAgain(task: Task, { retry }: FailurePolicy): void {
    const { begunAt, extraMs, plan, runs } = task
    const now = this.clock.now()
    const before = runs.at(-1)
    if (before === undefined) return
    if (!before.ended.settled) fail(`${name(task)} is started beside itself`)
    const isHurried = this.drained !== 'no'
    if (plan.holdMs > 0 && now - begunAt > plan.holdMs + extraMs && plan.limits.length === 0 && !isHurried)
      fail(`${name(task)} is started after ${now - begunAt} ms`)
    const { endedAt, outcome } = before
    if (endedAt === undefined || outcome === undefined || isHurried) return
    if (outcome.type !== 'failed' && outcome.type !== 'retry') fail(`${name(task)} runs again`)
    if (outcome.error instanceof NeverError && retry.never.length > 0) fail(`${name(task)} runs again`)
    const afterMs = outcome.type === 'retry' ? outcome.afterMs : undefined
    const longest = Math.min(retry.maxDelayMs, retry.minDelayMs * 2 ** (runs.length - 1))
    const least = afterMs ?? (retry.jitter ? 0 : longest)
    const most = plan.limits.length > 0 ? Number.POSITIVE_INFINITY : (afterMs ?? longest)
    const waited = now - endedAt
    if (waited < least - 0.001 || waited > most + 0.001)
      fail(`${name(task)} waited ${waited} ms, not ${least} to ${most}`)
  }
}

/** All that waits for nothing but its turn has happened. */
function everything(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

function extend(run: Run): void {
  run.job.extend(30)
  run.extraMs += 30
  run.task.extraMs += 30
}

function policyOf({ plan, publication }: Task): FailurePolicy {
  return plan.failurePolicy(undefined, publication.qos)
}

function failureOf(error: Error): Outcome {
  return { type: 'failed', error, route: undefined }
}

function name({ publication, receiver }: Pick<Task, 'publication' | 'receiver'>): string {
  return `${publication.number} at ${receiver}`
}

/** What is to come again is in hand as long as it runs at another receiver. */
function isInHand({ isAbandoned }: Delivery, tasks: ReadonlyMap<number, Task>): boolean {
  const open = [...tasks.values()]
  return isAbandoned ? !open.every(isOver) : open.length > 0
}

// One receiver may have given up what another one still runs.
function isOver({ runs }: Task): boolean {
  return runs.at(-1)?.job.stage === 'over'
}

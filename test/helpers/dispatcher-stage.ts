// A dispatcher on a stage: arrivals come when the test says, and handlers end when the test says.
import { Deferred } from '../../lib/core/deferred.ts'
import { silentLog, type Logger } from '../../lib/core/log.ts'
import type { Attempt, Outcome, Plan, Receiver } from '../../lib/core/receiver.ts'
import type { CopyVerdict } from '../../lib/server/copies.ts'
import { zeroCounters } from '../../lib/server/counters.ts'
import { Dispatcher } from '../../lib/server/dispatcher.ts'
import { slotOf, type Job, type Slot } from '../../lib/server/job.ts'
import { Recipients } from '../../lib/server/recipients.ts'
import type { Burial, Settlement } from '../../lib/server/settlement.ts'
import type { Arrival, ConnectionFailure } from '../../lib/transport/transport.ts'
import type { WindowLimits } from '../../lib/server/window.ts'
import type { Suspects } from '../../lib/server/suspects.ts'
import { FakeClock, settled } from './fake-clock.ts'
import { plainPlan } from './plan.ts'

export const HANDLED: Outcome = { type: 'done', handled: true }

/** One start of one receiver for one message. */
export interface StagedRun {
  readonly receiver: number
  readonly payload: string
  readonly attempt: Attempt
  readonly ended: Deferred<Outcome>
}

export interface StageOptions extends Partial<WindowLimits> {
  readonly receivers?: number
  readonly plan?: Partial<Plan>
  /** By topic, beyond `plan`. */
  readonly planOf?: (topic: string, receiver: number) => Partial<Plan>
  /** These payloads are handled without a promise. */
  readonly synchronous?: (payload: string) => boolean
  readonly judge?: (topic: string) => CopyVerdict
  readonly log?: Logger
  readonly suspects?: Suspects
  /** Called at each start, in the handler's own turn. */
  readonly begun?: (attempt: Attempt) => void
  /** Called with the payload of what is to be a dead letter; resolves when it is kept. */
  readonly bury?: (payload: string, burial: Burial) => Promise<void>
  /** Whether an acknowledgement can be written. */
  readonly writes?: () => boolean
  /** Called with the packet id of what is done with, of QoS 2; resolves when that is kept. */
  readonly keep?: (packetId: number) => Promise<void> | undefined
}

export class Stage {
  readonly dispatcher: Dispatcher
  readonly clock: FakeClock = new FakeClock()
  readonly counters: ReturnType<typeof zeroCounters> = zeroCounters()
  readonly runs: StagedRun[] = []
  readonly settlements: Settlement[] = []
  /** The packet ids of each write. */
  readonly writes: (readonly number[])[] = []
  /** Of the acknowledgements that did not say yes. */
  readonly reasonCodes: Map<number, number> = new Map()
  readonly cuts: ConnectionFailure[] = []
  paused = false
  awaiting = false
  readonly #options: StageOptions
  #deferred: (() => void)[] = []

  constructor(options: StageOptions = {}) {
    this.#options = options
    const { judge, log = silentLog, maxInFlight = 32, maxWaitingBytes = 1_000_000 } = options
    this.dispatcher = new Dispatcher({
      port: this.#port(),
      recipients: this.#recipients(options.receivers ?? 1),
      copies: { judge: ({ topic }) => judge?.(topic) ?? { type: 'run', share: undefined } },
      counters: this.counters,
      limits: { maxInFlight, maxWaitingBytes },
      clock: this.clock,
      random: () => 0.5,
      log,
      suspects: options.suspects,
      bury: options.bury && ((job, burial) => this.#bury(job, burial)),
      report: (_job, settlement) => this.settlements.push(settlement),
      defer: (callback) => this.#deferred.push(callback),
    })
    this.dispatcher.connected(false)
  }

  /** The payloads whose handlers run. */
  get running(): string[] {
    return this.runs.filter(({ ended }) => !ended.settled).map(({ payload }) => payload)
  }

  get started(): string[] {
    return this.runs.map(({ payload }) => payload)
  }

  get acked(): number[] {
    return this.writes.flat()
  }

  run(payload: string, receiver = 0): StagedRun {
    const found = this.runs.findLast((run) => run.payload === payload && run.receiver === receiver)
    if (found === undefined) throw new Error(`"${payload}" was not started.`)
    return found
  }

  /** Ends the handler of this message, and what follows from it happens. */
  async end(payload: string, { receiver = 0, outcome = HANDLED } = {}): Promise<void> {
    this.run(payload, receiver).ended.resolve(outcome)
    await this.turn()
  }

  /** The turn ends. */
  async turn(): Promise<void> {
    await settled()
    for (const callback of this.#deferred.splice(0)) callback()
  }

  async #bury(job: Job, burial: Burial): Promise<string> {
    const payload = job.delivery.arrival.payload.toString()
    await this.#options.bury?.(payload, burial)
    return `letter of ${payload}`
  }

  #port(): ConstructorParameters<typeof Dispatcher>[0]['port'] {
    const awaiting = (): boolean => this.awaiting
    const { keep, writes } = this.#options
    return {
      ...(keep === undefined ? {} : { settled: keep }),
      acknowledge: (ids, reasonCodes) => {
        if (writes?.() === false) return false
        this.writes.push(ids)
        for (const [id, code] of reasonCodes ?? []) this.reasonCodes.set(id, code)
        return true
      },
      pause: () => (this.paused = true),
      resume: () => (this.paused = false),
      cut: (failure) => this.cuts.push(failure),
      get awaiting() {
        return awaiting()
      },
    }
  }

  #recipients(count: number): Recipients<Slot> {
    const recipients = new Recipients<Slot>()
    const interest = { filter: '#', share: undefined, qos: 1, noLocal: false, retainHandling: 0 } as const
    recipients.update(
      Array.from({ length: count }, (_, i) => ({
        recipient: slotOf(this.#receiver(i)),
        interests: [{ ...interest, retainAsPublished: false, source: '#' }],
      })),
    )
    return recipients
  }

  #receiver(receiver: number): Receiver {
    const plan: Plan = { ...plainPlan, routes: ['#'], ...this.#options.plan }
    return {
      id: `${receiver}`,
      interests: () => [],
      onInterests: () => () => {},
      plan: ({ topic }) => ({ ...plan, ...this.#options.planOf?.(topic, receiver) }),
      receive: (message, _plan, attempt) => {
        const run = { receiver, payload: message.payload.toString(), attempt, ended: new Deferred<Outcome>() }
        this.runs.push(run)
        this.#options.begun?.(attempt)
        if (this.#options.synchronous?.(run.payload) !== true) return run.ended.promise
        run.ended.resolve(HANDLED)
        return HANDLED
      },
      connected: () => Promise.resolve(),
      disconnected: () => Promise.resolve(),
    }
  }
}

/** A message of 100 bytes with its payload as topic; QoS 0 where the packet id is 0. */
export function arrival(packetId: number, payload: string, more: Partial<Arrival> = {}): Arrival {
  const topic = more.topic ?? payload
  return {
    topic,
    payload: Buffer.from(payload),
    qos: packetId === 0 ? 0 : 1,
    retain: false,
    dup: false,
    properties: {},
    packetId,
    bytes: 100,
    invalid: undefined,
    subscriptionIdentifiers: [],
    share: undefined,
    equals: (other) => other.topic === topic && other.payload.toString() === payload,
    ...more,
  }
}

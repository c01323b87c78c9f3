// The dispatcher against a broker with bad habits: cuts, crashes and drains at any time, handlers that end in any order.
// A seed that fails runs alone with MQTTASGI_SIMULATION_SEED=<seed>; MQTTASGI_SIMULATION_RUNS says how many there are.
import test from 'ava'
import { Deferred } from '../../lib/core/deferred.ts'
import { silentLog } from '../../lib/core/log.ts'
import type { Message } from '../../lib/core/message.ts'
import type { Attempt, Outcome, Receiver } from '../../lib/core/receiver.ts'
import { zeroCounters, type Counters } from '../../lib/server/counters.ts'
import { Dispatcher } from '../../lib/server/dispatcher.ts'
import { slotOf, type Slot } from '../../lib/server/job.ts'
import { Recipients } from '../../lib/server/recipients.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { SeededRandom } from '../helpers/seeded-random.ts'
import {
  SimulatedBroker,
  type Habits,
  type Publication,
  type SimulatedArrival,
} from '../helpers/simulated-broker.ts'
import { plainPlan } from '../helpers/plan.ts'

interface Run {
  readonly publication: Publication
  readonly slot: number
  readonly startedAt: number
  readonly life: Life
  readonly ended: Deferred<Outcome>
  /** Its outcome is known to the server. */
  reported: boolean
}

/** One process, from start to crash or stop. */
interface Life {
  readonly dispatcher: Dispatcher
  readonly counters: Counters
  readonly clock: FakeClock
  readonly runs: Map<Attempt, Run>
  deferred: (() => void)[]
  drained: 'no' | 'draining' | 'yes'
}

const DONE: Outcome = { type: 'done', handled: true }
const FAILED: Outcome = { type: 'failed', error: new Error('no'), route: undefined }

function fail(what: string): never {
  throw new Error(what)
}

class Simulation {
  readonly #random: SeededRandom
  readonly #habits: Habits
  readonly #broker: SimulatedBroker
  readonly #maxInFlight: number
  readonly #slots: number
  readonly #topics: number
  readonly #payloads: number
  readonly #timeoutMs: number
  readonly #runs: Run[] = []
  /** Lost with a session while it was in our hands: handled all the same. */
  readonly #ours: Publication[] = []
  #life: Life
  #now = 0
  #connected = false
  /** The connection has ended, and the client does not know yet. */
  #broken = false
  #paused = false
  #awaiting = false
  // What arrived on this connection, in order, and how many of it were acknowledged.
  #arrived: Publication[] = []
  #acknowledged = 0

  constructor(seed: number) {
    const random = new SeededRandom(seed)
    this.#random = random
    this.#habits = {
      renumbers: random.chance(0.4),
      dropsDup: random.chance(0.4),
      late: random.chance(0.2),
      ignoresWindow: random.chance(0.5),
      expires: random.chance(0.2),
    }
    this.#maxInFlight = 1 + random.below(5)
    this.#slots = 1 + random.below(2)
    this.#topics = 1 + random.below(4)
    this.#payloads = random.chance(0.5) ? 1_000_000 : 1 + random.below(3)
    this.#timeoutMs = random.chance(0.3) ? 50 : 0
    this.#broker = new SimulatedBroker(random, this.#habits, this.#maxInFlight)
    this.#life = this.#begin()
  }

  async run(): Promise<void> {
    const steps = 40 + this.#random.below(160)
    for (let i = 0; i < steps; i++) await this.#step()
    await this.#finish()
  }

  async #step(): Promise<void> {
    const choice = this.#random.below(100)
    if (choice < 15) this.#publish()
    else if (choice < 35) this.#send()
    else if (choice < 55) this.#receive()
    else if (choice < 72) this.#endOne()
    else if (choice < 82) this.#flush()
    else if (choice < 88)
      this.#broker.outbound.splice(0, 1 + this.#random.below(3)).forEach((id) => this.#read(id))
    else if (choice < 90) this.#await(!this.#awaiting)
    else if (choice < 92) this.#resend()
    else if (choice < 94) this.#life.clock.advance(20)
    else if (choice < 98) this.#loseOrConnect()
    else if (choice < 99) this.#crash()
    else await this.#drain()
    await turn()
  }

  #publish(): void {
    const unwanted = this.#random.chance(0.1) ? (this.#random.chance(0.5) ? 'invalid' : 'copy') : undefined
    this.#broker.publish({
      topic: `t/${this.#random.below(this.#topics)}`,
      payload: `${this.#random.below(this.#payloads)}${unwanted ?? ''}`,
      bytes: 10,
      unwanted,
    })
  }

  #send(): boolean {
    return this.#connected && !this.#broken && this.#broker.send()
  }

  #resend(): void {
    if (this.#connected && !this.#broken) this.#broker.resend()
  }

  #receive(): void {
    if (!this.#connected || this.#broken || this.#paused) return
    const arrival = this.#broker.inbound.shift()
    if (arrival === undefined) return
    const { publication } = arrival
    this.#flush()
    const { counters, dispatcher, drained } = this.#life
    const { joined } = counters
    const known = this.#arrived.indexOf(publication)
    // Sent again while its acknowledgement was on its way: no client can tell it from a new message.
    if (known !== -1 && known < this.#acknowledged) return
    // One that is new to us but not to the broker may be taken for an equal one that was.
    const arrivedAt = arrival.dup ? 0 : ++this.#now
    dispatcher.arrived(arrival)
    // A drain takes nothing new, but acknowledges what it has in hand.
    if (known !== -1 || (drained !== 'no' && counters.joined === joined)) return
    this.#arrived.push(publication)
    publication.firstArrival ??= arrivedAt
    publication.arrivedOn = this.#broker.connection
  }

  #endOne(): void {
    const open = [...this.#life.runs.values()].filter(({ ended }) => !ended.settled)
    this.#random.pick(open)?.ended.resolve(this.#random.chance(0.8) ? DONE : FAILED)
  }

  #flush(): void {
    const { deferred } = this.#life
    this.#life.deferred = []
    for (const callback of deferred) callback()
  }

  #read(id: number): void {
    const publication = this.#broker.find(id) ?? fail(`the broker got an acknowledgement of ${id} twice`)
    publication.acknowledged = true
    publication.packetId = undefined
  }

  #await(awaiting: boolean): void {
    this.#awaiting = awaiting
    if (awaiting) this.#life.dispatcher.relieve()
  }

  #loseOrConnect(): void {
    if (!this.#connected) this.#connect(this.#random.chance(0.85))
    else if (this.#random.chance(0.5)) this.#break()
    else this.#lose()
  }

  #break(): void {
    this.#broken = true
    this.#broker.lose()
  }

  #lose(): void {
    if (!this.#connected) return
    if (!this.#broken) this.#broker.lose()
    this.#broken = false
    this.#connected = false
    this.#life.dispatcher.disconnected()
  }

  #connect(keepsSession: boolean): void {
    const before = this.#broker.connection
    if (!keepsSession) {
      const held = this.#broker.open.filter(({ arrivedOn }) => arrivedOn === before && before > 0)
      this.#ours.push(...held)
    }
    const present = this.#broker.accept(keepsSession)
    this.#connected = true
    this.#paused = false
    this.#arrived = []
    this.#acknowledged = 0
    this.#life.dispatcher.connected(present)
  }

  #crash(): void {
    this.#leaveLife()
  }

  /** Nothing of the process is left; what it had in its hands alone is gone with it. */
  #leaveLife(): void {
    this.#broken = false
    this.#connected = false
    this.#broker.lose()
    for (const publication of this.#broker.publications) publication.arrivedOn = undefined
    this.#ours.splice(0)
    this.#life = this.#begin()
  }

  async #drain(): Promise<void> {
    const life = this.#life
    const finishes = this.#random.chance(0.5)
    life.drained = 'draining'
    void life.dispatcher.drain(finishes ? 'finish' : 'drop').then(() => (life.drained = 'yes'))
    for (let i = 0; i < 300 && this.#drains(life); i++) {
      if (this.#random.chance(0.1)) this.#receive()
      if (this.#random.chance(0.05)) this.#lose()
      this.#endOne()
      await turn()
    }
    if (this.#drains(life)) fail('the drain does not end')
    const waiting = life.dispatcher.inHand
    if (finishes && this.#liveRuns(life).length > 0) fail('the drain ended before a handler')
    life.dispatcher.flush()
    for (const id of this.#broker.outbound.splice(0)) this.#read(id)
    if (finishes && this.#connected && waiting > 0) fail(`${waiting} messages were in hand after a drain`)
    // What a lasting session is expected to send again is dropped, though this one may have been lost.
    if (finishes) this.#checkOurs()
    this.#leaveLife()
  }

  #drains(life: Life): boolean {
    return life.drained === 'draining'
  }

  /** All that a broker and a client can do is done, without further accidents. */
  async #finish(): Promise<void> {
    this.#await(false)
    for (let i = 0; i < 400 && !this.#quiet(); i++) {
      if (this.#broken) this.#lose()
      if (!this.#connected) this.#connect(true)
      while (this.#send()) continue
      while (this.#broker.inbound.length > 0 && !this.#paused) this.#receive()
      this.#endOne()
      await turn()
      this.#flush()
      for (const id of this.#broker.outbound.splice(0)) this.#read(id)
    }
    if (!this.#quiet()) fail(`${this.#broker.open.length} messages are never acknowledged`)
    const { clock, dispatcher } = this.#life
    if (dispatcher.inHand > 0) fail(`${dispatcher.inHand} messages are still in hand`)
    if (dispatcher.running > 0) fail(`${dispatcher.running} handlers run for ever`)
    dispatcher.leave()
    if (clock.timers > 0) fail(`${clock.timers} timers are left`)
    this.#checkOurs()
  }

  #quiet(): boolean {
    return this.#broker.open.length === 0 && this.#liveRuns(this.#life).length === 0 && !this.#hasOpenRuns()
  }

  #hasOpenRuns(): boolean {
    return [...this.#life.runs.values()].some(({ ended }) => !ended.settled)
  }

  #liveRuns(life: Life): Run[] {
    return this.#runs.filter((run) => run.life === life && !run.reported)
  }

  #checkOurs(): void {
    for (const publication of this.#ours) this.#checkHandled(publication, [...this.#ours])
  }

  #begin(): Life {
    const clock = new FakeClock()
    const counters = zeroCounters()
    const life: Life = {
      clock,
      counters,
      runs: new Map(),
      deferred: [],
      drained: 'no',
      dispatcher: new Dispatcher({
        port: this.#port(() => life),
        recipients: this.#recipients(() => life),
        copies: {
          judge: ({ subscriptionIdentifiers }) =>
            subscriptionIdentifiers.length > 0 ? { type: 'copy' } : { type: 'run', share: undefined },
        },
        counters,
        limits: { maxInFlight: this.#maxInFlight, maxWaitingBytes: 40 },
        clock,
        random: () => this.#random.below(1_000) / 1_000,
        log: silentLog,
        bury: undefined,
        report: (job) => {
          const run = life.runs.get(job)
          if (run === undefined) fail('a run was reported that never began')
          if (run.reported) fail('a run was reported twice')
          run.reported = true
        },
        defer: (callback) => life.deferred.push(callback),
      }),
    }
    return life
  }

  #port(life: () => Life): ConstructorParameters<typeof Dispatcher>[0]['port'] {
    const awaiting = (): boolean => this.#awaiting
    return {
      acknowledge: (ids) => {
        // The connection of a life that is over, or one whose end is not told yet.
        if (life() !== this.#life || this.#broken) return false
        for (const id of ids) this.#acknowledge(id)
        return true
      },
      pause: () => {
        if (this.#awaiting) fail('the socket is paused while an answer is awaited')
        this.#paused = true
      },
      resume: () => (this.#paused = false),
      cut: () => {
        if (!this.#awaiting) fail('the connection is cut where a pause would have done')
        // The client is told in a turn of its own.
        this.#break()
      },
      get awaiting() {
        return awaiting()
      },
    }
  }

  #acknowledge(id: number): void {
    if (!this.#connected) fail('an acknowledgement is written without a connection')
    const publication = this.#broker.find(id) ?? fail(`${id} is acknowledged, and the broker did not send it`)
    const next = this.#arrived[this.#acknowledged++]
    if (next !== publication) fail(`${publication.number} is acknowledged before ${next?.number}`)
    this.#broker.outbound.push(id)
    const acknowledged = this.#broker.publications.filter((other) => other.acknowledged)
    const written = this.#arrived.slice(0, this.#acknowledged)
    this.#checkHandled(publication, [...new Set([...acknowledged, ...written])])
  }

  // Equal messages can not be told apart: of each kind there must be as many runs as messages that are done
  // with, each begun after its message had arrived.
  #checkHandled(publication: Publication, done: readonly Publication[]): void {
    if (publication.unwanted !== undefined) return
    const { payload, topic } = publication
    const arrivals = done
      .filter((other) => other.topic === topic && other.payload === payload)
      .map(({ firstArrival = 0 }) => firstArrival)
      .sort((a, b) => b - a)
    for (let slot = 0; slot < this.#slots; slot++) {
      const starts = this.#runs
        .filter(
          ({ publication: of, reported, slot: at }) =>
            reported && at === slot && of.topic === topic && of.payload === payload,
        )
        .map(({ startedAt }) => startedAt)
        .sort((a, b) => b - a)
      const lost = arrivals.findIndex((arrival, i) => (starts[i] ?? 0) < arrival)
      if (lost !== -1)
        fail(`message ${publication.number} is done with, and was not handled by receiver ${slot}`)
    }
  }

  #recipients(life: () => Life): Recipients<Slot> {
    const recipients = new Recipients<Slot>()
    const slots = Array.from({ length: this.#slots }, (_, i) => slotOf(this.#receiver(i, life)))
    const interest = {
      share: undefined,
      qos: 1,
      noLocal: false,
      retainHandling: 0,
      retainAsPublished: false,
    } as const
    recipients.update(
      slots.map((slot) => ({ recipient: slot, interests: [{ ...interest, filter: '#', source: '#' }] })),
    )
    return recipients
  }

  #receiver(slot: number, life: () => Life): Receiver {
    return {
      id: `${slot}`,
      interests: () => [],
      onInterests: () => () => {},
      plan: () => ({ ...plainPlan, routes: ['#'], timeoutMs: this.#timeoutMs }),
      receive: (message, _plan, attempt) => this.#start(message, attempt, slot, life()),
      connected: () => Promise.resolve(),
      disconnected: () => Promise.resolve(),
    }
  }

  #start(message: Message, attempt: Attempt, slot: number, life: Life): Outcome | Promise<Outcome> {
    const { publication } = message as SimulatedArrival
    const live = this.#liveRuns(life).filter((run) => run.slot === slot)
    if (live.length >= this.#maxInFlight) fail(`${live.length + 1} handlers run`)
    if (live.some((run) => run.publication.topic === publication.topic))
      fail(`two handlers of ${publication.topic} run`)
    if (publication.unwanted !== undefined) fail(`${publication.number} runs, and is ${publication.unwanted}`)
    this.#checkOrder(publication, slot)
    const run: Run = {
      publication,
      slot,
      startedAt: ++this.#now,
      life,
      ended: new Deferred(),
      reported: false,
    }
    this.#runs.push(run)
    life.runs.set(attempt, run)
    if (!this.#random.chance(0.3)) return run.ended.promise
    run.ended.resolve(DONE)
    return DONE
  }

  // Where a broker sends in order, the first runs of one topic begin in that order.
  #checkOrder({ number, topic }: Publication, slot: number): void {
    if (this.#habits.late || this.#habits.expires || this.#payloads < 1_000_000) return
    const before = this.#runs.filter((run) => run.slot === slot && run.publication.topic === topic)
    if (before.some((run) => run.publication.number === number)) return
    if (before.some((run) => run.publication.number > number))
      fail(`${number} begins after a later one of ${topic}`)
  }
}

function turn(): Promise<void> {
  return Promise.resolve().then(() => {})
}

const one = process.env['MQTTASGI_SIMULATION_SEED']
const runs = one === undefined ? Number(process.env['MQTTASGI_SIMULATION_RUNS'] ?? 2_500) : 1

test('no accident loses a message, acknowledges unfinished work, or breaks order and window', async (t) => {
  for (let i = 0; i < runs; i++) {
    const seed = one === undefined ? i : Number(one)
    try {
      await new Simulation(seed).run()
    } catch (error) {
      t.fail(
        `MQTTASGI_SIMULATION_SEED=${seed}: ${error instanceof Error ? (error.stack ?? '') : String(error)}`,
      )
      return
    }
  }
  t.pass()
})

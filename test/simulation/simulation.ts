// The dispatcher against a broker with bad habits: cuts, crashes and drains at any time, handlers that end in any order and way.
import { MqttasgiError } from '../../lib/core/errors.ts'
import type { QoS } from '../../lib/core/message.ts'
import type { DispatcherParts } from '../../lib/server/dispatcher.ts'
import { SeededRandom } from '../helpers/seeded-random.ts'
import { SimulatedBroker, type Publication } from './broker.ts'
import { check, fail, forget } from './failing.ts'
import { History } from './history.ts'
import { Process, type World } from './process.ts'
import { drawScenario, type Scenario } from './scenario.ts'
import { SimulatedLedger, SimulatedLetters } from './stores.ts'
import type { Tally } from './tally.ts'

export class Simulation {
  readonly #random: SeededRandom
  readonly #scenario: Scenario
  readonly #broker: SimulatedBroker
  readonly #history: History
  readonly #letters: SimulatedLetters
  readonly #world: World
  readonly #trace: (line: string) => void
  /** Lost with a session while it was in our hands: handled all the same. */
  readonly #ours: Publication[] = []
  #process: Process
  #connected = false
  /** The connection has ended, and the client does not know yet. */
  #broken = false
  #paused = false
  #awaiting = false
  #isOver = false
  // What arrived on this connection, in order, and how many of it were acknowledged.
  #arrived: Publication[] = []
  #acknowledged = 0
  /** By shedding policy, what has come last in this process. */
  #newest = new Map<string, Publication>()
  /** Acknowledged without an end at a receiver, for they were shed. */
  readonly #shed = new Set<Publication>()

  /** `trace` gets a line for each step. */
  constructor(seed: number, trace: (line: string) => void = () => {}) {
    forget()
    const random = new SeededRandom(seed)
    this.#random = random
    this.#scenario = drawScenario(random)
    this.#trace = trace
    this.#history = new History(this.#scenario)
    this.#letters = new SimulatedLetters(this.#scenario.store)
    this.#broker = new SimulatedBroker(random, this.#scenario.habits, this.#scenario.maxInFlight)
    this.#world = {
      random,
      scenario: this.#scenario,
      history: this.#history,
      letters: this.#letters,
      ledger: new SimulatedLedger(),
      trace,
    }
    this.#process = this.#begin()
  }

  get scenario(): Scenario {
    return this.#scenario
  }

  /** Throws what is not as it should be. */
  async run(): Promise<Tally> {
    const steps = 40 + this.#random.below(160)
    for (let i = 0; i < steps; i++) {
      await this.#step()
      await this.#turn()
    }
    await this.#finish()
    check()
    return this.#sum()
  }

  #sum(): Tally {
    const { tally } = this.#history
    const { publications } = this.#broker
    tally.attempted = publications.length
    tally.acknowledged = publications.filter(({ acknowledged }) => acknowledged).length
    tally.recovered = this.#letters.size
    tally.waiting = this.#broker.open.length
    tally.connections = this.#broker.connection
    return tally
  }

  async #step(): Promise<void> {
    const choice = this.#random.below(100)
    if (choice < 14) this.#publish()
    else if (choice < 32) this.#send()
    else if (choice < 50) this.#receive()
    else if (choice < 66) this.#process.endOne()
    else if (choice < 75) this.#flush()
    else if (choice < 80) this.#read(1 + this.#random.below(3))
    else if (choice < 86) this.#answer()
    else if (choice < 87) this.#await(!this.#awaiting)
    else if (choice < 89) this.#resend()
    else if (choice < 93) await this.#advance()
    else if (choice < 94) this.#process.extendOne()
    else if (choice < 98) this.#loseOrConnect()
    else if (choice < 99) this.#kill()
    else await this.#drain()
  }

  // What waits for nobody happens, and with it the end of a process that it may bring.
  async #turn(): Promise<void> {
    await Promise.resolve().then(() => {})
    check()
    if (this.#process.isDead) this.#crash()
  }

  #publish(): void {
    const { payloads, poison, rare, topics } = this.#scenario
    const { publications } = this.#broker
    const unwanted = this.#random.chance(0.1) ? (this.#random.chance(0.5) ? 'invalid' : 'copy') : undefined
    const isPoison = poison && unwanted === undefined && publications.length === 3
    const keyless = this.#random.chance(0.05) ? '!' : ''
    const number = payloads === undefined ? publications.length : this.#random.below(payloads)
    this.#broker.publish({
      topic: `t/${this.#random.below(topics)}`,
      payload: `${number}${unwanted ?? ''}${isPoison ? '' : keyless}`,
      qos: isPoison ? 1 : this.#drawQoS(rare),
      bytes: 10,
      unwanted,
      poison: isPoison,
    })
  }

  #drawQoS({ two, zero }: Scenario['rare']): QoS {
    const chance = this.#random.next()
    if (chance < zero) return 0
    return chance < zero + two ? 2 : 1
  }

  #send(): boolean {
    return this.#connected && !this.#broken && this.#broker.send()
  }

  #resend(): void {
    if (this.#connected && !this.#broken) this.#broker.resend()
  }

  #receive(): void {
    if (!this.#connected || this.#broken || this.#paused) return
    this.#flush()
    const arrival = this.#broker.inbound[0]
    // What the end of the turn brought may have ended all this.
    if (arrival === undefined || this.#broken || this.#paused || this.#process.isDead) return
    this.#broker.inbound.shift()
    const { publication } = arrival
    const { counters, dispatcher, drained } = this.#process
    const { joined } = counters
    if (counters.shed !== this.#process.shedSeen) fail('something was shed though nothing came')
    const known = this.#arrived.indexOf(publication)
    // Sent again while its acknowledgement was on its way: no client can tell it from a new message.
    if (known !== -1 && known < this.#acknowledged) return
    // One that is new to us but not to the broker may be taken for an equal one that was.
    arrival.at = arrival.dup ? 0 : this.#history.tick()
    this.#trace(`${publication.number} arrives${arrival.dup ? ' again' : ''} as ${arrival.packetId}`)
    if (publication.qos > 0 && known === -1 && drained === 'no') {
      this.#arrived.push(publication)
      publication.firstArrival ??= arrival.at
      publication.arrivedOn = this.#broker.connection
    }
    const newest = new Map(this.#newest)
    if (drained === 'no' && known === -1) this.#noteNewest(publication)
    if (publication.qos === 2 && known === -1 && arrival.settled !== true) {
      // What does not say that it is a repetition begins anew.
      publication.exchange = 'open'
      publication.exchangeNumber++
    }
    dispatcher.arrived(arrival)
    this.#process.shedSeen = counters.shed
    const isJoined = counters.joined > joined
    if (isJoined) this.#newest = newest
    if (drained === 'no' && known === -1 && !isJoined && publication.unwanted === undefined)
      this.#process.admitted++
    // A drain takes nothing new, but acknowledges what it has in hand.
    if (drained === 'no' || known !== -1 || !isJoined) return
    this.#arrived.push(publication)
    publication.firstArrival ??= arrival.at
    publication.arrivedOn = this.#broker.connection
  }

  #noteNewest(publication: Publication): void {
    if (publication.unwanted !== undefined) return
    const policy = this.#policyOf(publication)
    if (policy !== undefined) this.#newest.set(policy.name, publication)
  }

  #flush(): void {
    this.#process.flush()
  }

  #read(most: number): void {
    for (const id of this.#broker.outbound.splice(0, most)) {
      if (this.#broker.read(id) === undefined) fail(`the broker got an acknowledgement of ${id} twice`)
    }
  }

  #answer(): void {
    const { exchangesDisk, ledgerDisk, lettersDisk } = this.#process
    exchangesDisk.answer('no')
    const { store } = this.#scenario
    const fails = store === 'broken' || (store === 'shaky' && !this.#isOver && this.#random.chance(0.6))
    if (this.#random.chance(0.5))
      lettersDisk.answer(fails ? (store === 'broken' ? 'never' : 'perhaps') : 'no')
    else ledgerDisk.answer('no')
  }

  #advance(): Promise<void> {
    return this.#process.advance(this.#random.pick([5, 20, 60]) ?? 0)
  }

  #await(awaiting: boolean): void {
    this.#awaiting = awaiting
    if (awaiting) this.#process.dispatcher.relieve()
  }

  #loseOrConnect(): void {
    if (!this.#connected) this.#connect(this.#random.chance(0.85))
    else if (this.#random.chance(0.5)) this.#break()
    else this.#lose()
  }

  #break(): void {
    this.#trace('the connection breaks')
    this.#broken = true
    this.#broker.lose()
  }

  #lose(): void {
    if (!this.#connected) return
    if (!this.#broken) this.#broker.lose()
    this.#trace('the connection is gone')
    this.#broken = false
    this.#connected = false
    this.#process.dispatcher.disconnected()
  }

  #connect(keepsSession: boolean): void {
    const before = this.#broker.connection
    this.#trace(`connected, ${keepsSession ? 'with' : 'without'} the session`)
    if (!keepsSession) {
      const held = this.#broker.open.filter(({ arrivedOn }) => arrivedOn === before && before > 0)
      this.#ours.push(...held)
    }
    const present = this.#broker.accept(keepsSession)
    this.#connected = true
    this.#paused = false
    this.#arrived = []
    this.#acknowledged = 0
    this.#process.connections++
    this.#process.dispatcher.connected(present)
  }

  #kill(): void {
    if (this.#scenario.kills) this.#crash()
  }

  #crash(): void {
    this.#trace('the process dies')
    const { exchangesDisk, ledgerDisk, lettersDisk, suspects } = this.#process
    this.#process.isDead = true
    this.#history.tally.crashes++
    this.#history.died(suspects)
    lettersDisk.crash()
    ledgerDisk.crash()
    exchangesDisk.crash()
    this.#leaveProcess()
  }

  /** Nothing of the process is left; what it had in its hands alone is gone with it. */
  #leaveProcess(): void {
    this.#broken = false
    this.#connected = false
    this.#process.isDead = true
    this.#history.tally.shed += this.#process.counters.shed
    this.#broker.lose()
    for (const publication of this.#broker.publications) {
      publication.arrivedOn = undefined
      if (publication.exchange === 'noted')
        publication.exchange = this.#random.chance(0.5) ? 'durable' : 'open'
    }
    this.#ours.splice(0)
    this.#newest.clear()
    this.#process = this.#begin()
  }

  async #drain(): Promise<void> {
    const drained = this.#process
    const { dispatcher } = drained
    const finishes = this.#random.chance(0.5)
    this.#trace(`the process stops, and ${finishes ? 'finishes' : 'drops'} what waits`)
    drained.drained = 'draining'
    void dispatcher.drain(finishes ? 'finish' : 'drop').then(() => (drained.drained = 'yes'))
    const patience = this.#random.chance(0.2) ? this.#random.below(20) : 400
    for (let i = 0; i < patience && isDraining(drained); i++) {
      if (this.#random.chance(0.1)) this.#receive()
      if (this.#random.chance(0.05)) this.#lose()
      if (this.#random.chance(0.3)) await this.#advance()
      drained.endOne()
      this.#flush()
      this.#answer()
      await this.#turn()
      if (drained.isDead) return
    }
    if (!isDraining(drained)) this.#checkDrained(finishes)
    else if (patience < 400 || this.#letters.isBroken) await this.#abort()
    else
      fail(
        `the drain does not end: ${dispatcher.running} run, ${dispatcher.inHand} are in hand, ${drained.clock.now()} ms`,
      )
    if (drained.isDead) return
    await this.#stopWell()
  }

  #checkDrained(finishes: boolean): void {
    const { dispatcher, hasTasks } = this.#process
    const waiting = dispatcher.inHand
    if (finishes && hasTasks) fail('the drain ended before a handler')
    dispatcher.flush()
    this.#read(Number.POSITIVE_INFINITY)
    if (finishes && this.#connected && waiting > 0) fail(`${waiting} messages were in hand after a drain`)
    // What a lasting session is expected to send again is dropped, though this one may have been lost.
    if (finishes) this.#checkOurs()
  }

  async #abort(): Promise<void> {
    this.#trace('the stop waits no longer')
    const { dispatcher } = this.#process
    dispatcher.abort(new MqttasgiError('ERR_STOPPED', 'no longer'))
    this.#process.endOne()
    await this.#turn()
  }

  // As the server does it.
  async #stopWell(): Promise<void> {
    const { clock, deadLetters, dispatcher, ledgerDisk } = this.#process
    dispatcher.leave()
    deadLetters?.stop()
    dispatcher.flush()
    if (clock.timers > 0) fail(`${clock.timers} timers are left`)
    while (ledgerDisk.waiting > 0) ledgerDisk.answer('no')
    await this.#process.endWell()
    await Promise.resolve().then(() => {})
    this.#history.forgetPoison()
    this.#leaveProcess()
  }

  /** All that a broker and a client can do is done, without further accidents. */
  async #finish(): Promise<void> {
    this.#trace('nothing more is published, and no more accidents happen')
    this.#isOver = true
    this.#await(false)
    for (let i = 0; i < 900 && !this.#isQuiet(); i++) {
      await this.#goOn()
      if (this.#letters.isBroken && i > 150) return this.#finishBroken()
    }
    if (!this.#isQuiet()) fail(`${this.#broker.open.length} messages are never acknowledged`)
    for (let i = 0; i < 3; i++) await this.#goOn()
    this.#process.checkNothingIsLeft()
    this.#checkOurs()
    await this.#stopWell()
  }

  // What can not be kept stays with the broker, and is handled by nobody else.
  async #finishBroken(): Promise<void> {
    for (const publication of this.#broker.publications) {
      if (publication.acknowledged && publication.qos > 0) this.#checkHandled(publication)
    }
    this.#process.drained = 'draining'
    void this.#process.dispatcher.drain('drop')
    await this.#abort()
    await this.#stopWell()
  }

  async #goOn(): Promise<void> {
    if (this.#broken) this.#lose()
    if (!this.#connected) this.#connect(true)
    while (this.#send()) continue
    while (this.#broker.inbound.length > 0 && !this.#paused && !this.#process.isDead) this.#receive()
    await this.#turn()
    if (!this.#process.endOne()) await this.#process.advance(20)
    for (let i = 0; i < 4; i++) this.#answer()
    await this.#turn()
    this.#flush()
    this.#read(Number.POSITIVE_INFINITY)
    await this.#turn()
  }

  #isQuiet(): boolean {
    const { dispatcher, hasTasks, open } = this.#process
    if (this.#broker.open.length > 0 || this.#broker.inbound.length > 0) return false
    return !hasTasks && open.size === 0 && dispatcher.inHand === 0
  }

  #checkOurs(): void {
    for (const publication of this.#ours) this.#checkHandled(publication, [...this.#ours])
  }

  #begin(): Process {
    this.#trace('a process begins')
    const process: Process = new Process(
      this.#world,
      this.#port(() => process),
    )
    return process
  }

  #port(owner: () => Process): DispatcherParts['port'] {
    const awaiting = (): boolean => this.#awaiting
    return {
      acknowledge: (ids) => {
        // The connection of a process that is over, or one whose end is not told yet.
        if (owner() !== this.#process || owner().isDead || this.#broken) return false
        for (const id of ids) this.#acknowledge(id)
        return true
      },
      settled: (id) => (owner().isDead ? undefined : this.#settled(id)),
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

  #settled(id: number): Promise<void> | undefined {
    const publication = this.#arrived.find(({ packetId, qos }) => qos === 2 && packetId === id)
    if (publication === undefined || publication.exchange === 'durable') return undefined
    // It came again while it was about to be kept.
    if (publication.exchange === 'noted') return publication.noting
    this.#checkHandled(publication)
    publication.exchange = 'noted'
    const { exchangeNumber } = publication
    publication.noting = this.#process.exchangesDisk.write(() => {
      if (publication.exchangeNumber === exchangeNumber) publication.exchange = 'durable'
    })
    return publication.noting
  }

  #acknowledge(id: number): void {
    if (!this.#connected) fail('an acknowledgement is written without a connection')
    const publication = this.#broker.find(id) ?? fail(`${id} is acknowledged, and the broker did not send it`)
    const next = this.#arrived[this.#acknowledged++]
    if (next !== publication) fail(`${publication.number} is acknowledged before ${next?.number}`)
    this.#trace(`${publication.number} is acknowledged`)
    this.#broker.outbound.push(id)
    publication.wasWritten = true
    // It is noted no longer than that: if the connection breaks before the broker has it, it is counted anew.
    if (publication.poison) this.#history.forgetPoison()
    if (publication.qos === 2 && publication.exchange === 'noted')
      fail(`${publication.number}, of QoS 2, is acknowledged before it is kept`)
    this.#checkHandled(publication)
  }

  #checkHandled(publication: Publication, others?: readonly Publication[]): void {
    if (publication.unwanted !== undefined || this.#shed.has(publication)) return
    const missing = this.#history.missing(publication, others ?? this.#done(publication))
    if (missing === undefined) return
    if (this.#wasShed(publication)) return
    this.#history.tally.lost++
    fail(`message ${publication.number} is done with, and was not handled by receiver ${missing}`)
  }

  // Where all messages differ one needs no others to be judged.
  #done(publication: Publication): readonly Publication[] {
    if (this.#scenario.payloads === undefined) return [publication]
    const acknowledged = this.#broker.publications.filter((other) => other.acknowledged)
    return [...new Set([...acknowledged, ...this.#arrived.slice(0, this.#acknowledged)])]
  }

  // As declared: by a policy that all receivers have, once for each that was counted, and never the newest
  // where the newest is what matters.
  #wasShed(publication: Publication): boolean {
    const policy = this.#policyOf(publication)
    if (policy === undefined) return false
    if (policy.overflow !== 'drop-newest' && this.#newest.get(policy.name) === publication) return false
    this.#shed.add(publication)
    return this.#shed.size <= this.#history.tally.shed + this.#process.counters.shed
  }

  #policyOf({ topic }: Publication): { readonly name: string; readonly overflow: string } | undefined {
    const plans = this.#scenario.receivers.map((all) => all[Number(topic.slice(2))])
    return plans.every((plan) => plan?.shedding !== undefined) ? plans[0]?.shedding : undefined
  }
}

function isDraining({ drained }: Process): boolean {
  return drained === 'draining'
}

// The way of a message through the server, from arrival to acknowledgement; long, because one order and one window hold it together.
import type { Random } from '../core/backoff.ts'
import type { Clock } from '../core/clock.ts'
import { MqttasgiError } from '../core/errors.ts'
import { inLog } from '../core/log.ts'
import type { Arrival, SkippedPacket, Transport } from '../transport/transport.ts'
import { AckQueue } from './acks.ts'
import { Backlog } from './backlog.ts'
import { Admission, type AdmissionParts } from './admission.ts'
import { Entrance } from './entrance.ts'
import { Delivery, type Job, type Slot } from './job.ts'
import type { Recipients } from './recipients.ts'
import { Redeliveries } from './redeliveries.ts'
import { detached, Runner } from './runner.ts'
import { reasonOf, type Burial, type Settlement } from './settlement.ts'
import { oversizedBurial, skippedArrival } from './skipped-arrival.ts'
import { CRASHES, type Suspects } from './suspects.ts'
import { Window, type WindowLimits } from './window.ts'

/** What the dispatcher works with. It calls the connection only through `port`. */
export interface DispatcherParts extends AdmissionParts {
  readonly port: Pick<Transport, 'settled' | 'acknowledge' | 'pause' | 'resume' | 'cut' | 'awaiting'>
  readonly recipients: Recipients<Slot>
  /** A handler may wait for a message that is still to come. */
  readonly isAnswerDue?: () => boolean
  /** It is the server's own, and no receiver's. */
  readonly isOwn?: (arrival: Arrival) => boolean
  readonly limits: WindowLimits
  readonly clock: Clock
  readonly random: Random
  /** Finds out what a process died of; undefined where that is not looked for. */
  readonly suspects?: Suspects | undefined
  /** Keeps the message of a job as a dead letter; resolves when it is kept. Undefined: nothing is kept. */
  readonly bury: ((job: Job, burial: Burial) => Promise<string>) | undefined
  /** A receiver is done with a message. */
  readonly report: (job: Job, settlement: Settlement) => void
  /** Calls back at the end of this turn: acknowledgements of one turn leave in one write. */
  readonly defer: (callback: () => void) => void
}

export class Dispatcher {
  readonly #parts: DispatcherParts
  readonly #acks = new AckQueue<Delivery>()
  readonly #window: Window
  readonly #redeliveries = new Redeliveries<Delivery, Arrival>()
  readonly #backlog: Backlog
  readonly #entrance: Entrance
  readonly #runner: Runner
  readonly #admission: Admission
  #isStrict = false
  // Suspects of which it is not known yet how often a process has died with them in hand.
  #asked = 0
  /** Messages that are done with, and that is about to be kept. */
  #keeping = 0
  /** Messages that were handed out and are not settled. */
  #work = 0
  #released: Delivery[] = []
  #flushing = false
  #pumping = false
  #paused = false
  #draining: 'no' | 'finish' | 'drop' | 'given up' = 'no'
  #idle: (() => void)[] = []

  constructor(parts: DispatcherParts) {
    this.#parts = parts
    this.#window = new Window(parts.limits)
    this.#admission = new Admission(parts)
    this.#backlog = new Backlog({
      clock: parts.clock,
      window: this.#window,
      isWanted: (arrival) => parts.isOwn?.(arrival) === true || parts.recipients.wants(arrival.topic),
      released: (deliveries) => {
        for (const delivery of deliveries) this.#admit(delivery)
        this.#balance()
      },
    })
    this.#entrance = new Entrance({
      clock: parts.clock,
      window: this.#window,
      recipients: parts.recipients,
      shed: (delivery) => this.#shed(delivery),
      ready: () => this.#pump(),
    })
    this.#runner = new Runner({
      clock: parts.clock,
      random: parts.random,
      defer: parts.defer,
      bury: parts.bury,
      concluded: (job, settlement) => this.#concluded(job, settlement),
      again: (job, error, afterMs) => this.#again(job, error, afterMs),
      abandoned: (job) => this.#abandoned(job),
      dropped: (job) => this.#dropped(job),
      givenBack: (slot) => tellIdle(slot),
      over: () => {
        this.#pump()
        this.#wake()
      },
    })
    this.#narrow()
  }

  /** What the receivers' routes ask for: one message at a time, or that some of them may be shed. */
  survey(wishes: { readonly isStrict: boolean; readonly sheds: boolean }): void {
    this.#isStrict = wishes.isStrict
    if (wishes.sheds) this.#entrance.mayShed()
    this.#narrow()
  }

  /** Messages at receivers that have been begun and have not ended. */
  get running(): number {
    return this.#runner.running
  }

  /** The routes of the chain that was started last. */
  get lastRoutes(): readonly string[] {
    return this.#runner.lastRoutes
  }

  /** How long the oldest message has been in hand, of those that are for more than twice as long as they may; 0 for none. */
  get overdueMs(): number {
    return this.#runner.overdueMs
  }

  /** Messages that are in hand: handed out, or waiting for their turn. */
  get inHand(): number {
    return this.#window.open + this.#entrance.size + this.#backlog.size
  }

  /** Something waits for receivers that are still connecting, so what they ask for must be answered. */
  get holdsBack(): boolean {
    return this.#backlog.size > 0
  }

  /** A retained message is unacknowledged: more of them may stand behind it. */
  get holdsRetained(): boolean {
    return this.#acks.has(({ arrival }) => arrival.retain)
  }

  /** Receivers are connecting from now on, and what nobody wants yet waits for them; or none is any more. */
  expect(areConnecting: boolean): void {
    if (this.#draining !== 'no') return
    if (areConnecting) this.#backlog.open()
    else this.#backlog.release()
  }

  /** Resolves when nothing is begun at this receiver, and nothing stands in its lanes. */
  idle(slot: Slot): Promise<void> {
    return new Promise((resolve) => {
      slot.idle = resolve
      tellIdle(slot)
    })
  }

  /**
   * Waits no longer for this receiver. What heeds its signal may still end within this turn; the rest waits for a
   * successor, or has no end but to be kept. Resolves with how many messages that are.
   */
  async letGo(slot: Slot): Promise<number> {
    const error = detached(slot.receiver.id)
    this.#runner.abort(slot, error)
    await new Promise<void>((resolve) => this.#parts.defer(resolve))
    const unsettled = this.#runner.letGo(slot, error)
    this.#pump()
    this.#wake()
    return unsettled
  }

  /** From now on messages for this place wait for whoever comes to it; `before` had it last. */
  waitFor(slot: Slot, before?: Slot): void {
    this.#runner.waitFor(slot, before)
  }

  /** What waits for whoever comes in this place is begun there now. */
  takeUp(slot: Slot): void {
    this.#runner.takeUp(slot)
  }

  /** Nobody will come in this place: what waits is kept as dead letters. Returns how many messages that are. */
  giveUpWaiting(slot: Slot): number {
    return this.#runner.giveUpWaiting(slot)
  }

  /** A receiver has gone for good. */
  forget(slot: Slot): void {
    this.#admission.forget(slot.receiver.id)
  }

  /** A connection is up. What an older one left comes again if the session was resumed, else never. */
  connected(sessionPresent: boolean): void {
    this.#window.reset()
    this.#paused = false
    this.#parts.suspects?.connected()
    if (sessionPresent) this.#leaveToTheBroker()
    else for (const delivery of this.#redeliveries.clear()) this.#keepForUs(delivery)
  }

  /** The connection is gone, and every acknowledgement that was not written with it [MQTT-4.4.0-1]. */
  disconnected(): void {
    const left = [...this.#released, ...this.#acks.abandon()]
    this.#released = []
    this.#backlog.stop()
    for (const delivery of left) {
      delivery.current = false
      if (delivery.settled) this.#leaveWindow(delivery)
    }
    this.#redeliveries.disconnected(left)
    this.#pump()
  }

  arrived(arrival: Arrival): void {
    this.#parts.counters.received++
    if (arrival.packetId !== 0 && this.#joins(arrival)) return
    // Nothing new is begun any more: what is not acknowledged comes again. But for what handlers in hand wait for.
    if (this.#draining !== 'no' && !this.#isNeededToEnd(arrival)) return
    const delivery = new Delivery(arrival)
    if (arrival.packetId !== 0) this.#owe(delivery)
    if (this.#backlog.isOpen && this.#backlog.takes(delivery)) return this.#press()
    this.#admit(delivery)
  }

  /** A message was too large to be kept: it is a dead letter without a payload, and acknowledged in its turn so that it stays gone. */
  skipped(packet: SkippedPacket): void {
    this.#parts.counters.received++
    this.#parts.counters.oversized++
    const { bytes, topic } = packet
    this.#parts.log.warn(
      `${bytes} bytes on "${inLog(topic)}" are above maxPacketBytes: skipped, and not handled.`,
    )
    const arrival = skippedArrival(packet)
    if (arrival.packetId === 0 || this.#joins(arrival) || this.#draining !== 'no') return
    const delivery = new Delivery(arrival, oversizedBurial(packet))
    this.#owe(delivery)
    if (this.#backlog.isOpen && this.#backlog.takes(delivery)) return
    this.#admit(delivery)
  }

  /** The socket is not read: more waits than may wait. */
  get isHeld(): boolean {
    return this.#paused
  }

  /** An acknowledgement of the broker's is awaited from now on: the socket must be read. */
  relieve(): void {
    if (this.#paused) this.#balance()
  }

  /**
   * Begins nothing new and resolves when all that runs has settled. `finish`: what is already in hand is
   * still run, because this session's broker will not send it again; `drop`: it is left unacknowledged, but
   * for what stands in front of something that has been begun, whose acknowledgement would come too late.
   */
  drain(waiting: 'finish' | 'drop'): Promise<void> {
    this.#draining = waiting
    if (waiting === 'drop') {
      const upToBegun = this.#acks.upToLast(({ begun, settled }) => begun || settled)
      const isNeeded = (delivery: Delivery): boolean => delivery.mustEnd || upToBegun.has(delivery)
      const isOver = (delivery: Delivery): boolean => !isNeeded(delivery)
      this.#backlog.takeOut(isOver)
      this.#entrance.takeOut(isOver)
      this.#runner.end('leave', isNeeded)
    } else this.#runner.end('hurry', () => true)
    this.#backlog.release()
    this.#entrance.hurry()
    this.#pump()
    this.#balance()
    return new Promise((resolve) => {
      this.#idle.push(resolve)
      this.#wake()
    })
  }

  /** Tells every handler that still runs that nobody waits for it any more, and begins nothing behind them. */
  abort(reason: MqttasgiError): void {
    this.#draining = 'given up'
    this.#dropWaiting()
    this.#runner.giveUp(reason)
  }

  /** Hears no more of what still runs. Returns how many handlers that are. */
  leave(): number {
    this.#backlog.stop()
    this.#entrance.stop()
    return this.#runner.leave()
  }

  /** Writes the acknowledgements that are due now instead of at the end of the turn. */
  flush(): void {
    this.#flushing = false
    if (this.#released.length === 0) return
    // Where they can not be written any more the end of the connection is about to be told.
    const packetIds = this.#released.map(({ packetId }) => packetId)
    if (!this.#parts.port.acknowledge(packetIds, reasonCodes(this.#released))) return
    this.#parts.counters.acknowledged += this.#released.length
    for (const delivery of this.#released) if (delivery.isQuarantined) this.#forget(delivery)
    this.#released = []
  }

  #isNeededToEnd(arrival: Arrival): boolean {
    return this.#draining !== 'given up' && this.#entrance.isPrompt(arrival)
  }

  #admit(delivery: Delivery): void {
    // It has no payload that could wait, nor what tells copies apart.
    if (delivery.burial !== undefined) return this.#handOut(delivery)
    if (!this.#admission.admits(delivery.arrival)) return this.#settled(delivery)
    this.#suspect(delivery)
    if (this.#entrance.passes(delivery)) return this.#handOut(delivery)
    this.#pump()
    this.#press()
  }

  // Only what comes on top can be too much, and only where stopping to read is no way out.
  #press(): void {
    if (this.#window.overflows && this.#parts.port.awaiting) this.#overflow()
    else this.#balance()
  }

  #dropWaiting(): void {
    this.#backlog.takeOut(() => true)
    this.#entrance.takeOut(() => true)
    this.#runner.dropWaiting()
    this.#balance()
  }

  // What has not been begun comes again, in the order of its acknowledgements: the head of that order must
  // never stand behind what can only be acknowledged after it. What the broker does not have is ours alone.
  #leaveToTheBroker(): void {
    const expected = new Set(this.#redeliveries)
    const isExpected = (one: Delivery): boolean => expected.has(one)
    for (const delivery of [...this.#backlog.takeOut(isExpected), ...this.#entrance.takeOut(isExpected)]) {
      delivery.isLeft = true
      if (delivery.suspect) this.#parts.suspects?.leftToTheBroker(delivery.arrival)
    }
    this.#narrow()
  }

  // The message with this packet id on this connection, or an unacknowledged one of an older connection,
  // is in hand already: it runs once and is acknowledged once.
  #joins(arrival: Arrival): boolean {
    const { counters } = this.#parts
    const same = this.#acks.find(arrival.packetId)
    if (same !== undefined) {
      if (!same.arrival.equals(arrival)) return false
      counters.joined++
      return true
    }
    if (arrival.dup && this.#isBeingAcknowledged(arrival)) {
      counters.joined++
      return true
    }
    const older = this.#redeliveries.take(arrival)
    if (older === undefined || older.isLeft) return false
    counters.joined++
    older.packetId = arrival.packetId
    older.current = true
    older.resumed = true
    this.#acks.arrived(older)
    if (older.settled) this.#release()
    return true
  }

  // Its acknowledgement is written at the end of this turn: a second one would be for nobody.
  #isBeingAcknowledged(arrival: Arrival): boolean {
    return this.#released.some(
      ({ packetId, arrival: released }) => packetId === arrival.packetId && released.equals(arrival),
    )
  }

  // A broker that gives a packet id to a second message before the first is acknowledged [MQTT-2.2.1-4]
  // gets one acknowledgement for both; both are handled.
  #owe(delivery: Delivery): void {
    this.#redeliveries.passed(delivery.arrival)
    if (this.#acks.find(delivery.packetId) === undefined) return this.#acks.arrived(delivery)
    delivery.packetId = 0
    delivery.current = false
    delivery.isOurs = true
  }

  #handOut(delivery: Delivery): void {
    const { arrival } = delivery
    this.#window.enter()
    this.#work++
    delivery.inWindow = true
    const slots = this.#admission.wanting(arrival, this.#parts.recipients.of(arrival.topic, arrival.share))
    if (slots.length === 0) return this.#settled(delivery)
    delivery.remaining = slots.length
    for (const slot of slots) slot.inFlight++
    const { burial } = delivery
    if (burial !== undefined) for (const slot of slots) this.#runner.bury(delivery, slot, burial)
    else if (delivery.suspect) void this.#question(delivery, slots)
    else for (const slot of slots) this.#runner.start(delivery, slot)
  }

  #suspect(delivery: Delivery): void {
    delivery.suspect = this.#parts.suspects?.suspects(delivery.arrival) === true
    if (delivery.suspect) this.#narrow()
  }

  async #question(delivery: Delivery, slots: readonly Slot[]): Promise<void> {
    const { arrival } = delivery
    this.#asked++
    const crashes = await this.#parts.suspects!.begin(arrival)
    this.#asked--
    if (this.#draining === 'given up') return
    delivery.isQuarantined = crashes >= CRASHES
    for (const slot of slots) {
      if (delivery.isQuarantined) this.#runner.bury(delivery, slot, crashBurial(arrival.topic, crashes))
      else this.#runner.start(delivery, slot)
    }
    this.#wake()
  }

  // One at a time: where order is strict, and while it is looked for what a process has died of.
  #narrow(): void {
    this.#window.narrow(this.#isStrict || this.#parts.suspects?.isInHand === true)
  }

  #shed(delivery: Delivery): void {
    this.#parts.counters.shed++
    this.#settled(delivery)
  }

  #concluded(job: Job, settlement: Settlement): void {
    const { delivery } = job
    delivery.reasonCode ||= settlement.reasonCode ?? 0
    if (settlement.type === 'deadLettered' && delivery.arrival.retain)
      this.#admission.refuse(delivery.arrival, job.slot.receiver.id)
    this.#parts.report(job, settlement)
    this.#leaves(job.slot)
    this.#doneAtOne(delivery)
  }

  #abandoned(job: Job): void {
    this.#entrance.takeOut(({ isOurs }) => !isOurs)
    this.#dropped(job)
  }

  #dropped({ delivery, slot }: Job): void {
    delivery.isAbandoned = true
    this.#leaves(slot)
    this.#doneAtOne(delivery)
  }

  #leaves(slot: Slot): void {
    slot.inFlight--
    if (slot.idle !== undefined) tellIdle(slot)
  }

  #doneAtOne(delivery: Delivery): void {
    if (--delivery.remaining > 0) return
    if (!delivery.isAbandoned) return this.#settled(delivery)
    // What comes again takes no place from what is ours, and keeps nothing of it waiting.
    if (delivery.inWindow) this.#work--
    this.#leaveWindow(delivery)
    this.#entrance.ended(delivery)
    this.#pump()
  }

  #again({ delivery, number, slot }: Job, error: Error, afterMs: number): void {
    const { counters, log } = this.#parts
    counters.retried++
    const { topic } = delivery.arrival
    log.warn(
      `Attempt ${number} for "${inLog(topic)}" failed, the next one comes in ${Math.round(afterMs)} ms: ${reasonOf(error)}`,
      { topic, receiver: slot.receiver.id, error },
    )
  }

  #settled(delivery: Delivery): void {
    delivery.settled = true
    // Only what was handed out has a place, and keeps it as long as it is not settled.
    if (delivery.inWindow) this.#work--
    this.#entrance.ended(delivery)
    if (delivery.suspect) this.#cleared(delivery)
    // A refusal ends the exchange: there is nothing to be remembered of it.
    if (delivery.arrival.qos === 2 && delivery.current && delivery.reasonCode < 0x80) this.#keep(delivery)
    // On a new connection it may have to wait for older ones that have no place in the window yet.
    if (delivery.resumed || !delivery.current) this.#leaveWindow(delivery)
    if (delivery.current) this.#release()
    this.#pump()
  }

  #cleared(delivery: Delivery): void {
    if (!delivery.isQuarantined) this.#parts.suspects?.settled(delivery.arrival)
    else {
      this.#parts.suspects?.quarantined()
      if (delivery.isOurs) this.#forget(delivery)
    }
    this.#narrow()
  }

  // No acknowledgement of it is waited for any more.
  #forget({ arrival }: Delivery): void {
    this.#parts.suspects?.forget(arrival)
  }

  #keepForUs(delivery: Delivery): void {
    delivery.isOurs = true
    if (delivery.isQuarantined && delivery.settled) this.#forget(delivery)
  }

  // It stays in the window until that is kept: else a slow disk would leave any number to be run again.
  #keep(delivery: Delivery): void {
    const kept = this.#parts.port.settled?.(delivery.packetId)
    if (kept === undefined) return
    delivery.keeping = true
    this.#keeping++
    void kept.then(() => {
      delivery.keeping = false
      this.#keeping--
      if (delivery.current) this.#release()
      this.#pump()
      this.#wake()
    })
  }

  #release(): void {
    this.#acks.release((delivery) => {
      this.#leaveWindow(delivery)
      this.#released.push(delivery)
    })
    if (this.#flushing || this.#released.length === 0) return
    this.#flushing = true
    this.#parts.defer(() => this.flush())
  }

  #leaveWindow(delivery: Delivery): void {
    if (!delivery.inWindow) return
    delivery.inWindow = false
    this.#window.leave()
  }

  #pump(): void {
    if (this.#pumping || this.#entrance.size === 0) return
    let next = this.#nextIn()
    if (next === undefined) return
    this.#pumping = true
    for (; next !== undefined; next = this.#nextIn()) this.#handOut(next)
    this.#pumping = false
    this.#balance()
  }

  #nextIn(): Delivery | undefined {
    return (this.#window.hasRoom ? this.#entrance.next() : undefined) ?? this.#firstInLine()
  }

  // What is done with keeps its place until all that came before it is acknowledged. So the first of these must
  // never wait for a place: what waits for its time, or was let in late, would then wait for ever.
  #firstInLine(): Delivery | undefined {
    const { first } = this.#acks
    if (first === undefined || first.inWindow || first.settled || this.#work >= this.#window.places)
      return undefined
    return this.#entrance.nextFor(first)
  }

  #balance(): void {
    // Asked at every message, and hardly ever is there anything to change.
    if (!this.#paused && !this.#window.isPressed) return
    const { port } = this.#parts
    const pause = this.#window.pressure(port.awaiting || this.#isAnswerAwaited) === 'pause'
    if (pause === this.#paused) return
    this.#paused = pause
    if (pause) port.pause()
    else port.resume()
  }

  // Its wait has an end of its own: for it alone nothing is cut.
  get #isAnswerAwaited(): boolean {
    return this.#window.hasRoomForAnswers && this.#parts.isAnswerDue?.() === true
  }

  #overflow(): void {
    const { port, counters, limits, log } = this.#parts
    if (this.#backlog.size > 0) {
      log.warn(
        `${this.#window.waitingBytes} bytes came before the receivers had subscribed, more than four times the limit of ${limits.maxWaitingBytes}: they wait no longer, and what nobody wants yet is only acknowledged.`,
      )
      return this.#backlog.release()
    }
    counters.overflows++
    port.cut({
      type: 'overflow',
      message: `${this.#window.waitingBytes} bytes wait for handlers, more than four times the limit of ${limits.maxWaitingBytes}: the connection was cut, and nothing of it acknowledged.`,
    })
  }

  #wake(): void {
    const open = this.#runner.running + this.#asked + this.#keeping + this.#entrance.size
    if (this.#draining === 'no' || open > 0) return
    for (const resolve of this.#idle.splice(0)) resolve()
  }
}

function tellIdle(slot: Slot): void {
  if (slot.idle === undefined || slot.inFlight > (slot.waiting?.size ?? 0)) return
  const tell = slot.idle
  slot.idle = undefined
  tell()
}

function crashBurial(topic: string, crashes: number): Burial {
  const what = `The process has died ${crashes} times with this message on "${inLog(topic)}" in hand.`
  return {
    cause: 'crashed',
    error: new MqttasgiError('ERR_MESSAGE_CRASHES', what),
    route: undefined,
    reasonCode: 0,
  }
}

// Made only where there is something to say: nearly all acknowledgements say yes.
function reasonCodes(released: readonly Delivery[]): ReadonlyMap<number, number> | undefined {
  const told = released.filter(({ reasonCode }) => reasonCode !== 0)
  return told.length === 0
    ? undefined
    : new Map(told.map(({ packetId, reasonCode }) => [packetId, reasonCode]))
}

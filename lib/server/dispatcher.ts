// The way of a message through the server, from arrival to acknowledgement; long, because one order and one window hold it together.
import type { Clock } from '../core/clock.ts'
import type { MqttasgiError } from '../core/errors.ts'
import { inLog, type Logger } from '../core/log.ts'
import type { Outcome } from '../core/receiver.ts'
import { hasMoreLevels } from '../core/topic.ts'
import type { Arrival, SkippedPacket, Transport } from '../transport/transport.ts'
import { AckQueue } from './acks.ts'
import type { Copies } from './copies.ts'
import type { Counters } from './counters.ts'
import { Fifo } from './fifo.ts'
import { Delivery, type Job, type Slot } from './job.ts'
import type { Recipients } from './recipients.ts'
import { Redeliveries } from './redeliveries.ts'
import { Runner } from './runner.ts'
import { settle, type Settlement } from './settlement.ts'
import { skippedArrival } from './skipped-arrival.ts'
import { Window, type WindowLimits } from './window.ts'

/** What the dispatcher works with. It calls the connection only through `port`. */
export interface DispatcherParts {
  readonly port: Pick<Transport, 'settled' | 'acknowledge' | 'pause' | 'resume' | 'cut' | 'awaiting'>
  readonly recipients: Recipients<Slot>
  readonly copies: Pick<Copies, 'judge'>
  readonly counters: Counters
  readonly limits: WindowLimits
  /** What has more levels is only acknowledged; undefined for no limit. */
  readonly maxTopicLevels?: number | undefined
  readonly clock: Clock
  readonly log: Logger
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
  // In front of the window, in the order of arrival.
  readonly #waiting = new Fifo<Delivery>()
  readonly #runner: Runner
  #released: Delivery[] = []
  #flushing = false
  #pumping = false
  #paused = false
  #draining: 'no' | 'finish' | 'drop' = 'no'
  #idle: (() => void)[] = []

  constructor(parts: DispatcherParts) {
    this.#parts = parts
    this.#window = new Window(parts.limits)
    this.#runner = new Runner({
      clock: parts.clock,
      defer: parts.defer,
      concluded: (job, outcome) => this.#concluded(job, outcome),
      over: () => {
        this.#pump()
        this.#wake()
      },
    })
  }

  /** Handlers that have been started and have not settled. */
  get running(): number {
    return this.#runner.running
  }

  /** Messages that are in hand: handed out, or waiting for their turn. */
  get inHand(): number {
    return this.#window.open + this.#waiting.size
  }

  /** A connection is up. What an older one left comes again if the session was resumed, else never. */
  connected(sessionPresent: boolean): void {
    this.#window.reset()
    this.#paused = false
    if (sessionPresent) this.#leaveToTheBroker()
    else this.#redeliveries.clear()
  }

  /** The connection is gone, and every acknowledgement that was not written with it [MQTT-4.4.0-1]. */
  disconnected(): void {
    this.#redeliveries.disconnected()
    const left = [...this.#released, ...this.#acks.abandon()]
    this.#released = []
    for (const delivery of left) {
      delivery.current = false
      if (delivery.settled) this.#leaveWindow(delivery)
    }
    this.#redeliveries.expect(left)
    this.#pump()
  }

  arrived(arrival: Arrival): void {
    this.#parts.counters.received++
    if (arrival.packetId !== 0 && this.#joins(arrival)) return
    // Nothing new is begun any more: what is not acknowledged comes again.
    if (this.#draining !== 'no') return
    const delivery = new Delivery(arrival)
    if (arrival.packetId !== 0) this.#owe(delivery)
    if (!this.#isWanted(arrival)) return this.#settled(delivery)
    if (this.#window.hasRoom && this.#waiting.size === 0) return this.#handOut(delivery)
    this.#waiting.push(delivery)
    this.#window.wait(arrival.bytes)
    // Only what comes on top can be too much, and only where stopping to read is no way out.
    if (this.#window.overflows && this.#parts.port.awaiting) this.#overflow()
    else this.#balance()
  }

  /** A message was too large to be kept: it is gone, and acknowledged in its turn so that it stays gone. */
  skipped(packet: SkippedPacket): void {
    this.#parts.counters.received++
    this.#parts.counters.oversized++
    const { bytes, packetId, topic } = packet
    this.#parts.log.warn(
      `${bytes} bytes on "${inLog(topic)}" are above maxPacketBytes: skipped, and acknowledged.`,
    )
    if (packetId === 0 || this.#draining !== 'no' || this.#acks.find(packetId) !== undefined) return
    const delivery = new Delivery(skippedArrival(packet))
    this.#acks.arrived(delivery)
    this.#settled(delivery)
  }

  /** An acknowledgement of the broker's is awaited from now on: the socket must be read. */
  relieve(): void {
    if (this.#paused) this.#balance()
  }

  /**
   * Begins nothing new and resolves when all that runs has settled. `finish`: what is already in hand is
   * still run, because this session's broker will not send it again; `drop`: it is left unacknowledged.
   */
  drain(waiting: 'finish' | 'drop'): Promise<void> {
    this.#draining = waiting
    if (waiting === 'drop') this.#dropWaiting()
    return new Promise((resolve) => {
      this.#idle.push(resolve)
      this.#wake()
    })
  }

  /** Tells every handler that still runs that nobody waits for it any more, and begins nothing behind them. */
  abort(reason: MqttasgiError): void {
    this.#draining = 'drop'
    this.#dropWaiting()
    this.#runner.giveUp(reason)
  }

  /** Hears no more of what still runs. Returns how many handlers that are. */
  leave(): number {
    return this.#runner.leave()
  }

  /** Writes the acknowledgements that are due now instead of at the end of the turn. */
  flush(): void {
    this.#flushing = false
    if (this.#released.length === 0) return
    // Where they can not be written any more the end of the connection is about to be told.
    if (!this.#parts.port.acknowledge(this.#released.map(({ packetId }) => packetId))) return
    this.#parts.counters.acknowledged += this.#released.length
    this.#released = []
  }

  #dropWaiting(): void {
    for (const { arrival } of this.#waiting.clear()) this.#window.admit(arrival.bytes)
    this.#runner.dropWaiting()
    this.#balance()
  }

  // What has not been begun comes again, in the order of its acknowledgements: the head of that order must
  // never stand behind what can only be acknowledged after it. What the broker does not have is ours alone.
  #leaveToTheBroker(): void {
    const expected = new Set(this.#redeliveries.clear())
    for (const delivery of this.#waiting.clear()) {
      if (expected.delete(delivery)) this.#window.admit(delivery.arrival.bytes)
      else this.#waiting.push(delivery)
    }
    this.#redeliveries.expect(expected)
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
    const older = this.#redeliveries.take(arrival)
    if (older === undefined) return false
    counters.joined++
    older.packetId = arrival.packetId
    older.current = true
    older.resumed = true
    this.#acks.arrived(older)
    if (older.settled) this.#release()
    return true
  }

  // A broker that gives a packet id to a second message before the first is acknowledged [MQTT-2.2.1-4]
  // gets one acknowledgement for both; both are handled.
  #owe(delivery: Delivery): void {
    this.#redeliveries.passed(delivery.arrival)
    if (this.#acks.find(delivery.packetId) === undefined) return this.#acks.arrived(delivery)
    delivery.packetId = 0
    delivery.current = false
  }

  #isWanted(arrival: Arrival): boolean {
    const { counters, copies, log, maxTopicLevels } = this.#parts
    if (arrival.settled === true) {
      counters.joined++
      return false
    }
    if (arrival.invalid !== undefined) {
      counters.invalidTopics++
      // Not louder: whoever may publish could fill the log with it.
      log.debug(
        `"${inLog(arrival.topic)}" is no topic, its message was only acknowledged: ${arrival.invalid}.`,
      )
      return false
    }
    if (maxTopicLevels !== undefined && hasMoreLevels(arrival.topic, maxTopicLevels)) {
      counters.deepTopics++
      log.debug(`"${inLog(arrival.topic)}" has more than ${maxTopicLevels} levels, it was only acknowledged.`)
      return false
    }
    const verdict = copies.judge(arrival)
    if (verdict.type !== 'run') {
      counters[verdict.type === 'copy' ? 'copies' : 'surplus']++
      return false
    }
    arrival.share = verdict.share
    return true
  }

  #handOut(delivery: Delivery): void {
    const { arrival } = delivery
    this.#window.enter()
    delivery.inWindow = true
    const slots = this.#parts.recipients.of(arrival.topic, arrival.share)
    delivery.remaining = slots.length
    for (const slot of slots) this.#runner.start(delivery, slot)
  }

  #concluded(job: Job, outcome: Outcome): void {
    this.#parts.report(job, settle(outcome))
    if (--job.delivery.remaining === 0) this.#settled(job.delivery)
  }

  #settled(delivery: Delivery): void {
    delivery.settled = true
    if (delivery.arrival.qos === 2 && delivery.current) this.#parts.port.settled?.(delivery.packetId)
    // On a new connection it may have to wait for older ones that have no place in the window yet.
    if (delivery.resumed || !delivery.current) this.#leaveWindow(delivery)
    if (delivery.current) this.#release()
    this.#pump()
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
    if (this.#pumping || this.#waiting.size === 0) return
    this.#pumping = true
    while (this.#window.hasRoom) {
      const delivery = this.#waiting.shift()
      if (delivery === undefined) break
      this.#window.admit(delivery.arrival.bytes)
      this.#handOut(delivery)
    }
    this.#pumping = false
    this.#balance()
  }

  #balance(): void {
    const { port } = this.#parts
    const pause = this.#window.pressure(port.awaiting) === 'pause'
    if (pause === this.#paused) return
    this.#paused = pause
    if (pause) port.pause()
    else port.resume()
  }

  #overflow(): void {
    const { port, counters, limits } = this.#parts
    counters.overflows++
    port.cut({
      type: 'overflow',
      message: `${this.#window.waitingBytes} bytes wait for handlers, more than four times the limit of ${limits.maxWaitingBytes}: the connection was cut, and nothing of it acknowledged.`,
    })
  }

  #wake(): void {
    if (this.#draining === 'no' || this.#runner.running > 0) return
    if (this.#draining === 'finish' && this.#waiting.size > 0) return
    for (const resolve of this.#idle.splice(0)) resolve()
  }
}

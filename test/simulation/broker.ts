// A broker as a model, with the bad habits of real ones: what it holds for one session, and what is on the wire.
import type { QoS } from '../../lib/core/message.ts'
import type { Arrival } from '../../lib/transport/transport.ts'
import type { SeededRandom } from '../helpers/seeded-random.ts'

/** What real brokers were seen to do (renumber: RabbitMQ, aedes; no DUP: aedes; late: NATS). */
export interface Habits {
  /** A redelivery has another packet id. */
  readonly renumbers: boolean
  readonly dropsDup: boolean
  /** Redeliveries come some time after new messages, not before them. */
  readonly late: boolean
  readonly ignoresWindow: boolean
  /** What was sent may expire while the client is away. */
  readonly expires: boolean
}

/** What is published. */
export interface Content {
  readonly topic: string
  readonly payload: string
  readonly qos: QoS
  readonly bytes: number
  /** To be acknowledged without a run: not allowed, or another copy's turn. */
  readonly unwanted: 'invalid' | 'copy' | undefined
  /** The process dies of it, each time it runs. */
  readonly poison: boolean
}

/** A publication, and what has become of it. */
export interface Publication extends Content {
  readonly number: number
  /** Unacknowledged on this connection. */
  packetId: number | undefined
  /** All it ever had. */
  readonly packetIds: Set<number>
  /** Sent on an older connection, and not again on this one. */
  toSendAgain: boolean
  everSent: boolean
  /** When it first arrived at the client. */
  firstArrival: number | undefined
  /** The connection on which it arrived last. */
  arrivedOn: number | undefined
  /** An acknowledgement of it was written, which may have got lost. */
  wasWritten: boolean
  acknowledged: boolean
  /** Lost with the session, or expired; of QoS 0, lost on the wire. */
  forgotten: boolean
  /** QoS 2: the client has noted that it is done with it, and whether that outlives its process. */
  exchange: 'open' | 'noted' | 'durable'
  exchangeNumber: number
  /** Resolves when what is noted outlives the process. */
  noting: Promise<void> | undefined
}

export interface SimulatedArrival extends Arrival {
  readonly publication: Publication
  /** When it reached the client. */
  at: number
}

const IDS = 20
// Fewer than there are ids, so that there is always one that was not in use just now.
const MOST_IN_FLIGHT = 8

export class SimulatedBroker {
  readonly publications: Publication[] = []
  connection = 0
  /** PUBLISH packets on their way to the client. */
  inbound: SimulatedArrival[] = []
  /** PUBACKs on their way to the broker. */
  outbound: number[] = []
  readonly #random: SeededRandom
  readonly #habits: Habits
  readonly #window: number
  #open: Publication[] = []
  #lastId = 0
  // Packet ids that no new message gets yet, for nobody could tell it from a redelivery without DUP: those of
  // what is still to be sent again with another one, and, for the first new message, of what has expired.
  #givenUp = new Set<number>()
  #expired = new Set<number>()

  constructor(random: SeededRandom, habits: Habits, receiveMaximum: number) {
    this.#random = random
    this.#habits = habits
    this.#window = habits.ignoresWindow ? MOST_IN_FLIGHT : receiveMaximum
  }

  publish(content: Content): void {
    const publication: Publication = {
      ...content,
      number: this.publications.length,
      packetId: undefined,
      packetIds: new Set(),
      toSendAgain: false,
      everSent: false,
      firstArrival: undefined,
      arrivedOn: undefined,
      wasWritten: false,
      acknowledged: false,
      forgotten: false,
      exchange: 'open',
      exchangeNumber: 0,
      noting: undefined,
    }
    this.publications.push(publication)
    this.#open.push(publication)
  }

  /** Still the broker's to send, or sent and unacknowledged. */
  get open(): readonly Publication[] {
    return this.#open
  }

  /** The connection breaks, and what is on the wire with it; in order, so that some of it may have got there. */
  lose(): void {
    for (const { publication } of this.inbound) if (publication.qos === 0) publication.forgotten = true
    this.inbound = []
    this.outbound = []
    for (const publication of this.#open) {
      if (publication.packetId === undefined) continue
      publication.toSendAgain = true
      publication.everSent = true
    }
  }

  /** Returns Session Present. */
  accept(keepsSession: boolean): boolean {
    this.connection++
    this.#givenUp = new Set()
    this.#expired = new Set()
    for (const publication of this.#open) {
      if (!keepsSession) publication.forgotten = true
      else if (publication.toSendAgain) this.#resume(publication)
    }
    this.#tidy()
    return keepsSession
  }

  /** Puts the next PUBLISH on the wire; false when there is none, or the window of the client is full. */
  send(): boolean {
    const again = this.#open.find(({ toSendAgain }) => toSendAgain)
    const fresh = this.#open.find(({ packetId, toSendAgain }) => packetId === undefined && !toSendAgain)
    const late = this.#habits.late && fresh !== undefined && this.#random.chance(0.7)
    const next = late ? fresh : (again ?? fresh)
    if (next === undefined) return false
    if (next.qos === 0) return this.#sendOnce(next)
    if (this.#inFlight >= this.#window) return false
    if (again === undefined) this.#givenUp.clear()
    const id = next.packetId ?? this.#freeId(next === fresh ? [...this.#givenUp, ...this.#expired] : [])
    if (id === undefined) return false
    if (next === fresh) this.#expired.clear()
    next.packetId = id
    next.packetIds.add(id)
    next.toSendAgain = false
    // Where messages expire, one that never arrived could not be told from an equal one that did and expired.
    this.#wire(next, this.#habits.expires ? next.firstArrival !== undefined : next.everSent)
    next.everSent = true
    return true
  }

  /** Sends again what it has sent on this connection, as NATS does after a while. */
  resend(): void {
    const sent = this.#open.filter(
      ({ arrivedOn, packetId, toSendAgain }) =>
        packetId !== undefined && !toSendAgain && arrivedOn === this.connection,
    )
    const publication = this.#random.pick(sent)
    // What is being acknowledged is not sent again in this model: nobody could tell it from a new message.
    if (publication?.packetId === undefined || this.outbound.includes(publication.packetId)) return
    this.#wire(publication, true)
  }

  /** The unacknowledged publication with this id on this connection. */
  find(packetId: number): Publication | undefined {
    return this.#open.find((publication) => publication.packetId === packetId && !publication.toSendAgain)
  }

  /** An acknowledgement has come; gives what it is for. */
  read(packetId: number): Publication | undefined {
    const publication = this.find(packetId)
    if (publication === undefined) return undefined
    publication.acknowledged = true
    publication.packetId = undefined
    this.#tidy()
    return publication
  }

  get #inFlight(): number {
    return this.#open.filter(({ packetId, toSendAgain }) => packetId !== undefined && !toSendAgain).length
  }

  // What it says when nothing is owed: it goes, and that is all.
  #sendOnce(publication: Publication): boolean {
    publication.everSent = true
    publication.acknowledged = true
    this.#wire(publication, false)
    this.#tidy()
    return true
  }

  #resume(publication: Publication): void {
    const { packetId, packetIds, qos } = publication
    if (this.#habits.expires && !this.#hasTwin(publication) && this.#random.chance(0.3)) {
      publication.forgotten = true
      if (packetId !== undefined) this.#expired.add(packetId)
    } else if (this.#habits.renumbers && qos !== 2) {
      // A message of QoS 2 keeps its number until its exchange is over [MQTT-4.3.3-10].
      for (const id of packetIds) this.#givenUp.add(id)
      publication.packetId = undefined
    }
  }

  // The redelivery of one could not be told from that of the other, so nobody could tell which has expired.
  #hasTwin(publication: Publication): boolean {
    return this.#open.some(
      (other) =>
        other !== publication &&
        other.everSent &&
        other.topic === publication.topic &&
        other.payload === publication.payload,
    )
  }

  #freeId(avoid: readonly number[]): number | undefined {
    const taken = new Set([...this.#open.map(({ packetId }) => packetId), ...avoid])
    for (let i = 0; i < IDS; i++) {
      this.#lastId = (this.#lastId % IDS) + 1
      if (!taken.has(this.#lastId)) return this.#lastId
    }
    return undefined
  }

  #tidy(): void {
    this.#open = this.#open.filter(({ acknowledged, forgotten }) => !acknowledged && !forgotten)
  }

  #wire(publication: Publication, again: boolean): void {
    const { bytes, packetId = 0, payload, qos, topic, unwanted } = publication
    const dup = again && !this.#habits.dropsDup
    this.inbound.push({
      publication,
      at: 0,
      topic,
      payload: Buffer.from(payload),
      qos,
      retain: false,
      dup,
      properties: {},
      packetId,
      bytes,
      invalid: unwanted === 'invalid' ? 'made so' : undefined,
      subscriptionIdentifiers: unwanted === 'copy' ? [1] : [],
      share: undefined,
      settled: qos === 2 && dup && publication.exchange !== 'open',
      equals: (other) => other.topic === topic && other.payload.toString() === payload,
    })
  }
}

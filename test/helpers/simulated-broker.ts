// A broker as a model, with the bad habits of real ones: what it holds for one session, and what is on the wire.
import type { Arrival } from '../../lib/transport/transport.ts'
import type { SeededRandom } from './seeded-random.ts'

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

/** A publication of QoS 1, and what has become of it. */
export interface Publication {
  readonly number: number
  readonly topic: string
  readonly payload: string
  readonly bytes: number
  /** To be acknowledged without a run: not allowed, or another copy's turn. */
  readonly unwanted: 'invalid' | 'copy' | undefined
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
  acknowledged: boolean
  /** Lost with the session, or expired. */
  forgotten: boolean
}

export interface SimulatedArrival extends Arrival {
  readonly publication: Publication
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

  publish(publication: Pick<Publication, 'topic' | 'payload' | 'bytes' | 'unwanted'>): void {
    this.publications.push({
      ...publication,
      number: this.publications.length,
      packetId: undefined,
      packetIds: new Set(),
      toSendAgain: false,
      everSent: false,
      firstArrival: undefined,
      arrivedOn: undefined,
      acknowledged: false,
      forgotten: false,
    })
  }

  /** Still the broker's to send, or sent and unacknowledged. */
  get open(): Publication[] {
    return this.publications.filter(({ acknowledged, forgotten }) => !acknowledged && !forgotten)
  }

  /** The connection breaks, and what is on the wire with it; in order, so that some of it may have got there. */
  lose(): void {
    this.inbound = []
    this.outbound = []
    for (const publication of this.open) {
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
    for (const publication of this.open) {
      if (!keepsSession) publication.forgotten = true
      else if (publication.toSendAgain) this.#resume(publication)
    }
    return keepsSession
  }

  #resume(publication: Publication): void {
    const { packetId, packetIds } = publication
    if (this.#habits.expires && !this.#hasTwin(publication) && this.#random.chance(0.3)) {
      publication.forgotten = true
      if (packetId !== undefined) this.#expired.add(packetId)
    } else if (this.#habits.renumbers) {
      for (const id of packetIds) this.#givenUp.add(id)
      publication.packetId = undefined
    }
  }

  // The redelivery of one could not be told from that of the other, so nobody could tell which has expired.
  #hasTwin(publication: Publication): boolean {
    return this.open.some(
      (other) =>
        other !== publication &&
        other.everSent &&
        other.topic === publication.topic &&
        other.payload === publication.payload,
    )
  }

  /** Puts the next PUBLISH on the wire; false when there is none, or the window of the client is full. */
  send(): boolean {
    const again = this.open.find(({ toSendAgain }) => toSendAgain)
    const fresh = this.open.find(({ packetId, toSendAgain }) => packetId === undefined && !toSendAgain)
    const late = this.#habits.late && fresh !== undefined && this.#random.chance(0.7)
    const next = late ? fresh : (again ?? fresh)
    if (next === undefined || this.#inFlight >= this.#window) return false
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
    const sent = this.open.filter(
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
    return this.open.find((publication) => publication.packetId === packetId && !publication.toSendAgain)
  }

  get #inFlight(): number {
    return this.open.filter(({ packetId, toSendAgain }) => packetId !== undefined && !toSendAgain).length
  }

  #freeId(avoid: readonly number[]): number | undefined {
    const taken = new Set([...this.open.map(({ packetId }) => packetId), ...avoid])
    for (let i = 0; i < IDS; i++) {
      this.#lastId = (this.#lastId % IDS) + 1
      if (!taken.has(this.#lastId)) return this.#lastId
    }
    return undefined
  }

  #wire(publication: Publication, again: boolean): void {
    const { bytes, packetId = 0, payload, topic, unwanted } = publication
    this.inbound.push({
      publication,
      topic,
      payload: Buffer.from(payload),
      qos: 1,
      retain: false,
      dup: again && !this.#habits.dropsDup,
      properties: {},
      packetId,
      bytes,
      invalid: unwanted === 'invalid' ? 'made so' : undefined,
      subscriptionIdentifiers: unwanted === 'copy' ? [1] : [],
      share: undefined,
      equals: (other) => other.topic === topic && other.payload.toString() === payload,
    })
  }
}

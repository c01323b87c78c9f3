// A broker, a wire, a client and its disk as a model, for QoS 2 with faults: cuts, crashes, lost sessions, bad habits.
import { Exchanges } from '../../lib/transport/exchanges.ts'
import { SlowStore } from './slow-store.ts'

/** A publication of QoS 2 at the broker. */
export interface Publication {
  readonly number: number
  readonly text: string
  packetId: number
  /** queued: never sent · sent: no PUBREC yet · released: no PUBCOMP yet. */
  stage: 'queued' | 'sent' | 'released' | 'done'
  /** It went with a session, and nobody can be blamed for it. */
  forgotten: boolean
  /** How often its handler has ended. */
  handled: number
  /** Its settlement is on the disk, or was said, in the session that it belongs to. */
  recorded: boolean
}

interface Packet {
  readonly type: 'PUBLISH' | 'PUBREL'
  readonly packetId: number
  readonly dup: boolean
  readonly publication: Publication
}

interface InHand {
  readonly packetId: number
  readonly publication: Publication
  /** Handled, or known to have been. */
  settled: boolean
}

export interface Habits {
  /** As aedes: a redelivery has another packet id, and does not say that it is one. */
  readonly careless: boolean
  /** Without a store nothing is known after a crash. */
  readonly durable: boolean
}

/** What went wrong; the model goes no further then. */
class Wrong extends Error {}

const WINDOW = 4

export class ExchangeWorld {
  readonly publications: Publication[] = []
  readonly #habits: Habits
  #store: SlowStore
  #exchanges: Exchanges
  #connected = false
  #sessionKnown = false
  #down: Packet[] = []
  #up: { type: string; packetId: number; reasonCode: number }[] = []
  /** In the order of arrival, until acknowledged. */
  #inHand: InHand[] = []
  /** PUBLISHes of this connection whose PUBREC the broker awaits, in order. */
  #awaited: number[] = []
  #lastId = 0

  constructor(habits: Habits) {
    this.#habits = habits
    this.#store = new SlowStore()
    this.#exchanges = this.#begin()
  }

  get open(): Publication[] {
    return this.publications.filter(({ stage, forgotten }) => stage !== 'done' && !forgotten)
  }

  get store(): SlowStore {
    return this.#store
  }

  /** A broker that renumbers never releases the packet id that it gave up. */
  get atRest(): boolean {
    return this.open.length === 0 && (this.#exchanges.isEmpty || this.#habits.careless)
  }

  publish(text: string): void {
    this.publications.push({
      number: this.publications.length,
      text,
      packetId: 0,
      stage: 'queued',
      forgotten: false,
      handled: 0,
      recorded: false,
    })
  }

  /** `sessionLost` counts only where there was one. The client may die right behind CONNACK. */
  async connect(sessionLost: boolean, diesAfter?: number): Promise<void> {
    if (this.#connected) return
    const doubt = this.#exchanges.connecting()
    await this.#commitAll()
    await doubt
    const present = this.#sessionKnown && !sessionLost
    if (!present) for (const publication of this.open) this.#forget(publication)
    this.#sessionKnown = true
    const ready = this.#exchanges.connected(present)
    if (diesAfter !== undefined) return this.crash(diesAfter)
    await this.#commitAll()
    await ready
    this.#connected = true
    for (const publication of this.open) this.#again(publication)
  }

  /** The broker sends the next message, if it may. */
  send(): void {
    const under = this.open.filter(({ stage }) => stage !== 'queued').length
    const next = this.open.find(({ stage }) => stage === 'queued')
    if (!this.#connected || next === undefined || under >= WINDOW) return
    next.packetId = this.#freeId()
    next.stage = 'sent'
    this.#wire({ type: 'PUBLISH', packetId: next.packetId, dup: false, publication: next })
  }

  /** The client reads a packet. */
  read(): void {
    const packet = this.#down.shift()
    if (packet === undefined) return
    if (packet.type === 'PUBREL') this.#exchanges.released(packet.packetId)
    else this.#arrived(packet)
    this.#write()
  }

  /** A handler ends. */
  handle(at: number): void {
    const running = this.#inHand.filter(({ settled }) => !settled)
    const one = running[at % Math.max(1, running.length)]
    if (one === undefined) return
    one.publication.handled++
    one.settled = true
    void this.#exchanges.settled(one.packetId)
    this.#acknowledge()
  }

  /** The disk has taken this many writes. */
  async commit(count?: number): Promise<void> {
    await this.#store.commit(count)
    this.#noteRecords()
    this.#write()
  }

  /** The broker reads a packet. */
  receive(): void {
    const answer = this.#up.shift()
    if (answer === undefined) return
    const publication = this.open.find(
      ({ packetId, stage }) => packetId === answer.packetId && stage !== 'queued',
    )
    if (publication === undefined) throw new Wrong(`${answer.type} ${answer.packetId} for nothing`)
    if (answer.type === 'PUBREC') this.#received(publication)
    else if (answer.type === 'PUBCOMP' && publication.stage === 'released') publication.stage = 'done'
    else throw new Wrong(`${answer.type} ${answer.packetId} at ${publication.stage}`)
  }

  /** The connection breaks; this many packets each way still arrive. */
  cut(down: number, up: number): void {
    if (!this.#connected) return
    for (let i = 0; i < down; i++) this.read()
    for (let i = 0; i < up; i++) this.receive()
    this.#connected = false
    this.#down = []
    this.#up = []
    this.#awaited = []
    this.#exchanges.disconnected()
    // The dispatcher would let the handler go on, and join; here it is simply run once more.
    this.#inHand = []
  }

  /** The client dies; of what its disk was asked for, this many writes hold. */
  async crash(writes: number): Promise<void> {
    this.cut(0, writes)
    await this.#store.commit(Math.min(writes, this.#store.waiting))
    this.#noteRecords()
    if (this.#store.inDoubt) for (const publication of this.open) publication.recorded = false
    this.#store = this.#habits.durable ? this.#store.afterCrash() : new SlowStore()
    this.#exchanges = this.#begin()
  }

  /** With what is asked for meanwhile. */
  async #commitAll(): Promise<void> {
    do await this.#store.commit()
    while (this.#store.waiting > 0)
    this.#noteRecords()
  }

  #begin(): Exchanges {
    return new Exchanges(this.#habits.durable ? this.#store : undefined, () => {})
  }

  #arrived({ packetId, dup, publication }: Packet): void {
    const known = this.#exchanges.published({ packetId, dup, fingerprint: () => publication.text })
    if (!known && publication.recorded && !this.#habits.careless) {
      throw new Wrong(`${publication.number} is run again, though it was recorded or said`)
    }
    this.#inHand.push({ packetId, publication, settled: known })
    this.#acknowledge()
  }

  #acknowledge(): void {
    const first = this.#inHand.findIndex(({ settled }) => !settled)
    const ready = this.#inHand.splice(0, first === -1 ? this.#inHand.length : first)
    this.#exchanges.acknowledge(ready.map(({ packetId }) => packetId))
    this.#write()
  }

  #write(): void {
    const answers = this.#exchanges.take()
    if (!this.#connected) return
    this.#up.push(...answers)
    for (const { packetId, type } of answers) if (type === 'PUBREC') this.#noteSaid(packetId)
  }

  /** What we have said PUBREC for is not run again [MQTT-4.3.3-10]. */
  #noteSaid(packetId: number): void {
    const said = this.open.find((one) => one.packetId === packetId && one.stage === 'sent')
    if (said !== undefined && this.#habits.durable) said.recorded = true
  }

  #received(publication: Publication): void {
    if (publication.handled === 0) throw new Wrong(`${publication.number} is lost`)
    if (publication.stage !== 'sent') throw new Wrong(`PUBREC ${publication.packetId} twice`)
    if (this.#awaited.shift() !== publication.packetId) {
      throw new Wrong(`PUBREC ${publication.packetId} out of order`)
    }
    publication.stage = 'released'
    this.#wire({ type: 'PUBREL', packetId: publication.packetId, dup: false, publication })
  }

  /** After a reconnect to its session [MQTT-4.4.0-1]. */
  #again(publication: Publication): void {
    if (publication.stage === 'queued') return
    const { careless } = this.#habits
    if (publication.stage === 'released') {
      this.#wire({ type: 'PUBREL', packetId: publication.packetId, dup: false, publication })
      return
    }
    if (careless) publication.packetId = this.#freeId()
    this.#wire({ type: 'PUBLISH', packetId: publication.packetId, dup: !careless, publication })
  }

  #wire(packet: Packet): void {
    this.#down.push(packet)
    if (packet.type === 'PUBLISH') this.#awaited.push(packet.packetId)
  }

  #forget(publication: Publication): void {
    if (publication.stage === 'queued') return
    publication.forgotten = true
  }

  #freeId(): number {
    const taken = new Set(this.open.map(({ packetId }) => packetId))
    for (let i = 0; ; i++) {
      this.#lastId = (this.#lastId % (WINDOW + 1)) + 1
      if (!taken.has(this.#lastId)) return this.#lastId
    }
  }

  #noteRecords(): void {
    if (!this.#habits.durable) return
    for (const publication of this.open) {
      if (publication.stage !== 'sent' || publication.handled === 0) continue
      if (this.#store.durable.get(publication.packetId) === publication.text) publication.recorded = true
    }
  }
}

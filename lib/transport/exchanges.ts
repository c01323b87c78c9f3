// The receiving side of QoS 2 (4.3.3): what was done with, until the broker lets go of it; and when that may be answered.
import type { ExchangeStore } from '../core/exchange-store.ts'
import type { Answer } from './answer.ts'

/** Reason code of a PUBCOMP (3.7.2.1): this client knows of no such exchange. */
const PACKET_IDENTIFIER_NOT_FOUND = 0x92
/** From here on a PUBREC refuses: the exchange is over with it, no PUBREL follows (4.3.3). */
const REFUSAL = 0x80

/**
 * held: in hand, nothing is said of it yet · keeping: done with, and about to be kept · kept: a PUBREC may say so, and
 * it is not handed on again · dropping: the broker has let go of it, or it was refused · over: nothing is known of it
 * any more, here or in the store.
 */
type Stage = 'held' | 'keeping' | 'kept' | 'dropping' | 'over'

/** PUBLISH, PUBREC, PUBREL, PUBCOMP of one message. */
interface Exchange {
  readonly packetId: number
  readonly fingerprint: string
  stage: Stage
  /** While it is about to be kept: resolves when it is. */
  keeping?: Promise<void> | undefined
  /** PUBREL came on this connection. */
  released: boolean
}

/** A PUBREC that waits for its turn: their order is that of the messages [MQTT-4.6.0-3]. */
interface Owed {
  readonly exchange: Exchange
  readonly reasonCode: number
}

/** A PUBLISH of QoS 2, as far as it matters here. */
export interface Exchanged {
  readonly packetId: number
  readonly dup: boolean
  fingerprint(): string
}

/**
 * The exchanges of one session, over all of its connections.
 *
 * PUBREC is held back until the message is done with, and until that is kept: so a crash before it brings the message
 * again, and a crash behind it does not run it again. PUBCOMP is held back until nothing of it is kept, for the packet
 * identifier may mean another message from then on. Without a store all of this lasts as long as the process.
 */
export class Exchanges {
  readonly #store: ExchangeStore | undefined
  readonly #ready: () => void
  readonly #byId = new Map<number, Exchange>()
  /** PUBRECs and PUBCOMPs of this connection: those that wait, and those that can be written. */
  #owed: Owed[] = []
  #answers: Answer[] = []
  #doubt: Promise<void> | undefined
  #clearing: Promise<void> | undefined
  #pending = 0
  #idle: (() => void)[] = []

  /** `ready` is called when there are answers to `take` that nobody waits for. */
  constructor(store: ExchangeStore | undefined, ready: () => void) {
    this.#store = store
    this.#ready = ready
    for (const [packetId, fingerprint] of store?.kept ?? []) {
      this.#byId.set(packetId, { packetId, fingerprint, stage: 'kept', released: false })
    }
  }

  /** No message of QoS 2 is in hand, and none waits for its PUBREL. */
  get isEmpty(): boolean {
    return this.#byId.size === 0
  }

  /**
   * CONNECT is about to be sent. When what is kept may turn out to be of another session, resolves when a crash from
   * here on leaves it in doubt; undefined when there is nothing to wait for.
   */
  connecting(): Promise<void> | undefined {
    if (this.#byId.size > 0) this.#doubt ??= this.#store?.doubt()
    return this.#doubt
  }

  /** CONNACK said yes. Resolves when nothing is kept of another session, and what is kept can be relied on. */
  async connected(sessionPresent: boolean): Promise<void> {
    if (!sessionPresent && this.#byId.size > 0) {
      for (const exchange of this.#byId.values()) exchange.stage = 'over'
      this.#byId.clear()
      this.#clearing = this.#store?.clear()
    }
    await this.#clearing
    if (this.#doubt === undefined) return
    this.#doubt = undefined
    await this.#store?.trust()
  }

  /** What was not written with the connection never is. What is in hand comes again, if it does. */
  disconnected(): void {
    this.#owed = []
    this.#answers = []
    for (const exchange of this.#byId.values()) {
      exchange.released = false
      if (exchange.stage === 'held') this.#byId.delete(exchange.packetId)
    }
  }

  /**
   * A PUBLISH of QoS 2. True when it was done with before: then only its PUBREC is owed. A repetition has the same
   * packet identifier [MQTT-4.3.3-10] and says that it is one [MQTT-3.3.1-1]; what looks like one and says nothing
   * comes from a broker that has forgotten the exchange, and is run: twice is better than never.
   */
  published(packet: Exchanged): boolean {
    const { packetId } = packet
    const known = this.#byId.get(packetId)
    if (known?.stage === 'held') return false
    const fingerprint = packet.fingerprint()
    const kept = known?.stage === 'keeping' || known?.stage === 'kept'
    if (kept && packet.dup && known.fingerprint === fingerprint) return true
    if (kept) void this.#store?.drop(packetId)
    this.#byId.set(packetId, { packetId, fingerprint, stage: 'held', released: false })
    return false
  }

  /** A message of QoS 1 has this packet identifier: what was known under it the broker has forgotten. */
  passed(packetId: number): void {
    const known = this.#byId.get(packetId)
    if (known === undefined || known.stage === 'held') return
    this.#byId.delete(packetId)
    void this.#store?.drop(packetId)
  }

  /**
   * A message is done with, here or before it came again; it may not be its turn to be acknowledged yet. Resolves when
   * that is kept; undefined when there is nothing to wait for.
   */
  settled(packetId: number): Promise<void> | undefined {
    const exchange = this.#byId.get(packetId)
    if (exchange?.stage !== 'held') return exchange?.keeping
    exchange.stage = 'keeping'
    exchange.keeping = this.#store?.keep(packetId, exchange.fingerprint)
    this.#commit(exchange.keeping, () => {
      exchange.keeping = undefined
      if (exchange.stage === 'keeping') exchange.stage = 'kept'
      this.#release()
    })
    return exchange.keeping
  }

  /** These are to be acknowledged, in this order. A packet identifier that is not known here is one of QoS 1. */
  acknowledge(packetIds: readonly number[], reasonCodes?: ReadonlyMap<number, number>): void {
    for (const packetId of packetIds) {
      const exchange = this.#byId.get(packetId)
      const reasonCode = reasonCodes?.get(packetId) ?? 0
      if (exchange === undefined) {
        this.#answers.push({ type: 'PUBACK', packetId, reasonCode })
        continue
      }
      this.#owed.push({ exchange, reasonCode })
      if (reasonCode < REFUSAL) void this.settled(packetId)
      else this.#drop(exchange)
    }
    this.#release()
  }

  /** PUBREL: the broker has our PUBREC. It gets a PUBCOMP in any case [MQTT-4.3.3-11]. */
  released(packetId: number): void {
    const exchange = this.#byId.get(packetId)
    if (exchange === undefined || exchange.stage === 'held') {
      const reasonCode = exchange === undefined ? PACKET_IDENTIFIER_NOT_FOUND : 0
      this.#answers.push({ type: 'PUBCOMP', packetId, reasonCode })
      this.#ready()
      return
    }
    exchange.released = true
    if (exchange.stage !== 'dropping') this.#drop(exchange)
  }

  /** What can be written now. */
  take(): readonly Answer[] {
    const answers = this.#answers
    this.#answers = []
    return answers
  }

  /** Resolves when all that was done with is kept, and its PUBREC can be taken. */
  idle(): Promise<void> {
    if (this.#pending === 0) return Promise.resolve()
    return new Promise((resolve) => this.#idle.push(resolve))
  }

  #drop(exchange: Exchange): void {
    const { packetId } = exchange
    const known = exchange.stage === 'held' ? undefined : this.#store?.drop(packetId)
    exchange.stage = 'dropping'
    this.#commit(known, () => {
      exchange.stage = 'over'
      if (this.#byId.get(packetId) === exchange) this.#byId.delete(packetId)
      if (exchange.released) this.#answers.push({ type: 'PUBCOMP', packetId, reasonCode: 0 })
      this.#release()
    })
  }

  /** The PUBRECs up to the first that has to wait. */
  #release(): void {
    let next = 0
    for (const { exchange, reasonCode } of this.#owed) {
      if (exchange.stage === 'keeping' || (exchange.stage === 'dropping' && !exchange.released)) break
      this.#answers.push({ type: 'PUBREC', packetId: exchange.packetId, reasonCode })
      next++
    }
    if (next > 0) this.#owed.splice(0, next)
    if (this.#answers.length > 0) this.#ready()
  }

  /** Without a store there is nothing to wait for. */
  #commit(kept: Promise<void> | undefined, then: () => void): void {
    if (kept === undefined) return then()
    this.#pending++
    void kept.then(() => {
      then()
      if (--this.#pending === 0) for (const resolve of this.#idle.splice(0)) resolve()
    })
  }
}

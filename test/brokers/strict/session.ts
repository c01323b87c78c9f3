// A session of the strict broker: what is subscribed, queued and in flight, and which acknowledgement is due.
import type { Habits } from './faults.ts'
import { fault, type Fault } from './violation.ts'

/** A publication on its way to one client. */
export interface Outgoing {
  readonly topic: string
  readonly payload: Buffer
  readonly qos: 0 | 1 | 2
  readonly retain: boolean
  readonly identifiers: readonly number[]
  readonly properties: Readonly<Record<string, unknown>>
}

/** One that owes an acknowledgement. */
export interface InFlight {
  readonly message: Outgoing
  readonly messageId: number
  /** `released`: PUBREC has come, PUBCOMP is due. */
  readonly phase: 'published' | 'released'
  readonly dup: boolean
}

interface Entry {
  readonly message: Outgoing
  messageId: number
  phase: 'published' | 'released'
  /** Since the connection began: 0 means it is still to be sent on it. */
  sends: number
  everSent: boolean
}

export type AckCmd = 'puback' | 'pubrec' | 'pubcomp'

export class Session {
  /** QoS 2 from the client: received, and not released. */
  readonly incoming = new Set<number>()
  readonly #queue: Outgoing[] = []
  #entries: Entry[] = []
  #window = 65_535
  #dropsDup = false
  #lastId = 0
  /** Acknowledged on this connection, and not used again since. */
  readonly #acked = new Set<number>()
  /** Sent on an older connection. */
  readonly #older = new Set<number>()
  /** Sent twice on this connection: the second one may be acknowledged for itself. */
  readonly #forgiven = new Map<number, number>()

  get unsettled(): number {
    return this.#entries.length + this.#queue.length
  }

  /** A new connection. What was in flight is to be sent again, in its order [MQTT-4.4.0-1, MQTT-4.6.0-1]. */
  begin(window: number, habits: Habits): void {
    this.#dropsDup = habits.dropsDup
    this.#window = habits.ignoresWindow ? 65_535 : window
    for (const entry of this.#entries) {
      this.#older.add(entry.messageId)
      if (habits.renumbers && entry.phase === 'published') entry.messageId = this.#freeId()
      entry.sends = 0
    }
    this.#acked.clear()
    this.#forgiven.clear()
  }

  add(message: Outgoing): void {
    this.#queue.push(message)
  }

  /** What is to be sent now, as far as the window lets it. */
  *next(): Generator<InFlight> {
    let open = this.#entries.filter(({ sends }) => sends > 0).length
    for (const entry of this.#entries) {
      if (entry.sends > 0) continue
      if (++open > this.#window) return
      yield this.#send(entry)
    }
    for (; open < this.#window; open++) {
      const message = this.#queue.shift()
      if (message === undefined) return
      const entry: Entry = {
        message,
        messageId: this.#freeId(),
        phase: 'published',
        sends: 0,
        everSent: false,
      }
      this.#entries.push(entry)
      yield this.#send(entry)
    }
  }

  /** All that is in flight, once more on the same connection, as NATS does after `ack_wait`. */
  *again(): Generator<InFlight> {
    for (const entry of this.#entries) if (entry.sends > 0) yield this.#send(entry)
  }

  #send(entry: Entry): InFlight {
    const { message, messageId, phase, everSent } = entry
    if (++entry.sends > 1) this.#forgiven.set(messageId, (this.#forgiven.get(messageId) ?? 0) + 1)
    entry.everSent = true
    this.#acked.delete(messageId)
    return { message, messageId, phase, dup: everSent && !this.#dropsDup }
  }

  /** Takes an acknowledgement. The message it settles, or what is wrong with it. */
  acknowledged(cmd: AckCmd, messageId: number, reasonCode = 0): Fault | Outgoing | undefined {
    const entry = this.#entries.find((one) => one.messageId === messageId && one.sends > 0)
    if (entry === undefined) return this.#stranger(messageId)
    const { message, phase } = entry
    if ((cmd === 'puback') !== (message.qos === 1)) return fault('sequence', `${cmd} for QoS ${message.qos}`)
    if (cmd === 'pubcomp') {
      if (phase === 'published') return fault('sequence', `pubcomp ${messageId} before its pubrec`)
      return this.#settle(entry)
    }
    if (phase === 'released') {
      return this.#forgiven.has(messageId)
        ? this.#forgive(messageId)
        : fault('repeated', `pubrec ${messageId}`)
    }
    const oldest = this.#entries.find(
      (one) => one.sends > 0 && one.phase === 'published' && one.message.qos === message.qos,
    )
    if (oldest !== entry && oldest !== undefined) {
      return fault('order', `${cmd} ${messageId}, though ${oldest.messageId} was sent before it`)
    }
    if (cmd === 'puback' || reasonCode >= 0x80) return this.#settle(entry)
    entry.phase = 'released'
    return undefined
  }

  #settle(entry: Entry): Outgoing {
    this.#entries = this.#entries.filter((one) => one !== entry)
    this.#acked.add(entry.messageId)
    return entry.message
  }

  #stranger(messageId: number): Fault | undefined {
    if (this.#forgiven.has(messageId)) return this.#forgive(messageId)
    if (this.#acked.has(messageId)) return fault('repeated', `${messageId} is acknowledged already`)
    if (this.#older.has(messageId)) return fault('stale', `${messageId} was sent on an older connection only`)
    return fault('unknown', `${messageId} was never sent`)
  }

  #forgive(messageId: number): undefined {
    const left = (this.#forgiven.get(messageId) ?? 0) - 1
    if (left > 0) this.#forgiven.set(messageId, left)
    else this.#forgiven.delete(messageId)
    return undefined
  }

  #freeId(): number {
    do this.#lastId = (this.#lastId % 65_535) + 1
    while (this.#entries.some(({ messageId }) => messageId === this.#lastId))
    return this.#lastId
  }
}

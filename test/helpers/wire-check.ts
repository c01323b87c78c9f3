// Holds a wire log against the rules of acknowledging: order, once, this connection, not before the chain settled.
import { keyOf, type PacketEvent, type WireEvent, type WireLog } from './wire-log.ts'

/** What a client did wrong, in a sentence. */
export interface Violation {
  /**
   * order: not the oldest unacknowledged one of its QoS [MQTT-4.6.0-2, 4.6.0-3] · unknown: no such PUBLISH or PUBREL on
   * any connection
   * · repeated: acknowledged already · stale: it came on an older connection only · early: the chain had
   * not settled · window: more unacknowledged than allowed · quota: more publications of its own without an answer than
   * the broker's Receive Maximum [MQTT-3.3.4-7] · malformed: not MQTT.
   */
  readonly type: 'order' | 'unknown' | 'repeated' | 'stale' | 'early' | 'window' | 'quota' | 'malformed'
  readonly connection: number
  readonly index: number
  readonly message: string
}

export interface WireRules {
  /**
   * How many QoS 1 and 2 messages may be unacknowledged at once on one connection; `announced` is what
   * CONNECT said. Not checked when left out: brokers overshoot, and it is not the client's fault.
   */
  readonly window?: number | 'announced'
  /** Hold every PUBACK and PUBREC against the `settled` marks. `keyOf` of topic and payload when `true`. */
  readonly settled?: boolean | ((topic: string, payload: Buffer) => string)
  /** The same with what the server says of itself, so that it needs no word of the test's. */
  readonly concluded?: boolean
}

/** Every way in which the acknowledgements of this log break the rules; empty when all is well. */
export function checkWire(log: WireLog, rules: WireRules = {}): Violation[] {
  const check = new Check(log, rules)
  for (const event of log.events) check.next(event)
  return check.violations
}

interface Received {
  readonly messageId: number
  readonly key: string
  readonly qos: 1 | 2
  /** With PUBREC: it is still in the window, until PUBCOMP. */
  answered: boolean
}

interface Connection {
  readonly clientId: string | undefined
  /** Received and not yet acknowledged to the end, oldest first. */
  readonly owed: Received[]
  readonly acked: Set<number>
  /** How often each has come again before it was acknowledged. */
  readonly again: Map<number, number>
  /** PUBREL came, and its PUBCOMP is due. */
  readonly released: Set<number>
  window: number
  /** What the client has published and the broker has not answered to the end. */
  readonly own: Set<number>
  quota: number
}

class Check {
  readonly violations: Violation[] = []
  readonly #log: WireLog
  readonly #rules: WireRules
  readonly #connections = new Map<number, Connection>()
  readonly #settled = new Set<string>()
  readonly #concluded = new Set<string>()

  constructor(log: WireLog, rules: WireRules) {
    this.#log = log
    this.#rules = rules
  }

  next(event: WireEvent): void {
    if (event.type === 'mark' && event.settled) this.#settled.add(event.label)
    if (event.type === 'concluded') this.#concluded.add(event.key)
    if (event.type === 'malformed') {
      this.#report('malformed', event.connection, event.index, `${event.direction}: ${event.message}`)
    }
    if (event.type === 'packet') this.#packet(event)
  }

  #packet(event: PacketEvent): void {
    const { packet, direction } = event
    const connection = this.#connection(event.connection)
    if (packet.cmd === 'connect' && typeof this.#rules.window !== 'number') {
      connection.window = packet.properties?.receiveMaximum ?? 65_535
    }
    if (packet.cmd === 'publish' && direction === 'down' && packet.qos > 0) this.#publish(event, connection)
    if (packet.cmd === 'pubrel' && direction === 'down') connection.released.add(packet.messageId ?? 0)
    if (packet.cmd === 'puback' && direction === 'up') this.#answered(event, connection, 1)
    if (packet.cmd === 'pubrec' && direction === 'up') this.#answered(event, connection, 2)
    if (packet.cmd === 'pubcomp' && direction === 'up') this.#completed(event, connection)
    this.#publishing(event, connection)
  }

  /** The client's own publications. */
  #publishing({ connection: number, direction, index, packet }: PacketEvent, connection: Connection): void {
    const { cmd, messageId = 0 } = packet
    if (direction === 'down') {
      if (cmd === 'connack') connection.quota = packet.properties?.receiveMaximum ?? 65_535
      const refuses = cmd === 'pubrec' && (packet.reasonCode ?? 0) >= 0x80
      if (cmd === 'puback' || cmd === 'pubcomp' || refuses) connection.own.delete(messageId)
    } else if (cmd === 'publish' && packet.qos > 0) {
      const { own, quota } = connection
      own.add(messageId)
      if (own.size > quota)
        this.#report('quota', number, index, `${own.size} publications, allowed are ${quota}`)
    }
  }

  #publish(event: PacketEvent, connection: Connection): void {
    if (event.packet.cmd !== 'publish') return
    const { topic, payload, messageId = 0 } = event.packet
    connection.acked.delete(messageId)
    // Some servers send again on the same connection what is not acknowledged yet: still one, in its old place.
    const before = connection.owed.find((received) => received.messageId === messageId)
    if (before !== undefined) {
      if (!before.answered) connection.again.set(messageId, (connection.again.get(messageId) ?? 0) + 1)
      before.answered = false
      return
    }
    connection.again.delete(messageId)
    const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload
    const key =
      typeof this.#rules.settled === 'function' ? this.#rules.settled(topic, bytes) : keyOf(topic, bytes)
    const qos = event.packet.qos === 2 ? 2 : 1
    connection.owed.push({ messageId, key, qos, answered: false })
    if (this.#rules.window === undefined || connection.owed.length <= connection.window) return
    this.#report(
      'window',
      event.connection,
      event.index,
      `${connection.owed.length} unacknowledged messages, allowed are ${connection.window}`,
    )
  }

  /** PUBACK or PUBREC: each kind keeps the order of its messages. */
  #answered(event: PacketEvent, connection: Connection, qos: 1 | 2): void {
    const { cmd, messageId = 0 } = event.packet
    const report = (type: Violation['type'], message: string): void =>
      this.#report(type, event.connection, event.index, `${cmd.toUpperCase()} ${messageId}: ${message}`)
    const due = connection.owed.filter((received) => received.qos === qos && !received.answered)
    const received = due.find((one) => one.messageId === messageId)
    if (received === undefined) {
      // It may have crossed the first acknowledgement on the way: to the client it was a new one then.
      const again = connection.again.get(messageId) ?? 0
      if (again > 0) return void connection.again.set(messageId, again - 1)
      if (connection.acked.has(messageId)) return report('repeated', 'was acknowledged already')
      if (this.#isOlder(event.connection, connection, messageId)) {
        return report('stale', 'came on an older connection and not on this one')
      }
      return report('unknown', 'no such message was received')
    }
    connection.acked.add(messageId)
    received.answered = true
    // A PUBREC that refuses is the end of it (4.3.3).
    const refuses = event.packet.cmd === 'pubrec' && (event.packet.reasonCode ?? 0) >= 0x80
    if (qos === 1 || refuses) remove(connection.owed, messageId)
    const [oldest] = due
    if (oldest !== received) report('order', `message ${oldest?.messageId ?? 0} was received before it`)
    const isHeld = this.#rules.settled !== undefined && this.#rules.settled !== false
    if (isHeld && !this.#settled.has(received.key)) report('early', `"${received.key}" had not settled`)
    if (this.#rules.concluded === true && !this.#concluded.has(received.key))
      report('early', `no server was done with "${received.key}"`)
  }

  #completed(event: PacketEvent, connection: Connection): void {
    const { messageId = 0 } = event.packet
    remove(connection.owed, messageId)
    if (connection.released.delete(messageId)) return
    this.#report('unknown', event.connection, event.index, `PUBCOMP ${messageId}: no PUBREL came for it`)
  }

  #isOlder(number: number, connection: Connection, messageId: number): boolean {
    for (const [other, { clientId, owed, acked }] of this.#connections) {
      if (other >= number || clientId !== connection.clientId) continue
      if (acked.has(messageId) || owed.some((received) => received.messageId === messageId)) return true
    }
    return false
  }

  #connection(number: number): Connection {
    const known = this.#connections.get(number)
    if (known !== undefined) return known
    const connection: Connection = {
      clientId: this.#log.clientId(number),
      owed: [],
      acked: new Set(),
      again: new Map(),
      released: new Set(),
      own: new Set(),
      quota: 65_535,
      window: typeof this.#rules.window === 'number' ? this.#rules.window : 65_535,
    }
    this.#connections.set(number, connection)
    return connection
  }

  #report(type: Violation['type'], connection: number, index: number, message: string): void {
    this.violations.push({ type, connection, index, message })
  }
}

function remove(owed: Received[], messageId: number): void {
  const index = owed.findIndex((received) => received.messageId === messageId)
  if (index >= 0) owed.splice(index, 1)
}

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
  /**
   * The same with what the server says of itself, so that it needs no word of the test's. Each message needs an end of its
   * own, also of equal ones; where the broker sends copies, of which one runs, `copies` lets one end do for all equal ones.
   */
  readonly concluded?: boolean | 'copies'
}

/** Every way in which the acknowledgements of this log break the rules; empty when all is well. */
export function checkWire(log: WireLog, rules: WireRules = {}): Violation[] {
  const check = new WireCheck(rules)
  for (const event of log.events) check.next(event)
  return check.violations
}

interface Received {
  readonly key: string
  readonly qos: 1 | 2
  /** Marked as one that was sent before. */
  readonly dup: boolean
  /** With PUBREC: it is still in the window, until PUBCOMP. */
  answered: boolean
}

interface Connection {
  clientId: string
  /** Received and not yet acknowledged to the end, by packet id, oldest first. */
  readonly owed: Map<number, Received>
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

/**
 * Takes what happens as it happens. Of a connection that has closed it keeps the packet ids, of which there are no more
 * than 65,535 for a client; without `settled` and `concluded` it keeps nothing else.
 */
export class WireCheck {
  readonly violations: Violation[] = []
  readonly #rules: WireRules
  readonly #connections = new Map<number, Connection>()
  /** By client id: the packet ids that came to it, and the oldest connection on which each did. */
  readonly #came = new Map<string, Map<number, number>>()
  readonly #settled = new Set<string>()
  /** How often a server has said that it is done with such a message, less those that were acknowledged for it. */
  readonly #concluded = new Map<string, number>()

  constructor(rules: WireRules) {
    this.#rules = rules
  }

  next(event: WireEvent): void {
    if (event.type === 'mark' && event.settled) this.#settled.add(event.label)
    if (event.type === 'concluded' && this.#looksAtEnds)
      this.#concluded.set(event.key, (this.#concluded.get(event.key) ?? 0) + 1)
    if (event.type === 'malformed') {
      this.#report('malformed', event.connection, event.index, `${event.direction}: ${event.message}`)
    }
    if (event.type === 'packet') this.#packet(event)
    if (event.type === 'close') this.#connections.delete(event.connection)
  }

  #packet(event: PacketEvent): void {
    const { packet, direction } = event
    const connection = this.#connection(event.connection)
    if (packet.cmd === 'connect') {
      connection.clientId = packet.clientId
      if (typeof this.#rules.window !== 'number')
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
    const before = connection.owed.get(messageId)
    if (before !== undefined) {
      if (!before.answered) connection.again.set(messageId, (connection.again.get(messageId) ?? 0) + 1)
      before.answered = false
      return
    }
    connection.again.delete(messageId)
    this.#arrived(event.connection, connection, messageId)
    const qos = event.packet.qos === 2 ? 2 : 1
    const key = this.#keyOf(topic, typeof payload === 'string' ? Buffer.from(payload) : payload)
    connection.owed.set(messageId, { key, qos, dup: event.packet.dup, answered: false })
    if (this.#rules.window === undefined || connection.owed.size <= connection.window) return
    this.#report(
      'window',
      event.connection,
      event.index,
      `${connection.owed.size} unacknowledged messages, allowed are ${connection.window}`,
    )
  }

  /** Without a rule that asks for it the payload is not kept. */
  #keyOf(topic: string, payload: Buffer): string {
    const { concluded = false, settled = false } = this.#rules
    if (typeof settled === 'function') return settled(topic, payload)
    return settled || concluded ? keyOf(topic, payload) : ''
  }

  /** PUBACK or PUBREC: each kind keeps the order of its messages. */
  #answered(event: PacketEvent, connection: Connection, qos: 1 | 2): void {
    const { cmd, messageId = 0 } = event.packet
    const report = (type: Violation['type'], message: string): void =>
      this.#report(type, event.connection, event.index, `${cmd.toUpperCase()} ${messageId}: ${message}`)
    const received = connection.owed.get(messageId)
    if (received === undefined || received.qos !== qos || received.answered) {
      // It may have crossed the first acknowledgement on the way: to the client it was a new one then.
      const again = connection.again.get(messageId) ?? 0
      if (again > 0) return void connection.again.set(messageId, again - 1)
      if (connection.acked.has(messageId)) return report('repeated', 'was acknowledged already')
      if (this.#isOlder(event.connection, connection, messageId)) {
        return report('stale', 'came on an older connection and not on this one')
      }
      return report('unknown', 'no such message was received')
    }
    const oldest = oldestDue(connection, qos)
    connection.acked.add(messageId)
    received.answered = true
    // A PUBREC that refuses is the end of it (4.3.3).
    const refuses = event.packet.cmd === 'pubrec' && (event.packet.reasonCode ?? 0) >= 0x80
    if (qos === 1 || refuses) connection.owed.delete(messageId)
    if (oldest !== messageId) report('order', `message ${oldest} was received before it`)
    const isHeld = this.#rules.settled !== undefined && this.#rules.settled !== false
    if (isHeld && !this.#settled.has(received.key)) report('early', `"${received.key}" had not settled`)
    if (this.#looksAtEnds && !this.#takesEnd(received))
      report('early', `no server was done with "${received.key}"`)
  }

  get #looksAtEnds(): boolean {
    return (this.#rules.concluded ?? false) !== false
  }

  // Of equal messages each needs an end of its own; one that comes again may have had it before.
  #takesEnd({ dup, key }: Received): boolean {
    const ends = this.#concluded.get(key)
    if (ends === undefined) return false
    if (ends > 0) this.#concluded.set(key, ends - 1)
    return ends > 0 || dup || this.#rules.concluded === 'copies'
  }

  #completed(event: PacketEvent, connection: Connection): void {
    const { messageId = 0 } = event.packet
    connection.owed.delete(messageId)
    if (connection.released.delete(messageId)) return
    this.#report('unknown', event.connection, event.index, `PUBCOMP ${messageId}: no PUBREL came for it`)
  }

  #arrived(number: number, { clientId }: Connection, messageId: number): void {
    const came = this.#came.get(clientId) ?? new Map<number, number>()
    this.#came.set(clientId, came)
    if (!came.has(messageId)) came.set(messageId, number)
  }

  #isOlder(number: number, { clientId }: Connection, messageId: number): boolean {
    return (this.#came.get(clientId)?.get(messageId) ?? number) < number
  }

  #connection(number: number): Connection {
    const known = this.#connections.get(number)
    if (known !== undefined) return known
    const connection: Connection = {
      clientId: '',
      owed: new Map(),
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

function oldestDue({ owed }: Connection, qos: 1 | 2): number {
  for (const [messageId, received] of owed) {
    if (received.qos === qos && !received.answered) return messageId
  }
  return 0
}

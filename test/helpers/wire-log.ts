// What really went over the wire: both directions of every connection through a fault proxy, parsed and in order.
import { parser, type IConnectPacket, type Packet, type Parser } from 'mqtt-packet'
import { startFaultProxy, type Direction, type FaultProxy } from './fault-proxy.ts'

/** One thing that happened. `index` is its place in the log and so its time. */
export type WireEvent = { readonly index: number } & (
  | { readonly type: 'open'; readonly connection: number }
  | { readonly type: 'close'; readonly connection: number }
  | {
      readonly type: 'packet'
      readonly connection: number
      readonly direction: Direction
      readonly packet: Packet
    }
  /** Bytes that are not MQTT. Nothing of that direction is parsed afterwards. */
  | {
      readonly type: 'malformed'
      readonly connection: number
      readonly direction: Direction
      readonly message: string
    }
  /** Set by the test: `settled` marks are what the checker holds PUBACKs against. */
  | { readonly type: 'mark'; readonly label: string; readonly settled: boolean }
  /** A server of this process says that it is done with the message that has this key. */
  | { readonly type: 'concluded'; readonly key: string }
)

/** An event before it has its place. */
type Happening = WireEvent extends infer E
  ? E extends { readonly index: number }
    ? Omit<E, 'index'>
    : never
  : never

/** A packet that passed. */
export type PacketEvent = WireEvent & { readonly type: 'packet' }

/** One end of one connection. */
interface Side {
  readonly parser: Parser
  broken: boolean
}

/** What a PUBLISH is known by when nothing else is said: its topic and its payload. */
export function keyOf(topic: string, payload: string | Uint8Array): string {
  return `${topic} ${typeof payload === 'string' ? payload : Buffer.from(payload).toString()}`
}

/**
 * The events of any number of connections. Fed by a proxy, or by hand.
 *
 * A PUBLISH stands in it when its last byte was passed on to the client, a PUBACK when its bytes came
 * back: whatever a client writes comes after what made it write.
 */
export class WireLog {
  readonly #events: WireEvent[] = []
  readonly #sides = new Map<string, Side>()
  readonly #hellos = new Map<number, IConnectPacket>()
  readonly #waiting = new Set<() => void>()

  get events(): readonly WireEvent[] {
    return this.#events
  }

  open(connection: number): void {
    this.#add({ type: 'open', connection })
  }

  close(connection: number): void {
    this.#add({ type: 'close', connection })
  }

  /** Bytes as they passed; a packet may come in any number of pieces. */
  bytes(connection: number, direction: Direction, bytes: Buffer): void {
    const side = this.#side(connection, direction)
    // mqtt-packet reads nothing more after an error and keeps the bytes: the log would grow in silence.
    if (!side.broken) side.parser.parse(bytes)
  }

  /** A time of the test's own, to ask about afterwards. */
  mark(label: string): void {
    this.#add({ type: 'mark', label, settled: false })
  }

  /**
   * The chain of the message with this key has settled. Called as the handler's last act, so a PUBACK
   * that is on the wire before it was sent too early.
   */
  settled(key: string): void {
    this.#add({ type: 'mark', label: key, settled: true })
  }

  /** What the diagnostics channel `mqttasgi:settled` says, which `recording` listens to. */
  concluded(key: string): void {
    this.#add({ type: 'concluded', key })
  }

  /** The packets of one kind, oldest first. */
  packets<C extends Packet['cmd']>(
    cmd: C,
    direction?: Direction,
  ): (PacketEvent & { readonly packet: Packet & { cmd: C } })[] {
    return this.#events.filter(
      (event): event is PacketEvent & { readonly packet: Packet & { cmd: C } } =>
        event.type === 'packet' &&
        event.packet.cmd === cmd &&
        (direction ?? event.direction) === event.direction,
    )
  }

  /** The client id of a connection's CONNECT. */
  clientId(connection: number): string | undefined {
    return this.#hellos.get(connection)?.clientId
  }

  /** True when a PUBACK for this packet id went up before the mark; without a connection, on any. */
  ackedBefore(label: string, messageId: number, connection?: number): boolean {
    const mark = this.#events.find((event) => event.type === 'mark' && event.label === label)
    if (mark === undefined) throw new Error(`There is no mark "${label}" in the log.`)
    return this.packets('puback', 'up').some(
      (event) =>
        event.index < mark.index &&
        event.packet.messageId === messageId &&
        (connection ?? event.connection) === event.connection,
    )
  }

  /** Resolves with the first event, past or future, for which `wanted` is true. */
  until(wanted: (event: WireEvent) => boolean): Promise<WireEvent> {
    let seen = 0
    return new Promise((resolve) => {
      const look = (): void => {
        for (; seen < this.#events.length; seen++) {
          const event = this.#events[seen]
          if (event === undefined || !wanted(event)) continue
          this.#waiting.delete(look)
          resolve(event)
          return
        }
      }
      this.#waiting.add(look)
      look()
    })
  }

  /** Resolves when so many packets of this kind have gone that way. */
  async untilPackets(cmd: Packet['cmd'], direction: Direction, count: number): Promise<void> {
    let seen = 0
    await this.until(
      (event) =>
        event.type === 'packet' &&
        event.packet.cmd === cmd &&
        event.direction === direction &&
        ++seen === count,
    )
  }

  /**
   * Resolves when more than CONNECT has gone up on this connection. Cut before, right behind one that was short as
   * well, it looks as if another client had taken over, and the server gives way.
   */
  async untilUsed(connection: number): Promise<void> {
    await this.until(
      (event) =>
        event.type === 'packet' &&
        event.direction === 'up' &&
        event.connection === connection &&
        event.packet.cmd !== 'connect',
    )
  }

  /** One line an event, for the message of a test that failed. */
  toString(): string {
    return this.#events.map((event) => `${event.index} ${sentence(event)}`).join('\n')
  }

  #add(happening: Happening): void {
    this.#events.push({ ...happening, index: this.#events.length })
    for (const look of this.#waiting) look()
  }

  #side(connection: number, direction: Direction): Side {
    const name = `${connection} ${direction}`
    const known = this.#sides.get(name)
    if (known !== undefined) return known
    // The server's packets are read in the version that the client's CONNECT asked for.
    const protocolVersion = this.#hellos.get(connection)?.protocolVersion ?? 4
    const side: Side = { parser: parser({ protocolVersion }), broken: false }
    side.parser.on('packet', (packet) => {
      if (packet.cmd === 'connect') this.#hellos.set(connection, packet)
      this.#add({ type: 'packet', connection, direction, packet })
    })
    side.parser.on('error', (error: Error) => {
      side.broken = true
      this.#add({ type: 'malformed', connection, direction, message: error.message })
    })
    this.#sides.set(name, side)
    return side
  }
}

function sentence(event: WireEvent): string {
  if (event.type === 'mark') return `-- ${event.settled ? 'settled' : 'mark'}: ${event.label}`
  if (event.type === 'concluded') return `-- concluded: ${event.key}`
  const where = `#${event.connection}`
  if (event.type === 'malformed') return `${where} ${event.direction} malformed: ${event.message}`
  if (event.type !== 'packet') return `${where} ${event.type}`
  const { packet, direction } = event
  const detail = packet.cmd === 'publish' ? ` qos ${packet.qos} ${packet.topic}` : ''
  return `${where} ${direction} ${packet.cmd} ${packet.messageId ?? ''}${detail}`
}

/** A fault proxy that keeps a log. */
export interface WireProxy extends FaultProxy {
  readonly log: WireLog
}

export async function startWireProxy(target: number): Promise<WireProxy> {
  const log = new WireLog()
  const proxy = await startFaultProxy({ target, tap: log })
  return Object.assign(proxy, { log })
}

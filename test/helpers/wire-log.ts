// What really went over the wire: both directions of every connection through a fault proxy, parsed and in order.
import type { Packet } from 'mqtt-packet'
import {
  startFaultProxy,
  type Direction,
  type FaultProxy,
  type FaultProxyOptions,
  type Tap,
} from './fault-proxy.ts'
import { WireReader, type Passed, type Wrapping } from './wire-reader.ts'

/** One thing that happened. `index` is its place in the log and so its time. */
export type WireEvent = { readonly index: number } & (
  | Passed
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
export class WireLog implements Tap {
  readonly #events: WireEvent[] = []
  readonly #reader: WireReader
  readonly #waiting = new Set<() => void>()

  constructor(wrapping?: Wrapping) {
    this.#reader = new WireReader((passed) => this.#add(passed), wrapping)
  }

  get events(): readonly WireEvent[] {
    return this.#events
  }

  open(connection: number): void {
    this.#reader.open(connection)
  }

  close(connection: number): void {
    this.#reader.close(connection)
  }

  /** Bytes as they passed; a packet may come in any number of pieces. */
  bytes(connection: number, direction: Direction, bytes: Buffer): void {
    this.#reader.bytes(connection, direction, bytes)
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
    return this.packets('connect', 'up').find((event) => event.connection === connection)?.packet.clientId
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

/** What a proxy stands between, where it is not plain TCP. */
export interface ProxyEnds extends Pick<FaultProxyOptions, 'path' | 'tls'> {
  readonly wrapping?: Wrapping
}

/** A fault proxy that keeps a log. */
export interface WireProxy extends FaultProxy {
  readonly log: WireLog
}

export async function startWireProxy(
  target: FaultProxyOptions['target'],
  ends: ProxyEnds = {},
): Promise<WireProxy> {
  const { wrapping, ...sockets } = ends
  const log = new WireLog(wrapping)
  const proxy = await startFaultProxy({ ...sockets, target, tap: log })
  return Object.assign(proxy, { log })
}

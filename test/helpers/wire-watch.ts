// Holds what passes against the rules while it passes, and keeps no packet: for runs that are long, or that measure memory.
import { startFaultProxy, type Direction, type FaultProxy, type Tap } from './fault-proxy.ts'
import { WireCheck, type Violation, type WireRules } from './wire-check.ts'
import type { ProxyEnds } from './wire-log.ts'
import { WireReader, type Wrapping } from './wire-reader.ts'

/** Fed by a proxy, or by hand. */
export class WireWatch implements Tap {
  readonly #check: WireCheck
  readonly #reader: WireReader
  #index = 0

  constructor(rules: WireRules = {}, wrapping?: Wrapping) {
    this.#check = new WireCheck(rules)
    this.#reader = new WireReader((passed) => this.#check.next({ ...passed, index: this.#index++ }), wrapping)
  }

  /** Every rule that has been broken so far. */
  get violations(): readonly Violation[] {
    return this.#check.violations
  }

  open(connection: number): void {
    this.#reader.open(connection)
  }

  close(connection: number): void {
    this.#reader.close(connection)
  }

  bytes(connection: number, direction: Direction, bytes: Buffer): void {
    this.#reader.bytes(connection, direction, bytes)
  }

  /** A server of this process is done with the message that has this key. */
  concluded(key: string): void {
    this.#check.next({ type: 'concluded', key, index: this.#index++ })
  }
}

/** A fault proxy that watches. */
export interface WatchedProxy extends FaultProxy {
  readonly watch: WireWatch
}

export async function startWatchedProxy(
  target: number | string,
  rules: WireRules = {},
  { wrapping, ...sockets }: ProxyEnds = {},
): Promise<WatchedProxy> {
  const watch = new WireWatch(rules, wrapping)
  return Object.assign(await startFaultProxy({ ...sockets, target, tap: watch }), { watch })
}

/** A line for each of the first few: of a broken rule these say enough. */
export function sentences(violations: readonly Violation[]): string[] {
  const lines = violations.map(
    ({ connection, message, type }) => `${type} on connection ${connection}: ${message.slice(0, 200)}`,
  )
  const more = lines.length - 5
  return more > 0 ? [...lines.slice(0, 5), `and ${more} more`] : lines
}

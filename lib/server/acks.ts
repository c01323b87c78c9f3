// Acknowledgements: settled in any order, released in the order the messages arrived [MQTT-4.6.0-2].
import { Fifo } from './fifo.ts'

/** A message for which the broker waits. */
export interface Owed {
  readonly packetId: number
  /** Nothing more will be done for it: it may be acknowledged. */
  readonly settled: boolean
  /** That is about to be kept somewhere, and is not to be said before. */
  readonly keeping?: boolean
}

const PAGE = 256

/**
 * The unacknowledged QoS 1 messages of one connection. What an older connection still owed is abandoned
 * with it, so an acknowledgement of an older one has nowhere to go.
 */
export class AckQueue<O extends Owed> {
  readonly #queue = new Fifo<O>()
  // One place for each packet id, for a look-up per message: a Map costs several times as much. In pages
  // that are made when they are needed, for all 65,536 at once take milliseconds.
  readonly #pages: ((O | undefined)[] | undefined)[] = Array.from({ length: 65_536 / PAGE })

  get size(): number {
    return this.#queue.size
  }

  /** The message that is to be acknowledged first. */
  get first(): O | undefined {
    return this.#queue.peek()
  }

  /** Whether this is so of some unacknowledged message. */
  has(isSo: (owed: O) => boolean): boolean {
    return this.#queue.items().some(isSo)
  }

  /** The unacknowledged message with this packet id: a PUBLISH with it is the same message again. */
  find(packetId: number): O | undefined {
    return this.#pages[Math.trunc(packetId / PAGE)]?.[packetId % PAGE]
  }

  /** Notes the place of a message that has just arrived. */
  arrived(owed: O): void {
    this.#queue.push(owed)
    this.#note(owed.packetId, owed)
  }

  /** Takes out, oldest first, every message up to the first that is not settled. */
  release(released: (owed: O) => void): void {
    for (
      let owed = this.#queue.peek();
      owed?.settled === true && owed.keeping !== true;
      owed = this.#queue.peek()
    ) {
      this.#queue.shift()
      this.#note(owed.packetId, undefined)
      released(owed)
    }
  }

  /** The messages up to the last one of which this is so. */
  upToLast(isSo: (owed: O) => boolean): ReadonlySet<O> {
    const all = this.#queue.items()
    return new Set(all.slice(0, all.findLastIndex(isSo) + 1))
  }

  /** Forgets everything and says what it was: the connection is gone. */
  abandon(): readonly O[] {
    const left = this.#queue.clear()
    for (const owed of left) this.#note(owed.packetId, undefined)
    return left
  }

  #note(packetId: number, owed: O | undefined): void {
    const page = (this.#pages[Math.trunc(packetId / PAGE)] ??= Array.from({ length: PAGE }))
    page[packetId % PAGE] = owed
  }
}

// Redeliveries: what comes again after a reconnect joins the handler that still runs for it.

/** What must be known of a message to see that it is the same. */
export interface Comparable {
  readonly topic: string
  readonly packetId: number
  readonly dup: boolean
  equals(other: this): boolean
}

/** A delivery, with the packet id it had on the last connection on which it came. */
export interface Expected<A> {
  readonly arrival: A
  readonly packetId: number
  readonly settled: boolean
  /** It was not begun: it is run when it comes again. */
  readonly isLeft?: boolean
}

/**
 * The deliveries of older connections whose acknowledgement the broker never got. Each of them can be
 * taken by one redelivery: two equal messages are two messages.
 */
export class Redeliveries<D extends Expected<A>, A extends Comparable> {
  readonly #byTopic = new Map<string, D[]>()
  // A new message came on this connection: the broker has sent again what it still had to.
  #caughtUp = false
  // It marks what it sends again [MQTT-3.3.1-1], as all do but aedes.
  #setsDup = false

  get size(): number {
    let size = 0
    for (const list of this.#byTopic.values()) size += list.length
    return size
  }

  /** The session was resumed: the broker will send these again. */
  expect(deliveries: Iterable<D>): void {
    for (const delivery of deliveries) {
      const list = this.#byTopic.get(delivery.arrival.topic)
      if (list === undefined) this.#byTopic.set(delivery.arrival.topic, [delivery])
      else list.push(delivery)
    }
  }

  /**
   * The older delivery that this arrival repeats, if there is one. An arrival repeats nothing unless the
   * broker says so (DUP [MQTT-3.3.1-1]) or uses the packet id that is still open: an equal payload alone
   * is a new message. The packet id alone says nothing where the broker sets DUP, nor once it has gone on
   * to new messages.
   */
  take(arrival: A): D | undefined {
    this.#setsDup ||= arrival.dup
    if (this.#byTopic.size === 0) return undefined
    if (!arrival.dup && (this.#setsDup || this.#caughtUp)) return undefined
    const list = this.#byTopic.get(arrival.topic)
    if (list === undefined) return undefined
    const same = list.findIndex(
      (older) => older.packetId === arrival.packetId && older.arrival.equals(arrival),
    )
    const at = same === -1 && arrival.dup ? list.findIndex((older) => older.arrival.equals(arrival)) : same
    if (at === -1) return undefined
    const [delivery] = list.splice(at, 1)
    if (list.length === 0) this.#byTopic.delete(arrival.topic)
    return delivery
  }

  /** This arrival repeats nothing. */
  passed(arrival: A): void {
    if (!arrival.dup) this.#caughtUp = true
  }

  /**
   * The connection is gone, and these came on it. What was not sent again on it, though the broker had gone on to
   * new messages, never will be if the broker keeps the order: so an equal message is first taken for a younger
   * one, and for one that is done with not at all.
   */
  disconnected(deliveries: Iterable<D>): void {
    const older = this.clear().filter(
      ({ isLeft, settled }) => !this.#caughtUp || !(settled || isLeft === true),
    )
    this.#caughtUp = false
    this.expect(deliveries)
    this.expect(older)
  }

  /** Expects nothing any more, and gives what it was. */
  clear(): D[] {
    const left = [...this.#byTopic.values()].flat()
    this.#byTopic.clear()
    return left
  }
}

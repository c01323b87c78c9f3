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
  readonly #expected = new ByTopic<D>()
  // Not sent again on a connection on which the broker had gone on to new messages: of one that keeps the order they
  // come no more, and what comes with a packet id of theirs is likely a younger one.
  readonly #passedOver = new ByTopic<D>()
  // A new message came on this connection: the broker has sent again what it still had to.
  #caughtUp = false
  // What came last that had been expected.
  #repetition: A | undefined = undefined
  // It marks what it sends again [MQTT-3.3.1-1], as all do but aedes.
  #setsDup = false

  get size(): number {
    return this.#expected.size + this.#passedOver.size
  }

  /** All that are expected, those first that an arrival is taken for first. */
  *[Symbol.iterator](): Iterator<D> {
    yield* this.#expected
    yield* this.#passedOver
  }

  /** The session will be resumed: the broker will send these again. */
  expect(deliveries: Iterable<D>): void {
    for (const delivery of deliveries) this.#expected.add(delivery.arrival.topic, delivery)
  }

  /**
   * The older delivery that this arrival repeats, if there is one. An arrival repeats nothing unless the
   * broker says so (DUP [MQTT-3.3.1-1]) or uses the packet id that is still open: an equal payload alone
   * is a new message. The packet id alone says nothing where the broker sets DUP, nor once it has gone on
   * to new messages.
   */
  take(arrival: A): D | undefined {
    this.#setsDup ||= arrival.dup
    if (!arrival.dup && (this.#setsDup || this.#caughtUp)) return undefined
    const taken = takeFrom(this.#expected, arrival) ?? this.#takePassedOver(arrival)
    if (taken !== undefined) this.#repetition = arrival
    return taken
  }

  // One that has ended since is done with: an equal message is another one.
  #takePassedOver(arrival: A): D | undefined {
    for (;;) {
      const one = takeFrom(this.#passedOver, arrival)
      if (one?.settled !== true) return one
    }
  }

  /** This arrival is run: it repeats nothing, or what was not begun. */
  passed(arrival: A): void {
    if (!arrival.dup && arrival !== this.#repetition) this.#caughtUp = true
  }

  /**
   * The connection is gone, and these came on it. What was not sent again on it, though the broker had gone on to
   * new messages, never will be if the broker keeps the order: so an equal message is first taken for any other,
   * and for one that is done with not at all.
   */
  disconnected(deliveries: Iterable<D>): void {
    const older = this.#expected.clear()
    if (this.#caughtUp) {
      for (const delivery of [...older, ...this.#passedOver.clear()]) {
        const { arrival, isLeft, settled } = delivery
        if (!settled && isLeft !== true) this.#passedOver.add(arrival.topic, delivery)
      }
    }
    this.expect(deliveries)
    if (!this.#caughtUp) this.expect(older)
    this.#caughtUp = false
  }

  /** Expects nothing any more, and gives what it was. */
  clear(): D[] {
    return [...this.#expected.clear(), ...this.#passedOver.clear()]
  }
}

function takeFrom<D extends Expected<A>, A extends Comparable>(from: ByTopic<D>, arrival: A): D | undefined {
  const list = from.of(arrival.topic)
  const same = list.findIndex((older) => older.packetId === arrival.packetId && older.arrival.equals(arrival))
  const at = same === -1 && arrival.dup ? list.findIndex((older) => older.arrival.equals(arrival)) : same
  return at === -1 ? undefined : from.takeAt(arrival.topic, at)
}

/** In the order they came, those of each topic for themselves. */
class ByTopic<D> {
  readonly #lists = new Map<string, D[]>()

  get size(): number {
    let size = 0
    for (const list of this.#lists.values()) size += list.length
    return size
  }

  *[Symbol.iterator](): Iterator<D> {
    for (const list of this.#lists.values()) yield* list
  }

  of(topic: string): readonly D[] {
    return this.#lists.get(topic) ?? []
  }

  add(topic: string, delivery: D): void {
    const list = this.#lists.get(topic)
    if (list === undefined) this.#lists.set(topic, [delivery])
    else list.push(delivery)
  }

  takeAt(topic: string, at: number): D | undefined {
    const list = this.#lists.get(topic)!
    const [delivery] = list.splice(at, 1)
    if (list.length === 0) this.#lists.delete(topic)
    return delivery
  }

  clear(): D[] {
    const all = [...this]
    this.#lists.clear()
    return all
  }
}

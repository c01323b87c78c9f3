// Introductions: each receiver is told of each connection and of its end, and it is known which of them are not done with that.
import { Deferred } from '../core/deferred.ts'
import { toError } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'
import type { Client, DisconnectReason, SessionInfo } from '../core/receiver.ts'
import type { Slot } from './job.ts'

/** What they work with. */
export interface IntroductionsParts {
  readonly slots: () => readonly Slot[]
  readonly clientOf: (slot: Slot) => Client
  /** Resolves or rejects when the broker has answered what is asked of it now. */
  readonly answered: () => Promise<void>
  /** Receivers are connecting from now on, or none is any more. */
  readonly expect: (areConnecting: boolean) => void
  readonly log: Logger
}

export class Introductions {
  readonly #parts: IntroductionsParts
  #session: SessionInfo | undefined = undefined
  // Those that were told of a connection, and not of its end; those that ever were.
  readonly #told = new Set<Slot>()
  readonly #met = new Set<Slot>()
  // Whoever waits for a receiver that waits for a connection.
  readonly #waiting = new Map<Slot, Deferred>()
  readonly #made = new Deferred()
  #connecting = new Set<Slot>()
  #connection = 0

  constructor(parts: IntroductionsParts) {
    this.#parts = parts
  }

  /**
   * Resolves when all receivers that ask for something when they are connected are done with a connection, and have been
   * granted or refused it.
   */
  get made(): Promise<void> {
    return this.#made.promise
  }

  /** The ids of those that this waits for. */
  get asking(): readonly string[] {
    return [...this.#connecting].flatMap(({ receiver }) =>
      receiver.asksWhenConnected === true ? receiver.id : [],
    )
  }

  connected(session: SessionInfo): void {
    this.#session = session
    this.#connection++
    this.#connecting = new Set()
    for (const slot of this.#parts.slots()) {
      if (slot.isVacant) continue
      const waiting = this.#waiting.get(slot)
      this.#waiting.delete(slot)
      const told = this.#tell(slot, session)
      if (waiting === undefined) told.catch((thrown: unknown) => this.#failed(slot, thrown))
      else
        told.then(
          () => waiting.resolve(),
          (error: unknown) => waiting.reject(error),
        )
    }
    if (this.#connecting.size === 0) this.#parts.expect(false)
    if (this.asking.length === 0) this.#made.resolve()
  }

  /** The connection has ended: what its receivers still do about it counts no more. Never rejects. */
  async disconnected(reason: DisconnectReason): Promise<void> {
    this.#session = undefined
    this.#connection++
    this.#connecting = new Set()
    const told = [...this.#told]
    this.#told.clear()
    if (reason.type !== 'lost') for (const slot of told) this.#met.delete(slot)
    await Promise.all(told.map((slot) => this.#bidFarewell(slot, reason)))
  }

  /** Resolves when this one has been told of a connection and is done with that; rejects with what it failed with. */
  introduce(slot: Slot): Promise<void> {
    if (this.#session !== undefined) return this.#tell(slot, this.#session)
    const waiting = new Deferred()
    this.#waiting.set(slot, waiting)
    return waiting.promise
  }

  /** This one goes, and hears of it if it has ever heard of a connection. Never rejects. */
  async leave(slot: Slot, reason: DisconnectReason): Promise<void> {
    this.#waiting.delete(slot)
    this.#told.delete(slot)
    if (this.#connecting.delete(slot)) void this.#oneDone(this.#connection)
    if (this.#met.delete(slot)) await this.#bidFarewell(slot, reason)
  }

  async #bidFarewell(slot: Slot, reason: DisconnectReason): Promise<void> {
    try {
      await slot.receiver.disconnected(reason)
    } catch (thrown) {
      this.#failed(slot, thrown)
    }
  }

  async #tell(slot: Slot, session: SessionInfo): Promise<void> {
    const connection = this.#connection
    this.#told.add(slot)
    this.#met.add(slot)
    if (this.#connecting.size === 0) this.#parts.expect(true)
    this.#connecting.add(slot)
    try {
      await slot.receiver.connected(this.#parts.clientOf(slot), session)
    } finally {
      if (connection === this.#connection && this.#connecting.delete(slot)) void this.#oneDone(connection)
    }
  }

  async #oneDone(connection: number): Promise<void> {
    if (this.asking.length > 0) return
    try {
      await this.#parts.answered()
    } catch {
      // Whoever asked for it is told.
    }
    if (connection !== this.#connection || this.asking.length > 0) return
    this.#made.resolve()
    if (this.#connecting.size === 0) this.#parts.expect(false)
  }

  #failed({ receiver }: Slot, thrown: unknown): void {
    const error = toError(thrown)
    this.#parts.log.error(`"${receiver.id}" failed at the news of its connection: ${error.message}`, {
      error,
    })
  }
}

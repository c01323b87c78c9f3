// The window: how many messages may be in hand at once, and what to do with the socket when more come.

/** Limits of the window and of what waits in front of it. */
export interface WindowLimits {
  /** Messages that are handed out and not yet settled and released. */
  readonly maxInFlight: number
  /** Bytes that wait in front of the window before the socket is paused. */
  readonly maxWaitingBytes: number
  /** What a message that waits takes of them beside its frame; 0 unless told otherwise. */
  readonly bytesBesideFrame?: number
}

/** What is to be done with the socket now. */
export type Pressure = 'read' | 'pause'

// While an acknowledgement of the broker's is awaited the socket must be read on, or a handler that
// awaits its own publish would wait for ever. That has an end too: this many times the limit.
const HARD_LIMIT_FACTOR = 4
// For a message that answers it is read on no further than this: a publication that comes on top needs room as well.
const ANSWER_LIMIT_FACTOR = 2

/** Counts; it holds no message and calls nobody. Brokers overshoot Receive Maximum, so the bound is ours. */
export class Window {
  readonly #limits: WindowLimits
  readonly #bytesBesideFrame: number
  #open = 0
  #waitingBytes = 0
  #paused = false
  #isNarrow = false

  constructor(limits: WindowLimits) {
    this.#limits = limits
    this.#bytesBesideFrame = limits.bytesBesideFrame ?? 0
  }

  get open(): number {
    return this.#open
  }

  get waitingBytes(): number {
    return this.#waitingBytes
  }

  /** How many may be in it. */
  get places(): number {
    return this.#isNarrow ? 1 : this.#limits.maxInFlight
  }

  get hasRoom(): boolean {
    return this.#open < this.places
  }

  /** Lets one in at a time from now on, or as many as it may. */
  narrow(isNarrow: boolean): void {
    this.#isNarrow = isNarrow
  }

  /** A message is handed out. */
  enter(): void {
    this.#open++
  }

  /** A message was released, or its connection is gone and its work is done. */
  leave(): void {
    this.#open--
  }

  /** A frame waits in front of the window. */
  wait(bytes: number): void {
    this.#waitingBytes += bytes + this.#bytesBesideFrame
  }

  /** A frame stops waiting. */
  admit(bytes: number): void {
    this.#waitingBytes -= bytes + this.#bytesBesideFrame
  }

  /** More waits than may wait. */
  get isPressed(): boolean {
    return this.#waitingBytes > this.#limits.maxWaitingBytes
  }

  /** More waits than may wait even while the socket must be read on. */
  get overflows(): boolean {
    return this.#waitingBytes > this.#limits.maxWaitingBytes * HARD_LIMIT_FACTOR
  }

  /** So little waits that the socket may be read on for a message that answers. */
  get hasRoomForAnswers(): boolean {
    return this.#waitingBytes <= this.#limits.maxWaitingBytes * ANSWER_LIMIT_FACTOR
  }

  /**
   * Whether to read the socket or to stop reading it. Reading goes on again at half of the limit, so that
   * it does not flicker.
   */
  pressure(awaiting: boolean): Pressure {
    const { maxWaitingBytes } = this.#limits
    const mark = this.#paused ? maxWaitingBytes / 2 : maxWaitingBytes
    this.#paused = this.#waitingBytes > mark && !awaiting
    return this.#paused ? 'pause' : 'read'
  }

  /** A new connection is read from the start. */
  reset(): void {
    this.#paused = false
  }
}

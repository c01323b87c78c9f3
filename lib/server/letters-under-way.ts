// What was handed to the connection and has no answer: how much it is, and whether more may follow.
import type { Letter } from './letter.ts'

export class LettersUnderWay {
  /** Nothing goes yet but what is not kept. */
  isHeld = false
  /** Of QoS 1 and 2: the broker owes an answer. */
  #unacknowledged = 0
  /** Of QoS 0: the connection has not written it. */
  #unwritten = 0
  #bytes = 0
  #window = 0

  /** How many the broker still owes an answer for. */
  get unacknowledged(): number {
    return this.#unacknowledged
  }

  get size(): number {
    return this.#unacknowledged + this.#unwritten
  }

  get bytes(): number {
    return this.#bytes
  }

  get isConnected(): boolean {
    return this.#window > 0
  }

  /** The broker takes so many unacknowledged ones; 0 while it is away. */
  set window(count: number) {
    this.#window = count
  }

  hasRoomFor(qos: 0 | 1 | 2): boolean {
    return this.#window > 0 && (qos === 0 || (!this.isHeld && this.#unacknowledged < this.#window))
  }

  add(letter: Letter): void {
    this.#count(letter, 1)
  }

  remove(letter: Letter): void {
    this.#count(letter, -1)
  }

  #count({ bytes, qos }: Letter, sign: 1 | -1): void {
    this.#bytes += sign * bytes
    if (qos === 0) this.#unwritten += sign
    else this.#unacknowledged += sign
  }
}

// Letters in the order of publication, with the newest of each topic at hand where only that one counts.
import type { Letter } from './letter.ts'

/** Every operation takes the same time, however many wait. */
export class WaitingLetters {
  readonly #isLatest: (topic: string) => boolean
  readonly #letters = new Map<number, Letter>()
  /** Of the topics of which only the newest counts. */
  readonly #newest = new Map<string, Letter>()
  /** No letter has a place before the first, none has one from the next on. */
  #first = 0
  #next = 0
  #bytes = 0
  #unacknowledged = 0

  /** `isLatest` says of which topics only the newest letter counts. */
  constructor(isLatest: (topic: string) => boolean) {
    this.#isLatest = isLatest
  }

  get size(): number {
    return this.#letters.size
  }

  get bytes(): number {
    return this.#bytes
  }

  /** How many of them are of QoS 0. */
  get qos0(): number {
    return this.#letters.size - this.#unacknowledged
  }

  has(letter: Letter): boolean {
    return this.#letters.get(letter.place) === letter
  }

  /**
   * The one that waits and whose place this one takes, where only the newest of a topic counts. What is of QoS 0 may
   * get lost, and so takes the place of its like only.
   */
  supersededBy({ qos, topic }: Letter): Letter | undefined {
    const old = this.#newest.get(topic)
    return old !== undefined && qos === 0 && old.qos > 0 ? undefined : old
  }

  first(): Letter | undefined {
    if (this.#letters.size === 0) return undefined
    for (;;) {
      const letter = this.#letters.get(this.#first)
      if (letter !== undefined) return letter
      this.#first++
    }
  }

  /** Oldest first. What is taken out meanwhile does not come. */
  *[Symbol.iterator](): Generator<Letter> {
    for (let place = this.#first; place < this.#next && this.#letters.size > 0; place++) {
      const letter = this.#letters.get(place)
      if (letter !== undefined) yield letter
    }
  }

  /** All others, oldest first. */
  *but(spared: Letter | undefined): Generator<Letter> {
    for (const letter of this) if (letter !== spared) yield letter
  }

  add(letter: Letter): void {
    letter.place = this.#next++
    this.#put(letter)
  }

  /** The new one takes the place of the old one: a topic that changes all the time is not always the last to go. */
  replace(old: Letter, letter: Letter): void {
    this.remove(old)
    letter.place = old.place
    this.#put(letter)
  }

  /** To where it stood before it was taken out. If that leaves two of which only the newer counts, these are told. */
  putBack(letter: Letter): { readonly old: Letter; readonly newer: Letter } | undefined {
    const other = this.#newest.get(letter.topic)
    if (other !== undefined && other.number < letter.number) {
      this.replace(other, letter)
      return { old: other, newer: letter }
    }
    if (other !== undefined && other.qos > 0) return { old: letter, newer: other }
    this.#first = Math.min(this.#first, letter.place)
    this.#put(letter)
    return undefined
  }

  remove(letter: Letter): void {
    this.#letters.delete(letter.place)
    this.#bytes -= letter.bytes
    if (letter.qos > 0) this.#unacknowledged--
    if (this.#newest.get(letter.topic) === letter) this.#newest.delete(letter.topic)
  }

  #put(letter: Letter): void {
    this.#letters.set(letter.place, letter)
    this.#bytes += letter.bytes
    if (letter.qos > 0) this.#unacknowledged++
    if (!this.#isLatest(letter.topic)) return
    const other = this.#newest.get(letter.topic)
    if (other === undefined || other.place < letter.place) this.#newest.set(letter.topic, letter)
  }
}

// A vacancy: what waits for whoever comes in the place of a receiver that goes.
import { Fifo } from './fifo.ts'

export class Vacancy<T> {
  readonly #givenBack = new Fifo<T>()
  readonly #later = new Fifo<T>()

  get size(): number {
    return this.#givenBack.size + this.#later.size
  }

  /** The receiver that goes had it, and has not ended it: it is older than all that has come for the next one. */
  giveBack(item: T): void {
    this.#givenBack.push(item)
  }

  push(item: T): void {
    this.#later.push(item)
  }

  shift(): T | undefined {
    return this.#givenBack.shift() ?? this.#later.shift()
  }

  /** Empties it and gives what was in it. */
  clear(): T[] {
    return [...this.#givenBack.clear(), ...this.#later.clear()]
  }
}

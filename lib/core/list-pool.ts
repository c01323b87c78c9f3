// Lists of values that are made once for each combination, so that a list can be told by its identity.

/** Lists are numbered from 1. */
export class ListPool<T> {
  readonly #values: readonly T[]
  readonly #lists: (readonly T[])[] = [[]]
  readonly #byKey = new Map<number, number>()

  constructor(values: readonly T[]) {
    this.#values = values
  }

  /** The list of a number. */
  get(number: number): readonly T[] {
    return this.#lists[number]!
  }

  /** A list of the values at `indexes`, not kept. */
  make(indexes: readonly number[]): readonly T[] {
    return Object.freeze(indexes.map((index) => this.#values[index]!))
  }

  /** The number of the list that is kept for `indexes`, 0 when there is none. */
  find(indexes: readonly number[]): number {
    return this.#byKey.get(this.#keyOf(indexes)) ?? 0
  }

  /** Keeps a list for indexes that have none yet; returns its number. */
  add(indexes: readonly number[]): number {
    const number = this.#lists.push(this.make(indexes)) - 1
    this.#byKey.set(this.#keyOf(indexes), number)
    return number
  }

  /** The hash of `indexes`, or the next number after it that no other list has taken. */
  #keyOf(indexes: readonly number[]): number {
    let key = hashOf(indexes)
    for (;;) {
      const number = this.#byKey.get(key)
      if (number === undefined || this.#holds(number, indexes)) return key
      key++
    }
  }

  /** By value: combinations of different entries with the same values may share a list. */
  #holds(number: number, indexes: readonly number[]): boolean {
    const list = this.#lists[number]!
    return (
      list.length === indexes.length && list.every((value, i) => Object.is(value, this.#values[indexes[i]!]))
    )
  }
}

function hashOf(indexes: readonly number[]): number {
  let hash = indexes.length
  for (const index of indexes) hash = (Math.imul(hash, 0x01000193) ^ index) | 0
  return hash
}

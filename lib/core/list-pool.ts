// Lists of values that are made once for each combination, so that a list can be told by its identity.

/** Lists are numbered from 1. */
export class ListPool<T> {
  readonly #values: readonly T[]
  readonly #lists: (readonly T[])[] = [[]]
  readonly #byHash = new Map<number, number[]>()

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
    return this.#byHash.get(hashOf(indexes))?.find((number) => this.#holds(number, indexes)) ?? 0
  }

  /** Keeps a list for indexes that have none yet; returns its number. */
  add(indexes: readonly number[]): number {
    const number = this.#lists.push(this.make(indexes)) - 1
    const hash = hashOf(indexes)
    const same = this.#byHash.get(hash)
    if (same === undefined) this.#byHash.set(hash, [number])
    else same.push(number)
    return number
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

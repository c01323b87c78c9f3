// A queue that is cheap at both ends, for everything that waits in the order it came.

export class Fifo<T> {
  // Only entries from `#head` onward are in the queue; the spent ones are cut off when they are half of it.
  #items: (T | undefined)[] = []
  #head = 0

  get size(): number {
    return this.#items.length - this.#head
  }

  push(item: T): void {
    this.#items.push(item)
  }

  peek(): T | undefined {
    return this.#items[this.#head]
  }

  shift(): T | undefined {
    if (this.#head === this.#items.length) return undefined
    const item = this.#items[this.#head]
    this.#items[this.#head++] = undefined
    if (this.#head === this.#items.length) {
      this.#items.length = 0
      this.#head = 0
    } else if (this.#head > 1024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
    return item
  }

  /** Takes out, and gives, the items of which this is so; the others stay in their order. */
  drop(isOver: (item: T) => boolean): T[] {
    const out: T[] = []
    for (const item of this.clear()) {
      if (isOver(item)) out.push(item)
      else this.push(item)
    }
    return out
  }

  /** What is in the queue, in order. */
  items(): T[] {
    return this.#items.slice(this.#head) as T[]
  }

  /** Empties the queue and gives what was in it. */
  clear(): T[] {
    const left = this.items()
    this.#items = []
    this.#head = 0
    return left
  }
}

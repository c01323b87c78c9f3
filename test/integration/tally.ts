// Counts what was handled, and waits for it with an end: a message that never comes fails its test, and says so.

/** Resolves as `promise` does; rejects with what was waited for when that takes too long. */
export async function within<T>(ms: number, what: string | (() => string), promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`Not within ${ms} ms: ${typeof what === 'string' ? what : what()}`))
    }, ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** How often each thing was seen. */
export class Tally {
  readonly #counts = new Map<string, number>()
  readonly #watchers = new Set<() => void>()
  #total = 0

  /** Things seen, each as often as it was. */
  get total(): number {
    return this.#total
  }

  /** Things seen, each once. */
  get distinct(): number {
    return this.#counts.size
  }

  get keys(): string[] {
    return [...this.#counts.keys()]
  }

  add(key: string | number): void {
    const name = String(key)
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1)
    this.#total++
    for (const look of this.#watchers) look()
  }

  of(key: string | number): number {
    return this.#counts.get(String(key)) ?? 0
  }

  /** What was seen more than once. */
  repeated(): string[] {
    return [...this.#counts].flatMap(([key, count]) => (count > 1 ? [key] : []))
  }

  /** Of the numbers from 0, which were never seen. */
  missing(count: number): number[] {
    return Array.from({ length: count }, (_, i) => i).filter((i) => this.of(i) === 0)
  }

  /** Resolves when so many different things have been seen. */
  async untilDistinct(count: number, patienceMs = 20_000): Promise<void> {
    await this.#until(
      () => this.#counts.size >= count,
      () => `${count} different ones; there are ${this.#counts.size}`,
      patienceMs,
    )
  }

  /** Resolves when so many have been seen in all. */
  async untilTotal(count: number, patienceMs = 20_000): Promise<void> {
    await this.#until(
      () => this.#total >= count,
      () => `${count} in all; there are ${this.#total}`,
      patienceMs,
    )
  }

  async #until(isReached: () => boolean, what: () => string, patienceMs: number): Promise<void> {
    let look = (): void => {}
    const reached = new Promise<void>((resolve) => {
      look = () => {
        if (isReached()) resolve()
      }
    })
    this.#watchers.add(look)
    look()
    try {
      await within(patienceMs, what, reached)
    } finally {
      this.#watchers.delete(look)
    }
  }
}

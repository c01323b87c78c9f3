// A promise that somebody else settles.

export class Deferred<T = void> {
  readonly promise: Promise<T>
  #resolve!: (value: T) => void
  #reject!: (reason: unknown) => void
  #settled = false

  constructor() {
    this.promise = new Promise<T>((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    // Nobody may be waiting: a rejection that is not looked at must not end the process.
    this.promise.catch(() => {})
  }

  get settled(): boolean {
    return this.#settled
  }

  resolve(value: T): void {
    this.#settled = true
    this.#resolve(value)
  }

  reject(reason: unknown): void {
    this.#settled = true
    this.#reject(reason)
  }
}

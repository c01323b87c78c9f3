// The line of one consumer: messages, channel events and connections, one thing at a time, in the order they came.

export class Line {
  readonly #waiting: (() => void)[] = []
  #isOpen = false
  #isBusy = false
  #isLetGo = false

  /** What comes now runs at once. */
  get isFree(): boolean {
    return this.#isLetGo || (this.#isOpen && !this.#isBusy)
  }

  /** Runs `work` when its turn comes: at once where nothing runs. */
  run<T>(work: () => T | Promise<T>): T | Promise<T> {
    if (!this.isFree) {
      return new Promise<T>((resolve, reject) => {
        this.#waiting.push(() => {
          try {
            resolve(this.#start(work))
          } catch (error) {
            reject(error)
          }
        })
      })
    }
    try {
      return this.#start(work)
    } finally {
      this.#drain()
    }
  }

  /** Before its first call nothing runs; the work of that goes in front of all that waits. */
  open<T>(work: () => T | Promise<T>): T | Promise<T> {
    this.#isOpen = true
    return this.run(work)
  }

  /** Nothing waits any longer for what runs: to be called when all that waits only hears that it is over. */
  letGo(): void {
    this.#isLetGo = true
    this.#drain()
  }

  #start<T>(work: () => T | Promise<T>): T | Promise<T> {
    this.#isBusy = true
    let result: T | Promise<T>
    try {
      result = work()
    } catch (error) {
      this.#isBusy = false
      throw error
    }
    if (result instanceof Promise) {
      const over = (): void => {
        this.#isBusy = false
        this.#drain()
      }
      result.then(over, over)
    } else this.#isBusy = false
    return result
  }

  // A loop: what does not have to be waited for must not pile up on the stack.
  #drain(): void {
    while (this.#isLetGo || !this.#isBusy) {
      const next = this.#waiting.shift()
      if (next === undefined) return
      next()
    }
  }
}

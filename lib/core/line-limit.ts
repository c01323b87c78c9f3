// The time for what runs one at a time and is no message, for it holds up all the rest and has no limit of its own.
import type { Clock } from './clock.ts'
import { Deferred } from './deferred.ts'
import type { ResolvedDelivery } from './delivery-options.ts'
import { MqttasgiError } from './errors.ts'
import { isThenable } from './thenable.ts'

/** What it works with. */
export interface LineLimitParts {
  readonly id: string
  readonly clock: Pick<Clock, 'after'>
  readonly ms: number
  /** Called once something has taken too long, before the rest of the line is let through. */
  readonly over: (error: MqttasgiError) => void
}

export class LineLimit {
  readonly #parts: LineLimitParts
  // One thing at a time runs in a line.
  #running: { readonly what: string; readonly passed: Deferred<never> } | undefined = undefined
  #isCounting = false
  #cancel: (() => void) | undefined = undefined

  constructor(parts: LineLimitParts) {
    this.#parts = parts
  }

  /** Runs it; rejects with `ERR_HANDLER_TIMEOUT` when it takes longer, and nobody hears of its end then. */
  run<T>(what: string, work: () => T | PromiseLike<T>): T | Promise<T> {
    const result = work()
    return isThenable<T>(result) ? this.#within(what, result) : result
  }

  /** There is a connection: what runs has its whole time from now on. */
  count(): void {
    this.#isCounting = true
    this.#watch()
  }

  /** Without a connection whatever waits for the broker's answer can not end. */
  pause(): void {
    this.#isCounting = false
    this.#watch()
  }

  async #within<T>(what: string, work: PromiseLike<T>): Promise<T> {
    const passed = new Deferred<never>()
    this.#running = { what, passed }
    this.#watch()
    try {
      return await Promise.race([work, passed.promise])
    } finally {
      this.#running = undefined
      this.#watch()
    }
  }

  #watch(): void {
    this.#cancel?.()
    this.#cancel = undefined
    const running = this.#running
    if (running === undefined || !this.#isCounting) return
    const { clock, ms, over } = this.#parts
    this.#cancel = clock.after(ms, () => {
      const error = this.#tooLong(running.what)
      over(error)
      running.passed.reject(error)
    })
  }

  #tooLong(what: string): MqttasgiError {
    const { id, ms } = this.#parts
    return new MqttasgiError(
      'ERR_HANDLER_TIMEOUT',
      `${what} of "${id}" has not ended within ${ms} ms, and everything else waits behind it. If it may take longer, raise timeoutMs in the options of its class or application.`,
      { receiver: id },
    )
  }
}

/** As long as a handler of messages with these options may take. */
export function limitOf({ holdMs, timeoutMs }: Pick<ResolvedDelivery, 'holdMs' | 'timeoutMs'>): number {
  return timeoutMs > 0 ? timeoutMs : holdMs
}

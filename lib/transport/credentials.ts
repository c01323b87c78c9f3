// Asks for user name and password before each attempt, for they may have changed since the last.
import { toError } from '../core/errors.ts'
import { plain } from './reason-codes.ts'
import type { ConnectionFailure } from './transport.ts'

/** Who we are to the broker. */
export interface Credentials {
  readonly username?: string | undefined
  readonly password?: string | Buffer | undefined
}

/** Says who we are; may take its time. */
export type CredentialSource = () => Credentials | Promise<Credentials>

/** One question and its answer. */
export class CredentialRequest {
  /** Resolves when there is an answer; undefined when there was one at once. */
  readonly pending: Promise<void> | undefined
  #credentials: Credentials = {}
  #failure: ConnectionFailure | undefined
  #cancel: () => void = () => {}

  constructor(source: CredentialSource | undefined, limitMs: number) {
    this.pending = this.#ask(source, limitMs)
  }

  get credentials(): Credentials {
    return this.#credentials
  }

  /** Why there are none. */
  get failure(): ConnectionFailure | undefined {
    return this.#failure
  }

  /** Waits no longer. */
  cancel(): void {
    this.#cancel()
  }

  #ask(source: CredentialSource | undefined, limitMs: number): Promise<void> | undefined {
    try {
      const given = source?.() ?? {}
      if (given instanceof Promise) return this.#wait(given, limitMs)
      this.#credentials = given
    } catch (error) {
      this.#failed(error)
    }
    return undefined
  }

  #wait(given: Promise<Credentials>, limitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#failed(new Error(`they did not come within ${limitMs / 1000} s`))
        resolve()
      }, limitMs)
      this.#cancel = () => {
        clearTimeout(timer)
        resolve()
      }
      given
        .then(
          (credentials) => (this.#credentials = credentials),
          (error: unknown) => this.#failed(error),
        )
        .finally(this.#cancel)
    })
  }

  #failed(error: unknown): void {
    this.#failure ??= {
      type: 'credentials',
      message: `User name and password could not be had: ${plain(toError(error).message)}`,
      cause: error,
    }
  }
}

// A value that must never be shown: printing, logging and JSON all give `[redacted]`.
import { inspect } from 'node:util'

/** What is shown in place of a secret. */
export const redacted = '[redacted]'

/**
 * Keeps a password or private key out of logs, crash reports and JSON.
 *
 * @example
 * const password = new Secret('hunter2')
 * console.log(password)          // [redacted]
 * password.reveal()              // 'hunter2'
 */
export class Secret {
  readonly #value: string

  constructor(value: string) {
    this.#value = value
  }

  /** The value itself: call it only where the value is used. */
  reveal(): string {
    return this.#value
  }

  toString(): string {
    return redacted
  }

  toJSON(): string {
    return redacted
  }
}

// Here, for the declarations of a computed name could not be written from the class alone.
Object.defineProperty(Secret.prototype, inspect.custom, { value: () => redacted })

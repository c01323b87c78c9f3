// The names in Redis: all keys of a prefix have one hash tag, so that a cluster has them at one place.
import { processOf } from '../core/channel-name.ts'

export class RedisKeys {
  readonly #tag: string
  readonly #prefix: string

  constructor(prefix: string) {
    this.#prefix = prefix
    this.#tag = `{${prefix}}`
  }

  /** Every key, as a pattern of SCAN. */
  get all(): string {
    return `${this.#tag}:*`
  }

  channel(name: string): string {
    return `${this.#tag}:channel:${name}`
  }

  group(name: string): string {
    return `${this.#tag}:group:${name}`
  }

  /** Is there as long as a process is. */
  process(client: string): string {
    return `${this.#tag}:process:${client}`
  }

  isProcess(key: string): boolean {
    return key.startsWith(this.process(''))
  }

  /**
   * Where it is said that a channel has an event: one place for all channels of a process, so that it listens to one
   * only. Names of channels have no exclamation mark at their beginning.
   */
  bell(channel: string): string {
    const client = processOf(channel)
    const name = client === undefined ? channel : `!${client}`
    return `${this.#prefix}:bell:${name}`
  }
}

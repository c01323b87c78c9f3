// The names in Redis: all keys of a prefix have one hash tag, so that a cluster has them at one place.
import { ownerOf } from '../core/channel-name.ts'

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

  /**
   * Where it is said that a channel has an event: one place for all channels of a process, so that it listens to one
   * only. Names of channels have no exclamation mark at their beginning.
   */
  bell(channel: string): string {
    const owner = ownerOf(channel)
    const name = owner === undefined ? channel : `!${owner.slice(owner.lastIndexOf('.') + 1)}`
    return `${this.#prefix}:bell:${name}`
  }
}

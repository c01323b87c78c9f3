// Says in Redis that a process is there, and puts its channels into their groups again where that was forgotten.
import type { Redis } from '../redis/open.ts'
import type { RedisKeys } from './redis-keys.ts'
import type { RedisMemberships } from './redis-memberships.ts'
import { channelScripts } from './redis-scripts.ts'

// Four times as long as it takes a process to say it again.
const ALIVE_MS = 60_000

export interface RedisPresenceParts {
  readonly keys: RedisKeys
  /** This process. */
  readonly client: string
  readonly memberships: RedisMemberships
  /** Redis has lost its data; so many channels were put into groups again. */
  readonly forgotten: (channels: number) => void
}

export class RedisPresence {
  readonly #parts: RedisPresenceParts
  #isKnown = false

  constructor(parts: RedisPresenceParts) {
    this.#parts = parts
  }

  /** To be called when the connection is there, and now and then. */
  async beat(redis: Redis): Promise<void> {
    if ((await redis.pexpire(this.#own, ALIVE_MS)) === 0) {
      // Where its word is forgotten, all else is.
      if (this.#isKnown) await this.#joinAgain(redis)
      await redis.set(this.#own, '', 'PX', ALIVE_MS)
    }
    this.#isKnown = true
  }

  async farewell(redis: Redis): Promise<void> {
    await redis.del(this.#own)
  }

  /** Whether another process is there. */
  async has(redis: Redis, client: string): Promise<boolean> {
    return (await redis.exists(this.#parts.keys.process(client))) === 1
  }

  get #own(): string {
    return this.#parts.keys.process(this.#parts.client)
  }

  async #joinAgain(redis: Redis): Promise<void> {
    const { forgotten, keys, memberships } = this.#parts
    const all = memberships.all()
    for (const { channel, group, leftMs } of all)
      await redis.eval(channelScripts.join, 1, keys.group(group), channel, leftMs)
    forgotten(all.length)
  }
}

// Says in Redis that a process is there, and puts its channels into their groups again where that was forgotten.
import type { Redis } from '../redis/open.ts'
import type { RedisKeys } from './redis-keys.ts'
import type { Membership, RedisMemberships } from './redis-memberships.ts'
import { channelScripts } from './redis-scripts.ts'

// Four times as long as it takes a process to say it again.
const ALIVE_MS = 60_000
const JOINS_AT_ONCE = 100

export interface RedisPresenceParts {
  readonly keys: RedisKeys
  /** This process. */
  readonly client: string
  readonly memberships: RedisMemberships
  /** Redis has lost its data: so many channels were in groups no more, and are again. */
  readonly restored: (channels: number) => void
}

export class RedisPresence {
  readonly #parts: RedisPresenceParts
  #beating: Promise<void> | undefined = undefined
  /** It is not known that all groups have their channels, whatever word there is. */
  #isUnsure = true
  /** Channels that were put into their groups again, and of which it has not been told. */
  #restored = 0
  #isOver = false

  constructor(parts: RedisPresenceParts) {
    this.#parts = parts
  }

  /** To be called when the connection is there, and now and then; one runs at a time. */
  async beat(redis: Redis): Promise<void> {
    // Of what is under way some may have been asked of a Redis that has lost its data since.
    if (this.#beating !== undefined) this.#isUnsure = true
    this.#beating ??= this.#beats(redis).finally(() => (this.#beating = undefined))
    await this.#beating
  }

  async farewell(redis: Redis): Promise<void> {
    this.#isOver = true
    await redis.del(this.#own)
  }

  /** Whether another process is there. */
  async has(redis: Redis, client: string): Promise<boolean> {
    return (await redis.exists(this.#parts.keys.process(client))) === 1
  }

  get #own(): string {
    return this.#parts.keys.process(this.#parts.client)
  }

  async #beats(redis: Redis): Promise<void> {
    do {
      const wasUnsure = this.#isUnsure
      this.#isUnsure = false
      try {
        await this.#beat(redis, wasUnsure)
      } catch (error) {
        this.#isUnsure = true
        throw error
      }
    } while (this.#isUnsure && !this.#isOver)
  }

  // Where its word is not there, it has lapsed while nobody could say it, or is lost with all else.
  async #beat(redis: Redis, isUnsure: boolean): Promise<void> {
    if ((await redis.pexpire(this.#own, ALIVE_MS)) === 1 && !isUnsure) return
    await this.#joinAgain(redis)
    if (this.#isOver) return
    await redis.set(this.#own, '', 'PX', ALIVE_MS)
    if (this.#restored > 0) this.#parts.restored(this.#restored)
    this.#restored = 0
  }

  async #joinAgain(redis: Redis): Promise<void> {
    const all = this.#parts.memberships.all()
    for (let from = 0; from < all.length; from += JOINS_AT_ONCE)
      await Promise.all(all.slice(from, from + JOINS_AT_ONCE).map((one) => this.#join(redis, one)))
  }

  async #join(redis: Redis, { channel, group, isConfirmed }: Membership): Promise<void> {
    const { keys, memberships } = this.#parts
    // It may have left meanwhile: what is asked of Redis from here on comes after that.
    const leftMs = memberships.leftMs(group, channel)
    if (leftMs === 0) return
    const isNew = await redis.eval(channelScripts.join, 1, keys.group(group), channel, leftMs)
    // Where it was not confirmed, it may have been on its way for the first time.
    if (isNew === 1 && isConfirmed) this.#restored++
  }
}

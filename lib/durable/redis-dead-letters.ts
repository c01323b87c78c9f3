// Dead letters in Redis; it is connected to when the first letter is to be kept.
import type { DeadLetter, DeadLetterArchive } from '../core/dead-letter.ts'
import { MqttasgiError } from '../core/errors.ts'
import { openRedis, type Redis, redisFailure } from '../redis/open.ts'
import { encodeLetter, letterOrError } from './letter-bytes.ts'
import { evicts, scripts } from './redis-rules.ts'

/** Which Redis, and how many letters there may be in it. */
export interface RedisDeadLettersOptions {
  /** `redis://` or `rediss://`, with its password. */
  readonly url: string
  /** The same for people, without it. */
  readonly address: string
  /** Begins the names of all keys. Default: mqttasgi. */
  readonly prefix?: string
  /** Milliseconds one command may take. Default: 5,000. */
  readonly timeoutMs?: number
  readonly maxMessages: number
  readonly maxBytes: number
  /** For tests: what gets ioredis. */
  readonly importRedis?: () => Promise<unknown>
}

const PAGE = 100

/** A `DeadLetterArchive` in Redis. */
export class RedisDeadLetters implements DeadLetterArchive {
  readonly name: string
  readonly #options: RedisDeadLettersOptions
  readonly #keys: readonly [letters: string, index: string, bytes: string]
  #client: Redis | undefined
  #connected: Promise<Redis> | undefined
  #closes = 0

  constructor(options: RedisDeadLettersOptions) {
    this.name = `redis ${options.address}`
    this.#options = options
    // What stands in braces decides the slot of a cluster: a script's keys must have one.
    const tag = `{${options.prefix ?? 'mqttasgi'}:dead-letters}`
    this.#keys = [`${tag}:letters`, `${tag}:index`, `${tag}:bytes`]
  }

  /** Codes: `ERR_DEAD_LETTERS_FULL`, `ERR_DEAD_LETTER_REDIS`, `ERR_DEAD_LETTER_UNKEPT`, `ERR_PEER_MISSING`. */
  async keep(letter: DeadLetter): Promise<void> {
    const { maxMessages, maxBytes, address } = this.#options
    const isKept = await this.#ask((redis) =>
      redis.eval(scripts.keep, 3, ...this.#keys, letter.id, encodeLetter(letter), maxMessages, maxBytes),
    )
    if (isKept === 1) return
    throw new MqttasgiError(
      'ERR_DEAD_LETTERS_FULL',
      `There is no room for another dead letter in ${address}: at most ${maxMessages} letters and ${maxBytes} bytes are kept. Look at them with mqttasgi dlq ls, and replay or purge them.`,
    )
  }

  async *letters(): AsyncGenerator<DeadLetter> {
    const [letters] = this.#keys
    let unreadable: Error | undefined
    for await (const id of this.#ids()) {
      const bytes = await this.#ask((redis) => redis.hgetBuffer(letters, id))
      if (bytes === null) continue
      const letter = letterOrError(bytes)
      if (letter instanceof Error) unreadable ??= letter
      else yield letter
    }
    // One that a later release has written must not hide the others.
    if (unreadable !== undefined) throw unreadable
  }

  async remove(ids: readonly string[]): Promise<number> {
    let count = 0
    for (let from = 0; from < ids.length; from += PAGE) {
      const some = ids.slice(from, from + PAGE)
      count += Number(await this.#ask((redis) => redis.eval(scripts.remove, 3, ...this.#keys, ...some)))
    }
    return count
  }

  async close(): Promise<void> {
    this.#closes++
    // Also one that is connecting, and would take its time.
    this.#client?.disconnect()
    await this.#connected?.catch(() => {})
  }

  async *#ids(): AsyncGenerator<string> {
    const [, index] = this.#keys
    for (let after = '-'; ;) {
      const ids = await this.#ask((redis) => redis.zrangebylex(index, after, '+', 'LIMIT', 0, PAGE))
      const last = ids.at(-1)
      if (last === undefined) return
      yield* ids
      after = `(${last}`
    }
  }

  async #ask<T>(command: (redis: Redis) => Promise<T>): Promise<T> {
    const redis = await this.#redis()
    try {
      return await command(redis)
    } catch (error) {
      throw this.#failure(error)
    }
  }

  #redis(): Promise<Redis> {
    if (this.#connected === undefined) {
      const connected = this.#connect()
      this.#connected = connected
      // The next letter tries again.
      connected.catch(() => (this.#connected = undefined))
    }
    return this.#connected
  }

  async #connect(): Promise<Redis> {
    const { url, timeoutMs = 5_000, importRedis } = this.#options
    const closes = this.#closes
    const redis = await openRedis(
      { url, timeoutMs, purpose: 'Dead letters in Redis', importRedis },
      { commandTimeout: timeoutMs },
    )
    // `close()` had nothing yet to disconnect, and waits for us.
    if (this.#closes > closes) throw this.#failure('the store was closed')
    this.#client = redis
    // Commands say it as well, though only that there is no connection, and not why.
    let reason: unknown
    redis.on('error', (error) => (reason = error))
    try {
      await redis.connect()
      if (evicts(await redis.info('memory').catch(() => ''))) throw this.#evicting()
      return redis
    } catch (error) {
      redis.disconnect()
      throw error instanceof MqttasgiError ? error : this.#failure(reason ?? error)
    }
  }

  #evicting(): MqttasgiError {
    return new MqttasgiError(
      'ERR_DEAD_LETTER_UNKEPT',
      `${this.#options.address} throws away what it likes when its memory is full, dead letters too. Set its maxmemory-policy to noeviction.`,
    )
  }

  #failure(thrown: unknown): MqttasgiError {
    const cause = redisFailure(thrown, this.#client)
    const message = `Redis at ${this.#options.address} has not confirmed it: ${cause.message.replace(/\.$/, '')}.`
    return new MqttasgiError('ERR_DEAD_LETTER_REDIS', message, { cause })
  }
}

// Two connections to Redis: one for commands, one that waits to be told of events; each comes back by itself.
import { MqttasgiError, toError } from '../core/errors.ts'
import { openRedis, redisFailure, type Redis, type RedisRequest } from '../redis/open.ts'
import { endedWithin, withinTime } from '../time-limit.ts'

/** Where Redis is, and who is told of what. */
export interface RedisLinkOptions extends RedisRequest {
  /** For people: without credentials. */
  readonly address: string
  /** Is asked when the connection for commands is there, and now and then: says that this process is. */
  readonly beat: (redis: Redis) => Promise<unknown>
  /** The connection for commands was there, and is lost; `reason` is a sentence. */
  readonly lost: (reason: string) => void
  /** Says that it is not any more. */
  readonly farewell: (redis: Redis) => Promise<unknown>
  /** Somebody has rung. */
  readonly rung: (bell: string, message: string) => void
  /** The connection that waits is there, or there again: what was rung meanwhile was not heard. */
  readonly listening: () => void
}

// A connection from which no sign of life comes for so long is given up: it may be half open.
const QUIET_MS = 15_000
// Others learn at once that this process has gone, and not when it is missed; its end is not held up for long by that.
const SIGN_OFF_MS = 500

export class RedisLink {
  readonly #options: RedisLinkOptions
  // What is wanted; the promise is there once Redis has been asked.
  readonly #bells = new Map<string, Promise<void>>()
  #commands: Promise<Redis> | undefined = undefined
  #listener: Promise<Redis> | undefined = undefined
  readonly #ends = new Set<() => void>()
  #isClosed = false
  #reason: Error | undefined = undefined
  #ready: Redis | undefined = undefined

  constructor(options: RedisLinkOptions) {
    this.#options = options
  }

  /** For as long as the connection lasts. Codes: `ERR_CHANNEL_LAYER`, `ERR_PEER_MISSING`. */
  async ask<T>(work: (redis: Redis) => Promise<T>): Promise<T> {
    this.#commands ??= this.#open({})
    try {
      return await work(await this.#commands)
    } catch (error) {
      throw this.#failure(error)
    }
  }

  /** Waits for the work, within the time that an operation has, whatever Redis does; it may be done later all the same. */
  within<T>(work: () => Promise<T>): Promise<T> {
    const { timeoutMs } = this.#options
    return withinTime(timeoutMs, work(), () =>
      this.#failure(new Error(`there is no answer within ${timeoutMs / 1_000} s`)),
    )
  }

  /** Resolves when what is rung from now on is heard, or the connection is gone; `listening` follows then. */
  async listen(bell: string): Promise<void> {
    this.#listener ??= this.#open({ autoResubscribe: false })
    const listener = await this.#listener
    const known = this.#bells.get(bell)
    if (known !== undefined) return known
    const subscribed = listener.subscribe(bell).then(
      () => {},
      () => {},
    )
    this.#bells.set(bell, subscribed)
    return subscribed
  }

  /** What is rung there is of no interest any more. */
  unlisten(bell: string): void {
    if (!this.#bells.delete(bell)) return
    // Where it fails, it rings in vain once more.
    this.#listener?.then((redis) => redis.unsubscribe(bell)).catch(() => {})
  }

  async close(): Promise<void> {
    this.#isClosed = true
    const commands = this.#ready
    if (commands !== undefined) await endedWithin(SIGN_OFF_MS, this.#options.farewell(commands))
    for (const end of this.#ends) end()
    await Promise.allSettled([this.#commands, this.#listener])
  }

  async #open(options: { readonly autoResubscribe?: false }): Promise<Redis> {
    const isListener = options.autoResubscribe === false
    const redis = await openRedis(this.#options, options).catch((error: unknown) => {
      // The next one tries again.
      if (isListener) this.#listener = undefined
      else this.#commands = undefined
      throw error
    })
    redis.on('error', (error: unknown) => (this.#reason = toError(error)))
    redis.on('ready', () => {
      this.#reason = undefined
      if (isListener) return void this.#resume(redis)
      this.#ready = redis
      this.#options.beat(redis).catch(() => {})
    })
    redis.on('close', () => {
      if (this.#ready !== redis) return
      this.#ready = undefined
      if (!this.#isClosed) this.#options.lost(`The connection to Redis at ${this.#options.address} is lost.`)
    })
    if (isListener) redis.on('message', (bell: string, message: string) => this.#options.rung(bell, message))
    const stopWatching = watch(redis, () => {
      if (!isListener) this.#options.beat(redis).catch(() => {})
    })
    this.#ends.add(() => {
      stopWatching()
      redis.disconnect()
    })
    if (this.#isClosed) for (const end of this.#ends) end()
    // Where the first attempt fails, others follow.
    else redis.connect().catch(() => {})
    return redis
  }

  async #resume(listener: Redis): Promise<void> {
    try {
      if (this.#bells.size > 0) await listener.subscribe(...this.#bells.keys())
      this.#options.listening()
    } catch {
      // It is gone again, and will be ready again.
    }
  }

  #failure(thrown: unknown): MqttasgiError {
    if (thrown instanceof MqttasgiError) return thrown
    // A command says only that there is no connection, the connection says why.
    const cause = redisFailure(this.#reason ?? thrown)
    const message = `Redis at ${this.#options.address} has not confirmed it: ${cause.message.replace(/\.$/, '')}.`
    return new MqttasgiError('ERR_CHANNEL_LAYER', message, { cause })
  }
}

// Asks for a sign of life now and then, and tells when; returns the end of that.
function watch(redis: Redis, tick: () => void): () => void {
  let isAsked = false
  const answered = (): void => {
    isAsked = false
  }
  const timer = setInterval(() => {
    if (redis.status !== 'ready') return answered()
    if (isAsked) return redis.disconnect(true)
    isAsked = true
    redis.ping().then(answered, answered)
    tick()
  }, QUIET_MS)
  return () => clearInterval(timer)
}

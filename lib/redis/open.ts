// The door to ioredis, which is loaded when the first connection to Redis is wanted, and what all connections have in common.
import type { Redis, RedisOptions } from 'ioredis'
import { MqttasgiError, toError } from '../core/errors.ts'

export type { Redis } from 'ioredis'

/** What is opened. */
export interface RedisRequest {
  /** `redis://` or `rediss://`, with its password. */
  readonly url: string
  /** Milliseconds one attempt to connect may take. */
  readonly timeoutMs: number
  /** What it is for, at the beginning of a sentence: `Dead letters in Redis`. */
  readonly purpose: string
  /** For tests: what gets ioredis. */
  readonly importRedis?: (() => Promise<unknown>) | undefined
}

/** What differs between connections. */
export type ConnectionOptions = Pick<RedisOptions, 'commandTimeout' | 'autoResubscribe'>

// What the connections that are not there have met last.
const failures = new WeakMap<Redis, Error>()

/** Gives a connection that connects when it is used, and again by itself. Code: `ERR_PEER_MISSING`. */
export async function openRedis(request: RedisRequest, options: ConnectionOptions = {}): Promise<Redis> {
  const RedisClient = await load(request)
  const redis = new RedisClient(request.url, {
    lazyConnect: true,
    connectTimeout: request.timeoutMs,
    // A command that has met a broken connection is for its caller to repeat: it knows for how long.
    maxRetriesPerRequest: 0,
    retryStrategy: (tries: number) => Math.min(tries * 200, 2_000),
    ...options,
  })
  redis.on('error', (error: unknown) => failures.set(redis, toError(error)))
  redis.on('ready', () => failures.delete(redis))
  return redis
}

/**
 * Why a command has failed, in words for people. Where it says only that there is no connection, and how ioredis could be
 * told to wait for one, it is what the connection has met last. The error of ioredis is not handed on: it carries the
 * command with all arguments.
 */
export function redisFailure(thrown: unknown, redis?: Redis): Error {
  const { message, name } = toError(thrown)
  const hasNoConnection = name === 'MaxRetriesPerRequestError' || message === 'Connection is closed.'
  if (!hasNoConnection) return new Error(message)
  const met = redis === undefined ? undefined : failures.get(redis)
  return new Error(met?.message ?? 'the connection was lost')
}

/** The same address for people: without user, password and query. */
export function redisAddress(url: string): string {
  if (!URL.canParse(url)) return 'an address that can not be read'
  const { protocol, host, pathname } = new URL(url)
  return `${protocol}//${host}${pathname === '/' ? '' : pathname}`
}

async function load({ purpose, importRedis = () => import('ioredis') }: RedisRequest): Promise<typeof Redis> {
  try {
    const loaded = (await importRedis()) as { readonly Redis: typeof Redis }
    return loaded.Redis
  } catch (cause) {
    throw new MqttasgiError(
      'ERR_PEER_MISSING',
      `${purpose} need ioredis, which can not be loaded. Install it with npm install ioredis.`,
      { cause },
    )
  }
}

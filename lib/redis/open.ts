// The door to ioredis, which is loaded when the first connection to Redis is wanted, and what all connections have in common.
import type { Redis, RedisOptions } from 'ioredis'
import { MqttasgiError } from '../core/errors.ts'

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

/** Gives a connection that connects when it is used, and again by itself. Code: `ERR_PEER_MISSING`. */
export async function openRedis(request: RedisRequest, options: ConnectionOptions = {}): Promise<Redis> {
  const RedisClient = await load(request)
  return new RedisClient(request.url, {
    lazyConnect: true,
    connectTimeout: request.timeoutMs,
    // A command that has met a broken connection is for its caller to repeat: it knows for how long.
    maxRetriesPerRequest: 0,
    retryStrategy: (tries: number) => Math.min(tries * 200, 2_000),
    ...options,
  })
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

import test from 'ava'
import { openRedis, redisAddress, redisFailure } from '../../lib/redis/open.ts'

test('an address for people has no user, no password and no query', (t) => {
  t.is(redisAddress('redis://user:canary@example.org:6380/2?password=canary'), 'redis://example.org:6380/2')
  t.is(redisAddress('rediss://:canary@[::1]'), 'rediss://[::1]')
  t.is(redisAddress('redis://localhost/'), 'redis://localhost')
  t.notRegex(redisAddress('no address: canary'), /canary/)
})

test('without ioredis it says for what it is needed and how it is installed', async (t) => {
  const cause = new Error('not found')
  const importRedis = (): Promise<unknown> => Promise.reject(cause)
  const opening = openRedis({
    url: 'redis://localhost',
    timeoutMs: 1,
    purpose: 'Dead letters in Redis',
    importRedis,
  })
  const error = await t.throwsAsync(opening, { code: 'ERR_PEER_MISSING' })
  t.regex(error.message, /^Dead letters in Redis need ioredis.*npm install ioredis/)
  t.is(error.cause, cause)
})

test('nothing is connected before it is used', async (t) => {
  const redis = await openRedis({ url: 'redis://localhost:1', timeoutMs: 1, purpose: 'This' })
  t.is(redis.status, 'wait')
  redis.disconnect()
})

test('a command that only says that there is no connection fails with what the connection has met', async (t) => {
  const redis = await openRedis({ url: 'redis://127.0.0.1:1', timeoutMs: 1_000, purpose: 'This' })
  const thrown = await t.throwsAsync(redis.get('a'))
  t.regex(thrown.message, /maxRetriesPerRequest/)
  t.regex(redisFailure(thrown, redis).message, /^connect ECONNREFUSED/)
  t.is(redisFailure(thrown).message, 'the connection was lost')
  t.is(redisFailure(new Error('Connection is closed.'), redis).message, redisFailure(thrown, redis).message)
  redis.disconnect()
})

test('what Redis itself answers is said as it is, without the command', (t) => {
  const answer = Object.assign(new Error('WRONGTYPE Operation'), { command: { args: ['canary'] } })
  const failure = redisFailure(answer)
  t.is(failure.message, 'WRONGTYPE Operation')
  t.false('command' in failure)
})

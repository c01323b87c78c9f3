// Dead letters in a real Redis: the contract, and a Redis that is silent, gone, full, or not fit for it.
import anyTest, { type ExecutionContext } from 'ava'
import { Redis } from 'ioredis'
import { inspect } from 'node:util'
import { MqttasgiError } from '../../lib/core/errors.ts'
import { RedisDeadLetters, type RedisDeadLettersOptions } from '../../lib/durable/redis-dead-letters.ts'
import { scripts } from '../../lib/durable/redis-rules.ts'
import {
  archiveContract,
  type ArchiveSetup,
  contractMaximum,
  lettersOf,
  storeContract,
} from '../contract/dead-letter-store.ts'
import { letter } from '../helpers/letters.ts'
import { type RedisServer, startRedis } from '../helpers/redis.ts'
import { serverTest } from '../helpers/server-test.ts'

const test = serverTest('redis-server')

async function start(t: ExecutionContext, more: readonly string[] = []): Promise<RedisServer> {
  const server = await startRedis(more)
  t.teardown(() => server.stop())
  return server
}

function storeOf(
  t: ExecutionContext,
  server: RedisServer,
  more: Partial<RedisDeadLettersOptions> = {},
): RedisDeadLetters {
  const store = new RedisDeadLetters({
    url: server.url,
    address: 'redis://127.0.0.1',
    maxMessages: contractMaximum,
    maxBytes: 1_000_000,
    timeoutMs: 1_000,
    ...more,
  })
  t.teardown(() => store.close())
  return store
}

async function open(t: ExecutionContext): Promise<ArchiveSetup> {
  const server = await start(t)
  const store = storeOf(t, server)
  return {
    store,
    reopen: async () => {
      await store.close()
      await server.restart()
      return storeOf(t, server)
    },
    breakDown: async () => server.pause(),
    mend: async () => server.resume(),
    plant: async (id, bytes) => {
      const redis = new Redis(server.url)
      const keys = ['letters', 'index', 'bytes'].map((name) => `{mqttasgi:dead-letters}:${name}`)
      await redis.eval(scripts.keep, 3, ...keys, id, bytes, contractMaximum, 1_000_000)
      redis.disconnect()
    },
  }
}

storeContract(test, 'redis', open)
archiveContract(test, 'redis', open)

async function refused(t: ExecutionContext, promise: Promise<unknown>, code: string): Promise<MqttasgiError> {
  const error = await t.throwsAsync(promise, { instanceOf: MqttasgiError })
  t.is(error.code, code as MqttasgiError['code'])
  return error
}

test('a Redis that was gone is used again when it is back, with all it had confirmed', async (t) => {
  const server = await start(t)
  const store = storeOf(t, server)
  const [one, two] = [letter(), letter()]
  await store.keep(one)
  await server.kill()
  await refused(t, store.keep(two), 'ERR_DEAD_LETTER_REDIS')
  await server.restart()
  for (;;) {
    try {
      await store.keep(two)
      break
    } catch (error) {
      t.is((error as MqttasgiError).code, 'ERR_DEAD_LETTER_REDIS')
      await new Promise(setImmediate)
    }
  }
  t.deepEqual(await lettersOf(store), [one, two])
})

test('one that can not be reached is tried again with the next letter', async (t) => {
  const server = await start(t)
  await server.kill()
  const store = storeOf(t, server)
  const error = await refused(t, store.keep(letter()), 'ERR_DEAD_LETTER_REDIS')
  t.regex(error.message, /Redis at redis:\/\/127\.0\.0\.1 has not confirmed it: .*ECONNREFUSED.*[^.]\.$/)
  await server.restart()
  await t.notThrowsAsync(store.keep(letter()))
})

test('no error shows the password, however it is printed', async (t) => {
  const server = await start(t)
  const url = server.url.replace(server.password, 'canary-wrong')
  const store = storeOf(t, server, { url })
  const error = await refused(t, store.keep(letter()), 'ERR_DEAD_LETTER_REDIS')
  t.notRegex(inspect(error, { depth: 10, showHidden: true }), /canary/)
  t.notRegex(store.name, /canary/)
})

test('a Redis without room says so, and what it had is there', async (t) => {
  const server = await start(t, ['--maxmemory', '3mb'])
  const store = storeOf(t, server, { maxMessages: 1_000, maxBytes: 1e9 })
  const kept: string[] = []
  let error: unknown
  for (let i = 0; i < 100 && error === undefined; i++) {
    const one = letter({ payload: Buffer.alloc(100_000, i) })
    try {
      await store.keep(one)
      kept.push(one.id)
    } catch (refusal) {
      error = refusal
    }
  }
  t.is((error as MqttasgiError).code, 'ERR_DEAD_LETTER_REDIS')
  t.regex((error as MqttasgiError).message, /OOM/)
  const there = await lettersOf(store)
  t.deepEqual(
    there.map(({ id }) => id),
    kept,
  )
})

test('a Redis that evicts keys when it is full keeps nothing for long, and is refused', async (t) => {
  const server = await start(t, ['--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru'])
  const error = await refused(t, storeOf(t, server).keep(letter()), 'ERR_DEAD_LETTER_UNKEPT')
  t.regex(error.message, /maxmemory-policy to noeviction/)
})

test('all keys have one hash tag, and the count of bytes is right after all', async (t) => {
  const server = await start(t)
  const store = storeOf(t, server, { prefix: 'greenhouse' })
  const other = storeOf(t, server)
  const [one, two] = [letter(), letter()]
  await store.keep(one)
  await store.keep(two)
  await store.keep(one)
  await other.keep(letter())
  await store.remove([one.id])
  const redis = new Redis(server.url)
  t.teardown(() => redis.disconnect())
  const keys = (await redis.keys('{greenhouse*')).sort()
  t.deepEqual(keys, [
    '{greenhouse:dead-letters}:bytes',
    '{greenhouse:dead-letters}:index',
    '{greenhouse:dead-letters}:letters',
  ])
  const length = await redis.hstrlen('{greenhouse:dead-letters}:letters', two.id)
  t.is(await redis.get('{greenhouse:dead-letters}:bytes'), String(length))
  await store.remove([two.id])
  t.is(await redis.get('{greenhouse:dead-letters}:bytes'), '0')
  t.is((await lettersOf(other)).length, 1)
})

test('close() waits for no Redis that does not answer', async (t) => {
  const server = await start(t)
  server.pause()
  t.teardown(() => server.resume())
  const store = storeOf(t, server, { timeoutMs: 60_000 })
  const keeping = refused(t, store.keep(letter()), 'ERR_DEAD_LETTER_REDIS')
  await new Promise(setImmediate)
  await store.close()
  await keeping
})

test('close() waits for no Redis that does not answer, also where ioredis was still being loaded', async (t) => {
  const server = await start(t)
  server.pause()
  t.teardown(() => server.resume())
  let load = (): void => {}
  const loaded = new Promise<unknown>((resolve) => (load = () => resolve(import('ioredis'))))
  const store = storeOf(t, server, { timeoutMs: 60_000, importRedis: () => loaded })
  const keeping = refused(t, store.keep(letter()), 'ERR_DEAD_LETTER_REDIS')
  const closing = store.close()
  load()
  await closing
  await keeping
})

test('more bytes than there may be are refused', async (t) => {
  const store = storeOf(t, await start(t), { maxBytes: 2_000 })
  await store.keep(letter())
  await refused(t, store.keep(letter({ payload: Buffer.alloc(1_500) })), 'ERR_DEAD_LETTERS_FULL')
  t.is((await lettersOf(store)).length, 1)
})

test('more letters than one page are read in order, and removed', async (t) => {
  const store = storeOf(t, await start(t), { maxMessages: 1_000 })
  const ids = Array.from({ length: 250 }, () => letter())
  await Promise.all(ids.map((one) => store.keep(one)))
  t.deepEqual(
    (await lettersOf(store)).map(({ id }) => id),
    ids.map(({ id }) => id),
  )
  t.is(await store.remove(ids.map(({ id }) => id)), 250)
})

anyTest('without ioredis the error names the command that installs it', async (t) => {
  const importRedis = (): Promise<unknown> => Promise.reject(new Error('Cannot find package'))
  const store = new RedisDeadLetters({
    url: 'redis://127.0.0.1:1',
    address: 'redis://127.0.0.1:1',
    maxMessages: 1,
    maxBytes: 1,
    importRedis,
  })
  const error = await refused(t, store.keep(letter()), 'ERR_PEER_MISSING')
  t.regex(error.message, /npm install ioredis/)
  await store.close()
})

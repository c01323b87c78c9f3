// F59: Redis is killed, or silent for ten seconds: messages are acknowledged as ever, and channel handlers go on when it is back.
import type { ExecutionContext } from 'ava'
import { setTimeout as wait } from 'node:timers/promises'
import { mqttasgi, serve, type ChannelLayer } from '../../lib/index.ts'
import { Deferred } from '../../lib/core/deferred.ts'
import { MemoryTransport } from '../../lib/testing/memory-transport.ts'
import { startRedis, type RedisServer } from '../helpers/redis.ts'
import { serverTest } from '../helpers/server-test.ts'

const test = serverTest('redis-server')

/** Takes Redis away, and gives it back. */
type Outage = (redis: RedisServer, meanwhile: () => Promise<void>) => Promise<void>

const killed: Outage = async (redis, meanwhile) => {
  await redis.kill()
  await meanwhile()
  await redis.restart()
}

const silent: Outage = async (redis, meanwhile) => {
  const begun = performance.now()
  redis.pause()
  await meanwhile()
  await wait(Math.max(0, 10_000 - (performance.now() - begun)))
  redis.resume()
}

async function outage(t: ExecutionContext, happens: Outage): Promise<void> {
  t.timeout(60_000)
  const unhandled: unknown[] = []
  const note = (reason: unknown): void => void unhandled.push(reason)
  process.on('unhandledRejection', note)
  t.teardown(() => process.off('unhandledRejection', note))
  const redis = await startRedis()
  t.teardown(() => redis.stop())

  const errors: string[] = []
  const warnings: string[] = []
  let next = new Deferred<unknown>()
  let layer: ChannelLayer | undefined
  const app = mqttasgi({ retry: { attempts: 1 } })
    .topic('plain', () => {})
    .topic('sends', async (ctx) => {
      layer = ctx.channels
      await ctx.channels.groupSend('all', { type: 'seen', text: ctx.text() })
    })
    .channel('seen', { group: 'all' }, (event) => next.resolve(event['text']))
  const transport = new MemoryTransport()
  const server = await serve(app, {
    transport,
    channels: { layer: 'redis', redis: redis.url, timeout: 2 },
    deadLetter: { store: 'none' },
    log: {
      debug() {},
      info() {},
      warn: (message) => void warnings.push(message),
      error: (message) => void errors.push(message),
    },
  })
  t.teardown(() => server.stop())
  const acknowledged = async (packetId: number): Promise<void> => {
    while (!transport.acknowledged.includes(packetId)) await wait(5)
  }
  // Until its groups are joined.
  while (!next.settled) {
    await acknowledged(transport.deliver('sends', 'before'))
    await wait(5)
  }
  t.is(await next.promise, 'before')
  t.deepEqual(errors, [])

  await happens(redis, async () => {
    const begun = performance.now()
    for (let i = 0; i < 20; i++) await acknowledged(transport.deliver('plain', String(i)))
    t.true(performance.now() - begun < 1_000)
    await acknowledged(transport.deliver('sends', 'lost'))
    t.true(performance.now() - begun < 5_000)
  })
  t.true(errors.some((line) => /Redis at .* has not confirmed it/.test(line)))

  next = new Deferred()
  for (;;) {
    const sent = await layer?.groupSend('all', { type: 'seen', text: 'after' }).then(
      () => true,
      () => false,
    )
    if (sent === true) break
  }
  // What timed out may have been done all the same, before it.
  while ((await next.promise) === 'lost') next = new Deferred()
  t.is(await next.promise, 'after')
  t.deepEqual(unhandled, [])
  t.false([...errors, ...warnings].join().includes(redis.password))
}

test('a Redis that is killed holds up no message, and channel events go on when it is back', (t) =>
  outage(t, killed))

test('a Redis that is silent for ten seconds holds up no message, and channel events go on after it', (t) =>
  outage(t, silent))

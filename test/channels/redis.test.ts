// The layer over a real Redis: the contract, a cluster's rule for keys, and a Redis that is gone, silent or slow.
import type { ExecutionContext } from 'ava'
import { Redis, type RedisOptions } from 'ioredis'
import { RedisKeys } from '../../lib/channels/redis-keys.ts'
import { RedisMemberships } from '../../lib/channels/redis-memberships.ts'
import { RedisPresence } from '../../lib/channels/redis-presence.ts'
import { RedisChannelLayer, type RedisChannelLayerOptions } from '../../lib/channels/redis-channel-layer.ts'
import type { ChannelLimits } from '../../lib/core/channel-layer.ts'
import { Deferred } from '../../lib/core/deferred.ts'
import { channelLayerContract, throwsCode, type LayersSetup } from '../contract/channel-layer.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { type RedisServer, startRedis } from '../helpers/redis.ts'
import { serverTest } from '../helpers/server-test.ts'
import { KeptLog } from '../integration/serving.ts'

const test = serverTest('redis-server')

async function start(t: ExecutionContext, more: readonly string[] = []): Promise<RedisServer> {
  const server = await startRedis(more)
  t.teardown(() => server.stop())
  return server
}

function adminOf(t: ExecutionContext, server: RedisServer): Redis {
  const admin = new Redis(server.url)
  t.teardown(() => admin.disconnect())
  return admin
}

function layerOf(
  t: ExecutionContext,
  server: RedisServer,
  more: Partial<RedisChannelLayerOptions> = {},
): RedisChannelLayer {
  const layer = new RedisChannelLayer({ url: server.url, ...more })
  t.teardown(() => layer.close())
  return layer
}

async function open(t: ExecutionContext, limits: ChannelLimits = {}): Promise<LayersSetup> {
  const server = await start(t)
  return {
    here: layerOf(t, server, limits),
    there: layerOf(t, server, limits),
    // Redis has its own clock.
    wait: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    arrived: async () => {},
    knowsRoom: true,
  }
}

channelLayerContract(test, 'redis', open)

test('a cluster takes all that is done: its keys are at one place', async (t) => {
  const server = await start(t, ['--cluster-enabled', 'yes'])
  const admin = new Redis(server.url)
  t.teardown(() => admin.disconnect())
  await admin.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
  for (;;) {
    if (String(await admin.call('CLUSTER', 'INFO')).includes('cluster_state:ok')) break
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const layer = layerOf(t, server)
  const channels = await Promise.all(Array.from({ length: 250 }, () => layer.newChannel()))
  for (const channel of channels) await layer.groupAdd('all', channel)
  await layer.groupSend('all', { type: 'x' })
  for (const channel of channels) t.is((await layer.receive(channel)).type, 'x')
  await layer.flush()
  // But for the word that the process is there.
  t.deepEqual(
    (await admin.keys('*')).filter((key) => !key.startsWith('{asgi}:process:')),
    [],
  )
})

test('what another process alone receives from is refused', async (t) => {
  const server = await start(t)
  const channel = await layerOf(t, server).newChannel()
  await throwsCode(t, layerOf(t, server).receive(channel), 'ERR_CHANNEL_NAME')
})

test('layers with different prefixes do not hear each other', async (t) => {
  const server = await start(t)
  const [one, other] = [layerOf(t, server), layerOf(t, server, { prefix: 'other' })]
  await one.send('a', { type: 'one' })
  await other.send('a', { type: 'other' })
  t.is((await other.receive('a')).type, 'other')
  await other.send('a', { type: 'other' })
  await other.flush()
  t.is((await one.receive('a')).type, 'one')
})

test('two connections serve all channels of a process, and none is left after close()', async (t) => {
  const server = await start(t)
  const admin = new Redis(server.url)
  t.teardown(() => admin.disconnect())
  const layer = layerOf(t, server)
  const channels = await Promise.all(Array.from({ length: 50 }, () => layer.newChannel()))
  const all = Promise.all(channels.map((channel) => layer.receive(channel)))
  for (const channel of channels) await layer.send(channel, { type: 'x' })
  await all
  const clients = async (): Promise<number> =>
    String(await admin.call('CLIENT', 'LIST'))
      .trim()
      .split('\n').length - 1
  t.is(await clients(), 2)
  await layer.close()
  while ((await clients()) > 0) await new Promise((resolve) => setTimeout(resolve, 5))
  t.pass()
})

test('an event that waits is in Redis, and not lost with the process that has asked for it', async (t) => {
  const server = await start(t)
  const [dying, other] = [layerOf(t, server), layerOf(t, server)]
  const end = new AbortController()
  const given = dying.receive('shared', end.signal)
  end.abort(new Error('enough'))
  await t.throwsAsync(given)
  await other.send('shared', { type: 'x' })
  await dying.close()
  t.is((await other.receive('shared')).type, 'x')
})

test('what others have written into a channel is counted and passed over', async (t) => {
  const server = await start(t)
  const admin = new Redis(server.url)
  t.teardown(() => admin.disconnect())
  const layer = layerOf(t, server)
  await admin.rpush('{asgi}:channel:a', '9999999999999{"no":"event"}')
  await layer.send('a', { type: 'x' })
  t.is((await layer.receive('a')).type, 'x')
  t.is(layer.counters.unreadable, 1)
})

test('a Redis that is not there is said within the time, and used when it comes', async (t) => {
  const server = await start(t)
  await server.kill()
  const warnings: string[] = []
  const log = { debug() {}, info() {}, error() {}, warn: (message: string) => void warnings.push(message) }
  const layer = layerOf(t, server, { timeout: 1, log })
  const error = await throwsCode(t, layer.send('a', { type: 'x' }), 'ERR_CHANNEL_LAYER')
  t.regex(error.message, /^Redis at redis:\/\/127\.0\.0\.1:\d+ has not confirmed it: .*ECONNREFUSED/)
  t.false(error.message.includes(server.password))
  const waiting = layer.receive('a')
  while (warnings.length === 0) await new Promise((resolve) => setTimeout(resolve, 20))
  t.regex(warnings[0] ?? '', /Nothing can be received from channels, which is tried again: .*ECONNREFUSED/)
  await server.restart()
  for (;;) {
    try {
      await layer.send('a', { type: 'x' })
      break
    } catch {
      // Not connected again yet.
    }
  }
  t.is((await waiting).type, 'x')
})

test('a connection that breaks is said in words of ours', async (t) => {
  const server = await start(t)
  const layer = layerOf(t, server)
  await layer.groupSend('nobody', { type: 'x' })
  server.pause()
  const sending = layer.send('a', { type: 'x' })
  await server.kill()
  const error = await throwsCode(t, sending, 'ERR_CHANNEL_LAYER')
  t.regex(error.message, /has not confirmed it: (?:the connection was lost|.*ECONN[A-Z]+)/)
  t.notRegex(error.message, /maxRetriesPerRequest/)
})

test('a wrong password is said', async (t) => {
  const server = await start(t)
  const layer = layerOf(t, server, { url: server.url.replace(server.password, 'wrong'), timeout: 1 })
  const error = await throwsCode(t, layer.send('a', { type: 'x' }), 'ERR_CHANNEL_LAYER')
  t.regex(error.message, /WRONGPASS|NOAUTH|password/)
})

test('without ioredis it says what to install, to those who receive too', async (t) => {
  const server = await start(t)
  const layer = layerOf(t, server, { importRedis: () => Promise.reject(new Error('no such package')) })
  const error = await throwsCode(t, layer.send('a', { type: 'x' }), 'ERR_PEER_MISSING')
  t.regex(error.message, /npm install ioredis/)
  await throwsCode(t, layer.receive('a'), 'ERR_PEER_MISSING')
})

test('a Redis that is silent for ten seconds: send() fails in time, and who waits gets what is sent after it', async (t) => {
  t.timeout(60_000)
  const server = await start(t)
  const [here, there] = [layerOf(t, server, { timeout: 2 }), layerOf(t, server)]
  const channel = await there.newChannel()
  const first = there.receive(channel)
  await here.send(channel, { type: 'before' })
  t.is((await first).type, 'before')
  const waiting = [there.receive(channel), there.receive('shared')]
  await here.groupAdd('all', channel)
  server.pause()
  const begun = performance.now()
  for (const late of [
    here.send('other', { type: 'late' }),
    here.groupSend('nobody', { type: 'late' }),
    here.groupAdd('all', channel),
  ]) {
    t.regex((await throwsCode(t, late, 'ERR_CHANNEL_LAYER')).message, /no answer within 2 s/)
  }
  t.true(performance.now() - begun < 5_000)
  await new Promise((resolve) => setTimeout(resolve, 10_000 - (performance.now() - begun)))
  server.resume()
  await here.groupSend('all', { type: 'after' })
  await here.send('shared', { type: 'shared' })
  t.deepEqual(
    (await Promise.all(waiting)).map(({ type }) => type),
    ['after', 'shared'],
  )
})

test('a Redis that was killed: who waits gets what is sent when it is back', async (t) => {
  const server = await start(t)
  const [here, there] = [layerOf(t, server, { timeout: 1 }), layerOf(t, server)]
  const channel = await there.newChannel()
  const waiting = [there.receive(channel), there.receive('shared')]
  await here.send('ready', { type: 'x' })
  await server.kill()
  await throwsCode(t, here.send(channel, { type: 'lost' }), 'ERR_CHANNEL_LAYER')
  await server.restart()
  for (const to of [channel, 'shared']) {
    for (let isSent = false; !isSent;) {
      isSent = await here.send(to, { type: 'x', to }).then(
        () => true,
        () => false,
      )
    }
  }
  t.deepEqual(
    (await Promise.all(waiting)).map(({ to }) => to),
    [channel, 'shared'],
  )
})

test('a Redis that has lost its data is told the groups of this process again', async (t) => {
  const server = await start(t, ['--appendonly', 'no'])
  const log = new KeptLog()
  const [here, there] = [layerOf(t, server), layerOf(t, server, { log, groupExpiry: 3_600 })]
  const [channel, gone] = [await there.newChannel(), await there.newChannel()]
  for (const one of [channel, gone]) await there.groupAdd('all', one)
  await there.groupDiscard('all', gone)
  const waiting = there.receive(channel)
  await server.restart()
  await log.said(/is lost\./)
  t.regex(log.lines[0] ?? '', /^warn The connection to Redis at redis:\/\/127\.0\.0\.1:\d+ is lost\./)
  await log.said(/has lost its data/)
  t.regex(log.lines.at(-1) ?? '', /has lost its data.*one channel was put into groups again/)
  await here.groupSend('all', { type: 'back' })
  t.is((await waiting).type, 'back')
  const admin = adminOf(t, server)
  t.deepEqual(await admin.zrange('{asgi}:group:all', '0', '-1'), [channel])
  const left = await admin.pttl('{asgi}:group:all')
  t.true(left > 3_500_000 && left <= 3_600_000, `${left}`)
})

test('what was flushed is not taken for lost, and no group is joined again', async (t) => {
  const server = await start(t)
  const log = new KeptLog()
  const [here, there] = [layerOf(t, server), layerOf(t, server, { log })]
  await there.groupAdd('all', await there.newChannel())
  await here.flush()
  await server.restart()
  await log.said(/is lost\./)
  await there.send('named', { type: 'x' })
  const admin = adminOf(t, server)
  t.deepEqual(await admin.zrange('{asgi}:group:all', '0', '-1'), [])
  t.deepEqual(
    log.lines.filter((line) => line.includes('lost its data')),
    [],
  )
})

/** Resolves when a process has said that it is there. */
async function processSaid(admin: Redis): Promise<void> {
  while ((await admin.keys('{asgi}:process:*')).length === 0)
    await new Promise((resolve) => setTimeout(resolve, 1))
}

/** All that Redis knows is gone, and whoever is connected has to connect anew. */
async function loseData(admin: Redis): Promise<void> {
  await processSaid(admin)
  await admin.flushall()
  await reconnectAll(admin)
}

async function reconnectAll(admin: Redis): Promise<void> {
  await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
}

test('a channel that leaves its group while Redis is told of its groups again has left it', async (t) => {
  const server = await start(t)
  const admin = adminOf(t, server)
  const log = new KeptLog()
  const layer = layerOf(t, server, { log })
  const channels = await Promise.all(Array.from({ length: 2_000 }, () => layer.newChannel()))
  await Promise.all(channels.map((channel) => layer.groupAdd('all', channel)))
  await loseData(admin)
  await log.said(/is lost\./)
  while ((await admin.zcard('{asgi}:group:all')) === 0) await new Promise((resolve) => setTimeout(resolve, 1))
  const last = channels.at(-1) ?? ''
  await layer.groupDiscard('all', last)
  await log.said(/has lost its data/)
  t.is(await admin.zscore('{asgi}:group:all', last), null)
  t.is(await admin.zcard('{asgi}:group:all'), 1_999)
})

test('what is asked of Redis at once is noted in the same order', async (t) => {
  const server = await start(t)
  const admin = adminOf(t, server)
  const log = new KeptLog()
  const layer = layerOf(t, server, { log })
  const [channel, other] = [await layer.newChannel(), await layer.newChannel()]
  await Promise.all([
    layer.groupAdd('all', channel),
    layer.groupAdd('all', other),
    layer.groupDiscard('all', other),
  ])
  await loseData(admin)
  await log.said(/has lost its data/)
  t.deepEqual(await admin.zrange('{asgi}:group:all', '0', '-1'), [channel])
})

test('a process that could not say for long that it is there does not say that anything is lost', async (t) => {
  const server = await start(t)
  const admin = adminOf(t, server)
  const log = new KeptLog()
  const layer = layerOf(t, server, { log })
  const channel = await layer.newChannel()
  await layer.groupAdd('all', channel)
  await layer.groupSend('all', { type: 'x' })
  await processSaid(admin)
  await admin.del(await admin.keys('{asgi}:process:*'))
  await reconnectAll(admin)
  await log.said(/is lost\./)
  await processSaid(admin)
  t.is((await layer.receive(channel)).type, 'x')
  t.deepEqual(
    log.lines.filter((line) => line.includes('lost its data')),
    [],
  )
})

test('a layer that is closed says nothing, and leaves no word that its process is there', async (t) => {
  const server = await start(t)
  const admin = adminOf(t, server)
  const log = new KeptLog()
  const layer = layerOf(t, server, { log })
  await layer.groupAdd('all', await layer.newChannel())
  await layer.close()
  t.deepEqual(log.lines, [])
  const keys = new RedisKeys('asgi')
  const memberships = new RedisMemberships(new FakeClock(), 1_000)
  const presence = new RedisPresence({ keys, client: 'one', memberships, restored: () => {} })
  await Promise.all([presence.beat(admin), presence.farewell(admin)])
  t.deepEqual(await admin.keys('{asgi}:process:*'), [])
})

test('a process that was killed is in its groups, and no error for those who send', async (t) => {
  const server = await start(t)
  const admin = new Redis(server.url)
  t.teardown(() => admin.disconnect())
  const here = layerOf(t, server, { capacity: 1 })
  const channel = await here.newChannel()
  await here.groupAdd('all', channel)
  await here.groupAdd('all', 'specific.killed!x')
  for (let i = 0; i < 3; i++) {
    await here.groupSend('all', { type: 'x', number: i })
    t.is((await here.receive(channel))['number'], i)
  }
  t.is(here.counters.full, 2)
  await admin.set('{asgi}:process:killed', '')
  await throwsCode(t, here.groupSend('all', { type: 'x' }), 'ERR_CHANNEL_FULL')
})

test('a Redis that is slow is waited for within the time, and not beyond it', async (t) => {
  const server = await start(t)
  const admin = new Redis(server.url)
  t.teardown(() => admin.disconnect())
  const [patient, hasty] = [layerOf(t, server), layerOf(t, server, { timeout: 0.3 })]
  await patient.groupSend('nobody', { type: 'x' })
  for (let isConnected = false; !isConnected;) {
    isConnected = await hasty.groupSend('nobody', { type: 'x' }).then(
      () => true,
      () => false,
    )
  }
  await admin.call('CLIENT', 'PAUSE', '1500', 'ALL')
  const sending = patient.send('a', { type: 'patient' })
  const waiting = patient.receive('a')
  await throwsCode(t, hasty.send('b', { type: 'hasty' }), 'ERR_CHANNEL_LAYER')
  await sending
  t.is((await waiting).type, 'patient')
})

/** An ioredis whose answers to what takes an event come late: `taken` resolves when there is one, `gate` lets it through. */
function lateRedis(): { importRedis: () => Promise<unknown>; taken: Deferred; gate: Deferred } {
  const [taken, gate] = [new Deferred(), new Deferred()]
  class Late extends Redis {
    constructor(url: string, options: RedisOptions & { replyMapping?: 'legacy' }) {
      super(url, options)
      const call = this.callBuffer.bind(this) as (...command: readonly unknown[]) => Promise<unknown>
      const callBuffer = async (...command: readonly unknown[]): Promise<unknown> => {
        const answer = await call(...command)
        taken.resolve()
        await gate.promise
        return answer
      }
      Object.assign(this, { callBuffer })
    }
  }
  return { importRedis: async () => ({ Redis: Late }), taken, gate }
}

test('what Redis has given out for a receive that was given up is in Redis again when the layer is closed', async (t) => {
  const server = await start(t)
  const { gate, importRedis, taken } = lateRedis()
  const [layer, other] = [layerOf(t, server, { importRedis }), layerOf(t, server)]
  await other.send('jobs', { type: 'job' })
  const end = new AbortController()
  const receiving = t.throwsAsync(layer.receive('jobs', end.signal), { message: 'enough' })
  await taken.promise
  end.abort(new Error('enough'))
  await receiving
  const closing = layer.close()
  gate.resolve()
  await closing
  t.is((await other.receive('jobs')).type, 'job')
  t.is(layer.counters.expired, 0)
})

test('what can not be put back when the layer is closed is counted', async (t) => {
  const server = await start(t)
  const { gate, importRedis, taken } = lateRedis()
  const layer = layerOf(t, server, { importRedis })
  await layer.send('jobs', { type: 'job' })
  const receiving = throwsCode(t, layer.receive('jobs'), 'ERR_CHANNEL_CLOSED')
  await taken.promise
  await server.kill()
  const closing = layer.close()
  await receiving
  gate.resolve()
  await closing
  t.is(layer.counters.expired, 1)
})

test('no bell is left of receives that were given up', async (t) => {
  const server = await start(t)
  const admin = new Redis(server.url)
  t.teardown(() => admin.disconnect())
  const layer = layerOf(t, server)
  const bells = async (): Promise<number> =>
    ((await admin.call('PUBSUB', 'CHANNELS', '*')) as string[]).length
  const ends = Array.from({ length: 100 }, () => new AbortController())
  const all = ends.map(({ signal }, i) => t.throwsAsync(layer.receive(`reply.${i}`, signal)))
  while ((await bells()) < 100) await new Promise((resolve) => setTimeout(resolve, 5))
  for (const end of ends) end.abort(new Error('enough'))
  await Promise.all(all)
  while ((await bells()) > 0) await new Promise((resolve) => setTimeout(resolve, 5))
  t.pass()
})

import test, { type ExecutionContext } from 'ava'
import { asApplication, mqttasgi } from '../../lib/core/application.ts'
import { Deferred } from '../../lib/core/deferred.ts'
import { MqttasgiError, type ErrorCode } from '../../lib/core/errors.ts'
import { silentLog } from '../../lib/core/log.ts'
import { systemClock } from '../../lib/system-clock.ts'
import { settled } from '../helpers/fake-clock.ts'
import { Guest } from '../helpers/guest.ts'
import { MemoryOutboxStore } from '../helpers/memory-outbox-store.ts'
import { stageServer } from '../helpers/staged-server.ts'

const CLEAN = { clean: true, unsettled: 0 }

async function rejectsWith(t: ExecutionContext, promise: Promise<unknown>, code: ErrorCode): Promise<void> {
  t.is((await t.throwsAsync(promise, { instanceOf: MqttasgiError }))?.code, code)
}

test('a server that was not started stops, and does not start any more', async (t) => {
  const { server, transport } = stageServer(t, mqttasgi())
  t.deepEqual(await server.stop(), CLEAN)
  t.deepEqual(await server.closed, { stop: CLEAN })
  await rejectsWith(t, server.start(), 'ERR_STOPPED')
  t.is(transport.count('connect'), 0)
})

test('a stop while connecting ends the attempt, and start rejects', async (t) => {
  const { server, transport } = stageServer(t, mqttasgi())
  const starting = rejectsWith(t, server.start(), 'ERR_STOPPED')
  t.deepEqual(await server.stop(), CLEAN)
  await starting
  await settled()
  t.is(server.state, 'closed')
  t.is(server.counters.connects, 0)
  t.true(transport.closed)
})

test('a stop in back-off ends at once, and no try follows', async (t) => {
  const { clock, server, transport } = stageServer(t, mqttasgi())
  await server.start()
  transport.lose()
  await settled()
  t.is(server.state, 'waiting')
  const waiting = rejectsWith(t, server.publish('a', 'x'), 'ERR_STOPPED')
  t.deepEqual(await server.stop(), CLEAN)
  await waiting
  clock.advance(1_000)
  t.is(transport.count('connect'), 1)
})

test('a stop disconnects, and nothing can be asked any more', async (t) => {
  const app = mqttasgi()
  app.topic('a', () => {})
  const { server, transport } = stageServer(t, app)
  await server.start()
  const stopping = server.stop()
  t.is(server.state, 'stopping')
  t.is(server.stop(), stopping)
  t.deepEqual(await stopping, CLEAN)
  t.is(server.state, 'closed')
  t.true(transport.closed)
  await rejectsWith(t, server.publish('a', 'x'), 'ERR_STOPPED')
  await rejectsWith(t, server.publish('a', 'x', { qos: 0 }), 'ERR_STOPPED')
  await rejectsWith(t, server.subscribe('a'), 'ERR_STOPPED')
  await rejectsWith(t, server.ready(), 'ERR_STOPPED')
  app.topic('later', () => {})
  await rejectsWith(t, app.ready(), 'ERR_STOPPED')
})

test('it is disposed of by a stop', async (t) => {
  const { server } = stageServer(t, mqttasgi())
  await server.start()
  await server[Symbol.asyncDispose]()
  t.is(server.state, 'closed')
})

test('a stop waits for the handlers that run, and acknowledges them', async (t) => {
  const app = mqttasgi()
  const go = new Deferred()
  app.topic('a', () => go.promise)
  const { server, transport } = stageServer(t, app)
  await server.start()
  const id = transport.deliver('a')
  await settled()
  let stopped = false
  const stopping = server.stop().then((result) => {
    stopped = true
    return result
  })
  transport.deliver('a')
  await settled()
  t.false(stopped)
  go.resolve()
  t.deepEqual(await stopping, CLEAN)
  t.deepEqual(transport.acknowledged, [id])
})

for (const sessionLasts of [true, false]) {
  test(`what waits in hand is ${sessionLasts ? 'left to a session that lasts' : 'finished when the session ends with us'}`, async (t) => {
    const app = mqttasgi()
    const go = new Deferred()
    const seen: string[] = []
    app.topic('t/+n', async (ctx) => {
      await go.promise
      seen.push(ctx.params.n)
    })
    const window = { maxInFlight: 2, maxWaitingBytes: 1_000 }
    const { server, transport } = stageServer(t, app, { sessionLasts, window })
    await server.start()
    for (const n of ['1', '1', '2', '3']) transport.deliver(`t/${n}`)
    await settled()
    const stopping = server.stop()
    go.resolve()
    t.deepEqual(await stopping, CLEAN)
    t.deepEqual(seen.toSorted(), sessionLasts ? ['1'] : ['1', '1', '2', '3'])
    t.is(transport.acknowledged.length, seen.length)
  })
}

test('a handler that publishes during the drain gets its answer before the connection ends', async (t) => {
  const app = mqttasgi()
  const go = new Deferred()
  app.topic('a', async (ctx) => {
    await go.promise
    await ctx.publish('out', 'last')
  })
  app.onDisconnect(() => server.publish('status', 'offline'))
  const { server, transport } = stageServer(t, app)
  await server.start()
  transport.holdAnswers = true
  transport.deliver('a')
  await settled()
  const stopping = server.stop()
  go.resolve()
  await settled()
  t.is(transport.published.at(-1)?.topic, 'out')
  t.false(transport.closed)
  transport.answer()
  await settled()
  t.is(transport.published.at(-1)?.topic, 'status')
  transport.answer()
  t.deepEqual(await stopping, CLEAN)
  t.is(transport.acknowledged.length, 1)
})

test('publications that nobody awaits are with the broker before the connection ends', async (t) => {
  const { server, transport } = stageServer(t, mqttasgi())
  await server.start()
  transport.holdAnswers = true
  const answer = server.publish('a', 'x')
  let stopped = false
  const stopping = server.stop().then(() => (stopped = true))
  await settled()
  t.false(stopped)
  transport.answer()
  await stopping
  t.deepEqual(await answer, { reasonCode: 0 })
})

test('a handler that never ends is told, counted, and left behind without a timer', async (t) => {
  const app = mqttasgi()
  let signal: AbortSignal | undefined
  const never = new Deferred()
  app.topic('stuck', { timeoutMs: 60_000 }, async (ctx) => {
    signal = ctx.signal
    await never.promise
  })
  const { clock, server, transport } = stageServer(t, app)
  await server.start()
  transport.deliver('stuck')
  transport.deliver('stuck')
  await settled()
  const stopping = server.stop({ drainTimeoutMs: 200 })
  await settled()
  clock.advance(199)
  await settled()
  t.false(signal?.aborted)
  clock.advance(1)
  t.deepEqual(await stopping, { clean: false, unsettled: 1 })
  t.true(signal?.aborted)
  t.is((await server.closed).stop.unsettled, 1)
  t.is(clock.timers, 0)
  never.resolve()
  await settled()
  t.deepEqual(transport.acknowledged, [])
  t.like(server.counters, { handled: 0, failed: 0 })
})

test('an application hears of the stop, and can say a last word, though a handler never ends', async (t) => {
  const app = mqttasgi()
  const types: string[] = []
  app.topic('stuck', () => new Promise(() => {}))
  app.onDisconnect(async ({ type }) => {
    types.push(type)
    await server.publish('status', 'offline')
  })
  const { clock, server, transport } = stageServer(t, app)
  await server.start()
  transport.deliver('stuck')
  await settled()
  const stopping = server.stop()
  await settled()
  t.deepEqual(types, [])
  clock.advance(1_000)
  t.deepEqual(await stopping, { clean: false, unsettled: 1 })
  t.deepEqual(types, ['stopped'])
  t.is(transport.published.at(-1)?.topic, 'status')
})

test('a handler that does its work when it is told is still acknowledged', async (t) => {
  const app = mqttasgi()
  app.topic(
    'a',
    (ctx) => new Promise<void>((resolve) => ctx.signal.addEventListener('abort', () => resolve())),
  )
  const { clock, server, transport } = stageServer(t, app)
  await server.start()
  const id = transport.deliver('a')
  await settled()
  const stopping = server.stop()
  await settled()
  clock.advance(1_000)
  t.deepEqual(await stopping, { clean: false, unsettled: 0 })
  t.deepEqual(transport.acknowledged, [id])
})

test('an application that does not end with its connection does not hold the stop beyond the limit', async (t) => {
  const app = mqttasgi()
  app.onDisconnect(() => new Promise(() => {}))
  const { clock, server } = stageServer(t, app)
  await server.start()
  const stopping = server.stop()
  await settled()
  clock.advance(1_000)
  t.deepEqual(await stopping, { clean: false, unsettled: 0 })
})

test('when the connection is lost during the drain, who waits for the broker is told', async (t) => {
  const app = mqttasgi()
  const go = new Deferred()
  const errors: unknown[] = []
  const note = (error: unknown): void => void errors.push((error as MqttasgiError).code)
  app.topic('publishes', (ctx) => ctx.publish('out', 'x').catch(note))
  app.topic('subscribes', async (ctx) => {
    await go.promise
    await ctx.subscribe('more').catch(note)
  })
  const { server, transport } = stageServer(t, app)
  await server.start()
  transport.holdAnswers = true
  transport.deliver('publishes')
  transport.deliver('subscribes')
  await settled()
  const stopping = server.stop()
  await settled()
  transport.lose()
  await settled()
  go.resolve()
  t.deepEqual(await stopping, CLEAN)
  t.deepEqual(new Set(errors), new Set(['ERR_CONNECTION_CLOSED', 'ERR_STOPPED']))
  t.is(transport.count('connect'), 1)
})

test('a handler that waits for a subscription is told when the server stops in an outage', async (t) => {
  const app = mqttasgi()
  const go = new Deferred()
  app.topic('a', async (ctx) => {
    await go.promise
    await ctx.subscribe('more')
  })
  const { server, transport } = stageServer(t, app)
  await server.start()
  transport.deliver('a')
  await settled()
  transport.lose()
  await settled()
  go.resolve()
  await settled()
  t.deepEqual(await server.stop(), CLEAN)
  t.is(server.counters.failed, 1)
})

test('a stop during the start, before the broker has granted anything, is clean', async (t) => {
  const app = mqttasgi()
  app.topic('a', () => {})
  const { server, transport } = stageServer(t, app)
  const starting = rejectsWith(t, server.start(), 'ERR_STOPPED')
  while (server.state !== 'connected') await Promise.resolve()
  transport.pause()
  t.deepEqual(await server.stop(), CLEAN)
  await starting
})

for (const isAnswered of [false, true]) {
  test(`a stop while receivers hear of their first connection ends the start${isAnswered ? ', also when they are done with that by then' : ''}`, async (t) => {
    const gate = new Deferred()
    const guest = new Guest('guest', ['a'], { asks: true, connect: () => gate.promise })
    const { server, transport } = stageServer(t, mqttasgi(), { receivers: [guest] })
    const starting = rejectsWith(t, server.start(), 'ERR_STOPPED')
    await settled()
    t.deepEqual([...transport.subscriptions.keys()], ['a'])
    if (isAnswered) gate.resolve()
    const stopping = server.stop()
    await starting
    t.is(server.state, 'closed')
    t.deepEqual(await stopping, CLEAN)
  })
}

test('what is on disk and has no answer at the limit is no reason for a stop that is not clean', async (t) => {
  const store = new MemoryOutboxStore()
  const { clock, server, transport } = stageServer(t, mqttasgi(), { durableOutbox: { store, left: [] } })
  await server.start()
  transport.holdAnswers = true
  const refused = rejectsWith(t, server.publish('a', 'x'), 'ERR_CONNECTION_CLOSED')
  await settled()
  const stopping = server.stop()
  await settled()
  clock.advance(1_000)
  t.deepEqual(await stopping, CLEAN)
  await refused
  t.is(store.disk.size, 1)
  t.true(store.isClosed)
})

test('a disk that does not answer does not hold up the stop, which is not clean then', async (t) => {
  const store = new MemoryOutboxStore()
  store.isSlow = true
  const { clock, server, transport } = stageServer(t, mqttasgi(), { durableOutbox: { store, left: [] } })
  await server.start()
  transport.holdAnswers = true
  void server.publish('a', 'x').catch(() => {})
  await settled()
  const stopping = server.stop()
  await settled()
  clock.advance(1_000)
  await settled()
  t.is(server.state, 'stopping')
  clock.advance(5_000)
  t.deepEqual(await stopping, { clean: false, unsettled: 0 })
})

test('an instance that leaves gives up its groups, handles what still comes of them, and ends when the broker is silent', async (t) => {
  const app = mqttasgi()
  const seen: string[] = []
  app.topic('$share/team/jobs/+id', (ctx) => void seen.push(ctx.topic))
  const { clock, server, transport } = stageServer(t, app, { sessionLasts: true, drainTimeoutMs: 5_000 })
  await server.start()
  const stopping = server.stop({ leave: true })
  await settled()
  t.false(transport.subscriptions.has('$share/team/jobs/+'))
  transport.deliver('jobs/1')
  await settled()
  clock.advance(500)
  await settled()
  t.is(server.state, 'stopping')
  clock.advance(500)
  t.deepEqual(await stopping, CLEAN)
  t.deepEqual(seen, ['jobs/1'])
  t.is(transport.acknowledged.length, 1)
})

test('who subscribes and unsubscribes while an instance leaves is answered, and joins no group any more', async (t) => {
  const app = mqttasgi()
  app.topic('$share/team/jobs/+id', (ctx) => ctx.subscribe('more'))
  const guest = new Guest('guest', ['own'], {
    connect: (client) => client.subscribe('x/y'),
    disconnect: async (client) => {
      await client.unsubscribe('x/y')
      await client.subscribe('$share/team/z')
      await client.subscribe('own')
    },
  })
  const receivers = [
    asApplication(app, 'The application').receiver({ id: 'application', log: silentLog }),
    guest,
  ]
  const { clock, lines, server, transport } = stageServer(t, app, { receivers, drainTimeoutMs: 5_000 })
  await server.start()
  await settled()
  const stopping = server.stop({ leave: true })
  transport.deliver('jobs/1')
  for (let i = 0; i < 2; i++) {
    await settled()
    clock.advance(500)
  }
  t.deepEqual(await stopping, CLEAN)
  t.is(transport.acknowledged.length, 1)
  t.deepEqual([...transport.subscriptions.keys()], ['own', 'more'])
  t.false(transport.calls.includes('subscribe $share/team/z'))
  t.deepEqual(
    lines.filter((line) => /^(?:warn|error)/.test(line)),
    [],
  )
})

test('what still comes of a group that was left is told from what comes besides, whatever is subscribed meanwhile', async (t) => {
  const app = mqttasgi()
  const seen: string[] = []
  app.topic('jobs/#', () => void seen.push('own'))
  app.topic('$share/team/jobs/+id', () => void seen.push('shared'))
  const { clock, server, transport } = stageServer(t, app, { drainTimeoutMs: 5_000 })
  await server.start()
  const [own, shared] = [...transport.subscriptions.values()].map(({ identifier }) => identifier!)
  const stopping = server.stop({ leave: true })
  await settled()
  await server.subscribe('more')
  transport.deliver('jobs/1', '', { subscriptionIdentifiers: [own!] })
  transport.deliver('jobs/1', '', { subscriptionIdentifiers: [shared!] })
  for (let i = 0; i < 2; i++) {
    await settled()
    clock.advance(500)
  }
  t.deepEqual(await stopping, CLEAN)
  t.deepEqual(seen, ['own', 'shared'])
})

test('a group that is joined as an instance leaves is left again', async (t) => {
  const { clock, server, transport } = stageServer(t, mqttasgi())
  await server.start()
  const joining = server.subscribe('$share/team/jobs')
  while (transport.count('subscribe') === 0) await Promise.resolve()
  const stopping = server.stop({ leave: true })
  await settled()
  clock.advance(500)
  t.deepEqual(await stopping, CLEAN)
  t.is((await joining).filter, '$share/team/jobs')
  t.deepEqual([...transport.subscriptions.keys()], [])
})

test('an instance that loses its connection before it has given up its groups says so', async (t) => {
  const app = mqttasgi()
  app.topic('$share/team/jobs', () => {})
  const { clock, lines, server, transport } = stageServer(t, app)
  await server.start()
  transport.failAt('unsubscribe', 1, { type: 'lose' })
  const stopping = server.stop({ leave: true })
  await settled()
  clock.advance(500)
  t.deepEqual(await stopping, CLEAN)
  t.is(
    lines.filter((line) => line.startsWith('warn: The shared subscriptions could not be given up')).length,
    1,
  )
})

test('an instance that leaves waits for silence no longer than for all else, and leaves no timer', async (t) => {
  const { clock, server } = stageServer(t, mqttasgi(), { sessionLasts: true, drainTimeoutMs: 100 })
  await server.start()
  const stopping = server.stop({ leave: true })
  await settled()
  clock.advance(100)
  t.false((await stopping).clean)
  await settled()
  t.is(clock.timers, 0)
})

test('stores that are never closed hold up the stop for five seconds, and do not keep the others from being closed', async (t) => {
  const never = new Promise<void>(() => {})
  let released = false
  const { clock, lines, server } = stageServer(t, mqttasgi(), {
    deadLetters: { name: 'a dead disk', keep: () => never, close: () => never },
    release: async () => void (released = true),
  })
  await server.start()
  const stopping = server.stop()
  await settled()
  t.true(released)
  t.is(server.state, 'stopping')
  clock.advance(5_000)
  t.deepEqual(await stopping, CLEAN)
  t.true(lines.some((line) => line.includes('was not written within 5 s')))
})

test('a dead letter that a store never takes is given up at the drain limit, and its message not acknowledged', async (t) => {
  const never = new Promise<void>(() => {})
  const app = mqttasgi()
  app.topic('a', { retry: { attempts: 1 } }, () => {
    throw new Error('no')
  })
  const { clock, server, transport } = stageServer(t, app, {
    deadLetters: { name: 'a dead disk', keep: () => never, close: () => never },
    sessionLasts: true,
  })
  await server.start()
  transport.deliver('a')
  await settled()
  const stopping = server.stop()
  await settled()
  clock.advance(1_000)
  await settled()
  clock.advance(5_000)
  t.deepEqual(await stopping, { clean: false, unsettled: 1 })
  t.is(server.counters.acknowledged, 0)
})

test('a receiver whose farewell fails, and a connection whose store can not be closed, are said, and the server ends', async (t) => {
  const host = new Guest('host', ['a'], { disconnect: () => Promise.reject(new Error('no words')) })
  const { clock, lines, server, transport } = stageServer(t, mqttasgi(), { receivers: [host] })
  await server.start()
  transport.lose()
  await settled()
  clock.advance(1_000)
  await settled()
  const close = transport.close.bind(transport)
  transport.close = async (...args) => {
    await close(...args)
    throw new Error('EROFS')
  }
  t.deepEqual(await server.stop(), CLEAN)
  t.deepEqual(await server.closed, { stop: CLEAN })
  t.is(lines.filter((line) => line.includes('no words')).length, 2)
  t.true(lines.includes('error: A store could not be closed: EROFS'))
})

test('a stop may wait as long as it takes, and for no time that is none', async (t) => {
  const app = mqttasgi()
  const go = new Deferred()
  app.topic('a', () => go.promise)
  const { server, transport } = stageServer(t, app, { clock: systemClock })
  await server.start()
  transport.deliver('a', '1')
  for (const drainTimeoutMs of [Number.NaN, -1]) {
    await rejectsWith(t, server.stop({ drainTimeoutMs }), 'ERR_CONFIG_VALUE')
    t.is(server.state, 'connected')
  }
  const stopping = server.stop({ drainTimeoutMs: Number.POSITIVE_INFINITY })
  setTimeout(() => go.resolve(), 20)
  t.deepEqual(await stopping, CLEAN)
  t.is(server.counters.acknowledged, 1)
})

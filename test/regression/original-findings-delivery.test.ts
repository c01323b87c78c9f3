// What broke in the original server on the way of a message, and how it goes here. The numbers are those of docs/parity.md.
import { performance } from 'node:perf_hooks'
import test from 'ava'
import { Deferred } from '../../lib/core/deferred.ts'
import { mqttasgi, Reject, type Context } from '../../lib/index.ts'
import { MemoryTransport } from '../../lib/testing/index.ts'
import { turns } from '../helpers/memory-server.ts'
import { startMosquitto } from '../helpers/mosquitto.ts'
import { startPublisher } from '../helpers/publisher.ts'
import { recording } from '../helpers/recording.ts'
import { serverTest } from '../helpers/server-test.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { KeptLog, newClientId, serving } from '../integration/serving.ts'
import { scene } from '../integration/scene.ts'
import { Tally, within } from '../integration/tally.ts'
import { Victim } from '../kill/victims.ts'
import { finding, settled } from './strict-scene.ts'

const withMosquitto = serverTest('mosquitto')

for (const qos of [0, 1] as const) {
  finding(
    `1. 5,000 messages of QoS ${qos} are handled in less time than the original needs for 1,000`,
    async (t, { broker, serve }) => {
      const handled = new Tally()
      await serve(mqttasgi().topic('bench/+i', (ctx) => handled.add(ctx.params.i)))
      for (let i = 0; i < 5_000; i++) broker.publish(`bench/${i}`, 'x', { qos })
      // The original takes 95 messages a second.
      await handled.untilTotal(5_000, 10_000)
      t.deepEqual(handled.repeated(), [])
    },
  )
}

finding(
  '3. a message is acknowledged when its handler is done and not before, so that a crash in the middle loses none',
  async (t, { broker, clientId, serve }) => {
    const gate = new Deferred()
    const entered = new Tally()
    const app = mqttasgi().topic('a/+i', async (ctx) => {
      entered.add(ctx.params.i)
      await gate.promise
    })
    const server = await serve(app)
    for (let i = 0; i < 20; i++) broker.publish(`a/${i}`, '')
    await entered.untilDistinct(20)
    t.is(broker.settled.length, 0)
    t.is(broker.unsettled(clientId), 20)
    // Gone without a word, as in a crash.
    await server.stop({ drainTimeoutMs: 0 })
    gate.resolve()
    await serve(app)
    await settled(broker, 20)
    t.is(entered.total, 40)
  },
)

finding(
  '4. an error in a handler is said at once, and what comes after it is handled',
  async (t, { broker, serve }) => {
    const handled = new Tally()
    const log = new KeptLog()
    const app = mqttasgi().topic('a/+name', (ctx) => {
      if (ctx.params.name === 'bad') throw new Reject('no such meter')
      handled.add(ctx.params.name)
    })
    const server = await serve(app, { log })
    for (const name of ['bad', 'good', 'better']) broker.publish(`a/${name}`, '')
    await handled.untilDistinct(2)
    await settled(broker, 3)
    t.is(server.state, 'connected')
    t.true(
      log.lines.some((line) => line.startsWith('error') && line.includes('no such meter')),
      log.lines.join('\n'),
    )
  },
)

finding(
  '10. behind a slow handler 1,000 × 10 KB stay with the broker, and not in memory',
  async (t, { broker, clientId, serve }) => {
    const gate = new Deferred()
    const handled = new Tally()
    const app = mqttasgi().topic('a/+i', async (ctx) => {
      await gate.promise
      handled.add(ctx.params.i)
    })
    const server = await serve(app, { maxInFlight: 8 })
    const payload = 'x'.repeat(10_000)
    for (let i = 0; i < 1_000; i++) broker.publish(`a/${i}`, payload)
    // It has come back to us after everything that the broker would have sent before it.
    await server.publish('elsewhere', 'there and back')
    t.is(server.counters.received, 8)
    t.is(broker.unsettled(clientId), 1_000)
    gate.resolve()
    await settled(broker, 1_000)
    t.is(handled.distinct, 1_000)
  },
)

withMosquitto('12. a member of a share group gets its messages on their own topics', async (t) => {
  const { publisher, serve } = await scene(t)
  const seen = new Tally()
  const app = mqttasgi().topic('$share/meters/rooms/+room/temp', (ctx) =>
    seen.add(`${ctx.topic} ${ctx.params.room}`),
  )
  const server = await serve(app)
  for (const room of ['hall', 'attic']) await publisher.publish(`rooms/${room}/temp`, '21')
  await seen.untilTotal(2)
  t.deepEqual(seen.keys.toSorted(), ['rooms/attic/temp attic', 'rooms/hall/temp hall'])
  t.is(server.counters.unmatched, 0)
})

withMosquitto('13. a message that several filters match is handled once', async (t) => {
  const { publisher, serve } = await scene(t, { allowDuplicateMessages: true })
  const calls = new Tally()
  const app = mqttasgi()
  for (const pattern of ['a/+name', 'a/b', 'a/#']) {
    app.topic(pattern, async (ctx, next) => {
      calls.add(`${pattern} ${ctx.text()}`)
      await next()
    })
  }
  const server = await serve(app)
  await publisher.publish('a/b', 'first')
  await publisher.publish('a/b', 'second')
  await calls.untilTotal(6)
  await server.stop()
  t.deepEqual(calls.repeated(), [])
  t.is(server.counters.handled, 2)
})

test('14. a handler sees retain, dup, the properties, and the pattern that matched', async (t) => {
  const transport = new MemoryTransport()
  const seen: Pick<Context, 'qos' | 'retain' | 'dup' | 'properties' | 'route' | 'params'>[] = []
  const app = mqttasgi().topic('rooms/+room', ({ dup, params, properties, qos, retain, route }) => {
    seen.push({ dup, params: { ...params }, properties, qos, retain, route })
  })
  await serving(t, app, { transport })
  const properties = { contentType: 'text/plain', responseTopic: 'answers/7' }
  transport.deliver('rooms/hall', 'x', { qos: 1, retain: true, dup: true, properties })
  await turns()
  const params = { room: 'hall' }
  t.deepEqual(seen, [{ dup: true, params, properties, qos: 1, retain: true, route: 'rooms/+room' }])
})

test('15. what goes wrong with a publication or a subscription is told to whoever asked for it', async (t) => {
  const transport = new MemoryTransport()
  const codes: unknown[] = []
  const app = mqttasgi().topic('ask', async (ctx) => {
    await t.throwsAsync(ctx.publish('refused', ''), { code: 'ERR_PUBLISH_REFUSED' })
    await t.throwsAsync(ctx.subscribe('refused/#'), { code: 'ERR_SUBSCRIBE_REFUSED' })
    await t.throwsAsync(ctx.subscribe('a/#/b'), { code: 'ERR_FILTER_INVALID' })
    await t.throwsAsync(ctx.publish('a/+', ''), { code: 'ERR_TOPIC_INVALID' })
    await t.throwsAsync(ctx.publish('a', Symbol('no payload') as never), { code: 'ERR_PAYLOAD_TYPE' })
    await t.throwsAsync(ctx.publish('a', '', { qos: 7 as never }), { code: 'ERR_PUBLISH_INVALID' })
    codes.push((await ctx.publish('taken', '')).reasonCode)
  })
  transport.grant = ({ filter, qos }) => (filter.startsWith('refused') ? 0x87 : qos)
  transport.failAt('publish', 1, { type: 'refuse', reasonCode: 0x87 })
  const server = await serving(t, app, { transport })
  transport.deliver('ask')
  await turns()
  t.deepEqual(codes, [0])
  t.is(server.counters.handled, 1)
})

test.serial('17. while nothing comes, the event loop is free', async (t) => {
  await serving(
    t,
    mqttasgi().topic('#', () => {}),
    { transport: new MemoryTransport() },
  )
  const before = performance.eventLoopUtilization()
  // Twenty waits one after the other, as in the finding.
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 10))
  // The original's loop holds it for half of the time.
  t.true(performance.eventLoopUtilization(before).utilization < 0.4)
})

finding(
  '18. a graceful stop keeps the session, so that what is published meanwhile comes at the next start',
  async (t, { broker, clientId, serve }) => {
    const handled = new Tally()
    const app = mqttasgi().topic('a/+i', (ctx) => handled.add(ctx.params.i))
    const server = await serve(app)
    t.deepEqual(await server.stop(), { clean: true, unsettled: 0 })
    t.deepEqual(broker.subscriptions.filters(clientId), ['a/+'])
    for (let i = 0; i < 10; i++) broker.publish(`a/${i}`, 'while we were away')
    await serve(app)
    await handled.untilDistinct(10)
  },
)

finding(
  '21. a stop waits for what was published, and for handlers until the drain limit',
  async (t, { broker, serve }) => {
    const entered = new Tally()
    const app = mqttasgi()
    app.topic('stuck', () => {
      entered.add('stuck')
      return new Promise(() => {})
    })
    const server = await serve(app)
    broker.publish('stuck', '')
    await entered.untilTotal(1)
    const arrived = Array.from({ length: 200 }, (_, i) => server.publish(`last/words/${i}`, ''))
    const stopped = server.stop({ drainTimeoutMs: 500 })
    t.is((await Promise.all(arrived)).length, 200)
    t.deepEqual(await within(10_000, 'stopped', stopped), { clean: false, unsettled: 1 })
  },
)

withMosquitto('25. several processes share the work of one application', async (t) => {
  const broker = await startMosquitto()
  t.teardown(() => broker.stop())
  // What their handlers do nobody here hears of.
  const proxy = await recording(t, broker.port, {})
  const publisher = await startPublisher(broker.url)
  t.teardown(() => publisher.close())
  const handled = [new Tally(), new Tally()]
  const both = new Tally()
  const processes = handled.map((tally) => {
    const folder = temporaryFolder(t)
    return new Victim(
      {
        url: proxy.url,
        clientId: newClientId(),
        protocolVersion: 5,
        folder,
        file: `${folder}/handled`,
        handlerMs: 5,
        maxInFlight: 8,
        share: 'workers',
      },
      (number) => {
        tally.add(number)
        both.add(number)
      },
    )
  })
  t.teardown(() => Promise.all(processes.map((process) => process.kill())))
  await Promise.all(processes.map((process) => process.serve()))
  await publisher.many(100, (i) => `kill/${i}`)
  await both.untilDistinct(100)
  t.deepEqual(both.repeated(), [])
  t.true(handled.every(({ total }) => total > 0))
})

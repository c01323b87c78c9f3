// What has to be better than in the original server, each row of the table in docs/parity.md as a test that the original fails.
import test from 'ava'
import { Deferred } from '../../lib/core/deferred.ts'
import { mqttasgi, serve, type Application } from '../../lib/index.ts'
import { startBroker } from '../../lib/broker/index.ts'
import { MemoryTransport } from '../../lib/testing/index.ts'
import { runHere } from '../helpers/command-line.ts'
import { turns } from '../helpers/memory-server.ts'
import { recordedUrl } from '../helpers/recording.ts'
import { serverTest } from '../helpers/server-test.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { KeptLog, newClientId, serving } from '../integration/serving.ts'
import { scene } from '../integration/scene.ts'
import { Tally, within } from '../integration/tally.ts'
import { killHarness } from '../kill/harness.ts'
import { finding, settled } from './strict-scene.ts'

const withMosquitto = serverTest('mosquitto')

function counting(handled: Tally): Application {
  const app = mqttasgi()
  app.use((_ctx, next) => next())
  return app.topic('bench/+i', (ctx) => handled.add(ctx.params.i))
}

for (const qos of [0, 1] as const) {
  finding(
    `throughput: 10,000 messages of QoS ${qos} through router and middleware within ten seconds, not two minutes`,
    async (t, { broker, serve: start }) => {
      const handled = new Tally()
      const server = await start(counting(handled))
      for (let i = 0; i < 10_000; i++) broker.publish(`bench/${i}`, 'x', { qos })
      await handled.untilTotal(10_000, 10_000)
      t.is(server.counters.retried, 0)
    },
  )
}

withMosquitto.serial('latency: at 500 messages a second half of them take no second, not four', async (t) => {
  const { publisher, serve: start } = await scene(t)
  const took: number[] = []
  const handled = new Tally()
  const app = mqttasgi().topic('bench/+i', (ctx) => {
    took.push(performance.now() - Number(ctx.text()))
    handled.add(ctx.params.i)
  })
  await start(app)
  const sent: Promise<void>[] = []
  for (let i = 0; i < 1_000; i++) {
    if (i % 5 === 0) await new Promise((resolve) => setTimeout(resolve, 10))
    sent.push(publisher.publish(`bench/${i}`, String(performance.now())))
  }
  await Promise.all(sent)
  await handled.untilTotal(1_000)
  t.true(took.toSorted((a, b) => a - b)[500]! < 1_000)
})

withMosquitto.serial(
  'kill -9 in the middle of 1,000 messages loses none, and repeats no more than a window',
  async (t) => {
    const report = await killHarness({
      broker: 'mosquitto',
      cycles: 1,
      messages: 1_000,
      protocolVersion: 5,
      handlerMs: 20,
      maxInFlight: 32,
    })
    t.is(report.kills, 1)
    t.is(report.lost, 0)
    t.true(report.duplicated <= 32, JSON.stringify(report))
  },
)

finding(
  'a broker restart: all filters are subscribed again where the broker has forgotten them',
  async (t, { broker, clientId, serve: start }) => {
    const seen = new Tally()
    const app = mqttasgi()
    for (const pattern of ['a/+x', 'b/#x', '$share/g/c']) app.topic(pattern, (ctx) => seen.add(ctx.topic))
    const server = await start(app, { broker: { clean: true } })
    await server.subscribe('d')
    app.topic('d', (ctx) => seen.add(ctx.topic))
    await server.ready()
    const filters = broker.subscriptions.filters(clientId).toSorted()
    t.is(filters.length, 4)
    broker.forget()
    await within(
      5_000,
      'again',
      broker.until(() => broker.subscriptions.filters(clientId).length === 4),
    )
    t.deepEqual(broker.subscriptions.filters(clientId).toSorted(), filters)
    for (const topic of ['a/1', 'b/2/3', 'c', 'd']) broker.publish(topic, '')
    await seen.untilDistinct(4)
  },
)

finding(
  'an outage longer than the retries ends the server with an error that says why',
  async (t, { broker, serve: start }) => {
    const server = await start(mqttasgi(), { broker: { retries: 2 } })
    await broker.stop()
    const { error } = await within(20_000, 'the end', server.closed)
    t.is(error?.code, 'ERR_CONNECT_NETWORK')
    t.regex(error?.message ?? '', /Gave up after 2 retries/)
  },
)

const stuck = `
  import { mqttasgi } from 'mqttasgi'
  export const app = mqttasgi()
  app.topic('stuck', (ctx) => { ctx.log.warn('stuck begins'); return new Promise(() => {}) })
`

test('a stop with a stuck handler ends within the drain limit, and a second signal at once', async (t) => {
  const broker = await startBroker({ port: 0 })
  t.teardown(() => broker.close())
  const cwd = temporaryFolder(t, { 'app.ts': stuck })
  const url = await recordedUrl(t, broker.url)
  const command = runHere(['--url', url, '--drain-timeout', '0.1', './app.ts'], { cwd })
  await command.seen(/running/)
  await broker.publish('stuck', '')
  await command.seen(/stuck begins/)
  command.signal('SIGTERM')
  command.signal('SIGTERM')
  t.deepEqual(command.exits, [143])
  t.is(await within(20_000, 'the end', command.ended), 3)
})

test('a stop while the broker is away ends at once', async (t) => {
  const transport = new MemoryTransport()
  const server = await serving(t, mqttasgi(), { transport, broker: { retries: 0 } })
  for (let i = 2; i < 50; i++) transport.failAt('connect', i, { type: 'lose' })
  transport.lose()
  await turns()
  t.is(server.state, 'waiting')
  t.deepEqual(await within(5_000, 'the end', server.stop()), { clean: true, unsettled: 0 })
})

test('an error of a handler goes to onError and the log, its message is kept, and the next one is handled', async (t) => {
  const transport = new MemoryTransport()
  const log = new KeptLog()
  const seen: string[] = []
  const app = mqttasgi()
  app.onError((error, ctx) => void seen.push(`${ctx.topic}: ${error.message}`))
  app.topic('bad', { retry: { attempts: 1 } }, () => {
    throw new Error('broken')
  })
  app.topic('good', () => void seen.push('good'))
  const server = await serving(t, app, { transport, log })
  const ids = [transport.deliver('bad'), transport.deliver('good')]
  while (transport.acknowledged.length < 2) await turns()
  t.deepEqual(transport.acknowledged, ids)
  t.deepEqual(seen.toSorted(), ['bad: broken', 'good'])
  t.is(server.counters.deadLettered, 1)
  t.true(log.lines.some((line) => line.includes('broken')))
})

test('credentials that are refused at the start are final, however many retries there are', async (t) => {
  const transport = new MemoryTransport()
  const failure = { type: 'credentials', message: 'Bad user name or password.' } as const
  transport.failAt('connect', 1, { type: 'lose', failure })
  const started = serve(mqttasgi(), { transport, broker: { retries: 0 }, log: new KeptLog() })
  await t.throwsAsync(started, { code: 'ERR_CONNECT_CREDENTIALS' })
  t.is(transport.count('connect'), 1)
})

test('half of the TLS options end the command with 78 before it connects', async (t) => {
  const cwd = temporaryFolder(t, { 'app.ts': stuck, 'client.crt': 'no certificate' })
  const command = runHere(['-C', 'client.crt', './app.ts'], { cwd })
  t.is(await command.ended, 78)
  t.regex(command.output(), /ERR_CONFIG_INCOMPLETE/)
  t.notRegex(command.output(), /connects to/)
})

test('filters that overlap: one dispatch for a message, its routes in the order in which they were registered', async (t) => {
  const transport = new MemoryTransport()
  const order: string[] = []
  const app = mqttasgi()
  for (const pattern of ['+y/b', 'a/b', 'a/+x']) {
    app.topic(pattern, async (_ctx, next) => {
      order.push(pattern)
      await next()
    })
  }
  const server = await serving(t, app, { transport })
  const identifiers = [...transport.subscriptions.values()].map((request) => request.identifier!)
  // One copy for each subscription, as brokers may send them (3.3.4).
  for (const identifier of identifiers)
    transport.deliver('a/b', 'x', { subscriptionIdentifiers: [identifier] })
  await turns()
  t.true(identifiers.length > 1)
  t.deepEqual(order, ['+y/b', 'a/b', 'a/+x'])
  t.is(server.counters.handled, 1)
  t.is(transport.acknowledged.length, identifiers.length)
})

finding(
  '$share: a message of a group comes on its own topic, with its parameters',
  async (t, { broker, serve: start }) => {
    const seen = new Tally()
    const app = mqttasgi()
    app.topic('jobs/+id', { share: 'printers' }, (ctx) => seen.add(`${ctx.topic} ${ctx.params.id}`))
    const server = await start(app)
    broker.publish('jobs/7', '')
    await settled(broker, 1)
    t.deepEqual(seen.keys, ['jobs/7 7'])
    t.is(server.counters.unmatched, 0)
  },
)

finding(
  'a flood on a slow handler: a bounded number in hand, the rest stays with the broker',
  async (t, { broker, clientId, serve: start }) => {
    const gate = new Deferred()
    let [running, most] = [0, 0]
    const app = mqttasgi().topic('a/+i', async () => {
      most = Math.max(most, ++running)
      await gate.promise
      running--
    })
    const server = await start(app, { maxInFlight: 16 })
    for (let i = 0; i < 2_000; i++) broker.publish(`a/${i}`, 'x')
    await server.publish('elsewhere', 'there and back')
    t.is(server.counters.received, 16)
    t.is(broker.unsettled(clientId), 2_000)
    gate.resolve()
    await settled(broker, 2_000)
    t.is(most, 16)
  },
)

withMosquitto('retain, properties and the matched pattern are in the context', async (t) => {
  const { publisher, serve: start } = await scene(t)
  // MQTT.js needs MQTT 5 for properties; retain is enough from this publisher.
  await publisher.publish('rooms/hall', 'x', { retain: true })
  const seen = new Deferred<unknown>()
  const app = mqttasgi().topic('rooms/+room', ({ retain, dup, route, params }) =>
    seen.resolve([retain, dup, route, params.room]),
  )
  await start(app)
  t.deepEqual(await within(10_000, 'the message', seen.promise), [true, false, 'rooms/+room', 'hall'])
})

finding(
  'a publication that the broker can not take rejects, and the connection stays',
  async (t, { serve: start }) => {
    const server = await start(mqttasgi())
    await t.throwsAsync(server.publish('a', 'x'.repeat(2_000)), { code: 'ERR_PUBLISH_TOO_LARGE' })
    t.is((await server.publish('a', 'small')).reasonCode, 0x10)
  },
  { maximumPacketSize: 1_000 },
)

test('a route that the broker refuses fails the start, and a subscription later rejects', async (t) => {
  const transport = new MemoryTransport()
  transport.grant = ({ filter, qos }) => (filter === 'secret/#' ? 0x87 : qos)
  const server = await serving(
    t,
    mqttasgi().topic('a', () => {}),
    { transport },
  )
  await t.throwsAsync(server.subscribe('secret/#'), { code: 'ERR_SUBSCRIBE_REFUSED' })
  const refused = new MemoryTransport()
  refused.grant = () => 0x87
  const start = serve(
    mqttasgi().topic('a', () => {}),
    { transport: refused, log: new KeptLog() },
  )
  await t.throwsAsync(start, { code: 'ERR_SUBSCRIBE_REFUSED' })
})

withMosquitto('a graceful stop keeps the session with clean: false', async (t) => {
  const { publisher, serve: start } = await scene(t)
  const broker = { clientId: newClientId(), clean: false }
  const seen = new Tally()
  const app = mqttasgi().topic('a/+i', (ctx) => seen.add(ctx.params.i))
  const server = await start(app, { broker })
  await server.stop()
  await publisher.many(50, (i) => `a/${i}`)
  await start(app, { broker })
  await seen.untilDistinct(50)
  t.deepEqual(seen.repeated(), [])
})

withMosquitto('several servers of one group divide what comes', async (t) => {
  const { publisher, serve: start } = await scene(t)
  const all = new Tally()
  const each = [new Tally(), new Tally(), new Tally()]
  for (const own of each) {
    const app = mqttasgi().topic('$share/g/jobs/+id', (ctx) => {
      own.add(ctx.params.id)
      all.add(ctx.params.id)
    })
    await start(app, { broker: { clientId: newClientId() } })
  }
  await publisher.many(90, (i) => `jobs/${i}`)
  await all.untilDistinct(90)
  t.deepEqual(all.repeated(), [])
  t.true(each.every(({ total }) => total > 0))
})

// Filters that overlap, on a broker that sends a copy for each: the chain runs once, over all matching layers, in order.
import type { ExecutionContext } from 'ava'
import {
  mqttasgi,
  type Application,
  type Context,
  type Next,
  type RouteOptions,
  type Server,
} from '../../lib/index.ts'
import { startMosquitto, type Mosquitto } from '../helpers/mosquitto.ts'
import { startPublisher, type Publisher } from '../helpers/publisher.ts'
import { serverTest } from '../helpers/server-test.ts'
import { serving } from './serving.ts'
import { Tally } from './tally.ts'

const withMosquitto = serverTest('mosquitto')

/** One broker and one publisher of each kind for the whole file; the tests use topics of their own. */
interface Kind {
  readonly name: string
  readonly protocolVersion: 4 | 5
  readonly allowDuplicateMessages: boolean | undefined
}

// What it sends over 3.1.1 when told to allow duplicates no client can tell apart.
const kinds: readonly Kind[] = [
  { name: 'MQTT 5', protocolVersion: 5, allowDuplicateMessages: undefined },
  { name: 'MQTT 5, duplicates allowed', protocolVersion: 5, allowDuplicateMessages: true },
  { name: 'MQTT 5, duplicates forbidden', protocolVersion: 5, allowDuplicateMessages: false },
  { name: 'MQTT 3.1.1', protocolVersion: 4, allowDuplicateMessages: undefined },
]

interface Scene {
  readonly broker: Mosquitto
  readonly publisher: Publisher
  /** What ran, in order: the name of each layer with the payload. */
  readonly ran: string[]
  readonly layer: (name: string) => (ctx: Context, next: Next) => Promise<void>
  /** Starts the application, which hears of the end as well. */
  readonly serve: (app: Application) => Promise<void>
  /** Resolves when all that was published before has been handled; it is stopped then. */
  readonly end: () => Promise<void>
}

async function scene(t: ExecutionContext, kind: Kind): Promise<Scene> {
  const { allowDuplicateMessages, protocolVersion } = kind
  const broker = await startMosquitto(allowDuplicateMessages === undefined ? {} : { allowDuplicateMessages })
  t.teardown(() => broker.stop())
  const publisher = await startPublisher(broker.url)
  t.teardown(() => publisher.close())
  const ran: string[] = []
  const ends = new Tally()
  const servers: Server[] = []
  return {
    broker,
    publisher,
    ran,
    layer: (name) => async (ctx, next) => {
      if (ctx.topic !== 'the/end') ran.push(`${name} ${ctx.text()}`)
      await next()
    },
    serve: async (app) => {
      app.topic('the/end', () => ends.add('end'))
      servers.push(
        await serving(t, app, { broker: { url: broker.url, protocolVersion } }, { concluded: 'copies' }),
      )
    },
    end: async () => {
      await publisher.publish('the/end', '')
      await ends.untilTotal(servers.length)
      await Promise.all(servers.map((server) => server.stop()))
    },
  }
}

const patterns = ['a/+', 'a/#', 'a/b', '+/b'] as const

const settings: Record<string, readonly RouteOptions[]> = {
  'with the same options': [{}, {}, {}, {}],
  'with QoS of their own': [{ qos: 0 }, { qos: 2 }, { qos: 1 }, { qos: 0 }],
  'with options that keep them apart': [
    { retainAsPublished: true },
    {},
    { noLocal: true },
    { retainAsPublished: true, qos: 0 },
  ],
}

for (const kind of kinds) {
  for (const [how, options] of Object.entries(settings)) {
    withMosquitto(
      `a/+, a/#, a/b and +/b ${how} run one chain for one message on a/b (${kind.name})`,
      async (t) => {
        const { end, layer, publisher, ran, serve } = await scene(t, kind)
        const app = mqttasgi()
        app.use(layer('use'))
        patterns.forEach((pattern, i) => app.topic(pattern, options[i] ?? {}, layer(pattern)))
        await serve(app)
        await publisher.publish('a/b', '1')
        await publisher.publish('a/c', '2')
        await publisher.publish('c/b', '3')
        await end()
        const chains = 'use 1, a/+ 1, a/# 1, a/b 1, +/b 1, use 2, a/+ 2, a/# 2, use 3, +/b 3'
        t.is(ran.join(', '), chains)
      },
    )
  }

  withMosquitto(
    `overlapping routes that are added under way run each message once (${kind.name})`,
    async (t) => {
      const { end, layer, publisher, ran, serve } = await scene(t, kind)
      const app = mqttasgi()
      app.topic('a/b', layer('a/b'))
      await serve(app)
      const sent: Promise<void>[] = []
      for (let i = 0; i < 900; i++) {
        sent.push(publisher.publish('a/b', `${i}`))
        // In the midst of the stream: one that covers the first, then one that partly overlaps with that.
        if (i === 300) app.topic('+/b', layer('+/b'))
        if (i === 600) app.topic('a/#', layer('a/#'))
        if (i % 10 === 0) await new Promise((resolve) => setImmediate(resolve))
      }
      await app.ready()
      await Promise.all(sent)
      await publisher.publish('a/b', 'last')
      await end()
      t.is(ran.length, new Set(ran).size)
      t.is(ran.filter((line) => line.startsWith('a/b ')).length, 901)
      t.deepEqual(ran.slice(-3), ['a/b last', '+/b last', 'a/# last'])
    },
  )

  withMosquitto(
    `a retained message runs one chain at the start, and reaches a late route (${kind.name})`,
    async (t) => {
      const { end, layer, publisher, ran, serve } = await scene(t, kind)
      await publisher.publish('a/b', 'kept', { retain: true })
      const app = mqttasgi()
      // Over 3.1.1 each SUBSCRIBE brings it once more, and nothing tells which is which.
      const first = kind.protocolVersion === 5 ? patterns.slice(0, 3) : (['a/#'] as const)
      for (const pattern of first) app.topic(pattern, layer(pattern))
      await serve(app)
      app.topic('+/b', layer('+/b'))
      await app.ready()
      await end()
      const lines = (names: readonly string[]): string[] => names.map((name) => `${name} kept`)
      t.deepEqual(ran.slice(0, first.length), lines(first))
      t.deepEqual(
        ran.filter((line) => line.startsWith('+/b')),
        ['+/b kept'],
      )
    },
  )
}

const five: Kind = { name: 'MQTT 5', protocolVersion: 5, allowDuplicateMessages: true }

withMosquitto(
  'a retained message that four overlapping filters bring at the start runs one chain',
  async (t) => {
    const { end, layer, publisher, ran, serve } = await scene(t, five)
    await publisher.publish('a/b', 'kept', { retain: true })
    const app = mqttasgi()
    patterns.forEach((pattern, i) =>
      app.topic(pattern, settings['with options that keep them apart']?.[i] ?? {}, layer(pattern)),
    )
    await serve(app)
    await end()
    t.deepEqual(
      ran,
      patterns.map((pattern) => `${pattern} kept`),
    )
  },
)

withMosquitto(
  '$share/g/a/+ beside a/+ runs the routes of the group, and the own ones, once each',
  async (t) => {
    const { end, layer, publisher, ran, serve } = await scene(t, five)
    const app = mqttasgi()
    app.use(layer('use'))
    app.topic('a/+x', layer('own'))
    app.topic('$share/g/a/+x', layer('group'))
    app.topic('a/b', layer('own too'))
    app.topic('a/#', { share: 'other' }, layer('other group'))
    await serve(app)
    await publisher.publish('a/b', '1')
    await end()
    const chains = ['use 1, own 1, own too 1', 'use 1, group 1', 'use 1, other group 1']
    // The broker chooses the order of the copies.
    const ranChains = ran.join(', ').split(/, (?=use)/)
    t.deepEqual(ranChains.toSorted(), chains.toSorted())
  },
)

withMosquitto('overlapping filters of one group run its routes once', async (t) => {
  const { end, layer, publisher, ran, serve } = await scene(t, five)
  const app = mqttasgi()
  app.topic('$share/g/a/+x', { retainAsPublished: true }, layer('a/+'))
  app.topic('$share/g/a/b', layer('a/b'))
  app.topic('$share/g/+/b', layer('+/b'))
  await serve(app)
  await publisher.publish('a/b', '1')
  await end()
  t.deepEqual(ran, ['a/+ 1', 'a/b 1', '+/b 1'])
})

for (const kind of [kinds[0], kinds[3]] as Kind[]) {
  withMosquitto(
    `two members of a group share 100 messages without loss or repetition (${kind.name})`,
    async (t) => {
      const { end, layer, publisher, ran, serve } = await scene(t, kind)
      for (const member of ['one', 'two']) {
        const app = mqttasgi()
        app.topic('$share/g/a/+x', layer(member))
        await serve(app)
      }
      await publisher.many(100, (i) => `a/${i}`)
      await end()
      const numbers = ran.map((line) => Number(line.split(' ')[1]))
      t.deepEqual(
        numbers.toSorted((one, other) => one - other),
        Array.from({ length: 100 }, (_, i) => i),
      )
      for (const member of ['one', 'two']) t.true(ran.some((line) => line.startsWith(member)))
    },
  )
}

withMosquitto('the application and each worker mount get a message once, for themselves', async (t) => {
  const { broker, publisher, ran, layer } = await scene(t, five)
  const ends = new Tally()
  const [app, worker] = [mqttasgi(), mqttasgi()]
  app.topic('a/#', layer('application'))
  app.topic('+/b', layer('application'))
  worker.topic('+x', layer('worker'))
  app.topic('the/end', () => ends.add('end'))
  const workers = [
    { id: 'first', mount: 'a', application: worker },
    { id: 'second', mount: '+any', application: worker },
  ]
  const server = await serving(t, app, { broker: { url: broker.url }, workers })
  await publisher.publish('a/b', '1')
  await publisher.publish('the/end', '')
  await ends.untilTotal(1)
  await server.stop()
  t.deepEqual(ran.toSorted(), ['application 1', 'application 1', 'worker 1', 'worker 1'])
})

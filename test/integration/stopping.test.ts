// A graceful stop on a real broker: what runs is finished and acknowledged, and nothing of it comes again.
import type { ExecutionContext } from 'ava'
import { mqttasgi, type Application, type ServeOptions, type Server } from '../../lib/index.ts'
import { startMosquitto } from '../helpers/mosquitto.ts'
import { startPublisher, type Publisher } from '../helpers/publisher.ts'
import { recording } from '../helpers/recording.ts'
import { serverTest } from '../helpers/server-test.ts'
import type { WireLog } from '../helpers/wire-log.ts'
import { latency, newClientId, serving } from './serving.ts'
import { Tally, within } from './tally.ts'

const withMosquitto = serverTest('mosquitto')

interface Scene {
  readonly log: WireLog
  readonly publisher: Publisher
  /** Through a wire log, always with the same session that lasts. */
  readonly serve: (app: Application, options?: ServeOptions) => Promise<Server>
  /** What the session of `serve` still holds: payloads of all that come at the next start. */
  readonly left: () => Promise<string[]>
}

async function scene(t: ExecutionContext, protocolVersion: 4 | 5 = 5): Promise<Scene> {
  const broker = await startMosquitto()
  t.teardown(() => broker.stop())
  const proxy = await recording(t, broker.port)
  const publisher = await startPublisher(broker.url)
  t.teardown(() => publisher.close())
  const session = { url: proxy.url, clientId: newClientId(), clean: false, protocolVersion }
  return {
    log: proxy.log,
    publisher,
    serve: (app, { broker: more, ...options } = {}) =>
      serving(t, app, { ...options, broker: { ...session, ...more } }),
    left: async () => {
      const came: string[] = []
      const ends = new Tally()
      const app = mqttasgi()
      app.topic('#', (ctx) => {
        if (ctx.topic === 'the/end') ends.add('end')
        else came.push(ctx.text())
      })
      const server = await serving(t, app, { broker: session })
      // It comes behind everything that was queued.
      await publisher.publish('the/end', '')
      await ends.untilTotal(1)
      await server.stop()
      return came
    },
  }
}

/** The place of the n-th packet of this kind in the log; Infinity when there are not so many. */
function placeOf(log: WireLog, cmd: 'disconnect' | 'puback', direction: 'up' | 'down', n = 1): number {
  return log.packets(cmd, direction)[n - 1]?.index ?? Infinity
}

for (const [protocolVersion, name] of [
  [5, 'MQTT 5'],
  [4, 'MQTT 3.1.1'],
] as const) {
  withMosquitto(
    `fifty handlers of a second are finished within three, and none comes again (${name})`,
    async (t) => {
      const { left, log, publisher, serve } = await scene(t, protocolVersion)
      const [started, handled] = [new Tally(), new Tally()]
      const app = mqttasgi()
      app.topic('slow/+i', async (ctx) => {
        started.add(ctx.params.i)
        await latency(1_000, 1_000)
        handled.add(ctx.params.i)
      })
      const server = await serve(app, { maxInFlight: 64, broker: { keepalive: 1 } })
      await publisher.many(50, (i) => `slow/${i}`)
      await started.untilDistinct(50)
      const before = performance.now()
      t.deepEqual(await server.stop(), { clean: true, unsettled: 0 })
      const ms = performance.now() - before
      t.log(`stopped after ${Math.round(ms)} ms`)
      t.true(ms < 3_000)
      t.is(handled.distinct, 50)
      // DISCONNECT is the last word, and all fifty acknowledgements stand before it.
      await log.until((event) => event.type === 'close')
      t.true(placeOf(log, 'puback', 'up', 50) < placeOf(log, 'disconnect', 'up'))
      t.deepEqual(await left(), [])
      t.is(handled.total, 50)
    },
  )
}

withMosquitto(
  'a handler that is stuck holds the stop up to the limit, and exactly its message comes again',
  async (t) => {
    const { left, log, publisher, serve } = await scene(t)
    const started = new Tally()
    let aborted: unknown
    const app = mqttasgi()
    app.topic('quick/+i', (ctx) => started.add(ctx.params.i))
    app.topic('stuck', async (ctx) => {
      started.add('stuck')
      ctx.signal.addEventListener('abort', () => (aborted = ctx.signal.reason))
      await new Promise(() => {})
    })
    const server = await serve(app, { drainTimeout: 1 })
    await publisher.many(10, (i) => `quick/${i}`)
    await started.untilTotal(10)
    await publisher.publish('stuck', 'stuck')
    await started.untilTotal(11)
    const before = performance.now()
    t.deepEqual(await server.stop(), { clean: false, unsettled: 1 })
    const ms = performance.now() - before
    t.true(ms >= 950 && ms < 3_000)
    t.is((aborted as { code?: string }).code, 'ERR_STOPPED')
    t.true(placeOf(log, 'disconnect', 'up') < Infinity)
    t.deepEqual(await left(), ['stuck'])
  },
)

withMosquitto(
  'what was handled behind one that is stuck comes again with it, for order forbids to acknowledge it before',
  async (t) => {
    const { left, publisher, serve } = await scene(t)
    const handled = new Tally()
    const app = mqttasgi()
    app.topic('before', () => handled.add('before'))
    app.topic('stuck', () => new Promise(() => {}))
    app.topic('behind', () => handled.add('behind'))
    const server = await serve(app, { drainTimeout: 0 })
    for (const topic of ['before', 'stuck', 'behind']) await publisher.publish(topic, topic)
    await handled.untilTotal(2)
    await server.stop()
    t.deepEqual(await left(), ['stuck', 'behind'])
  },
)

withMosquitto(
  'publications that the last handlers did not wait for are acknowledged before DISCONNECT',
  async (t) => {
    const { log, publisher, serve } = await scene(t)
    const started = new Tally()
    const app = mqttasgi()
    app.topic('ask/+i', async (ctx) => {
      started.add(ctx.params.i)
      await latency(50, 100)
      void ctx.publish(`answer/${ctx.params.i}`, 'yes')
    })
    app.onDisconnect(async () => {
      await server.publish('status', 'offline')
    })
    const server = await serve(app)
    await publisher.many(20, (i) => `ask/${i}`)
    await started.untilTotal(20)
    await server.stop()
    await log.until((event) => event.type === 'close')
    t.is(log.packets('publish', 'up').length, 21)
    t.true(placeOf(log, 'puback', 'down', 21) < placeOf(log, 'disconnect', 'up'))
  },
)

withMosquitto(
  'no acknowledgement is lost when it stops with much unread: none of fifty handled messages comes again',
  async (t) => {
    const { left, publisher, serve } = await scene(t)
    const handled = new Tally()
    let open = (): void => {}
    const gate = new Promise<void>((resolve) => (open = resolve))
    const app = mqttasgi()
    app.topic('m/+i', async (ctx) => {
      handled.add(ctx.params.i)
      await gate
    })
    // What does not fit stays in the kernel, where closing carelessly makes it an RST.
    const server = await serve(app, { maxInFlight: 50, maxInFlightBytes: 1_024 })
    const sent = publisher.many(
      300,
      (i) => `m/${i}`,
      (i) => `${i} ${'x'.repeat(10_000)}`,
    )
    await handled.untilTotal(50)
    await sent
    open()
    t.deepEqual(await server.stop(), { clean: true, unsettled: 0 })
    t.is(server.counters.acknowledged, handled.total)
    const numbers = (await left()).map((payload) => payload.split(' ')[0] ?? '')
    t.is(numbers.length, 300 - handled.total)
    t.deepEqual(
      numbers.filter((number) => handled.of(number) > 0),
      [],
    )
  },
)

withMosquitto(
  'with a clean session what is already in hand is handled before the end, for nobody keeps it',
  async (t) => {
    const { publisher, serve } = await scene(t)
    const handled = new Tally()
    const app = mqttasgi()
    app.topic('m/+i', async (ctx) => {
      await latency(5, 10)
      handled.add(ctx.params.i)
    })
    const server = await serve(app, { maxInFlight: 4, broker: { clean: true } })
    await publisher.many(100, (i) => `m/${i}`)
    const received = async (): Promise<void> => {
      while (server.counters.received < 100) await new Promise((resolve) => setImmediate(resolve))
    }
    await within(5_000, () => `100 received; there are ${server.counters.received}`, received())
    t.deepEqual(await server.stop(), { clean: true, unsettled: 0 })
    t.is(handled.distinct, 100)
    t.is(server.counters.acknowledged, 100)
  },
)

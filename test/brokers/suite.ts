// What is the same on every broker: acknowledging, order, redelivery, sessions, stops; each run held against its wire log.
import test, { type ExecutionContext } from 'ava'
import { mqttasgi, type Application, type ServeOptions, type Server } from '../../lib/index.ts'
import { startPublisher, type Publisher } from '../helpers/publisher.ts'
import { recording } from '../helpers/recording.ts'
import { serverTest } from '../helpers/server-test.ts'
import { checkWire } from '../helpers/wire-check.ts'
import { keyOf, type WireProxy } from '../helpers/wire-log.ts'
import { latency, newClientId, serving } from '../integration/serving.ts'
import { Tally, within } from '../integration/tally.ts'
import { windowOf, type Kind, type TestBroker } from './kinds.ts'

type Version = 4 | 5

interface Stage {
  readonly version: Version
  /** First level of every topic of one test: all share the broker. */
  readonly root: string
  readonly proxy: WireProxy
  readonly publisher: Publisher
  /** Always the same session, which lasts. */
  readonly serve: (app: Application, options?: ServeOptions) => Promise<Server>
  /** Holds what went over the wire against the rules. */
  readonly check: () => void
}

let roots = 0

async function stage(t: ExecutionContext, kind: Kind, broker: TestBroker, version: Version): Promise<Stage> {
  const proxy = await recording(t, broker.port)
  const publisher = await startPublisher(broker.url, { protocolVersion: version, ...broker.login })
  t.teardown(() => publisher.close())
  const connection = { url: proxy.url, clientId: newClientId(), clean: false, protocolVersion: version }
  return {
    version,
    root: `suite${++roots}`,
    proxy,
    publisher,
    serve: (app, { broker: more, ...options } = {}) =>
      serving(t, app, {
        maxInFlight: 16,
        ...options,
        broker: { retries: 0, ...connection, ...broker.login, ...more },
      }),
    check: () => {
      t.deepEqual(checkWire(proxy.log, { settled: true, ...windowOf(kind, version) }), [])
      t.deepEqual(broker.violations, [])
    },
  }
}

type Implementation = (t: ExecutionContext, stage: Stage) => Promise<void>

/** Defines the tests, on one broker that runs for as long as they do. */
export function brokerSuite(kind: Kind): void {
  const define = kind.server === undefined ? ours : serverTest(kind.server)
  let starting: Promise<TestBroker> | undefined
  test.after.always(async () => {
    await (await starting)?.stop()
  })
  const on = (title: string, run: Implementation): void => {
    for (const version of kind.versions) {
      define(`${title} (${kind.name}, protocol level ${version})`, async (t) => {
        t.timeout(100_000)
        starting ??= kind.start({ ackWait: '1s' })
        await run(t, await stage(t, kind, await starting, version))
      })
    }
  }
  acknowledging(on, kind)
  sessions(on, kind)
}

function ours(title: string, implementation: (t: ExecutionContext) => Promise<void>): void {
  test(title, implementation)
}

type On = (title: string, run: Implementation) => void

/** Ends a test: everything that runs is acknowledged, and DISCONNECT is the last word. */
async function ended(server: Server, { check, proxy }: Stage): Promise<void> {
  await server.stop()
  await within(
    5_000,
    'the end of the connection',
    proxy.log.until(({ type }) => type === 'close' && proxy.open === 0),
  )
  check()
}

/** The connection is broken so often while the messages come; resolves when each has been handled. */
async function manyWithCuts(
  t: ExecutionContext,
  kind: Kind,
  on: Stage,
  count: number,
  cuts: number,
  mostMs: number,
): Promise<Tally> {
  const { proxy, publisher, root, serve } = on
  const handled = new Tally()
  const app = mqttasgi()
  app.topic(`${root}/+i`, async (ctx) => {
    await latency(0, mostMs)
    handled.add(ctx.params.i)
    proxy.log.settled(keyOf(ctx.topic, ctx.payload))
  })
  const server = await serve(app)
  const each = Math.ceil(count / (cuts + 1))
  for (let cut = 1; cut <= cuts; cut++) {
    const sent = publisher.many(each, (i) => `${root}/${(cut - 1) * each + i}`)
    await handled.untilDistinct(Math.round((cut - 0.5) * each))
    if (cut % 2 === 0) proxy.cut()
    else proxy.reset()
    await sent
    await within(20_000, `connection ${cut + 1}`, proxy.log.untilUsed(cut + 1))
  }
  await publisher.many(count - cuts * each, (i) => `${root}/${cuts * each + i}`)
  await handled.untilDistinct(count)
  await ended(server, on)
  t.log(`run twice: ${handled.repeated().length}, joined: ${server.counters.joined}`)
  t.deepEqual(handled.missing(count), [])
  // What was handled and not acknowledged when a cut came was in the window, where there is one.
  if (kind.lacks.window === undefined) t.true(handled.total - count <= cuts * 20)
  t.is(server.counters.unmatched, 0)
  return handled
}

function acknowledging(on: On, kind: Kind): void {
  const mostMs = kind.lacks.concurrency === undefined ? 40 : 2

  on('each PUBACK follows the end of its chain, in the order of arrival', async (t, one) => {
    await manyWithCuts(t, kind, one, 200, 0, mostMs)
  })

  on('after three cuts every message has been handled', async (t, one) => {
    await manyWithCuts(t, kind, one, 300, 3, mostMs)
  })

  on('after one cut no message has been handled more than twice', async (t, one) => {
    const handled = await manyWithCuts(t, kind, one, 200, 1, mostMs)
    t.true(handled.keys.every((key) => handled.of(key) <= 2))
  })

  on('of 1,000 messages none is lost over ten cuts', async (t, one) => {
    await manyWithCuts(t, kind, one, 1_000, 10, mostMs / 2)
  })

  on('messages of one topic are handled one by one, in the order they were published in', async (t, one) => {
    const { proxy, publisher, root, serve } = one
    const came: number[] = []
    const ends = new Tally()
    let running = 0
    const app = mqttasgi()
    app.topic(`${root}/+device`, async (ctx) => {
      t.is(++running, 1)
      await latency(0, 4)
      running--
      came.push(Number(ctx.text()))
      ends.add(came.length)
      proxy.log.settled(keyOf(ctx.topic, ctx.payload))
    })
    const server = await serve(app)
    // One after the other: a publisher may have only one way to a broker that keeps the order.
    for (let i = 0; i < 100; i++) await publisher.publish(`${root}/pump`, String(i))
    await ends.untilTotal(100)
    await ended(server, one)
    t.deepEqual(
      came,
      Array.from({ length: 100 }, (_, i) => i),
    )
  })
}

function sessions(on: On, kind: Kind): void {
  on(
    'what comes while nobody is there, 1,000 messages, is handled at the next start, and nothing before its route is there',
    async (t, one) => {
      const { proxy, publisher, root, serve } = one
      const handled = new Tally()
      const app = mqttasgi()
      app.topic(`${root}/+i`, (ctx) => {
        handled.add(ctx.params.i)
        proxy.log.settled(keyOf(ctx.topic, ctx.payload))
      })
      const first = await serve(app)
      await first.stop()
      await publisher.many(1_000, (i) => `${root}/${i}`)
      const second = await serve(app)
      await handled.untilDistinct(1_000)
      await ended(second, one)
      t.deepEqual(handled.repeated(), [])
      t.is(second.counters.unmatched, 0)
    },
  )

  on('a graceful stop finishes what runs, and nothing of it comes again', async (t, one) => {
    const { proxy, publisher, root, serve } = one
    const most = kind.lacks.concurrency === undefined ? 12 : 1
    const [started, handled] = [new Tally(), new Tally()]
    const app = mqttasgi()
    app.topic(`${root}/+i`, async (ctx) => {
      started.add(ctx.params.i)
      await latency(300, 300)
      handled.add(ctx.params.i)
      proxy.log.settled(keyOf(ctx.topic, ctx.payload))
    })
    const first = await serve(app)
    await publisher.many(most, (i) => `${root}/${i}`)
    await started.untilDistinct(most)
    t.deepEqual(await first.stop(), { clean: true, unsettled: 0 })
    t.is(handled.distinct, most)
    const second = await serve(app)
    // It comes behind everything that was left.
    await publisher.publish(`${root}/last`, '')
    await handled.untilDistinct(most + 1)
    await ended(second, one)
    t.deepEqual(handled.repeated(), [])
  })

  on('a retained message comes at the start, and is acknowledged', async (t, one) => {
    const { proxy, publisher, root, serve } = one
    await publisher.publish(`${root}/kept`, 'still here', { retain: true })
    const came = new Tally()
    const app = mqttasgi()
    app.topic(`${root}/kept`, (ctx) => {
      came.add(`${ctx.text()} ${ctx.retain}`)
      proxy.log.settled(keyOf(ctx.topic, ctx.payload))
    })
    const server = await serve(app)
    await came.untilTotal(1)
    await ended(server, one)
    t.deepEqual(came.keys, ['still here true'])
    await publisher.publish(`${root}/kept`, '', { retain: true })
  })
}

// What can not be handled, on a real broker: nothing is acknowledged before it is kept, and nothing else stops for it.
import type { ExecutionContext } from 'ava'
import { readdirSync } from 'node:fs'
import type { DeadLetter, DeadLetterStore } from '../../lib/core/dead-letter.ts'
import { mqttasgi, Reject, type Application, type ServeOptions, type Server } from '../../lib/index.ts'
import { createServer } from '../../lib/serve.ts'
import { resolveOptions } from '../../lib/config/load.ts'
import { createLoader } from '../../lib/config/modules.ts'
import { JournalDeadLetters } from '../../lib/durable/journal-dead-letters.ts'
import { startMosquitto } from '../helpers/mosquitto.ts'
import { startPublisher, type Publisher } from '../helpers/publisher.ts'
import { recording } from '../helpers/recording.ts'
import { serverTest } from '../helpers/server-test.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import type { WireLog } from '../helpers/wire-log.ts'
import { KeptLog, newClientId, serving } from './serving.ts'
import { Tally, within } from './tally.ts'

const withMosquitto = serverTest('mosquitto')

interface Scene {
  readonly url: string
  readonly log: WireLog
  readonly publisher: Publisher
}

async function scene(t: ExecutionContext): Promise<Scene> {
  const broker = await startMosquitto()
  t.teardown(() => broker.stop())
  const proxy = await recording(t, broker.port)
  const publisher = await startPublisher(broker.url)
  t.teardown(() => publisher.close())
  return { url: proxy.url, log: proxy.log, publisher }
}

/** As `serve`, with dead letters that go where the test says. */
async function servingWith(
  t: ExecutionContext,
  app: Application,
  { deadLetters, ...options }: ServeOptions & { readonly deadLetters: DeadLetterStore },
): Promise<Server> {
  const settings = resolveOptions({ stateDir: temporaryFolder(t), ...options })
  const loader = createLoader(async () => ({}), process.cwd())
  const server = await createServer(app, settings, { log: new KeptLog(), loader, deadLetters })
  t.teardown(() => server.stop({ drainTimeoutMs: 0 }))
  await server.start()
  return server
}

async function until(isSo: () => boolean, what: string, ms = 10_000): Promise<void> {
  const look = async (): Promise<void> => {
    while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 10))
  }
  await within(ms, what, look())
}

withMosquitto(
  'while the store is down nothing is acknowledged, the server is not ready, and then all are kept',
  async (t) => {
    const { log, publisher, url } = await scene(t)
    const kept: DeadLetter[] = []
    let isDown = true
    const deadLetters: DeadLetterStore = {
      name: 'a store that is down',
      keep: async (letter) => {
        if (isDown) throw new Error('it is down')
        kept.push(letter)
      },
      close: async () => {},
    }
    const app = mqttasgi()
    app.topic('bad/+', () => {
      throw new Reject('never', { reasonCode: 0x99 })
    })
    const server = await servingWith(t, app, {
      deadLetters,
      broker: { url, clientId: newClientId(), clean: false },
    })
    t.deepEqual(server.health, { ready: true, reasons: [] })
    await publisher.many(20, (i) => `bad/${i}`)
    await until(() => !server.health.ready, 'a server that is not ready', 1_000)
    t.regex(server.health.reasons.join(), /Dead letters can not be kept.*it is down/)
    t.is(log.packets('puback', 'up').length, 0)
    isDown = false
    await until(() => server.counters.deadLettered === 20, 'twenty dead letters')
    await until(() => server.counters.acknowledged === 20, 'twenty acknowledgements')
    t.true(server.health.ready)
    t.is(kept.length, 20)
    t.is(server.counters.connects, 1)
    await server.stop()
  },
)

withMosquitto('mosquitto takes a reason code that says why, and goes on', async (t) => {
  const { log, publisher, url } = await scene(t)
  const handled = new Tally()
  const app = mqttasgi()
  app.topic('reading', (ctx) => handled.add(ctx.json<number>()))
  const server = await serving(t, app, { broker: { url } })
  await publisher.publish('reading', 'no JSON')
  await publisher.publish('reading', '7')
  await handled.untilTotal(1)
  await until(() => server.counters.acknowledged === 2, 'two acknowledgements')
  // The wire is a step behind: what has been written is still to be read on the other side.
  await until(() => log.packets('puback', 'up').length === 2, 'two acknowledgements on the wire')
  const codes = log.packets('puback', 'up').map(({ packet }) => Reflect.get(packet, 'reasonCode') ?? 0)
  t.deepEqual(codes, [0x99, 0])
  t.like(server.counters, { connects: 1, deadLettered: 1, handled: 1, retried: 0 })
})

withMosquitto(
  'one handler that never ends holds up no other key, and the acknowledgements only for its time',
  async (t) => {
    const { publisher, url } = await scene(t)
    const handled = new Tally()
    const app = mqttasgi({ retry: { minDelayMs: 50 } })
    app.topic('stuck', { timeoutMs: 1_000 }, () => new Promise(() => {}))
    app.topic('other/+i', (ctx) => handled.add(ctx.params.i))
    const server = await serving(t, app, { broker: { url }, maxInFlight: 16 })
    const before = performance.now()
    await publisher.publish('stuck', '')
    await publisher.many(200, (i) => `other/${i}`)
    await handled.untilDistinct(15)
    await handled.untilDistinct(200)
    await until(() => server.counters.acknowledged === 201, 'all acknowledgements')
    const ms = performance.now() - before
    t.log(`all acknowledged after ${Math.round(ms)} ms`)
    // Its time and a second, with twice the slack.
    t.true(ms < 1_000 + 2_000, `${ms} ms`)
    t.like(server.counters, { deadLettered: 1, handled: 200 })
  },
)

withMosquitto(
  'ten thousand that fail at once are tried again within the window, and all are kept',
  async (t) => {
    const { publisher, url } = await scene(t)
    const stateDir = temporaryFolder(t)
    let running = 0
    let most = 0
    const app = mqttasgi({ retry: { attempts: 2, minDelayMs: 1, maxDelayMs: 2 } })
    app.topic('bad/+i', async () => {
      most = Math.max(most, ++running)
      await new Promise((resolve) => setImmediate(resolve))
      running--
      throw new Error('always')
    })
    const server = await serving(t, app, { broker: { url }, stateDir, maxInFlight: 32 })
    await publisher.many(10_000, (i) => `bad/${i}`)
    await until(() => server.counters.acknowledged === 10_000, 'all acknowledgements', 40_000)
    t.like(server.counters, { deadLettered: 10_000, retried: 10_000, connects: 1 })
    t.true(most <= 32, `${most} at once`)
    await server.stop()
    const archive = new JournalDeadLetters({
      folder: `${stateDir}/dead-letters`,
      maxMessages: 1e6,
      maxBytes: 1e9,
    })
    const topics = new Set<string>()
    for await (const { topic } of archive.letters()) topics.add(topic)
    await archive.close()
    t.is(topics.size, 10_000)
    t.true(readdirSync(stateDir).includes('dead-letters'))
  },
)

// T14: handlers that publish to what handlers listen to come to an end, without anybody's help.
import { once, EventEmitter } from 'node:events'
import type { ExecutionContext } from 'ava'
import {
  mqttasgi,
  MqttConsumer,
  serve,
  type Application,
  type ConsumerMessage,
  type ServeOptions,
  type Server,
} from '../../lib/index.ts'
import { silentLog } from '../../lib/core/log.ts'
import { startMosquitto, type Mosquitto } from '../helpers/mosquitto.ts'
import { startPublisher } from '../helpers/publisher.ts'
import { recordedUrl } from '../helpers/recording.ts'
import { serverTest } from '../helpers/server-test.ts'

type Runnable = Parameters<typeof serve>[0]

const mosquittoTest = serverTest('mosquitto')

async function broker(t: ExecutionContext): Promise<Mosquitto> {
  const started = await startMosquitto()
  t.teardown(() => started.stop())
  return started
}

async function run(
  t: ExecutionContext,
  app: Runnable,
  url: string,
  { log = silentLog, maxHops, protocolVersion = 5, ...more }: ServeOptions & { protocolVersion?: 4 | 5 } = {},
): Promise<Server> {
  const server = await serve(app, {
    broker: { url: await recordedUrl(t, url), protocolVersion },
    deadLetter: { store: 'none' },
    drainTimeout: 0,
    log,
    maxHops,
    ...more,
  })
  t.teardown(() => server.stop())
  return server
}

async function say(t: ExecutionContext, url: string, topic: string): Promise<void> {
  const publisher = await startPublisher(url, { protocolVersion: 5 })
  t.teardown(() => publisher.close())
  await publisher.publish(topic, 'x')
}

mosquittoTest(
  'a handler that publishes to its own route runs nine times, and the loop is refused and counted',
  async (t) => {
    const { url } = await broker(t)
    const end = new EventEmitter()
    const hops: (readonly string[] | undefined)[] = []
    const app = mqttasgi()
      .onError((error) => void end.emit('refused', error))
      .topic('loop', async (ctx) => {
        hops.push(ctx.properties.userProperties?.['mqttasgi-hops'])
        await ctx.publish('loop', ctx.payload)
      })
    const server = await run(t, app, url)
    const refused = once(end, 'refused')
    await say(t, url, 'loop')
    const [error] = (await refused) as [{ code: string; message: string }]
    t.is(error.code, 'ERR_PUBLISH_LOOP')
    t.regex(error.message, /8 publications led to this one.*maxHops is 8/)
    t.deepEqual(hops.slice(0, 9), [
      undefined,
      ...['1', '2', '3', '4', '5', '6', '7', '8'].map((hop) => [hop]),
    ])
    t.is(server.counters.loops, 1)
    t.is(server.counters.published, 8)
  },
)

mosquittoTest('two services that answer each other come to an end', async (t) => {
  const { url } = await broker(t)
  const end = new EventEmitter()
  let runs = 0
  const service = (from: string, to: string): Application =>
    mqttasgi()
      .onError((error) => void end.emit('refused', error))
      .topic(from, (ctx) => {
        runs++
        return ctx.publish(to, 'x')
      })
  const servers = [await run(t, service('ping', 'pong'), url), await run(t, service('pong', 'ping'), url)]
  const refused = once(end, 'refused')
  await say(t, url, 'ping')
  await refused
  t.is(
    servers.reduce((sum, { counters }) => sum + counters.loops, 0),
    1,
  )
  t.is(runs, 9)
})

mosquittoTest(
  'a chain of publications within maxHops arrives, and what is counted can be turned off',
  async (t) => {
    const { url } = await broker(t)
    const end = new EventEmitter()
    const app = (log: string[]): Application =>
      mqttasgi().topic('step/+number', async (ctx) => {
        const number = Number(ctx.params.number)
        if (number < 3) await ctx.publish(`step/${number + 1}`, 'x')
        else {
          log.push(ctx.properties.userProperties?.['mqttasgi-hops']?.join() ?? 'none')
          end.emit('done')
        }
      })
    const counted: string[] = []
    const server = await run(t, app(counted), url, { maxHops: 3 })
    let done = once(end, 'done')
    await say(t, url, 'step/0')
    await done
    await server.stop()
    const uncounted: string[] = []
    await run(t, app(uncounted), url, { maxHops: 0 })
    done = once(end, 'done')
    await say(t, url, 'step/0')
    await done
    t.deepEqual([counted, uncounted], [['3'], ['none']])
    t.is(server.counters.loops, 0)
  },
)

mosquittoTest('with noLocal a route does not hear what its own client has published', async (t) => {
  const { url } = await broker(t)
  const end = new EventEmitter()
  const seen: string[] = []
  const app = mqttasgi()
    .topic('news', { noLocal: true }, async (ctx) => {
      seen.push(ctx.text())
      await ctx.publish('news', 'of mine')
      await ctx.publish('fence', 'x')
    })
    .topic('fence', () => void end.emit('fence'))
  await run(t, app, url)
  const fence = once(end, 'fence')
  await say(t, url, 'news')
  await fence
  t.deepEqual(seen, ['x'])
})

// So few that they are published within a second on a machine that is busy with other things too.
const limited = { maxPublishRate: 5, retry: { attempts: 2, minDelayMs: 1 } }

/** Two circles of one route each, where nothing counts hops. */
const circles: readonly [how: string, circle: (ran: () => void) => Runnable][] = [
  [
    'a handler',
    (ran) =>
      mqttasgi(limited).topic('loop', async (ctx) => {
        ran()
        await ctx.publish('loop', ctx.payload)
      }),
  ],
  [
    'a consumer',
    (ran) =>
      class extends MqttConsumer {
        static override options = limited

        override async connect(): Promise<void> {
          await this.subscribe('loop')
        }

        override async receive({ payload }: ConsumerMessage): Promise<void> {
          ran()
          await this.publish('loop', payload)
        }
      },
  ],
]

for (const [how, circle] of circles) {
  mosquittoTest(
    `over MQTT 3.1.1 maxPublishRate ends the circle of ${how}, as a message that can not be handled`,
    async (t) => {
      const { url } = await broker(t)
      const end = new EventEmitter()
      const warnings: string[] = []
      let runs = 0
      const log = {
        ...silentLog,
        warn: (message: string) => void warnings.push(message),
        error: (message: string) => void end.emit('error line', message),
      }
      const server = await run(
        t,
        circle(() => void runs++),
        url,
        { protocolVersion: 4, log },
      )
      const lost = once(end, 'error line')
      await say(t, url, 'loop')
      const [line] = (await lost) as [string]
      t.regex(line, /"loop" was not published: the handlers of "loop" have published more than 5 messages/)
      // 6 messages came, and the last of them was tried twice.
      t.is(runs, 7)
      t.is(server.counters.loops, 2)
      t.is(server.counters.failed, 1)
      t.is(
        warnings.filter((warning) => warning.startsWith('The handlers of "loop" have published')).length,
        1,
      )
    },
  )
}

mosquittoTest('the start tells which routes hear what the server itself publishes', async (t) => {
  const { url } = await broker(t)
  const warnings: string[] = []
  const log = { ...silentLog, warn: (message: string) => void warnings.push(message) }
  const app = mqttasgi()
    .topic('#', () => {})
    .topic('lamps/+', () => {})
  await run(t, app, url, {
    deadLetter: { store: 'topic', topic: 'dead' },
    channels: { layer: 'mqtt' },
    log,
  })
  t.deepEqual(
    warnings.filter((warning) => warning.includes('also hears')).map((warning) => warning.split('.')[0]),
    ['"#" also hears each dead letter (deadLetter', '"#" also hears the channel layer (below "asgi")'],
  )
})

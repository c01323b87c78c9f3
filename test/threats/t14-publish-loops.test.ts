// T14: handlers that publish to what handlers listen to come to an end, without anybody's help.
import { once, EventEmitter } from 'node:events'
import type { ExecutionContext } from 'ava'
import { mqttasgi, serve, type Application, type Server } from '../../lib/index.ts'
import { silentLog } from '../../lib/core/log.ts'
import { startMosquitto, type Mosquitto } from '../helpers/mosquitto.ts'
import { startPublisher } from '../helpers/publisher.ts'
import { serverTest } from '../helpers/server-test.ts'

const mosquittoTest = serverTest('mosquitto')

async function broker(t: ExecutionContext): Promise<Mosquitto> {
  const started = await startMosquitto()
  t.teardown(() => started.stop())
  return started
}

async function run(t: ExecutionContext, app: Application, url: string, maxHops?: number): Promise<Server> {
  const server = await serve(app, {
    broker: { url, protocolVersion: 5 },
    deadLetter: { store: 'none' },
    drainTimeout: 0,
    log: silentLog,
    maxHops,
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
    const server = await run(t, app(counted), url, 3)
    let done = once(end, 'done')
    await say(t, url, 'step/0')
    await done
    await server.stop()
    const uncounted: string[] = []
    await run(t, app(uncounted), url, 0)
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

// Brokers that stand still, die, forget, or send again by themselves: what a handler does then, and what is acknowledged.
import type { ExecutionContext } from 'ava'
import { mqttasgi, type Server } from '../../lib/index.ts'
import { startMosquitto, type Mosquitto, type MosquittoOptions } from '../helpers/mosquitto.ts'
import { startNats } from '../helpers/nats.ts'
import { startPublisher } from '../helpers/publisher.ts'
import { recording } from '../helpers/recording.ts'
import { serverTest } from '../helpers/server-test.ts'
import { checkWire } from '../helpers/wire-check.ts'
import { keyOf, type WireProxy } from '../helpers/wire-log.ts'
import { newClientId, serving } from './serving.ts'
import { Tally, within } from './tally.ts'

const withMosquitto = serverTest('mosquitto')
const withNats = serverTest('nats-server')

async function started(t: ExecutionContext, options: MosquittoOptions = {}): Promise<[Mosquitto, WireProxy]> {
  const broker = await startMosquitto(options)
  t.teardown(() => broker.stop())
  const proxy = await recording(t, broker.port)
  return [broker, proxy]
}

/** Handlers wait at it by name. */
class Gates {
  readonly entered = new Tally()
  readonly #open = new Map<string, () => void>()

  pass(name: string): Promise<void> {
    const opened = new Promise<void>((resolve) => this.#open.set(name, resolve))
    this.entered.add(name)
    return opened
  }

  open(name: string): void {
    this.#open.get(name)?.()
  }
}

withMosquitto('a broker that stands still is noticed, and when it goes on so does everything', async (t) => {
  const [broker, proxy] = await started(t)
  const [handled, ends] = [new Tally(), new Tally()]
  const app = mqttasgi()
  app.onDisconnect(() => ends.add('end'))
  app.topic('m/+i', (ctx) => {
    handled.add(ctx.params.i)
    proxy.log.settled(keyOf(ctx.topic, ctx.payload))
  })
  const session = { url: proxy.url, clientId: newClientId(), clean: false, keepalive: 1, retries: 0 }
  const server = await serving(t, app, { broker: { ...session, connectTimeout: 1 } })
  const publisher = await startPublisher(broker.url)
  t.teardown(() => publisher.close())
  await publisher.many(5, (i) => `m/${i}`)
  await handled.untilDistinct(5)
  broker.pause()
  const before = performance.now()
  await ends.untilTotal(1)
  t.log(`noticed after ${Math.round(performance.now() - before)} ms with a keepalive of 1 s`)
  broker.resume()
  await publisher.many(5, (i) => `m/${5 + i}`)
  await handled.untilDistinct(10)
  await within(5_000, 'ready', server.ready())
  t.deepEqual(handled.repeated(), [])
  t.deepEqual(checkWire(proxy.log, { settled: true }), [])
})

for (const protocolVersion of [5, 4] as const) {
  withMosquitto(
    `a handler of before the broker forgot its sessions acknowledges nothing of after it (protocol level ${protocolVersion})`,
    async (t) => {
      const [broker, proxy] = await started(t)
      const gates = new Gates()
      const app = mqttasgi()
      app.topic('m/+name', async (ctx) => {
        await gates.pass(ctx.params.name)
        proxy.log.settled(keyOf(ctx.topic, ctx.payload))
      })
      const session = { url: proxy.url, clientId: newClientId(), clean: false, protocolVersion, retries: 0 }
      const server = await serving(t, app, { broker: session })
      const publish = async (name: string): Promise<void> => {
        const next = gates.entered.total + 1
        const publisher = await startPublisher(broker.url)
        await publisher.publish(`m/${name}`, '')
        await publisher.close()
        await gates.entered.untilTotal(next)
      }
      await publish('A')
      await broker.kill()
      await broker.restart()
      await within(10_000, 'ready', server.ready())
      // It gets the packet id that A had. When A ends, an acknowledgement of A would be one of B.
      await publish('B')
      const ids = proxy.log.packets('publish', 'down').map(({ packet }) => packet.messageId)
      t.deepEqual(ids, [1, 1])
      gates.open('A')
      await publish('C')
      await server.stop({ drainTimeoutMs: 0 })
      t.deepEqual(proxy.log.packets('puback', 'up'), [])
      const next = await serving(t, app, { broker: session })
      await gates.entered.untilTotal(5)
      t.deepEqual([gates.entered.of('A'), gates.entered.of('B'), gates.entered.of('C')], [1, 2, 2])
      for (const name of ['B', 'C']) gates.open(name)
      await next.stop()
      t.deepEqual(checkWire(proxy.log, { settled: true }), [])
    },
  )
}

withNats('of 500 messages that the broker had stored when it was killed none is lost', async (t) => {
  const broker = await startNats()
  t.teardown(() => broker.stop())
  const handled = new Tally()
  const app = mqttasgi().topic('m/+i', (ctx) => handled.add(ctx.params.i))
  const session = {
    url: broker.url,
    clientId: newClientId(),
    clean: false,
    protocolVersion: 4,
    retries: 0,
  } as const
  await (await serving(t, app, { broker: session })).stop()
  const publisher = await startPublisher(broker.url, { protocolVersion: 4 })
  await publisher.many(500, (i) => `m/${i}`)
  await publisher.close()
  await broker.kill()
  await broker.restart()
  await serving(t, app, { broker: session })
  await handled.untilDistinct(500)
  t.deepEqual(handled.missing(500), [])
})

withMosquitto(
  'killed with all it had stored, the broker brings the session back, and the client does so by itself',
  async (t) => {
    const [broker, proxy] = await started(t, { persistence: true })
    const handled = new Tally()
    const app = mqttasgi().topic('m/+i', (ctx) => handled.add(ctx.params.i))
    const session = { url: proxy.url, clientId: newClientId(), clean: false, retries: 0 }
    const server: Server = await serving(t, app, { broker: session })
    // It saves a second after a change at the latest; stopped in peace, always.
    await broker.restart()
    await within(10_000, 'ready', server.ready())
    await broker.kill()
    await broker.restart()
    const publisher = await startPublisher(broker.url)
    t.teardown(() => publisher.close())
    await publisher.many(10, (i) => `m/${i}`)
    await handled.untilDistinct(10)
    t.true(
      proxy.log
        .packets('connack', 'down')
        .slice(1)
        .every(({ packet }) => packet.cmd === 'connack' && packet.sessionPresent),
    )
  },
)

withNats(
  'a message that the broker sends again on the same connection joins its handler: one run, one acknowledgement',
  async (t) => {
    const broker = await startNats({ ackWait: '1s' })
    t.teardown(() => broker.stop())
    const proxy = await recording(t, broker.port)
    const gates = new Gates()
    const app = mqttasgi()
    app.topic('slow', async (ctx) => {
      await gates.pass('slow')
      proxy.log.settled(keyOf(ctx.topic, ctx.payload))
    })
    const server = await serving(t, app, {
      broker: { url: proxy.url, clientId: newClientId(), clean: false, protocolVersion: 4 },
    })
    const publisher = await startPublisher(broker.url, { protocolVersion: 4 })
    t.teardown(() => publisher.close())
    await publisher.publish('slow', 'once')
    // It has come three times when the handler ends.
    const thrice = async (): Promise<void> => {
      while (server.counters.joined < 2) await new Promise((resolve) => setImmediate(resolve))
    }
    await within(10_000, 'the third time', thrice())
    gates.open('slow')
    await within(5_000, 'PUBACK', proxy.log.untilPackets('puback', 'up', 1))
    await server.stop()
    t.is(gates.entered.total, 1)
    t.is(server.counters.joined, 2)
    t.is(proxy.log.packets('puback', 'up').length, 1)
    t.deepEqual(checkWire(proxy.log, { settled: true }), [])
  },
)

// QoS 2 against a real broker: over kills and cuts no message is lost, and what was said is not run again.
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { mqttasgi, type ServeOptions, type Server } from '../../lib/index.ts'
import { startMosquitto } from '../helpers/mosquitto.ts'
import { startPublisher, type Publisher } from '../helpers/publisher.ts'
import { recording } from '../helpers/recording.ts'
import { serverTest } from '../helpers/server-test.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { checkWire } from '../helpers/wire-check.ts'
import { keyOf, type WireProxy } from '../helpers/wire-log.ts'
import { latency, newClientId, serving } from './serving.ts'
import { Tally, within } from './tally.ts'

const withMosquitto = serverTest('mosquitto')

interface Scene {
  readonly proxy: WireProxy
  readonly publisher: Publisher
  readonly handled: Tally
  readonly serve: (options?: ServeOptions) => Promise<Server>
}

/** Through a proxy that writes down what passes; handlers take up to 30 ms. */
async function scene(t: ExecutionContext, broker: NonNullable<ServeOptions['broker']> = {}): Promise<Scene> {
  const mosquitto = await startMosquitto()
  t.teardown(() => mosquitto.stop())
  const proxy = await recording(t, mosquitto.port)
  const publisher = await startPublisher(mosquitto.url)
  t.teardown(() => publisher.close())
  const handled = new Tally()
  const app = mqttasgi()
  app.topic('m/+i', { qos: 2 }, async (ctx) => {
    await latency(0, 30)
    handled.add(ctx.params.i)
    proxy.log.settled(keyOf(ctx.topic, ctx.payload))
  })
  const stateDir = join(temporaryFolder(t), 'state')
  const connection = { url: proxy.url, clientId: newClientId(), clean: false, retries: 0, ...broker }
  return {
    proxy,
    publisher,
    handled,
    serve: (options) => serving(t, app, { qos2: 'durable', stateDir, broker: connection, ...options }),
  }
}

/** `count` messages of QoS 2, numbered from `from`; mosquitto holds back what goes beyond 20 that are not complete. */
async function publish2(publisher: Publisher, from: number, count: number): Promise<void> {
  let next = from
  const work = async (): Promise<void> => {
    for (let i = next++; i < from + count; i = next++) await publisher.publish(`m/${i}`, `${i}`, { qos: 2 })
  }
  await Promise.all(Array.from({ length: 10 }, work))
}

/** Resolves when so many exchanges have ended. */
async function completed(proxy: WireProxy, count: number): Promise<void> {
  await within(10_000, `${count} PUBCOMPs`, proxy.log.untilPackets('pubcomp', 'up', count))
}

for (const protocolVersion of [5, 4] as const) {
  withMosquitto(
    `over protocol level ${protocolVersion} each PUBREC follows the end of its chain, in the order of arrival, over ten cuts`,
    async (t) => {
      const { handled, proxy, publisher, serve } = await scene(t, { protocolVersion })
      const server = await serve({ maxInFlight: 16 })
      for (let cut = 0; cut < 10; cut++) {
        const sent = publish2(publisher, cut * 40, 40)
        await handled.untilDistinct(cut * 40 + 25)
        if (cut % 2 === 0) proxy.cut()
        else proxy.reset()
        await sent
        await within(20_000, `connection ${cut + 2}`, proxy.log.untilUsed(cut + 2))
      }
      await handled.untilDistinct(400)
      await server.stop()
      t.log(`run twice: ${handled.repeated().length}, joined: ${server.counters.joined}`)
      t.deepEqual(checkWire(proxy.log, { settled: true }), [])
      t.deepEqual(handled.missing(400), [])
      // What runs when the connection is lost goes on, and is joined: nothing runs twice in one process.
      t.deepEqual(handled.repeated(), [])
      t.deepEqual(
        proxy.log.packets('subscribe', 'up')[0]?.packet.subscriptions.map(({ qos }) => qos),
        [2],
      )
    },
  )
}

withMosquitto('what a stopped server has said PUBREC for is let go of by the next one', async (t) => {
  const { handled, proxy, publisher, serve } = await scene(t)
  const first = await serve()
  await publish2(publisher, 0, 20)
  await handled.untilDistinct(20)
  await first.stop()
  const second = await serve()
  await publish2(publisher, 20, 20)
  await handled.untilDistinct(40)
  await completed(proxy, 40)
  await second.stop()
  t.deepEqual(handled.repeated(), [])
  t.deepEqual(checkWire(proxy.log, { settled: true }), [])
})

withMosquitto('a message that is too large goes its four packets, and is skipped', async (t) => {
  const { handled, proxy, publisher, serve } = await scene(t)
  const server = await serve({ maxPacketBytes: 1_000 })
  const large = 'x'.repeat(5_000)
  // Nobody runs for it, so nobody says that it is done with it.
  proxy.log.concluded(keyOf('m/large', large))
  await publisher.publish('m/large', large, { qos: 2 })
  await publisher.publish('m/1', '1', { qos: 2 })
  await completed(proxy, 2)
  t.deepEqual(handled.keys, ['1'])
  t.is(server.counters.oversized, 1)
})

withMosquitto(
  'what a session has queued with QoS 2 is not lost without durable, nor run twice over cuts',
  async (t) => {
    const { handled, proxy, publisher, serve } = await scene(t)
    await (await serve()).stop()
    await publish2(publisher, 0, 200)
    const server = await serve({ qos2: 'downgrade', maxInFlight: 16 })
    for (let cut = 1; cut <= 4; cut++) {
      await handled.untilDistinct(cut * 40)
      proxy.cut()
      await within(20_000, `connection ${cut + 2}`, proxy.log.untilUsed(cut + 2))
    }
    await handled.untilDistinct(200)
    await completed(proxy, 150)
    await server.stop()
    t.deepEqual(handled.repeated(), [])
    t.deepEqual(checkWire(proxy.log, { settled: true }), [])
  },
)

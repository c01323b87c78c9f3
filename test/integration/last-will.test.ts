// The last will on a real broker: published when we are gone without a word, and only then.
import { mqttasgi, type ServeOptions } from '../../lib/index.ts'
import { startMosquitto } from '../helpers/mosquitto.ts'
import { startPublisher } from '../helpers/publisher.ts'
import { recording } from '../helpers/recording.ts'
import { serverTest } from '../helpers/server-test.ts'
import { newClientId, serving } from './serving.ts'
import { Tally } from './tally.ts'

const withMosquitto = serverTest('mosquitto')
const will = { topic: 'status/hall', payload: 'gone', qos: 1, retain: true } as const

for (const protocolVersion of [4, 5] as const) {
  withMosquitto(
    `a cut says it and a stop does not, over MQTT ${protocolVersion === 5 ? 5 : '3.1.1'}`,
    async (t) => {
      const broker = await startMosquitto()
      t.teardown(() => broker.stop())
      const proxy = await recording(t, broker.port)
      const publisher = await startPublisher(broker.url)
      t.teardown(() => publisher.close())
      const heard: string[] = []
      const seen = new Tally()
      const watcher = mqttasgi().topic('status/+place', { retainAsPublished: true }, (ctx) => {
        heard.push(`${ctx.text()} ${ctx.qos} ${ctx.retain}`)
        seen.add(ctx.text())
      })
      await serving(t, watcher, { broker: { url: broker.url, protocolVersion: 5 } })
      const connection: ServeOptions['broker'] = { url: proxy.url, protocolVersion, retries: 0, will }
      const server = await serving(t, mqttasgi(), { broker: { ...connection, clientId: newClientId() } })
      proxy.reset()
      await seen.untilTotal(1)
      t.deepEqual(heard, ['gone 1 true'])
      await server.ready()
      await server.stop()
      await publisher.publish('status/hall', 'the end')
      await seen.untilTotal(2)
      t.deepEqual(heard.slice(1), ['the end 1 false'])
    },
  )
}

withMosquitto('a will with a delay is not published when the session goes on in time', async (t) => {
  const broker = await startMosquitto()
  t.teardown(() => broker.stop())
  const proxy = await recording(t, broker.port)
  const heard = new Tally()
  const watcher = mqttasgi().topic('status/+place', (ctx) => heard.add(ctx.text()))
  await serving(t, watcher, { broker: { url: broker.url } })
  const connection = { url: proxy.url, protocolVersion: 5, clientId: newClientId(), clean: false } as const
  const server = await serving(t, mqttasgi(), {
    broker: { ...connection, retries: 0, will: { ...will, delay: 3_600 } },
  })
  proxy.reset()
  while (server.counters.connects < 2) await new Promise((resolve) => setImmediate(resolve))
  await server.ready()
  await server.publish('status/hall', 'back')
  await heard.untilTotal(1)
  t.deepEqual(heard.keys, ['back'])
})

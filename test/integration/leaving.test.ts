// One of a group that does not come back: it gives up its share first, so that the broker keeps nothing for it alone.
import { mqttasgi, MqttConsumer, type Application, type SessionInfo } from '../../lib/index.ts'
import { startMosquitto } from '../helpers/mosquitto.ts'
import { startPublisher } from '../helpers/publisher.ts'
import { serverTest } from '../helpers/server-test.ts'
import { latency, newClientId, serving } from './serving.ts'
import { Tally } from './tally.ts'

function member(handled: Tally): Application {
  const app = mqttasgi()
  app.topic('jobs/+i', { share: 'team', order: 'none' }, async (ctx) => {
    await latency(5, 40)
    handled.add(ctx.params.i)
  })
  return app
}

const withMosquitto = serverTest('mosquitto')

withMosquitto(
  'a member that leaves hands nothing to nobody: every message is handled, by it or by the others',
  async (t) => {
    const broker = await startMosquitto()
    t.teardown(() => broker.stop())
    const publisher = await startPublisher(broker.url)
    t.teardown(() => publisher.close())
    const handled = new Tally()
    const session = { url: broker.url, clean: false }
    const [leaver] = [
      await serving(t, member(handled), { broker: { ...session, clientId: newClientId() } }),
      await serving(t, member(handled), { broker: { ...session, clientId: newClientId() } }),
    ]
    const publishing = publisher.many(600, (i) => `jobs/${i}`)
    await handled.untilTotal(60)
    const stop = await leaver.stop({ leave: true })
    await publishing
    await handled.untilDistinct(600)
    t.deepEqual(stop, { clean: true, unsettled: 0 })
    t.deepEqual(handled.missing(600), [])
  },
)

withMosquitto('its session ends with it on MQTT 5: a new one with the same id finds nothing', async (t) => {
  const broker = await startMosquitto()
  t.teardown(() => broker.stop())
  const publisher = await startPublisher(broker.url)
  t.teardown(() => publisher.close())
  const handled = new Tally()
  const session = { url: broker.url, clean: false, clientId: newClientId() }
  const presences: boolean[] = []
  const app = mqttasgi()
  app.topic('news', (ctx) => handled.add(ctx.text()))
  app.onConnect((_client, { present }) => presences.push(present))
  await (await serving(t, app, { broker: session })).stop()
  await (await serving(t, app, { broker: session })).stop({ leave: true })
  await publisher.publish('news', 'unheard')
  await serving(t, app, { broker: session })
  t.deepEqual(presences, [false, true, false])
  t.is(handled.total, 0)
})

withMosquitto(
  'what says in its farewell what it wants no more leaves as soon as what does not',
  async (t) => {
    const broker = await startMosquitto()
    t.teardown(() => broker.stop())
    const presences: boolean[] = []
    class Meter extends MqttConsumer {
      override async connect({ present }: SessionInfo): Promise<void> {
        presences.push(present)
        await this.subscribe('meters/+id')
      }
      override async receive(): Promise<void> {}
      override async disconnect(): Promise<void> {
        await this.unsubscribe('meters/+id')
      }
    }
    const session = { url: broker.url, clean: false, clientId: newClientId() }
    const options = { broker: session, channels: { layer: 'mqtt' } } as const
    await (await serving(t, Meter, options)).stop()
    const stop = await (await serving(t, Meter, options)).stop({ leave: true, drainTimeoutMs: 10_000 })
    await serving(t, Meter, options)
    t.deepEqual(stop, { clean: true, unsettled: 0 })
    t.deepEqual(presences, [false, true, false])
  },
)

// What the original server can do with sessions and subscriptions must be here too: one test for each line of docs/parity.md.
import { Deferred } from '../../lib/core/deferred.ts'
import { mqttasgi, MqttConsumer, type ConsumerMessage } from '../../lib/index.ts'
import { Tally } from '../integration/tally.ts'
import { finding, settled } from './strict-scene.ts'

finding(
  '3. two consumers on one filter: one subscription, the higher QoS without a gap, and lowered again with its owner',
  async (t, { broker, clientId, serve }) => {
    const seen = new Tally()
    const withQos = (qos: 0 | 1) =>
      class extends MqttConsumer {
        override async connect(): Promise<void> {
          await this.subscribe('a/+', { qos })
        }
        override receive(message: ConsumerMessage): void {
          seen.add(`${this.scope.appId} ${message.qos}`)
        }
      }
    const server = await serve(mqttasgi())
    await server.spawn('low', withQos(0))
    broker.publish('a/1', 'x')
    await seen.untilTotal(1)
    await server.spawn('high', withQos(1))
    broker.publish('a/1', 'x')
    await seen.untilTotal(3)
    await server.kill('high')
    broker.publish('a/1', 'x')
    await seen.untilTotal(4)
    t.is(seen.of('low 0'), 2)
    t.is(seen.of('high 1'), 1)
    t.deepEqual(broker.subscriptions.filters(clientId), ['a/+'])
    await server.kill('low')
    t.deepEqual(broker.subscriptions.filters(clientId), [])
  },
)

for (const [protocolVersion, version] of [
  [5, '5'],
  [4, '3.1.1'],
] as const) {
  finding(
    `3. who comes later to a filter gets what is retained, and the others do not get it again, on MQTT ${version}`,
    async (t, { broker, serve }) => {
      const seen = new Tally()
      class Listener extends MqttConsumer {
        override async connect(): Promise<void> {
          await this.subscribe('rooms/+')
        }
        override receive(message: ConsumerMessage): void {
          seen.add(`${this.scope.appId} ${message.text()}`)
        }
      }
      broker.publish('rooms/hall', 'warm', { retain: true })
      const server = await serve(mqttasgi(), { broker: { protocolVersion } })
      await server.spawn('first', Listener)
      await seen.untilTotal(1)
      // Without identifiers what comes within half a second may still be for the first one: twice rather than never.
      if (protocolVersion === 4) await new Promise((resolve) => setTimeout(resolve, 600))
      await server.spawn('second', Listener)
      await seen.untilTotal(2)
      broker.publish('rooms/hall', 'cold')
      await seen.untilTotal(4)
      t.deepEqual(seen.repeated(), [])
      t.deepEqual(seen.keys.toSorted(), ['first cold', 'first warm', 'second cold', 'second warm'])
    },
  )
}

finding(
  '6. what waited in the session reaches a consumer that subscribes after it has come',
  async (t, { broker, clientId, serve }) => {
    const seen = new Tally()
    const late = new Deferred()
    class Late extends MqttConsumer {
      override async connect(): Promise<void> {
        // Its answer comes behind all that the broker has sent before.
        await this.publish('elsewhere', 'there and back')
        late.resolve()
        await this.subscribe('a/+')
      }
      override receive(message: ConsumerMessage): void {
        seen.add(message.topic)
      }
    }
    const server = await serve(Late)
    await late.promise
    await broker.until(() => broker.subscriptions.filters(clientId).length === 1)
    await server.stop()
    t.deepEqual(broker.subscriptions.filters(clientId), ['a/+'])
    for (let i = 0; i < 20; i++) broker.publish(`a/${i}`, '')
    await serve(Late)
    await settled(broker, 20)
    t.is(seen.distinct, 20)
    t.deepEqual(seen.repeated(), [])
  },
)

finding(
  '6. what waited in the session reaches a route that is registered in onConnect',
  async (t, { broker, clientId, serve }) => {
    const seen = new Tally()
    const late = (): ReturnType<typeof mqttasgi> => {
      const app = mqttasgi()
      return app.onConnect(async (client) => {
        await client.publish('elsewhere', 'there and back')
        app.topic('a/+i', (ctx) => seen.add(ctx.params.i))
      })
    }
    const server = await serve(late())
    await broker.until(() => broker.subscriptions.filters(clientId).length === 1)
    await server.stop()
    for (let i = 0; i < 20; i++) broker.publish(`a/${i}`, '')
    await serve(late())
    await settled(broker, 20)
    t.is(seen.distinct, 20)
  },
)

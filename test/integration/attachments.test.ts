// Receivers that come and go on a real broker, under load, in one connection.
import { mqttasgi, type Server } from '../../lib/index.ts'
import { Deferred } from '../../lib/core/deferred.ts'
import type { Client } from '../../lib/core/receiver.ts'
import { Guest } from '../helpers/guest.ts'
import { interest } from '../helpers/interest.ts'
import { serverTest } from '../helpers/server-test.ts'
import { scene } from './scene.ts'
import { newClientId } from './serving.ts'
import { Tally } from './tally.ts'

const versions = [5, 4] as const

/** What is retained has come, and nothing more of it is on its way: without identifiers that is told by the time. */
function silence(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 600))
}

for (const protocolVersion of versions) {
  serverTest('mosquitto')(
    `a hundred come and go while messages come, and those who stay lose none (MQTT ${protocolVersion})`,
    async (t) => {
      const { publisher, serve } = await scene(t)
      const app = mqttasgi()
      const seen = new Tally()
      app.topic('load/+lane/#', (ctx) => seen.add(ctx.text()))
      const server = await serve(app, { broker: { protocolVersion } })
      const COUNT = 5_000
      const load = publisher.many(COUNT, (i) => `load/${i % 7}/x`)
      let unsettled = 0
      for (let i = 0; i < 100; i++) {
        const guest = new Guest(`guest ${i}`, ['load/3/+', interest('load/+/x', { qos: 0 }), `own/${i}`], {
          connect: (client) => client.subscribe(`by/hand/${i}`),
        })
        await server.attach(guest)
        unsettled += (await server.detach(guest)).unsettled
      }
      await load
      await seen.untilDistinct(COUNT)
      t.deepEqual(seen.missing(COUNT), [])
      t.is(unsettled, 0)
      t.true(server.health.ready)
    },
  )

  serverTest('mosquitto')(
    `what is retained comes to a late joiner and not again to the others, also over a covering filter (MQTT ${protocolVersion})`,
    async (t) => {
      const { publisher, serve } = await scene(t)
      for (const room of ['hall', 'attic']) await publisher.publish(`state/${room}`, room, { retain: true })
      const app = mqttasgi()
      const all = new Tally()
      const given = (text: string): void => all.add(text)
      const seen: string[] = []
      app.topic('state/#', (ctx) => {
        seen.push(ctx.text())
        given(ctx.text())
      })
      const server = await serve(app, { broker: { protocolVersion } })
      await all.untilTotal(2)
      await silence()
      const same = new Guest('same', ['state/#'], { given })
      await server.attach(same)
      await all.untilTotal(4)
      await silence()
      const one = new Guest('one', ['state/hall'], { given })
      await server.attach(one)
      await all.untilTotal(5)
      await silence()
      await one.client!.subscribe('state/attic')
      await all.untilTotal(6)
      await publisher.publish('state/hall', 'now')
      await all.untilTotal(9)
      t.deepEqual(seen.toSorted(), ['attic', 'hall', 'now'])
      t.deepEqual(same.seen.toSorted(), ['attic', 'hall', 'now'])
      t.deepEqual(one.seen, ['hall', 'attic', 'now'])
    },
  )

  serverTest('mosquitto')(
    `the QoS of a subscription goes down with the one who wanted it, and no message is missed (MQTT ${protocolVersion})`,
    async (t) => {
      const { proxy, publisher, serve } = await scene(t)
      await publisher.publish('level', 'old', { retain: true })
      const app = mqttasgi()
      const qos: number[] = []
      const seen = new Tally()
      app.topic('level', { qos: 0 }, (ctx) => {
        qos.push(ctx.qos)
        seen.add(ctx.text())
      })
      const server = await serve(app, { broker: { protocolVersion } })
      await silence()
      const guest = new Guest('guest', ['level'])
      await server.attach(guest)
      await silence()
      const load = publisher.many(500, () => 'level')
      await server.detach(guest)
      await load
      await publisher.publish('level', 'lowered')
      await seen.untilDistinct(502)
      t.is(qos.at(-1), 0)
      t.is(seen.of('old'), 1)
      t.deepEqual(proxy.log.packets('unsubscribe'), [])
      t.deepEqual(
        proxy.log.packets('subscribe').map(({ packet }) => packet.subscriptions.map((one) => one.qos)),
        [[0], [1], [0]],
      )
    },
  )

  serverTest('mosquitto')(
    `what a session has kept reaches a receiver that subscribes in connected() (MQTT ${protocolVersion})`,
    async (t) => {
      const { publisher, serve } = await scene(t)
      const broker = { protocolVersion, clientId: newClientId(), clean: false } as const
      const first = await serve(mqttasgi(), { broker })
      await first.attach(new Guest('meter', [], { connect: (client) => client.subscribe('kept/+') }))
      await first.stop()
      await publisher.many(200, () => 'kept/1')
      const slow = async (client: Client): Promise<void> => {
        await silence()
        await client.subscribe('kept/+')
      }
      const seen = new Tally()
      const meter = new Guest('meter', [], { connect: slow, given: (text) => seen.add(text) })
      const app = mqttasgi()
      const started = new Deferred<Server>()
      app.onConnect(async () => (await started.promise).attach(meter))
      started.resolve(await serve(app, { broker }))
      await seen.untilDistinct(200)
      t.deepEqual(
        meter.seen,
        Array.from({ length: 200 }, (_, i) => String(i)),
      )
    },
  )
}

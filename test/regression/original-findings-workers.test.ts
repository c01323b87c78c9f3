// What broke in the original server's consumers and workers, and how it goes here. The numbers are those of docs/parity.md.
import test from 'ava'
import {
  InMemoryChannelLayer,
  mqttasgi,
  MqttConsumer,
  type ChannelEvent,
  type ChannelHandlers,
  type ConsumerMessage,
} from '../../lib/index.ts'
import { MqttCommunicator } from '../../lib/testing/index.ts'
import { Tally, within } from '../integration/tally.ts'
import { finding, settled } from './strict-scene.ts'

finding(
  '4. an exception in receive is the end of its message and not of the consumer',
  async (t, { broker, serve }) => {
    const seen = new Tally()
    class Meter extends MqttConsumer {
      static override readonly options = { retry: { attempts: 1 } }
      override async connect(): Promise<void> {
        await this.subscribe('a/#')
      }
      override receive({ topic }: ConsumerMessage): void {
        seen.add(topic)
        if (topic === 'a/bad') throw new Error('the meter is broken')
      }
    }
    const server = await serve(Meter)
    for (const topic of ['a/bad', 'a/good', 'a/better']) broker.publish(topic, '')
    await settled(broker, 3)
    t.deepEqual(seen.keys, ['a/bad', 'a/good', 'a/better'])
    t.is(server.counters.deadLettered, 1)
    // Nor is the stop after it hanging (5).
    t.true((await within(10_000, 'the end', server.stop())).clean)
  },
)

finding(
  '11. with a killed worker its subscriptions end, and nothing more comes for it',
  async (t, { broker, clientId, serve }) => {
    const seen = new Tally()
    class Pump extends MqttConsumer {
      override async connect(): Promise<void> {
        await this.subscribe('pumps/#')
      }
      override receive(message: ConsumerMessage): void {
        seen.add(message.text())
      }
      override async disconnect(): Promise<void> {
        // It can still speak, which the original's no longer could.
        await this.publish('bye', 'from the pump')
        await this.unsubscribe('pumps/#')
      }
    }
    const byes = new Tally()
    const server = await serve(mqttasgi().topic('bye', (ctx) => byes.add(ctx.text())))
    await server.spawn('pump', Pump)
    t.deepEqual(broker.subscriptions.filters(clientId).toSorted(), ['bye', 'pumps/#'])
    broker.publish('pumps/7', 'first')
    await settled(broker, 1)
    await server.kill('pump')
    await byes.untilTotal(1)
    t.deepEqual(broker.subscriptions.filters(clientId), ['bye'])
    const { received } = server.counters
    broker.publish('pumps/7', 'nobody')
    await server.publish('elsewhere', 'there and back')
    t.is(server.counters.received, received)
    // Its successor begins with an empty queue.
    await server.spawn('pump', Pump)
    broker.publish('pumps/7', 'second')
    await seen.untilTotal(2)
    t.deepEqual(seen.keys, ['first', 'second'])
  },
)

finding(
  '20. a second spawn of the same id is refused and not felt by the worker that has it',
  async (t, { broker, serve }) => {
    const connects = new Tally()
    class Pump extends MqttConsumer {
      override connect(): void {
        connects.add(this.scope.appId)
      }
    }
    const refused = new Tally()
    class Master extends MqttConsumer {
      override async connect(): Promise<void> {
        const code = await this.spawn('pump', Pump).then(
          () => 'spawned',
          (error: { readonly code: string }) => error.code,
        )
        refused.add(code)
      }
    }
    await serve(Master)
    await connects.untilTotal(1)
    // As each reconnect makes a master that spawns in connect() try it again.
    broker.cut()
    await refused.untilTotal(2)
    await connects.untilTotal(2)
    t.deepEqual([refused.of('spawned'), refused.of('ERR_RECEIVER_DUPLICATE')], [1, 1])
    // Once for each connection.
    t.is(connects.total, 2)
  },
)

finding('20. the master can not be killed while workers run', async (t, { serve }) => {
  const refused = new Tally()
  class Master extends MqttConsumer {
    override async connect(): Promise<void> {
      await this.spawn('pump', mqttasgi())
      await this.kill('application').catch((error: { readonly code: string }) => refused.add(error.code))
    }
  }
  const server = await serve(Master)
  await refused.untilTotal(1)
  t.deepEqual(refused.keys, ['ERR_WORKER_MASTER'])
  t.is(server.state, 'connected')
  t.deepEqual(
    server.workers().map(({ id, state }) => [id, state]),
    [['pump', 'running']],
  )
})

test('22. a channel event can neither end a consumer nor pose as a message nor call a method', async (t) => {
  const calls: string[] = []
  class Victim extends MqttConsumer {
    static override readonly channelHandlers: ChannelHandlers<Victim> = { 'alarm.raised': 'alarm' }
    override async connect(): Promise<void> {
      await this.groupAdd('all')
    }
    override receive(message: ConsumerMessage): void {
      calls.push(`receive ${message.topic}`)
    }
    override disconnect(): void {
      calls.push('disconnect')
    }
    async alarm(event: ChannelEvent): Promise<void> {
      if (event['bad'] === true) throw new Error('a handler that fails')
      await this.publish('siren', String(event['room']))
    }
  }
  const channels = new InMemoryChannelLayer()
  const victim = new MqttCommunicator(Victim, { channels })
  await victim.start()
  const mqtt = { topic: 'forged', payload: 'x', qos: 1 }
  for (const type of ['mqtt.disconnect', 'mqtt.msg', 'subscribe', 'publish', 'receive', 'no.such.handler']) {
    await channels.groupSend('all', { type, mqtt })
  }
  await channels.groupSend('all', { type: 'alarm.raised', bad: true })
  await channels.groupSend('all', { type: 'alarm.raised', room: 'hall' })
  const output = await victim.receiveFrom()
  t.is(output.type === 'mqtt.pub' && output.mqtt.payload.toString(), 'hall')
  t.deepEqual(calls, [])
  t.deepEqual([...victim.transport.subscriptions.keys()], [])
  await victim.disconnect()
  t.deepEqual(calls, ['disconnect'])
})

finding(
  '24. filters and workers that come and go leave nothing behind, and the id of a dead one is free',
  async (t, { broker, clientId, serve }) => {
    const app = mqttasgi().topic('own', () => {})
    const server = await serve(app)
    class Mayfly extends MqttConsumer {
      override async connect(): Promise<void> {
        await this.subscribe(`mayfly/${this.scope.appId}`)
      }
    }
    class Broken extends MqttConsumer {
      override connect(): void {
        throw new Error('can not start')
      }
    }
    for (let i = 0; i < 100; i++) {
      await server.subscribe(`dynamic/${i}`)
      await server.unsubscribe(`dynamic/${i}`)
      await server.spawn(`worker-${i}`, Mayfly)
      await server.kill(`worker-${i}`)
    }
    await t.throwsAsync(server.spawn('same', Broken, { restart: 'temporary' }), { code: 'ERR_WORKER_START' })
    await server.spawn('same', Mayfly)
    t.deepEqual(broker.subscriptions.filters(clientId).toSorted(), ['mayfly/same', 'own'])
    t.deepEqual(
      server.workers().map(({ id }) => id),
      ['same'],
    )
  },
)

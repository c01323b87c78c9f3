// What applications and consumers of the original server can do must be here too: one test for each line of docs/parity.md.
import test from 'ava'
import { Deferred } from '../../lib/core/deferred.ts'
import {
  InMemoryChannelLayer,
  mqttasgi,
  MqttConsumer,
  Router,
  type ChannelEvent,
  type ChannelHandlers,
  type ConsumerMessage,
  type RawApplication,
} from '../../lib/index.ts'
import { MemoryBroker, MemoryTransport, MqttCommunicator } from '../../lib/testing/index.ts'
import { turns } from '../helpers/memory-server.ts'
import { serving } from '../integration/serving.ts'
import { Tally } from '../integration/tally.ts'

test('2. connect, receive and disconnect; publish, subscribe and unsubscribe at run time', async (t) => {
  const order: string[] = []
  class Meter extends MqttConsumer {
    override async connect(): Promise<void> {
      order.push('connect')
      const { qos } = await this.subscribe('my/testing/topic', { qos: 2 })
      order.push(`granted ${qos}`)
    }
    override async receive({ topic, payload, qos }: ConsumerMessage): Promise<void> {
      order.push(`${topic} ${payload.toString()} ${qos}`)
      await this.publish('answers', 'by default QoS 1')
      await this.publish('answers', 'kept', { qos: 0, retain: true })
      await this.unsubscribe('my/testing/topic')
    }
    override disconnect(): void {
      order.push('disconnect')
    }
  }
  const communicator = new MqttCommunicator(Meter)
  await communicator.connect()
  communicator.broker.publish('my/testing/topic', 'hello', { qos: 2 })
  await turns()
  t.deepEqual([...communicator.transport.subscriptions.keys()], [])
  communicator.broker.publish('my/testing/topic', 'nobody hears it')
  await communicator.disconnect()
  t.deepEqual(order, ['connect', 'granted 2', 'my/testing/topic hello 2', 'disconnect'])
  t.deepEqual(
    communicator.published.map(({ options }) => [options.qos ?? 1, options.retain ?? false]),
    [
      [1, false],
      [0, true],
    ],
  )
})

test('2. the same as events of a function (scope, receive, send)', async (t) => {
  const raw: RawApplication = async (scope, receive, send) => {
    for (;;) {
      const event = await receive()
      if (event.type === 'mqtt.connect') await send({ type: 'mqtt.sub', mqtt: { topic: 'in', qos: 1 } })
      if (event.type === 'mqtt.msg') {
        const { payload, qos } = event.mqtt
        await send({ type: 'mqtt.pub', mqtt: { topic: `out/${scope.app_id}`, payload, qos, retain: true } })
        await send({ type: 'mqtt.usub', mqtt: { topic: 'in' } })
      }
      if (event.type === 'mqtt.disconnect') return
    }
  }
  const communicator = new MqttCommunicator(raw, { appId: 7 })
  t.deepEqual(await communicator.connect(), { type: 'mqtt.sub', mqtt: { topic: 'in', qos: 1 } })
  await communicator.publish('in', 'hello', { qos: 2 })
  const payload = Buffer.from('hello')
  const mqtt = { topic: 'out/7', payload, qos: 2, retain: true }
  t.deepEqual(await communicator.receiveFrom(), { type: 'mqtt.pub', mqtt })
  t.deepEqual(await communicator.receiveFrom(), { type: 'mqtt.usub', mqtt: { topic: 'in' } })
  await communicator.disconnect()
})

test('3. filters are counted: asked for once, with the highest QoS and no gap, unsubscribed with the last', async (t) => {
  const transport = new MemoryTransport()
  const app = mqttasgi().topic('rooms/+room/temp', { qos: 0 }, () => {})
  const worker = Router().topic('+room/temp', { qos: 1 }, () => {})
  const workers = [{ id: 'climate', mount: 'rooms', application: worker }]
  const server = await serving(t, app, { transport, workers })
  t.is(transport.count('subscribe'), 1)
  t.is(transport.subscriptions.get('rooms/+/temp')?.qos, 1)
  await server.subscribe('lamps/#', { qos: 0 })
  app.topic('lamps/#rest', { qos: 1 }, () => {})
  await server.ready()
  t.is(transport.subscriptions.get('lamps/#')?.qos, 1)
  t.is(transport.count('unsubscribe'), 0)
  await server.unsubscribe('lamps/#')
  // The route still wants it.
  t.true(transport.subscriptions.has('lamps/#'))
  await server.subscribe('doors/#')
  await server.unsubscribe('doors/#')
  t.false(transport.subscriptions.has('doors/#'))
  t.is(transport.count('unsubscribe'), 1)
})

test('4. a master spawns and ends workers by id, with params; workers may not, and an id is there once', async (t) => {
  const seen: unknown[] = []
  class Pump extends MqttConsumer<{ litres: number }> {
    override async connect(): Promise<void> {
      const { appId, instanceType, params } = this.scope
      seen.push([appId, instanceType, params.litres])
      await this.subscribe(`pumps/${appId}`)
      await t.throwsAsync(this.spawn('another', Pump), { code: 'ERR_WORKER_FORBIDDEN' })
      await t.throwsAsync(this.kill('pump-7'), { code: 'ERR_WORKER_FORBIDDEN' })
    }
    override disconnect({ type }: { readonly type: string }): void {
      seen.push(type)
    }
  }
  class Master extends MqttConsumer {
    override async connect(): Promise<void> {
      const { ended } = await this.spawn('pump-7', './pump.ts#Pump', { params: { litres: 40 } })
      await t.throwsAsync(this.spawn('pump-7', './pump.ts#Pump'), { code: 'ERR_RECEIVER_DUPLICATE' })
      await t.throwsAsync(this.kill('nobody'), { code: 'ERR_WORKER_UNKNOWN' })
      t.deepEqual(
        this.workers().map(({ id, state }) => [id, state]),
        [['pump-7', 'running']],
      )
      await this.kill('pump-7')
      seen.push((await ended).type)
      t.deepEqual(this.workers(), [])
    }
  }
  const applications = { './pump.ts#Pump': Pump }
  const communicator = new MqttCommunicator(Master, { instanceType: 'master', applications })
  await communicator.start()
  t.deepEqual(seen, [['pump-7', 'worker', 40], 'killed', 'killed'])
  await communicator.disconnect()
})

test('5. group messages come to the handlers that are declared for them, also from outside', async (t) => {
  const seen = new Tally()
  class Member extends MqttConsumer {
    static override readonly channelHandlers: ChannelHandlers<Member> = { 'my.custom.message': 'custom' }
    override async connect(): Promise<void> {
      await this.groupAdd('my.group')
    }
    async custom(event: ChannelEvent): Promise<void> {
      seen.add(`${this.scope.appId} ${String(event['text'])}`)
      await this.publish('my/topic', String(event['text']))
    }
  }
  const channels = new InMemoryChannelLayer()
  const members = [1, 2].map((appId) => new MqttCommunicator(Member, { appId, channels }))
  for (const member of members) await member.start()
  await channels.groupSend('my.group', { type: 'my.custom.message', text: 'Hi from outside' })
  await seen.untilTotal(2)
  // Neither unknown nor borrowed types run anything.
  for (const type of ['mqtt.msg', 'mqtt.disconnect', 'subscribe', 'unknown.type']) {
    await channels.groupSend('my.group', { type, mqtt: { topic: 'forged' } })
  }
  await channels.groupSend('my.group', { type: 'my.custom.message', text: 'still here' })
  await seen.untilTotal(4)
  t.deepEqual(seen.keys.toSorted(), [
    '1 Hi from outside',
    '1 still here',
    '2 Hi from outside',
    '2 still here',
  ])
  for (const member of members) {
    t.is(member.published.length, 2)
    await member.disconnect()
  }
})

test('8. a consumer is tried without a broker, alone and with others', async (t) => {
  const told = new Deferred<unknown>()
  class Device extends MqttConsumer<{ device_id: string }> {
    override async connect(): Promise<void> {
      told.resolve([this.scope.appId, this.scope.params.device_id])
      await this.subscribe('test/topic', { qos: 1 })
    }
    override async receive(message: ConsumerMessage): Promise<void> {
      await this.publish('test/response', message.payload)
    }
    override async disconnect(): Promise<void> {
      await this.unsubscribe('test/topic')
    }
  }
  const broker = new MemoryBroker()
  const communicator = new MqttCommunicator(Device, { appId: 5, params: { device_id: 'sensor-01' }, broker })
  t.deepEqual(await communicator.connect(), { type: 'mqtt.sub', mqtt: { topic: 'test/topic', qos: 1 } })
  t.deepEqual(await told.promise, [5, 'sensor-01'])
  await communicator.publish('test/topic', Buffer.from('hello'), { qos: 1 })
  const payload = Buffer.from('hello')
  const mqtt = { topic: 'test/response', payload, qos: 1, retain: false }
  t.deepEqual(await communicator.receiveFrom(), { type: 'mqtt.pub', mqtt })
  const others = new Tally()
  class Listener extends MqttConsumer {
    override async connect(): Promise<void> {
      await this.subscribe('test/response')
    }
    override receive(message: ConsumerMessage): void {
      others.add(message.text())
    }
  }
  const listener = new MqttCommunicator(Listener, { broker })
  await listener.start()
  broker.publish('test/topic', 'to all')
  await others.untilTotal(1)
  await communicator.receiveFrom()
  t.true(await communicator.receiveNothing())
  await t.throwsAsync(communicator.receiveFrom(10), { code: 'ERR_COMMUNICATOR_TIMEOUT' })
  // A time that is up has not ended it.
  await communicator.reconnect({ sessionPresent: false })
  await communicator.receiveFrom()
  await communicator.disconnect()
  t.deepEqual(await communicator.receiveFrom(), { type: 'mqtt.usub', mqtt: { topic: 'test/topic' } })
  await listener.disconnect()
})

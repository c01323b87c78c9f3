// The communicator: the tests that the original's README shows, and what it could not do.
import test from 'ava'
import { MqttConsumer, type ChannelHandlers, type ConsumerMessage } from '../../lib/consumer/consumer.ts'
import type { RawApplication } from '../../lib/consumer/events.ts'
import { mqttasgi } from '../../lib/core/application.ts'
import type { Context } from '../../lib/core/context.ts'
import type { ChannelEvent } from '../../lib/core/channel-layer.ts'
import { Deferred } from '../../lib/core/deferred.ts'
import type { DisconnectReason, SessionInfo } from '../../lib/core/receiver.ts'
import { InMemoryChannelLayer } from '../../lib/channels/memory.ts'
import { MqttCommunicator } from '../../lib/testing/communicator.ts'
import { FakeClock } from '../../lib/testing/fake-clock.ts'
import { MemoryBroker } from '../../lib/testing/memory-broker.ts'

class Echo extends MqttConsumer {
  override async connect(): Promise<void> {
    await this.subscribe('test/topic', { qos: 1 })
  }
  override async receive(message: ConsumerMessage): Promise<void> {
    if (message.text() === 'bad') throw new Error('bad payload')
    await this.publish('test/response', message.payload)
  }
  override async disconnect(): Promise<void> {
    await this.unsubscribe('test/topic')
  }
}

const hello = {
  type: 'mqtt.pub',
  mqtt: { topic: 'test/response', payload: Buffer.from('hello'), qos: 1, retain: false },
}

// --- what the original's README shows -----------------------------------------------------------

test('connect sends subscribe', async (t) => {
  const communicator = new MqttCommunicator(Echo, { appId: 1 })
  t.deepEqual(await communicator.connect(), { type: 'mqtt.sub', mqtt: { topic: 'test/topic', qos: 1 } })
  await communicator.disconnect()
})

test('disconnect sends unsubscribe', async (t) => {
  const communicator = new MqttCommunicator(Echo, { appId: 1 })
  await communicator.connect()
  await communicator.disconnect()
  t.deepEqual(await communicator.receiveFrom(), { type: 'mqtt.usub', mqtt: { topic: 'test/topic' } })
})

test('a message is echoed', async (t) => {
  const communicator = new MqttCommunicator(Echo, { appId: 1 })
  await communicator.connect()
  await communicator.publish('test/topic', Buffer.from('hello'), { qos: 1 })
  t.deepEqual(await communicator.receiveFrom(), hello)
  await communicator.disconnect()
})

test('parameters reach the scope', async (t) => {
  const seen = new Deferred<unknown>()
  class Device extends MqttConsumer<{ device_id: string }> {
    override connect(): void {
      seen.resolve([this.scope.appId, this.scope.params.device_id])
    }
  }
  const communicator = new MqttCommunicator(Device, { appId: 5, params: { device_id: 'sensor-01' } })
  t.is(await communicator.connect(), undefined)
  t.deepEqual(await seen.promise, [5, 'sensor-01'])
  await communicator.disconnect()
})

// --- what it lacked -----------------------------------------------------------------------------

test('an exception in receive is reported in its place, and the consumer goes on', async (t) => {
  const communicator = new MqttCommunicator(Echo)
  await communicator.connect()
  await communicator.publish('test/topic', 'bad')
  await communicator.publish('test/topic', 'hello')
  await t.throwsAsync(communicator.receiveFrom(), { message: 'bad payload' })
  t.deepEqual(await communicator.receiveFrom(), hello)
  await communicator.disconnect()
})

test('a time-out rejects and does not end the consumer', async (t) => {
  const gate = new Deferred()
  class Slow extends MqttConsumer {
    override async receive(): Promise<void> {
      await gate.promise
      await this.publish('late', '')
    }
  }
  const communicator = new MqttCommunicator(Slow)
  await communicator.connect()
  await communicator.publish('a')
  await t.throwsAsync(communicator.receiveFrom(1), { code: 'ERR_COMMUNICATOR_TIMEOUT' })
  gate.resolve()
  t.like(await communicator.receiveFrom(), { type: 'mqtt.pub', mqtt: { topic: 'late' } })
  await communicator.disconnect()
})

test('a connect that throws rejects', async (t) => {
  class Broken extends MqttConsumer {
    override connect(): void {
      throw new Error('no sensor')
    }
  }
  const communicator = new MqttCommunicator(Broken)
  await t.throwsAsync(communicator.connect(), { message: 'no sensor' })
  t.is((await communicator.ended)?.message, 'no sensor')
  await communicator.disconnect()
})

test('receiveNothing sees that nothing was asked for, and keeps what was', async (t) => {
  const communicator = new MqttCommunicator(Echo)
  await communicator.connect()
  t.true(await communicator.receiveNothing())
  await communicator.publish('test/topic', 'hello')
  t.false(await communicator.receiveNothing())
  t.deepEqual(await communicator.receiveFrom(), hello)
  t.deepEqual(
    communicator.published.map(({ topic }) => topic),
    ['test/response'],
  )
  await communicator.disconnect()
})

test('several consumers meet on one broker, with wildcards and retained messages', async (t) => {
  class Meter extends MqttConsumer {
    override async connect(): Promise<void> {
      await this.publish('meters/7', '230', { retain: true })
    }
  }
  class Screen extends MqttConsumer {
    override async connect(): Promise<void> {
      await this.subscribe('meters/+meter')
    }
    override async receive(message: Context<{ meter: string }>): Promise<void> {
      await this.publish('screen', `${message.params.meter}=${message.text()} ${message.retain}`)
    }
  }
  const broker = new MemoryBroker()
  const meter = new MqttCommunicator(Meter, { broker, appId: 'meter' })
  const screen = new MqttCommunicator(Screen, { broker, appId: 'screen' })
  await meter.connect()
  t.like(await screen.connect(), { type: 'mqtt.sub' })
  t.like(await screen.receiveFrom(), { mqtt: { payload: Buffer.from('7=230 true') } })
  broker.publish('meters/8', '110')
  t.like(await screen.receiveFrom(), { mqtt: { payload: Buffer.from('8=110 false') } })
  broker.publish('other', 'x')
  t.true(await screen.receiveNothing())
  t.deepEqual([...broker.retained.keys()], ['meters/7'])
  await meter.disconnect()
  await screen.disconnect()
})

test('the members of a share group take turns', async (t) => {
  class Printer extends MqttConsumer {
    override async connect(): Promise<void> {
      await this.subscribe('$share/printers/orders/+')
    }
    override async receive(message: ConsumerMessage): Promise<void> {
      await this.publish('printed', message.topic)
    }
  }
  const broker = new MemoryBroker()
  const printers = [new MqttCommunicator(Printer, { broker }), new MqttCommunicator(Printer, { broker })]
  for (const printer of printers) await printer.connect()
  for (let i = 0; i < 4; i++) broker.publish(`orders/${i}`, '')
  for (const printer of printers) {
    await printer.receiveFrom()
    await printer.receiveFrom()
    t.true(await printer.receiveNothing())
    await printer.disconnect()
  }
})

test('spawn and kill are executed', async (t) => {
  const ends: string[] = []
  class Pump extends MqttConsumer<{ pump: number }> {
    override async connect(): Promise<void> {
      await this.subscribe(`pumps/${this.scope.params.pump}`)
    }
    override disconnect({ type }: DisconnectReason): void {
      ends.push(type)
    }
  }
  class Master extends MqttConsumer {
    override async receive(message: ConsumerMessage): Promise<void> {
      if (message.topic === 'kill') return this.kill('pump')
      const { ended } = await this.spawn('pump', './pump.ts#Pump', { params: { pump: 7 } })
      void ended.then(({ type }) => ends.push(`ended ${type}`))
    }
  }
  const communicator = new MqttCommunicator(Master, {
    instanceType: 'master',
    applications: { './pump.ts#Pump': Pump },
  })
  await communicator.connect()
  await communicator.publish('spawn')
  t.deepEqual(await communicator.receiveFrom(), {
    type: 'mqttasgi.worker.spawn',
    command: { app_id: 'pump', consumer_path: './pump.ts#Pump', consumer_params: { pump: 7 } },
  })
  t.true(await communicator.receiveNothing())
  t.like(await communicator.worker('pump').receiveFrom(), { type: 'mqtt.sub', mqtt: { topic: 'pumps/7' } })
  await communicator.publish('spawn')
  await communicator.receiveFrom()
  await t.throwsAsync(communicator.receiveFrom(), { code: 'ERR_RECEIVER_DUPLICATE' })
  await communicator.publish('kill')
  t.like(await communicator.receiveFrom(), { type: 'mqttasgi.worker.kill', command: { app_id: 'pump' } })
  t.true(await communicator.receiveNothing())
  t.deepEqual(ends, ['killed', 'ended killed'])
  t.throws(() => communicator.worker('pump'), { code: 'ERR_WORKER_UNKNOWN' })
  await communicator.publish('kill')
  await communicator.receiveFrom()
  await t.throwsAsync(communicator.receiveFrom(), { code: 'ERR_WORKER_UNKNOWN' })
  await communicator.disconnect()
})

test('a worker can not spawn, and what nothing stands for is no application', async (t) => {
  class Spawning extends MqttConsumer {
    override async receive(): Promise<void> {
      await this.spawn('a', './a.ts')
    }
  }
  for (const [instanceType, code] of [
    ['worker', 'ERR_WORKER_FORBIDDEN'],
    ['master', 'ERR_WORKER_APPLICATION'],
  ] as const) {
    const communicator = new MqttCommunicator(Spawning, { instanceType })
    await communicator.connect()
    await communicator.publish('a')
    if (instanceType === 'master') await communicator.receiveFrom()
    await t.throwsAsync(communicator.receiveFrom(), { code })
    await communicator.disconnect()
  }
})

class Alarm extends MqttConsumer {
  static override readonly channelHandlers: ChannelHandlers<Alarm> = { 'alarm.raised': 'onAlarm' }
  override async connect(): Promise<void> {
    await this.groupAdd('alarms')
  }
  override async receive(message: ConsumerMessage): Promise<void> {
    await this.groupSend('alarms', { type: 'alarm.raised', text: message.text() })
  }
  async onAlarm(event: ChannelEvent): Promise<void> {
    await this.publish('alarm', String(event['text']))
  }
}

test('channel events are injected, and groups are exchanged', async (t) => {
  const channels = new InMemoryChannelLayer()
  const one = new MqttCommunicator(Alarm, { channels, appId: 1 })
  const other = new MqttCommunicator(Alarm, { channels, appId: 2 })
  await t.throwsAsync(one.sendEvent({ type: 'alarm.raised' }), { code: 'ERR_CHANNEL_LAYER' })
  await one.connect()
  await other.connect()
  await one.sendEvent({ type: 'alarm.raised', text: 'mine' })
  t.like(await one.receiveFrom(), { mqtt: { payload: Buffer.from('mine') } })
  t.true(await other.receiveNothing())
  await one.publish('a', 'ours')
  for (const communicator of [one, other]) {
    t.like(await communicator.receiveFrom(), { mqtt: { payload: Buffer.from('ours') } })
  }
  await channels.groupSend('alarms', { type: 'alarm.raised', text: 'from outside' })
  t.like(await other.receiveFrom(), { mqtt: { payload: Buffer.from('from outside') } })
  await one.disconnect()
  await other.disconnect()
})

test('a reconnect is scripted, with the session or without it', async (t) => {
  const sessions: SessionInfo[] = []
  class Watching extends MqttConsumer {
    override async connect(session: SessionInfo): Promise<void> {
      sessions.push(session)
      await this.subscribe('a')
    }
  }
  const communicator = new MqttCommunicator(Watching)
  await communicator.connect()
  await communicator.reconnect({ sessionPresent: true })
  await communicator.reconnect({ sessionPresent: false })
  t.deepEqual(sessions, [
    { present: false, lost: false },
    { present: true, lost: false },
    { present: false, lost: true },
  ])
  t.deepEqual([...communicator.transport.subscriptions.keys()], ['a'])
  await communicator.disconnect()
})

test('a fake clock moves the time of retries', async (t) => {
  let attempts = 0
  class Flaky extends MqttConsumer {
    override async receive(): Promise<void> {
      if (++attempts === 1) throw new Error('not yet')
      await this.publish('done', '')
    }
  }
  const clock = new FakeClock()
  const communicator = new MqttCommunicator(Flaky, { clock, attempts: 2 })
  await communicator.connect()
  await communicator.publish('a')
  await t.throwsAsync(communicator.receiveFrom(), { message: 'not yet' })
  t.true(await communicator.receiveNothing())
  clock.advance(5_000)
  t.like(await communicator.receiveFrom(), { mqtt: { topic: 'done' } })
  await communicator.disconnect()
})

test('a refused subscription is one that the consumer sees', async (t) => {
  class Refused extends MqttConsumer {
    override async receive(): Promise<void> {
      await this.subscribe('secret')
    }
  }
  const communicator = new MqttCommunicator(Refused)
  communicator.transport.grant = () => 0x87
  await communicator.connect()
  await communicator.publish('a')
  t.like(await communicator.receiveFrom(), { type: 'mqtt.sub' })
  await t.throwsAsync(communicator.receiveFrom(), { code: 'ERR_SUBSCRIBE_REFUSED' })
  await communicator.disconnect()
})

test('an application and a raw application can be talked to as well', async (t) => {
  const app = mqttasgi()
  app.topic('a/+id', (ctx) => ctx.publish(`b/${ctx.params.id}`, ctx.payload))
  const raw: RawApplication = async (_scope, receive, send) => {
    for (;;) {
      const event = await receive()
      if (event.type === 'mqtt.disconnect') return
      if (event.type === 'mqtt.msg')
        await send({ type: 'mqtt.pub', mqtt: { topic: 'b/1', payload: event.mqtt.payload } })
    }
  }
  for (const application of [app, raw]) {
    const communicator = new MqttCommunicator(application)
    t.is(await communicator.connect(), undefined)
    await communicator.publish('a/1', 'x')
    t.like(await communicator.receiveFrom(), {
      type: 'mqtt.pub',
      mqtt: { topic: 'b/1', payload: Buffer.from('x') },
    })
    await communicator.disconnect()
  }
})

test('several calls of receiveFrom() at once get one output each, in their order', async (t) => {
  class Twice extends MqttConsumer {
    override async receive(message: ConsumerMessage): Promise<void> {
      await this.publish('first', message.payload)
      await this.publish('second', message.payload)
    }
  }
  const communicator = new MqttCommunicator(Twice)
  await communicator.connect()
  // The one whose time was up takes nothing from those behind it.
  const late = communicator.receiveFrom(1)
  const both = [communicator.receiveFrom(), communicator.receiveFrom()]
  await t.throwsAsync(late, { code: 'ERR_COMMUNICATOR_TIMEOUT' })
  await communicator.publish('a', '')
  const outputs = await Promise.all(both)
  t.deepEqual(
    outputs.map((output) => output.type === 'mqtt.pub' && output.mqtt.topic),
    ['first', 'second'],
  )
  await communicator.disconnect()
})

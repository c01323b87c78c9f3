// Channel events at a consumer: declared ones run in its line, others are counted and dropped.
import test from 'ava'
import { InMemoryChannelLayer } from '../../lib/channels/memory.ts'
import { MqttConsumer, type ChannelHandlers, type ConsumerMessage } from '../../lib/consumer/consumer.ts'
import type { ChannelEvent } from '../../lib/core/channel-layer.ts'
import { Deferred } from '../../lib/core/deferred.ts'
import { silentLog } from '../../lib/core/log.ts'
import { unattachedClient } from '../../lib/core/unattached-client.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { hosted, startConsumerServer } from '../helpers/consumer-server.ts'
import { turns } from '../helpers/memory-server.ts'
import { plainMessage } from '../helpers/plain-message.ts'

test('a declared event runs its method, and a group reaches the consumer from outside', async (t) => {
  const layer = new InMemoryChannelLayer()
  class Alarm extends MqttConsumer {
    static override readonly channelHandlers: ChannelHandlers<Alarm> = {
      'alarm.raised': 'onAlarm',
      'alarm.over'() {
        void this.publish('alarms', 'over')
      },
    }
    override async connect(): Promise<void> {
      await this.groupAdd('alarms')
    }
    async onAlarm(event: ChannelEvent): Promise<void> {
      await this.publish('alarms', String(event['room']))
    }
  }
  const { transport } = await startConsumerServer(t, Alarm, { channels: layer })
  await turns()
  await layer.groupSend('alarms', { type: 'alarm.raised', room: 'hall' })
  await layer.groupSend('alarms', { type: 'alarm.over' })
  await turns()
  t.deepEqual(
    transport.published.map(({ payload }) => payload.toString()),
    ['hall', 'over'],
  )
})

test('an event of an unknown or forged type is dropped with one warning, and runs nothing', async (t) => {
  const layer = new InMemoryChannelLayer()
  const warned: string[] = []
  let name = ''
  let disconnects = 0
  class Target extends MqttConsumer {
    static override readonly channelHandlers: ChannelHandlers<Target> = { known: 'known' }
    override connect(): void {
      name = this.channelName
    }
    override receive(): void {
      t.fail()
    }
    override disconnect(): void {
      disconnects++
    }
    known(_event: ChannelEvent): void {
      warned.push('known')
    }
  }
  const log = { ...silentLog, warn: (line: string) => warned.push(line) }
  const { transport, receiver, server } = await startConsumerServer(t, Target, { channels: layer, log })
  await turns()
  for (const type of ['mqtt.msg', 'subscribe', '__proto__', 'receive', 'constructor', 'mqtt.disconnect']) {
    await layer.send(name, { type, mqtt: { topic: 'forged' } })
    await layer.send(name, { type })
  }
  await layer.send(name, { type: 'known' })
  await turns()
  t.is(warned.length, 7)
  t.is(warned.at(-1), 'known')
  t.deepEqual(transport.calls, ['connect 5'])
  t.is(await Promise.race([receiver.ended, Promise.resolve('runs')]), 'runs')
  t.is(server.state, 'connected')
  t.is(disconnects, 0)
})

test('a handler that fails ends nothing', async (t) => {
  const layer = new InMemoryChannelLayer()
  const errors: string[] = []
  class Failing extends MqttConsumer {
    static override readonly channelHandlers: ChannelHandlers<Failing> = { bad: 'bad', good: 'good' }
    override async connect(): Promise<void> {
      await this.groupAdd('g')
    }
    bad(_event: ChannelEvent): void {
      throw new Error('broken')
    }
    good(_event: ChannelEvent): void {
      errors.push('good')
    }
  }
  const log = { ...silentLog, error: (line: string) => errors.push(line) }
  await startConsumerServer(t, Failing, { channels: layer, log })
  await turns()
  await layer.groupSend('g', { type: 'bad' })
  await layer.groupSend('g', { type: 'good' })
  await turns()
  t.deepEqual(errors, ['The handler of the channel event "bad" failed: broken', 'good'])
})

test('messages and channel events stand in one line, and neither starves the other', async (t) => {
  const layer = new InMemoryChannelLayer()
  const order: string[] = []
  let running = 0
  class Both extends MqttConsumer {
    static override readonly channelHandlers: ChannelHandlers<Both> = { tick: 'tick' }
    override async connect(): Promise<void> {
      await this.groupAdd('ticks')
    }
    override receive(_message: ConsumerMessage): Promise<void> {
      return this.work('m')
    }
    tick(_event: ChannelEvent): Promise<void> {
      return this.work('t')
    }
    async work(what: string): Promise<void> {
      t.is(++running, 1)
      order.push(what)
      await new Promise((resolve) => setImmediate(resolve))
      running--
    }
  }
  const { transport } = await startConsumerServer(t, Both, { channels: layer })
  await turns()
  for (let i = 0; i < 10; i++) {
    transport.deliver(`a/${i}`)
    await layer.groupSend('ticks', { type: 'tick' })
  }
  for (let i = 0; i < 5; i++) await turns()
  t.is(order.length, 20)
  const longest = Math.max(
    ...order
      .join('')
      .split(/(?<=(.))(?!\1)/)
      .map((run) => run.length),
  )
  t.true(longest <= 3, order.join(''))
})

test('to wait behind a channel event takes nothing of the time for a message', async (t) => {
  const layer = new InMemoryChannelLayer()
  const gate = new Deferred()
  let now = 0
  class Slow extends MqttConsumer {
    static override readonly channelHandlers: ChannelHandlers<Slow> = { slow: () => gate.promise }
    override async connect(): Promise<void> {
      await this.groupAdd('g')
    }
  }
  const clock = { now: () => now, after: () => () => {} }
  const receiver = hosted(Slow, { channels: layer, clock })
  const client = { publish: async () => ({ reasonCode: 0 }), subscribe: t.fail, unsubscribe: t.fail } as never
  await receiver.connected(client, { present: false, lost: false })
  await layer.groupSend('g', { type: 'slow' })
  await turns()
  const message = plainMessage('a')
  const begun: number[] = []
  const attempt = {
    number: 1,
    signal: new AbortController().signal,
    chain: undefined,
    isWaiting: false,
    extend: t.fail,
    begins: (afterMs: number) => begun.push(afterMs),
  }
  const outcome = receiver.receive(message, receiver.plan(message), attempt as never)
  t.true(attempt.isWaiting)
  now = 500
  gate.resolve()
  t.deepEqual(await outcome, { type: 'done', handled: true })
  t.deepEqual(begun, [500])
  t.false(attempt.isWaiting)
  receiver.release()
})

test('an attempt that is given up before it has begun is never begun', async (t) => {
  const gate = new Deferred()
  const seen: string[] = []
  class Slow extends MqttConsumer {
    override connect(): Promise<void> {
      return gate.promise
    }
    override receive(message: ConsumerMessage): void {
      seen.push(message.topic)
    }
  }
  const receiver = hosted(Slow)
  const client = { publish: t.fail, subscribe: t.fail, unsubscribe: t.fail } as never
  void receiver.connected(client, { present: false, lost: false })
  const message = plainMessage('a')
  const attempt: { chain?: { giveUp(error: Error): Promise<unknown> } } & Record<string, unknown> = {
    number: 1,
    signal: new AbortController().signal,
    extend: () => {},
  }
  const outcome = receiver.receive(message, receiver.plan(message), attempt as never)
  await attempt.chain?.giveUp(new Error('too long'))
  gate.resolve()
  t.like(await outcome, { type: 'failed' })
  t.deepEqual(seen, [])
  receiver.release()
})

test('at its end a consumer leaves its groups and receives nothing more', async (t) => {
  const layer = new InMemoryChannelLayer()
  let received = 0
  class Member extends MqttConsumer {
    static override readonly channelHandlers: ChannelHandlers<Member> = { e: () => received++ }
    override async connect(): Promise<void> {
      await this.groupAdd('g')
    }
  }
  const { server } = await startConsumerServer(t, Member, { channels: layer }, { drainTimeoutMs: 20_000 })
  await turns()
  await server.stop()
  await turns()
  await layer.groupSend('g', { type: 'e' })
  await turns()
  t.is(received, 0)
  t.is(layer.counters.received, 0)
})

test('a type that is of the protocol, and a method that is not there, can not be declared', (t) => {
  class Forged extends MqttConsumer {
    static override readonly channelHandlers: ChannelHandlers<Forged> = { 'mqtt.msg': () => {} }
  }
  class Missing extends MqttConsumer {
    static override readonly channelHandlers = { a: 'nowhere' }
  }
  t.throws(() => hosted(Forged), { code: 'ERR_HANDLER_INVALID' })
  t.throws(() => hosted(Missing), { code: 'ERR_HANDLER_INVALID', message: /there is no method "nowhere"/ })
})

test('without a layer channels are refused with the reason', async (t) => {
  const result = new Deferred<unknown>()
  class Lonely extends MqttConsumer {
    override async connect(): Promise<void> {
      await this.groupSend('g', { type: 'a' }).catch((error: unknown) => result.resolve(error))
    }
  }
  await startConsumerServer(t, Lonely)
  t.like(await result.promise, { code: 'ERR_CHANNEL_LAYER' })
})

test('a consumer stays in its groups for longer than a membership lasts', async (t) => {
  const time = new FakeClock()
  const layer = new InMemoryChannelLayer({ groupExpiry: 10, clock: time })
  const heard: unknown[] = []
  class Member extends MqttConsumer {
    static override readonly channelHandlers: ChannelHandlers<Member> = { x: 'x' }
    override async connect(): Promise<void> {
      await this.groupAdd('g')
    }
    x({ number }: ChannelEvent): void {
      heard.push(number)
    }
  }
  const clock = new FakeClock()
  const receiver = hosted(Member, { channels: layer, clock })
  await receiver.connected(unattachedClient, { present: false, lost: false })
  for (let number = 0; number < 5; number++) {
    time.advance(5_000)
    clock.advance(5_000)
    await turns()
    await layer.groupSend('g', { type: 'x', number })
    await turns()
  }
  t.deepEqual(heard, [0, 1, 2, 3, 4])
  await receiver.disconnected({ type: 'stopped' })
  receiver.release()
  t.is(clock.timers, 0)
})

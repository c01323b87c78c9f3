// A consumer on a server: its hooks, its abilities, and what becomes of its messages.
import test from 'ava'
import { MqttConsumer, type ConsumerMessage } from '../../lib/consumer/consumer.ts'
import { sessionOf } from '../../lib/consumer/consumer-session.ts'
import { Deferred } from '../../lib/core/deferred.ts'
import { silentLog } from '../../lib/core/log.ts'
import type { DeliveryOptions } from '../../lib/core/delivery-options.ts'
import { MqttasgiError } from '../../lib/core/errors.ts'
import { Reject } from '../../lib/core/outcomes.ts'
import type { DisconnectReason, SessionInfo } from '../../lib/core/receiver.ts'
import { Router } from '../../lib/core/router.ts'
import { serve } from '../../lib/index.ts'
import { systemClock } from '../../lib/system-clock.ts'
import { memoryArrival } from '../../lib/testing/memory-arrival.ts'
import { MemoryTransport } from '../../lib/testing/memory-transport.ts'
import { hosted, startConsumerServer } from '../helpers/consumer-server.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { turns } from '../helpers/memory-server.ts'
import { plainMessage } from '../helpers/plain-message.ts'
import { hand, recordingClient, session } from '../helpers/worker-place.ts'

test('a consumer subscribes in connect, publishes from receive, and the message is acknowledged', async (t) => {
  class Echo extends MqttConsumer {
    override async connect(): Promise<void> {
      const { qos } = await this.subscribe('in/#', { qos: 1 })
      t.is(qos, 1)
    }
    override async receive(message: ConsumerMessage): Promise<void> {
      await this.publish('out', `${message.topic} ${message.text()}`)
    }
  }
  const { transport } = await startConsumerServer(t, Echo)
  await turns()
  t.deepEqual([...transport.subscriptions.keys()], ['in/#'])
  const id = transport.deliver('in/a', 'hello')
  await turns()
  t.deepEqual(transport.acknowledged, [id])
  t.is(transport.published[0]?.topic, 'out')
  t.is(transport.published[0]?.payload.toString(), 'in/a hello')
  t.is(transport.published[0]?.options.qos, 1)
})

test('a server has started when its consumers have subscribed in connect', async (t) => {
  class Late extends MqttConsumer {
    override async connect(): Promise<void> {
      await new Promise((resolve) => setTimeout(resolve, 20))
      await this.subscribe('late/+x')
    }
  }
  const { server, transport } = await startConsumerServer(t, Late, {}, { clock: systemClock })
  t.deepEqual([...transport.subscriptions.keys()], ['late/+'])
  t.true(server.health.ready)
})

test('an application that fails in its first connect fails the start', async (t) => {
  class Failing extends MqttConsumer {
    override async connect(): Promise<void> {
      await Promise.resolve()
      throw new Error('no device')
    }
  }
  const serving = serve(Failing, { transport: new MemoryTransport(), log: silentLog })
  await t.throwsAsync(serving, { code: 'ERR_APPLICATION_FAILED', message: /no device/ })
})

test('a connect that does not end is waited for ten seconds, and named', async (t) => {
  class Endless extends MqttConsumer {
    override connect(): Promise<void> {
      return new Promise(() => {})
    }
  }
  const clock = new FakeClock()
  const lines: string[] = []
  const log = { ...silentLog, warn: (line: string) => void lines.push(line) }
  const own = new FakeClock()
  const starting = startConsumerServer(t, Endless, { clock: own }, { clock, log })
  await turns()
  clock.advance(9_999)
  await turns()
  t.deepEqual(lines, [])
  clock.advance(1)
  const { server } = await starting
  t.regex(lines.join(), /^"application" has not been done with the news of its connection for 10 s/)
  const stopping = server.stop()
  for (let i = 0; i < 5; i++) {
    await turns()
    clock.advance(1_000)
  }
  await stopping
  await turns()
  t.is(own.timers, 0)
})

test('messages wait behind connect, also those that came before it', async (t) => {
  const order: string[] = []
  const gate = new Deferred()
  class Slow extends MqttConsumer {
    override async connect(): Promise<void> {
      order.push('connect')
      await gate.promise
      order.push('connected')
    }
    override receive(message: ConsumerMessage): void {
      order.push(message.topic)
    }
  }
  const { transport } = await startConsumerServer(t, Slow)
  transport.deliver('a')
  transport.deliver('b')
  await turns()
  t.deepEqual(order, ['connect'])
  gate.resolve()
  await turns()
  t.deepEqual(order, ['connect', 'connected', 'a', 'b'])
})

test('one event at a time, in the order of arrival, whatever their topics', async (t) => {
  let running = 0
  const order: string[] = []
  class One extends MqttConsumer {
    override async receive(message: ConsumerMessage): Promise<void> {
      t.is(++running, 1)
      await new Promise((resolve) => setImmediate(resolve))
      order.push(message.text())
      running--
    }
  }
  const { receiver, transport } = await startConsumerServer(t, One)
  for (let i = 0; i < 9; i++) transport.deliver(`t/${i % 3}`, String(i))
  await turns()
  await turns()
  t.deepEqual(order, ['0', '1', '2', '3', '4', '5', '6', '7', '8'])
  t.false(receiver.interests().some(({ strict }) => strict === true))
})

test('what receive throws is an outcome, and the next message is handled', async (t) => {
  const seen: string[] = []
  class Failing extends MqttConsumer {
    static override readonly options: DeliveryOptions = { retry: { attempts: 2 } }
    override receive(message: ConsumerMessage): void {
      seen.push(`${message.topic} ${message.attempt}`)
      if (message.topic === 'bad') throw new Error('no')
      if (message.topic === 'worse') throw new Reject('never')
    }
  }
  const { server, transport } = await startConsumerServer(t, Failing)
  for (const topic of ['bad', 'worse', 'good']) transport.deliver(topic)
  await turns()
  t.deepEqual(seen, ['bad 1', 'bad 2', 'worse 1', 'good 1'])
  t.is(server.counters.failed, 2)
  t.is(server.counters.handled, 1)
  t.is(transport.acknowledged.length, 3)
})

test('routes of the class and of connect come before receive, bound to the consumer, and are not doubled', async (t) => {
  const seen: string[] = []
  class Routed extends MqttConsumer {
    static override readonly routes = Router().topic('static/+name', (ctx) =>
      seen.push(`static ${ctx.params.name}`),
    )
    count = 0
    override connect(): void {
      this.topic('doors/+door', { qos: 0 }, function (ctx) {
        this.count++
        seen.push(`${ctx.params.door} ${this.count}`)
      })
    }
    override receive(message: ConsumerMessage): void {
      seen.push(`rest ${message.topic}`)
    }
  }
  const { receiver, transport } = await startConsumerServer(t, Routed)
  await turns()
  for (const topic of ['doors/front', 'static/x', 'other']) transport.deliver(topic)
  await turns()
  t.deepEqual(seen.splice(0), ['front 1', 'static x', 'rest other'])
  t.deepEqual(
    receiver.interests().map(({ filter, qos }) => [filter, qos]),
    [
      ['static/+', 1],
      ['doors/+', 0],
    ],
  )
  transport.info = { ...transport.info, sessionPresent: true }
  transport.lose()
  await turns()
  transport.deliver('doors/front')
  await turns()
  t.deepEqual(seen, ['front 2'])
  t.is(receiver.interests().length, 2)
})

test('next() of the last route goes on to receive, once, and its failure is that of the chain', async (t) => {
  const seen: string[] = []
  class Passing extends MqttConsumer {
    static override readonly options: DeliveryOptions = { retry: { attempts: 2 } }
    static override readonly routes = Router().topic('n/#rest', { timeoutMs: 50_000 }, async (_ctx, next) => {
      seen.push('first')
      await next()
    })
    override async connect(): Promise<void> {
      this.topic('n/+x', (_ctx, next) => {
        seen.push('second')
        return next()
      })
      this.topic('kept/+x', () => seen.push('kept'))
      await this.subscribe('n/+z')
    }
    override receive(message: ConsumerMessage): void {
      seen.push(`receive ${message.topic} ${JSON.stringify(message.params)} ${message.attempt}`)
      if (message.text() === 'bad') throw new Error('no')
    }
  }
  const { receiver, server, transport } = await startConsumerServer(t, Passing)
  await turns()
  transport.deliver('n/1', 'good')
  transport.deliver('kept/1')
  transport.deliver('n/1/2', 'good')
  await turns()
  t.deepEqual(seen.splice(0), [
    'first',
    'second',
    'receive n/1 {"z":"1"} 1',
    'kept',
    'first',
    'receive n/1/2 {} 1',
  ])
  transport.deliver('n/2', 'bad')
  await turns()
  t.deepEqual(
    seen.filter((line) => line.startsWith('receive')),
    ['receive n/2 {"z":"2"} 1', 'receive n/2 {"z":"2"} 2'],
  )
  t.is(server.counters.handled, 3)
  t.is(server.counters.failed, 1)
  const message = memoryArrival('n/1/2', Buffer.from(''), {})
  const { routes, timeoutMs } = receiver.plan(message)
  t.deepEqual(
    [routes, timeoutMs],
    [['n/#rest'], 50_000],
    'what stands behind a route says nothing of its time',
  )
  t.is(receiver.plan(message), receiver.plan(message), 'a plan is made once')
})

test('middleware of the class runs in front of receive too', async (t) => {
  const seen: string[] = []
  class Guarded extends MqttConsumer {
    static override readonly routes = Router()
      .use(async (ctx, next) => {
        if (ctx.text() === 'secret') await next()
      })
      .topic('routed', () => seen.push('routed'))
    override receive(message: ConsumerMessage): void {
      seen.push(message.topic)
    }
  }
  const { transport } = await startConsumerServer(t, Guarded)
  for (const topic of ['routed', 'other']) {
    transport.deliver(topic, 'secret')
    transport.deliver(topic, 'open')
  }
  await turns()
  t.deepEqual(seen, ['routed', 'other'])
})

test('a mount is in front of subscriptions and routes, and its parameters come with the message', async (t) => {
  const seen: unknown[] = []
  class Mounted extends MqttConsumer {
    override async connect(): Promise<void> {
      t.is((await this.subscribe('temp')).filter, 'temp')
      await this.subscribe('$share/g/+room/humidity')
      this.topic('lamps/+lamp', (ctx) => seen.push({ ...ctx.params }))
      t.deepEqual(
        [...this.subscriptions],
        [
          ['temp', 1],
          ['$share/g/+room/humidity', 1],
        ],
      )
    }
    override receive(message: ConsumerMessage): void {
      seen.push({ ...message.params, route: message.route })
    }
  }
  const { transport } = await startConsumerServer(t, Mounted, { mount: 'building/+floor' })
  await turns()
  t.deepEqual([...transport.subscriptions.keys()].sort(), [
    '$share/g/building/+/+/humidity',
    'building/+/lamps/+',
    'building/+/temp',
  ])
  for (const end of ['2/temp', '2/lamps/7', '3/hall/humidity', '4/unknown']) {
    transport.deliver(`building/${end}`)
  }
  await turns()
  t.deepEqual(seen, [
    { floor: '2', route: 'building/+floor/temp' },
    { floor: '2', lamp: '7' },
    { floor: '3', room: 'hall', route: 'building/+floor/+room/humidity' },
    { floor: '4', route: 'building/+floor/#' },
  ])
})

test('connect runs at each connection and says of the session; disconnect runs once, at the end', async (t) => {
  const told: unknown[] = []
  class Told extends MqttConsumer {
    override async connect(session: SessionInfo): Promise<void> {
      told.push(session)
      await this.subscribe('a')
    }
    override connectionLost({ type }: DisconnectReason): void {
      told.push(`lost: ${type}`)
    }
    override async disconnect({ type }: DisconnectReason): Promise<void> {
      told.push(`end: ${type}`)
      await this.publish('status', 'off')
    }
  }
  const parts = { sessionLasts: true, drainTimeoutMs: 20_000 }
  const { server, transport } = await startConsumerServer(t, Told, {}, parts)
  await turns()
  transport.info = { ...transport.info, sessionPresent: true }
  transport.lose()
  await turns()
  // The server tells the broker once on each connection; connect() adds nothing to that.
  const subscribes = transport.calls.filter((call) => call.startsWith('subscribe'))
  t.deepEqual(subscribes, ['subscribe a', 'subscribe a'])
  await server.stop()
  await turns()
  t.deepEqual(told, [
    { present: false, lost: false },
    'lost: lost',
    { present: true, lost: false },
    'end: stopped',
  ])
  t.is(transport.published.at(-1)?.topic, 'status')
})

test('a server that stops while there is no connection still lets disconnect run', async (t) => {
  const told: string[] = []
  class Told extends MqttConsumer {
    override disconnect({ type }: DisconnectReason): void {
      told.push(type)
    }
  }
  const policy = { retries: 0, protocolVersion: 5, backoff: () => 60_000 } as const
  const { server, transport } = await startConsumerServer(t, Told, {}, { policy })
  transport.lose()
  await turns()
  t.deepEqual(told, [])
  await server.stop()
  await turns()
  t.deepEqual(told, ['stopped'])
})

test('a refused subscription is an error, and is not among the subscriptions', async (t) => {
  const result = new Deferred<unknown>()
  class Refused extends MqttConsumer {
    override async connect(): Promise<void> {
      await this.subscribe('good')
      await this.subscribe('bad').catch((error: unknown) => result.resolve(error))
      t.deepEqual([...this.subscriptions.keys()], ['good'])
    }
  }
  const transport = new MemoryTransport()
  transport.grant = ({ filter, qos }) => (filter === 'bad' ? 0x87 : qos)
  await startConsumerServer(t, Refused, {}, { transport })
  const error = await result.promise
  t.true(error instanceof MqttasgiError && error.code === 'ERR_SUBSCRIBE_REFUSED')
})

test('what a consumer is refused at the start, and lives without, does not keep the server from starting', async (t) => {
  class Modest extends MqttConsumer {
    override async connect(): Promise<void> {
      await this.subscribe('bad').catch(() => {})
    }
  }
  const transport = new MemoryTransport()
  transport.grant = ({ filter, qos }) => (filter === 'bad' ? 0x87 : qos)
  const { server } = await startConsumerServer(t, Modest, {}, { transport })
  await turns()
  t.true(server.health.ready, server.health.reasons.join())
})

test('what a new connection refuses leaves the subscriptions', async (t) => {
  let subscriptions = (): unknown => undefined
  class Once extends MqttConsumer {
    override async connect(): Promise<void> {
      subscriptions = () => [...this.subscriptions]
      if (this.subscriptions.size === 0) await this.subscribe('a')
    }
  }
  const { transport } = await startConsumerServer(t, Once)
  await turns()
  t.deepEqual(subscriptions(), [['a', 1]])
  transport.grant = () => 0x87
  transport.lose()
  await turns()
  t.deepEqual(subscriptions(), [])
})

test('a connect that throws ends the consumer, and its messages are not done', async (t) => {
  const reasons: unknown[] = []
  class Broken extends MqttConsumer {
    override connect(): void {
      throw new Error('no sensor')
    }
    override disconnect(reason: DisconnectReason): void {
      reasons.push(reason.type)
    }
    override receive(): void {
      t.fail()
    }
  }
  const { receiver, server, transport } = await startConsumerServer(t, Broken)
  const error = await receiver.ended
  t.is(error?.message, 'no sensor')
  transport.deliver('a')
  await turns()
  t.is(server.counters.handled + server.counters.unmatched, 0)
  t.deepEqual(reasons, ['failed'])
})

test('what stood in the line of a consumer that ends is given back as not begun', async (t) => {
  const gate = new Deferred()
  class Broken extends MqttConsumer {
    override async connect(): Promise<void> {
      await gate.promise
      throw new Error('no sensor')
    }
    override receive(): void {
      t.fail()
    }
  }
  const receiver = hosted(Broken)
  const client = { publish: t.fail, subscribe: t.fail, unsubscribe: t.fail } as never
  void receiver.connected(client, { present: false, lost: false })
  const stood = hand(receiver, 'a')
  gate.resolve()
  t.like(await stood, { type: 'notTaken', error: { code: 'ERR_STOPPED' } })
  t.like(await hand(receiver, 'b'), { type: 'notTaken' })
  receiver.release()
})

class Broken extends MqttConsumer {
  override connect(): void {
    throw new Error('no sensor')
  }
}

test('a consumer that fails has its last words sent before anybody can take its place', async (t) => {
  class Polite extends Broken {
    override async disconnect({ type }: DisconnectReason): Promise<void> {
      await this.publish('state', `off ${type}`)
      await turns()
      await this.publish('state', 'last')
    }
  }
  const receiver = hosted(Polite)
  const client = recordingClient()
  void receiver.connected(client, session)
  await receiver.ended
  receiver.release()
  t.deepEqual(
    client.asked.map(([, , payload]) => payload),
    ['off failed', 'last'],
  )
})

test('whoever lets go of a consumer while it says its last words does not cut it off, but it has no others', async (t) => {
  const gate = new Deferred()
  const late = new Deferred<unknown>()
  class Slow extends Broken {
    override async disconnect(): Promise<void> {
      await gate.promise
      await this.publish('state', 'last')
      setImmediate(() => void this.publish('state', 'too late').catch(late.resolve.bind(late)))
    }
  }
  const receiver = hosted(Slow)
  const client = recordingClient()
  void receiver.connected(client, session)
  await turns()
  receiver.release()
  gate.resolve()
  t.like(await late.promise, { code: 'ERR_NOT_ATTACHED' })
  t.is(client.asked.length, 1)
})

test('a farewell that does not end is waited for only so long', async (t) => {
  class Endless extends Broken {
    override disconnect(): Promise<void> {
      return new Promise(() => {})
    }
  }
  const clock = new FakeClock()
  const warnings: string[] = []
  const receiver = hosted(Endless, { clock, log: { ...silentLog, warn: (line) => warnings.push(line) } })
  let hasEnded = false
  void receiver.ended?.then(() => (hasEnded = true))
  void receiver.connected(recordingClient(), session)
  await turns()
  clock.advance(4_999)
  await turns()
  t.false(hasEnded)
  clock.advance(1)
  await turns()
  t.true(hasEnded)
  t.deepEqual(warnings, ['disconnect() of "application" has not ended within 5 s, and is not waited for.'])
  receiver.release()
  t.is(clock.timers, 0)
})

test('options of a publication that are none are refused, by a handler and with hops too', async (t) => {
  const errors: unknown[] = []
  const note = (error: unknown): unknown => errors.push(error)
  class Careless extends MqttConsumer {
    override async receive(message: ConsumerMessage): Promise<void> {
      for (const options of [null, 5] as never[]) {
        await this.publish('out', 'x', options).catch(note)
        await message.publish('out', 'x', options).catch(note)
        await message.reply('x', options).catch(note)
      }
    }
  }
  const rules = { replyTopics: undefined, countHops: true }
  const { transport } = await startConsumerServer(t, Careless, { rules })
  transport.deliver('in', 'x', { properties: { responseTopic: 'answers' } })
  await turns()
  t.is(errors.length, 6)
  for (const error of errors) t.like(error, { code: 'ERR_PUBLISH_INVALID' })
  t.deepEqual(transport.published, [])
})

test('of a pattern that is not subscribed to any more nothing is kept', async (t) => {
  let made: MqttConsumer | undefined
  class Asking extends MqttConsumer {
    override async connect(): Promise<void> {
      made = await Promise.resolve(this)
    }
  }
  const { transport } = await startConsumerServer(t, Asking)
  await turns()
  const { plans } = sessionOf(made!)
  for (let i = 0; i < 20; i++) {
    await made!.subscribe(`reply/${i}`)
    transport.deliver(`reply/${i}`)
    await turns()
    t.is(plans.kept, 1)
    await made!.unsubscribe(`reply/${i}`)
  }
  t.is(plans.kept, 0)
})

test('a message that waits for connect() runs by what connect() has registered', async (t) => {
  const gate = new Deferred()
  const seen: unknown[] = []
  class Late extends MqttConsumer {
    override async connect(): Promise<void> {
      await gate.promise
      await this.subscribe('meters/+meter')
      this.topic('doors/+door', ({ params, route }) => seen.push(route, { ...params }))
    }
    override receive({ params, route }: ConsumerMessage): void {
      seen.push(route, { ...params })
      throw new Reject('never')
    }
  }
  const receiver = hosted(Late)
  void receiver.connected(recordingClient(), session)
  const outcomes = [hand(receiver, 'meters/7'), hand(receiver, 'doors/front')]
  gate.resolve()
  t.like(await outcomes[0], { type: 'rejected', route: 'meters/+meter' })
  t.like(await outcomes[1], { type: 'done' })
  t.deepEqual(seen, ['meters/+meter', { meter: '7' }, 'doors/+door', { door: 'front' }])
  receiver.release()
})

test('before it runs nothing can be asked of a consumer', async (t) => {
  class Plain extends MqttConsumer {}
  const consumer = new Plain()
  t.throws(() => consumer.scope, { code: 'ERR_NOT_ATTACHED' })
  t.throws(() => consumer.topic('a', () => {}), { code: 'ERR_NOT_ATTACHED' })
  await t.throwsAsync(consumer.publish('a', ''), { code: 'ERR_NOT_ATTACHED' })
  await t.throwsAsync(consumer.subscribe('a'), { code: 'ERR_NOT_ATTACHED' })
  await t.throwsAsync(consumer.spawn('a', Plain), { code: 'ERR_NOT_ATTACHED' })
})

test('its scope holds what the server says and the params it was given', async (t) => {
  const scope = new Deferred<unknown>()
  class Scoped extends MqttConsumer<{ unit: string }> {
    override connect(): void {
      scope.resolve([this.scope.appId, this.scope.instanceType, this.scope.params.unit])
    }
  }
  await startConsumerServer(t, Scoped, {
    scope: { type: 'mqtt', appId: 7, instanceType: 'worker', params: { unit: 'kWh' } },
  })
  t.deepEqual(await scope.promise, [7, 'worker', 'kWh'])
})

test('a worker may not spawn', async (t) => {
  const asked = new Deferred<unknown>()
  class Worker extends MqttConsumer {
    override async connect(): Promise<void> {
      t.deepEqual(this.workers(), [])
      await this.kill('other').catch((error: unknown) => asked.resolve(error))
    }
  }
  await startConsumerServer(t, Worker, {
    scope: { type: 'mqtt', appId: 1, instanceType: 'worker', params: {} },
  })
  const error = await asked.promise
  t.true(error instanceof MqttasgiError && error.code === 'ERR_WORKER_FORBIDDEN')
})

test('publications in receive count how many have led to them', async (t) => {
  class Loop extends MqttConsumer {
    override async receive(): Promise<void> {
      await this.publish('out', '', { properties: { userProperties: { mine: 'x' } } })
    }
  }
  const { transport } = await startConsumerServer(t, Loop, {
    rules: { replyTopics: undefined, countHops: true },
  })
  transport.deliver('in', '', { properties: { userProperties: { 'mqttasgi-hops': ['3'] } } })
  await turns()
  const { userProperties } = transport.published[0]?.options.properties ?? {}
  t.deepEqual(userProperties, { 'mqttasgi-hops': '4', mine: 'x' })
})

test('workers of one class leave nothing at its static routes', (t) => {
  const routes = Router().topic('a', () => {})
  class Worker extends MqttConsumer {
    static override readonly routes = routes
  }
  let told = 0
  for (let i = 0; i < 3; i++) {
    const receiver = hosted(Worker)
    receiver.onInterests(() => told++)
    receiver.release()
  }
  hosted(Worker).onInterests(() => told++)
  routes.topic('b', () => {})
  t.is(told, 1)
})

test('a handler that never ends ends the consumer, once others have waited too long for it', async (t) => {
  const reasons: string[] = []
  class Stuck extends MqttConsumer {
    static override readonly options: DeliveryOptions = { timeoutMs: 10, holdMs: 20, retry: { attempts: 1 } }
    override receive(): Promise<void> {
      return new Promise(() => {})
    }
    override disconnect({ type }: DisconnectReason): void {
      reasons.push(type)
    }
  }
  const clock = new FakeClock()
  const { receiver, server, transport } = await startConsumerServer(t, Stuck, { clock }, { clock })
  transport.deliver('a')
  await turns()
  clock.advance(15)
  await turns()
  t.is(server.counters.failed, 1)
  transport.deliver('b')
  await turns()
  clock.advance(30)
  const error = await receiver.ended
  t.true(error instanceof MqttasgiError && error.code === 'ERR_HANDLER_TIMEOUT')
  t.deepEqual(reasons, ['failed'])
})

test('a handler that never ends does not keep disconnect from running at a stop', async (t) => {
  const told: string[] = []
  class Stuck extends MqttConsumer {
    override receive(): Promise<void> {
      return new Promise(() => {})
    }
    override disconnect({ type }: DisconnectReason): void {
      told.push(type)
    }
  }
  const { server, transport } = await startConsumerServer(t, Stuck, {}, { drainTimeoutMs: 5 })
  transport.deliver('a')
  await turns()
  t.is((await server.stop()).unsettled, 1)
  await turns()
  t.deepEqual(told, ['stopped'])
})

test('instances side by side keep order by topic, for each has its share of them', (t) => {
  class Shared extends MqttConsumer {}
  const message = plainMessage('a')
  t.is(hosted(Shared).plan(message).order, 'strict')
  t.is(hosted(Shared, { instances: 3 }).plan(message).order, 'topic')
})

test('a route that sheds keeps a line for each topic', (t) => {
  class Shedding extends MqttConsumer {
    static override readonly routes = Router().topic('a/+', { overflow: 'latest' }, () => {})
  }
  const message = plainMessage('a/b')
  t.is(hosted(Shedding).plan(message).order, 'topic')
})

test('routes and subscriptions are listed with their order, for whoever plans in another thread', async (t) => {
  class Listed extends MqttConsumer {
    static override readonly routes = Router().topic('a/+id', () => {})
    override async connect(): Promise<void> {
      await this.subscribe('$share/g/b/+')
    }
  }
  const { receiver } = await startConsumerServer(t, Listed, { mount: 'm' })
  await turns()
  t.deepEqual(
    receiver.routes?.().map(({ delivery, options, pattern }) => [pattern, options.share, delivery.order]),
    [
      ['m/a/+id', undefined, 'strict'],
      ['m/b/+', 'g', 'strict'],
    ],
  )
})

test('a subscription to what begins with $ reaches receive', async (t) => {
  const seen: string[] = []
  class System extends MqttConsumer {
    override async connect(): Promise<void> {
      await this.subscribe('$SYS/#')
    }
    override receive(message: ConsumerMessage): void {
      seen.push(message.topic)
    }
  }
  const { transport } = await startConsumerServer(t, System)
  await turns()
  transport.deliver('$SYS/uptime')
  await turns()
  t.deepEqual(seen, ['$SYS/uptime'])
})

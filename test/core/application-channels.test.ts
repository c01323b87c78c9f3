// Channel events at an application: declared types run one at a time, in its groups as long as a server runs it.
import test from 'ava'
import { InMemoryChannelLayer } from '../../lib/channels/memory.ts'
import { mqttasgi, type ApplicationNode } from '../../lib/core/application.ts'
import type { ApplicationReceiver } from '../../lib/core/application-receiver.ts'
import type { ChannelContext } from '../../lib/core/channel-handlers.ts'
import { Deferred } from '../../lib/core/deferred.ts'
import { MqttasgiError } from '../../lib/core/errors.ts'
import { masterScope } from '../../lib/core/scope.ts'
import { unattachedClient } from '../../lib/core/unattached-client.ts'
import { FakeClock, settled } from '../helpers/fake-clock.ts'

interface Stage {
  readonly receiver: ApplicationReceiver
  readonly layer: InMemoryChannelLayer
  readonly clock: FakeClock
  readonly said: string[]
  readonly connect: () => Promise<void>
}

function stage(app: object, layer: InMemoryChannelLayer = new InMemoryChannelLayer()): Stage {
  const clock = new FakeClock()
  const said: string[] = []
  const say = (message: string): void => void said.push(message)
  const log = { debug() {}, info() {}, warn: say, error: say }
  const identity = { scope: masterScope, log, channels: layer, clock }
  const receiver = (app as ApplicationNode).receiver(identity)
  const session = { present: false, lost: false }
  return { receiver, layer, clock, said, connect: () => receiver.connected(unattachedClient, session) }
}

test('an event of a group goes to the handler of its type, with what it needs', async (t) => {
  const got = new Deferred<readonly [unknown, ChannelContext]>()
  const app = mqttasgi().channel('alarm.raised', { group: ['alarms', 'all'] }, (event, ctx) =>
    got.resolve([event, ctx]),
  )
  const { connect, layer, receiver } = stage(app)
  await connect()
  await layer.groupSend('alarms', { type: 'alarm.raised', room: 'hall' })
  const [event, ctx] = await got.promise
  t.deepEqual(event, { type: 'alarm.raised', room: 'hall' })
  t.is(ctx.scope, masterScope)
  t.regex(ctx.channelName, /^specific\./)
  await t.throwsAsync(ctx.publish('a', 'b'), { code: 'ERR_NOT_ATTACHED' })
  await ctx.send('other', { type: 'answer' })
  t.is((await layer.receive('other')).type, 'answer')
  await receiver.disconnected({ type: 'stopped' })
})

test('one event at a time, in the order they came, and one that fails ends nothing', async (t) => {
  const log: string[] = []
  const gate = new Deferred()
  const app = mqttasgi()
    .channel('slow', { group: 'g' }, async () => {
      log.push('slow begins')
      await gate.promise
      log.push('slow ends')
      throw new Error('this one fails')
    })
    .channel('fast', () => void log.push('fast'))
  const { connect, layer, said, receiver } = stage(app)
  await connect()
  await layer.groupSend('g', { type: 'slow' })
  await layer.groupSend('g', { type: 'fast' })
  await settled()
  t.deepEqual(log, ['slow begins'])
  gate.resolve()
  await settled()
  t.deepEqual(log, ['slow begins', 'slow ends', 'fast'])
  t.regex(said.join(), /"slow" failed: this one fails/)
  await receiver.disconnected({ type: 'stopped' })
})

test('what does not end within the time of a handler is told so and logged, and the next event has its turn', async (t) => {
  const reasons: unknown[] = []
  const ran: unknown[] = []
  const app = mqttasgi({ timeoutMs: 300 })
    .channel('endless', { group: 'g' }, (_event, { signal }) => {
      signal.addEventListener('abort', () => reasons.push(signal.reason))
      return new Promise(() => {})
    })
    .channel('next', ({ n }, { signal }) => void ran.push([n, signal.aborted]))
  const { clock, connect, layer, said, receiver } = stage(app)
  await connect()
  await layer.groupSend('g', { type: 'endless' })
  await layer.groupSend('g', { type: 'next', n: 1 })
  await settled()
  clock.advance(299)
  await settled()
  t.deepEqual([ran, reasons, said], [[], [], []])
  clock.advance(1)
  await settled()
  t.deepEqual(ran, [[1, false]])
  t.like(reasons, [{ code: 'ERR_HANDLER_TIMEOUT' }])
  t.regex(
    said.join(),
    /channel event "endless" failed: .*"endless" of "application" has not ended within 300 ms/,
  )
  await receiver.disconnected({ type: 'stopped' })
  t.is(clock.timers, 0)
})

test('its time is counted while there is a connection, and not beyond the end', async (t) => {
  const app = mqttasgi({ timeoutMs: 300 }).channel('endless', { group: 'g' }, () => new Promise(() => {}))
  const { clock, connect, layer, said, receiver } = stage(app)
  await connect()
  await layer.groupSend('g', { type: 'endless' })
  await settled()
  await receiver.disconnected({ type: 'lost' })
  clock.advance(300)
  await settled()
  t.deepEqual(said, [])
  await connect()
  clock.advance(300)
  await settled()
  t.is(said.length, 1)
  await layer.groupSend('g', { type: 'endless' })
  await settled()
  await receiver.disconnected({ type: 'stopped' })
  t.is(clock.timers, 0)
})

test('one group of several that can not be joined at once makes no event run twice, and nothing runs after the stop', async (t) => {
  const ran: unknown[] = []
  const layer = new InMemoryChannelLayer()
  const add = layer.groupAdd.bind(layer)
  let isAway = true
  layer.groupAdd = (group, channel) =>
    group === 'g2' && isAway ? Promise.reject(new Error('Redis is away')) : add(group, channel)
  const app = mqttasgi().channel('x', { group: ['g1', 'g2'] }, ({ n }) => void ran.push(n))
  const { clock, connect, receiver } = stage(app, layer)
  await connect()
  isAway = false
  clock.advance(5_000)
  await settled()
  for (const group of ['g1', 'g2']) await layer.groupSend(group, { type: 'x', n: group })
  await settled()
  t.deepEqual(ran, ['g1', 'g2'])
  await receiver.disconnected({ type: 'stopped' })
  await settled()
  await layer.groupSend('g1', { type: 'x', n: 'late' })
  await settled()
  t.deepEqual(ran, ['g1', 'g2'])
  t.is(clock.timers, 0)
})

test('an event that was not declared is said once and dropped, whatever its name', async (t) => {
  const ran: string[] = []
  const app = mqttasgi().channel('known', { group: 'g' }, ({ type }) => void ran.push(type))
  const { connect, layer, said, receiver } = stage(app)
  await connect()
  const types = ['mqtt.msg', 'subscribe', '__proto__', 'constructor', 'toString', 'channel', 'mqtt.msg']
  for (const type of types) await layer.groupSend('g', { type })
  await layer.groupSend('g', { type: 'known' })
  await settled()
  t.deepEqual(ran, ['known'])
  t.is(said.length, 6)
  await receiver.disconnected({ type: 'stopped' })
})

test('a lost connection leaves no group, a stop leaves all', async (t) => {
  const ran: unknown[] = []
  const app = mqttasgi().channel('x', { group: 'g' }, ({ number }) => void ran.push(number))
  const { connect, layer, receiver, clock } = stage(app)
  await connect()
  await receiver.disconnected({ type: 'lost' })
  await layer.groupSend('g', { type: 'x', number: 1 })
  await connect()
  await layer.groupSend('g', { type: 'x', number: 2 })
  await settled()
  await receiver.disconnected({ type: 'stopped' })
  await layer.groupSend('g', { type: 'x', number: 3 })
  await settled()
  t.deepEqual(ran, [1, 2])
  t.is(clock.timers, 0)
})

test('what is declared while a server runs it is heard of too', async (t) => {
  const ran: unknown[] = []
  const app = mqttasgi()
  const { connect, layer, receiver } = stage(app)
  await connect()
  app.channel('x', { group: 'g' }, ({ number }) => void ran.push(number))
  await settled()
  app.channel('y', { group: 'h' }, ({ number }) => void ran.push(number))
  await settled()
  await layer.groupSend('g', { type: 'x', number: 1 })
  await layer.groupSend('h', { type: 'y', number: 2 })
  await settled()
  t.deepEqual(ran, [1, 2])
  await receiver.disconnected({ type: 'stopped' })
})

test('an application stays in its groups for longer than a membership lasts', async (t) => {
  const ran: unknown[] = []
  const app = mqttasgi().channel('x', { group: 'g' }, ({ number }) => void ran.push(number))
  const time = new FakeClock()
  const { connect, layer, receiver, clock } = stage(
    app,
    new InMemoryChannelLayer({ groupExpiry: 10, clock: time }),
  )
  await connect()
  for (let i = 0; i < 5; i++) {
    time.advance(5_000)
    clock.advance(5_000)
    await settled()
    await layer.groupSend('g', { type: 'x', number: i })
    await settled()
  }
  t.deepEqual(ran, [0, 1, 2, 3, 4])
  await receiver.disconnected({ type: 'stopped' })
})

test('groups that can not be joined are tried again', async (t) => {
  let fails = 1
  class Failing extends InMemoryChannelLayer {
    override async groupAdd(group: string, channel: string): Promise<void> {
      if (fails-- > 0) throw new MqttasgiError('ERR_CHANNEL_LAYER', 'Redis is away.')
      await super.groupAdd(group, channel)
    }
  }
  const ran: unknown[] = []
  const app = mqttasgi().channel('x', { group: 'g' }, () => void ran.push(1))
  const { connect, layer, receiver, clock, said } = stage(app, new Failing())
  await connect()
  t.regex(said.join(), /can not be joined, which is tried again: Redis is away/)
  clock.advance(5_000)
  await settled()
  await layer.groupSend('g', { type: 'x' })
  await settled()
  t.is(ran.length, 1)
  await receiver.disconnected({ type: 'stopped' })
})

test('what can not be a handler of channel events is refused where it is declared', (t) => {
  const app = mqttasgi()
  const handler = (): void => {}
  const unsendable = ['bad type', 'a.', '.a', 'ä', 'a/b', 'x'.repeat(100)]
  for (const type of ['', 'mqtt.msg', 'mqttasgi.worker.spawn', ...unsendable]) {
    t.throws(() => app.channel(type, handler), { code: 'ERR_HANDLER_INVALID' }, type)
  }
  t.throws(() => app.channel('x', undefined as never), { code: 'ERR_HANDLER_INVALID' })
  t.throws(() => app.channel('x', { group: 'a b' }, handler), { code: 'ERR_CHANNEL_NAME' })
  t.throws(() => app.channel('x', { groups: 'a' } as never, handler), {
    code: 'ERR_HANDLER_INVALID',
    message: /option group, and got "groups"/,
  })
  app.channel('x', handler)
  t.throws(() => app.channel('x', handler), { code: 'ERR_HANDLER_INVALID', message: /already/ })
})

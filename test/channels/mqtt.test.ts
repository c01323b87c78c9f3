// The layer over MQTT on a broker in memory: the contract, and what is different where the broker is all there is.
import test, { type ExecutionContext } from 'ava'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { MqttChannelLayer, type MqttChannelLayerOptions } from '../../lib/channels/mqtt-channel-layer.ts'
import { MqttLosses } from '../../lib/channels/mqtt-losses.ts'
import { zeroChannelCounters, type ChannelLimits } from '../../lib/core/channel-layer.ts'
import { mqttasgi, type Application } from '../../lib/core/application.ts'
import { Deferred } from '../../lib/core/deferred.ts'
import type { MqttasgiError } from '../../lib/core/errors.ts'
import { silentLog, type LogFields, type Logger } from '../../lib/core/log.ts'
import { Server } from '../../lib/server/server.ts'
import type { ServerParts } from '../../lib/server/server-parts.ts'
import type { MemoryTransport } from '../../lib/testing/memory-transport.ts'
import { channelLayerContract, throwsCode, type LayersSetup } from '../contract/channel-layer.ts'
import type { ChannelLossEvent } from '../../lib/core/trace.ts'
import { FakeClock, settled } from '../helpers/fake-clock.ts'
import { MemoryBroker } from '../helpers/memory-broker.ts'
import { plainParts } from '../helpers/memory-server.ts'

interface Process {
  readonly layer: MqttChannelLayer
  readonly server: Server
  readonly transport: MemoryTransport
}

async function processOn(
  t: ExecutionContext,
  broker: MemoryBroker,
  options: MqttChannelLayerOptions = {},
  parts: Partial<ServerParts> = {},
): Promise<Process> {
  const layer = new MqttChannelLayer({ timeout: 1, ...options })
  const transport = broker.transport()
  const server = new Server({
    transport,
    ...plainParts(mqttasgi()),
    sessionLasts: false,
    drainTimeoutMs: 0,
    ...parts,
    receivers: [...(parts.receivers ?? []), layer.receiver],
  })
  await server.start()
  t.teardown(() => server.stop())
  return { layer, server, transport }
}

async function open(t: ExecutionContext, limits: ChannelLimits = {}): Promise<LayersSetup> {
  const broker = new MemoryBroker()
  const clock = new FakeClock()
  const { layer: here } = await processOn(t, broker, { ...limits, clock })
  const { layer: there } = await processOn(t, broker, { ...limits, clock })
  return {
    here,
    there,
    wait: async (ms) => clock.advance(ms),
    arrived: settled,
    knowsRoom: false,
  }
}

channelLayerContract(test, 'mqtt', open)

test('what another process alone receives from is refused', async (t) => {
  const { here, there } = await open(t)
  await throwsCode(t, here.receive(await there.newChannel()), 'ERR_CHANNEL_NAME')
})

test('a group holds channels of processes, and no others', async (t) => {
  const { here } = await open(t)
  const error = await throwsCode(t, here.groupAdd('all', 'named'), 'ERR_CHANNEL_NAME')
  t.regex(error.message, /"named".*newChannel\(\)/)
})

test('what nobody receives from is said where the broker tells it', async (t) => {
  const { here } = await open(t)
  const error = await throwsCode(t, here.send('nobody', { type: 'x' }), 'ERR_CHANNEL_LAYER')
  t.regex(error.message, /Nobody receives from the channel "nobody"/)
  const gone = 'specific.gone!x'
  t.regex((await throwsCode(t, here.send(gone, { type: 'x' }), 'ERR_CHANNEL_LAYER')).message, /Nobody/)
  t.regex((await throwsCode(t, here.groupAdd('all', gone), 'ERR_CHANNEL_LAYER')).message, /"gone".*not there/)
})

test('a process subscribes to a group as long as it has a channel in it', async (t) => {
  const { layer, transport, server } = await processOn(t, new MemoryBroker())
  const [a, b] = [await layer.newChannel(), await layer.newChannel()]
  const always = [...transport.subscriptions.keys()]
  await layer.groupAdd('all', a)
  await layer.groupAdd('all', b)
  t.deepEqual([...transport.subscriptions.keys()], [...always, 'asgi/groups/all'])
  await layer.groupDiscard('all', a)
  await settled()
  t.true(transport.subscriptions.has('asgi/groups/all'))
  await layer.groupDiscard('all', b)
  await server.ready()
  await settled()
  t.deepEqual([...transport.subscriptions.keys()], always)
})

test('a channel of no process is subscribed to as long as somebody waits for it', async (t) => {
  const { layer, transport } = await processOn(t, new MemoryBroker())
  const end = new AbortController()
  const waiting = layer.receive('named', end.signal)
  await settled()
  t.true(transport.subscriptions.has('$share/asgi/asgi/channels/named'))
  end.abort(new Error('enough'))
  await t.throwsAsync(waiting, { message: 'enough' })
  await settled()
  t.false(transport.subscriptions.has('$share/asgi/asgi/channels/named'))
})

test('a subscription that the broker refuses is told to whoever waits', async (t) => {
  const { layer, transport } = await processOn(t, new MemoryBroker())
  transport.grant = () => 0x87
  const error = await throwsCode(t, layer.receive('named'), 'ERR_CHANNEL_LAYER')
  t.regex(error.message, /not confirmed it/)
  await throwsCode(t, layer.groupAdd('all', await layer.newChannel()), 'ERR_CHANNEL_LAYER')
})

test('a broker that does not answer is an error within the time', async (t) => {
  const { layer, transport } = await processOn(t, new MemoryBroker(), { timeout: 0.05 })
  const channel = await layer.newChannel()
  transport.holdAnswers = true
  for (const late of [layer.groupSend('all', { type: 'x' }), layer.send('named', { type: 'x' })]) {
    const error = await throwsCode(t, late, 'ERR_CHANNEL_LAYER')
    t.regex(error.message, /no answer within 0.05 s/)
  }
  await layer.send(channel, { type: 'own' })
  t.is((await layer.receive(channel)).type, 'own')
})

test('a layer that is on no server says so in time', async (t) => {
  const layer = new MqttChannelLayer({ timeout: 0.05 })
  await throwsCode(t, layer.groupSend('all', { type: 'x' }), 'ERR_CHANNEL_LAYER')
})

test('an event that the broker brings again is received once', async (t) => {
  const broker = new MemoryBroker()
  const [here, there] = [await processOn(t, broker), await processOn(t, broker)]
  const channel = await there.layer.newChannel()
  await here.layer.send(channel, { type: 'once' })
  const [sent] = here.transport.published
  there.transport.deliver(sent?.topic ?? '', sent?.payload ?? '', { qos: 1, dup: true })
  await here.layer.send(channel, { type: 'next' })
  t.is((await there.layer.receive(channel)).type, 'once')
  t.is((await there.layer.receive(channel)).type, 'next')
})

function errorsOf(): { readonly said: string[]; readonly log: Logger } {
  const said: string[] = []
  const error = (message: string, { error }: LogFields = {}): void =>
    void said.push(`${(error as MqttasgiError).code} ${message}`)
  return { said, log: { ...silentLog, error } }
}

/** Sends without pause until so many were sent. */
async function sendMany(layer: MqttChannelLayer, channel: string, count: number): Promise<void> {
  await Promise.all(Array.from({ length: count }, () => layer.send(channel, { type: 'x' })))
  await settled()
}

test('an event that came and found no room is said once until there is some, here and where it was sent', async (t) => {
  const broker = new MemoryBroker()
  const [near, far] = [errorsOf(), errorsOf()]
  const clock = new FakeClock()
  const { layer: here } = await processOn(t, broker, { log: near.log, clock })
  const { layer: there } = await processOn(t, broker, { capacity: 1, log: far.log, clock })
  const channel = await there.newChannel()
  await sendMany(here, channel, 4)
  t.deepEqual([there.counters.full, here.counters.full], [3, 3])
  t.is(far.said.length, 1)
  t.regex(
    far.said[0] ?? '',
    /^ERR_CHANNEL_FULL An event that came was lost\. The event has not reached specific\./,
  )
  t.is(near.said.length, 1)
  t.regex(near.said[0] ?? '', /^ERR_CHANNEL_FULL An event was lost in the process that receives from there\./)
  t.true([...near.said, ...far.said].every((line) => line.includes(channel)))
  await there.receive(channel)
  await sendMany(here, channel, 2)
  t.is(far.said.length, 2)
  // Whoever sends does not know when there is room: he hears of it again when all that was there has expired.
  t.is(near.said.length, 1)
  clock.advance(60_000)
  await sendMany(here, channel, 2)
  t.is(near.said.length, 2)
  t.deepEqual([there.counters.full, here.counters.full], [5, 5])
})

test('of a group it is told which of its channels had no room', async (t) => {
  const broker = new MemoryBroker()
  const { layer: here } = await processOn(t, broker)
  const { layer: there } = await processOn(t, broker, { capacity: 1 })
  const [full, empty] = [await there.newChannel(), await there.newChannel()]
  for (const channel of [full, empty]) await there.groupAdd('all', channel)
  await here.send(full, { type: 'x' })
  const losses: unknown[] = []
  const lost = (event: unknown): void => {
    if ((event as ChannelLossEvent).channel === full) losses.push(event)
  }
  subscribe('mqttasgi:channel-loss', lost)
  await here.groupSend('all', { type: 'x' })
  await settled()
  unsubscribe('mqttasgi:channel-loss', lost)
  const loss = { layer: 'mqtt asgi', channel: full, reason: 'full', count: 1 }
  t.deepEqual(losses, [loss, loss])
  t.is(here.counters.full, 1)
})

test('who sends without end is told of all that was lost, and not with one publication for each', async (t) => {
  const broker = new MemoryBroker()
  const { layer: here } = await processOn(t, broker)
  const { layer: there, transport } = await processOn(t, broker, { capacity: 1 })
  const channel = await there.newChannel()
  transport.holdAnswers = true
  await sendMany(here, channel, 91)
  transport.holdAnswers = false
  transport.answer()
  await settled()
  t.is(here.counters.full, 90)
  t.is(transport.published.length, 2)
})

test('what a process has lost of its own is counted and said once', async (t) => {
  const { said, log } = errorsOf()
  const { layer } = await processOn(t, new MemoryBroker(), { capacity: 1, log })
  const first = layer.receive('named')
  await settled()
  await layer.send('named', { type: 'first' })
  await first
  await sendMany(layer, 'named', 3)
  t.is(layer.counters.full, 2)
  t.is(said.length, 1)
})

test('losses are told whatever the channel is called', async (t) => {
  const broker = new MemoryBroker()
  const { layer: here } = await processOn(t, broker)
  const { layer: there } = await processOn(t, broker, { capacity: 1 })
  const first = there.receive('__proto__')
  await settled()
  await here.send('__proto__', { type: 'first' })
  await first
  await sendMany(here, '__proto__', 2)
  t.deepEqual([there.counters.full, here.counters.full], [1, 1])
})

test('what was lost in more channels than can be told at once is told the next time', async (t) => {
  const counters = zeroChannelCounters()
  const told: number[] = []
  const parts = { layer: 'mqtt asgi', capacity: 1, expiryMs: 1_000, clock: new FakeClock(), counters }
  const losses = new MqttLosses({
    ...parts,
    log: silentLog,
    tell: async (_client, lost) => void told.push(lost.length),
  })
  for (let at = 0; at < 1_501; at++) losses.here('other', `channel-${at}`)
  await settled()
  t.deepEqual(told, [1, 1_000, 500])
})

test('what others publish under the prefix is counted, passed over, and ends nothing', async (t) => {
  const { layer, transport } = await processOn(t, new MemoryBroker())
  const channel = await layer.newChannel()
  await layer.groupAdd('all', channel)
  const own = [...transport.subscriptions.keys()].find((filter) => filter.endsWith('/+')) ?? ''
  const to = (name: string): string => own.replace('+', name)
  const payloads = [
    '',
    'x',
    'a 1\n',
    'a 2\n{"no":"type"}',
    'a 3\n{"type":"x","__proto__":{}}',
    '\0'.repeat(100),
  ]
  const topics = [to('control'), to(channel), 'asgi/groups/all']
  for (const topic of topics) for (const payload of payloads) transport.deliver(topic, payload)
  transport.deliver(to('control'), 'a 9\n{"type":"group.add","number":1,"group":"#","channel":"+"}')
  transport.deliver(
    to('control'),
    'a 10\n{"type":"group.add","number":1,"group":"g","channel":"specific.other!x"}',
  )
  transport.deliver(to('control'), 'a 11\n{"type":"answer","number":77}')
  const losses = [
    'null',
    '5',
    '{"a":1}',
    '[5]',
    '[["a/b",1]]',
    '[[5,1]]',
    '[["a"]]',
    '[["a","1"]]',
    '[["a",0]]',
    '[["a",1.5]]',
  ]
  for (const [at, lost] of losses.entries())
    transport.deliver(to('control'), `b ${at}\n{"type":"lost","lost":${lost}}`)
  transport.deliver(
    to('control'),
    `b 99\n{"type":"lost","lost":[${Array.from({ length: 1_001 }, (_, at) => `["c${at}",1]`).join()}]}`,
  )
  await settled()
  t.is(layer.counters.full, 0)
  // The same numbers of the same sender count as the same event.
  t.is(layer.counters.unreadable, 12 + losses.length + 1)
  await layer.send(channel, { type: 'x' })
  t.is((await layer.receive(channel)).type, 'x')
  t.deepEqual(
    [...transport.subscriptions.keys()].filter((filter) => filter.includes('groups')),
    ['asgi/groups/all'],
  )
})

test('after a reconnect groups and channels go on', async (t) => {
  const broker = new MemoryBroker()
  const [here, there] = [await processOn(t, broker), await processOn(t, broker)]
  const channel = await there.layer.newChannel()
  await there.layer.groupAdd('all', channel)
  const waiting = there.layer.receive('named')
  await settled()
  there.transport.lose()
  await there.server.ready()
  await settled()
  await here.layer.groupSend('all', { type: 'group' })
  await here.layer.send('named', { type: 'named' })
  t.is((await there.layer.receive(channel)).type, 'group')
  t.is((await waiting).type, 'named')
})

test('a flush reaches the other processes', async (t) => {
  const { here, there, arrived } = await open(t)
  const channel = await there.newChannel()
  await there.groupAdd('all', channel)
  await here.send(channel, { type: 'old' })
  await here.flush()
  await arrived()
  await here.groupSend('all', { type: 'old' })
  await here.send(channel, { type: 'new' })
  t.is((await there.receive(channel)).type, 'new')
})

test('a process that has received once and stopped keeps no event from one that goes on', async (t) => {
  const { here, there, wait, arrived } = await open(t)
  const got: unknown[] = []
  const end = new AbortController()
  const receiving = t.throwsAsync(async () => {
    for (;;) got.push((await here.receive('jobs', end.signal))['number'])
  })
  await arrived()
  const once = there.receive('jobs')
  await arrived()
  for (let i = 0; i < 10; i++) await here.send('jobs', { type: 'job', number: i })
  await once
  await arrived()
  t.is(got.length, 5)
  for (let i = 0; i < 3; i++) {
    await wait(250)
    await arrived()
  }
  t.is(got.length, 9)
  // It has left the channel.
  for (let i = 10; i < 14; i++) await here.send('jobs', { type: 'job', number: i })
  await arrived()
  t.is(got.length, 13)
  end.abort(new Error('enough'))
  await receiving
})

test('whoever comes later gets what a process that has stopped receiving still has', async (t) => {
  const { here, there, wait, arrived } = await open(t)
  const first = there.receive('jobs')
  await arrived()
  for (let i = 0; i < 4; i++) await here.send('jobs', { type: 'job', number: i })
  await first
  await wait(5_000)
  await arrived()
  for (let i = 1; i < 4; i++) t.is((await here.receive('jobs'))['number'], i)
})

test('who is alone and busy for long loses nothing', async (t) => {
  const { here, there, wait, arrived } = await open(t)
  const first = there.receive('jobs')
  await arrived()
  await here.send('jobs', { type: 'job', number: 0 })
  await first
  await wait(10_000)
  for (let i = 1; i < 4; i++) await here.send('jobs', { type: 'job', number: i })
  await wait(10_000)
  await arrived()
  for (let i = 1; i < 4; i++) t.is((await there.receive('jobs'))['number'], i)
})

test('at its end a layer gives what waits to those who go on, and counts what nobody wants', async (t) => {
  const { here, there, arrived } = await open(t)
  const [own, first] = [await there.newChannel(), there.receive('jobs')]
  await arrived()
  for (let i = 0; i < 3; i++) await here.send('jobs', { type: 'job', number: i })
  await here.send(own, { type: 'own' })
  await first
  const next = here.receive('jobs')
  await arrived()
  await there.close()
  t.is((await next)['number'], 1)
  t.is((await here.receive('jobs'))['number'], 2)
  t.is(there.counters.expired, 1)
})

test('a handler that holds the whole window is answered by another process, also while its server stops', async (t) => {
  const broker = new MemoryBroker()
  const { layer: there } = await processOn(t, broker)
  const channel = await there.newChannel()
  const done: string[] = []
  const app = mqttasgi()
  app.topic('ask/+group', async ({ params }) => {
    await here.layer.groupAdd(params.group, channel)
    done.push(params.group)
  })
  const { receivers } = plainParts(app)
  const window = { maxInFlight: 1, maxWaitingBytes: 1_000 }
  const here = await processOn(t, broker, {}, { receivers, window, drainTimeoutMs: 10_000 })
  here.transport.deliver('ask/a')
  here.transport.deliver('ask/b')
  await settled()
  t.deepEqual(done, ['a', 'b'])
  here.transport.deliver('ask/c')
  await Promise.resolve()
  await here.server.stop()
  t.deepEqual(done, ['a', 'b', 'c'])
  t.is(here.server.counters.failed, 0)
})

interface Held {
  /** Its handlers take a place of its window each. */
  readonly here: Process
  /** Has the channel, and answers nothing until its socket is read again. */
  readonly there: Process
  readonly channel: string
}

/** Two processes, of which one has the application that `make` makes, and a window of so many places. */
async function held(
  t: ExecutionContext,
  maxInFlight: number,
  make: (held: () => Held) => Application,
): Promise<Held> {
  const broker = new MemoryBroker()
  const there = await processOn(t, broker)
  const channel = await there.layer.newChannel()
  there.transport.pause()
  const { receivers } = plainParts(make(() => all))
  const window = { maxInFlight, maxWaitingBytes: 1_000 }
  const here = await processOn(t, broker, {}, { receivers, window, drainTimeoutMs: 10_000 })
  const all: Held = { here, there, channel }
  return all
}

for (const waiting of [0, 2, 7]) {
  test(`a handler that holds the whole window is answered with ${waiting} messages behind it`, async (t) => {
    const done: string[] = []
    const { here, there } = await held(t, 1, (all) =>
      mqttasgi()
        .topic('ask', async () => {
          await all().here.layer.groupAdd('all', all().channel)
          done.push('ask')
        })
        .topic('other', () => void done.push('other')),
    )
    here.transport.deliver('ask')
    await settled()
    for (let at = 0; at < waiting; at++) here.transport.deliver('other', 'x'.repeat(200))
    await settled()
    there.transport.resume()
    await settled()
    t.deepEqual(done, ['ask', ...Array.from({ length: waiting }, () => 'other')])
    t.is(here.server.counters.overflows, 0)
  })
}

test('what nobody answers keeps the socket open no further than twice what may wait', async (t) => {
  const { here } = await held(t, 1, (all) =>
    mqttasgi()
      .topic('ask', () =>
        all()
          .here.layer.groupAdd('all', all().channel)
          .catch(() => {}),
      )
      .topic('other', () => {}),
  )
  here.transport.deliver('ask')
  await settled()
  for (let at = 0; at < 7; at++) here.transport.deliver('other', 'x'.repeat(200))
  await settled()
  t.false(here.transport.paused)
  for (let at = 0; at < 5; at++) here.transport.deliver('other', 'x'.repeat(200))
  await settled()
  t.true(here.transport.paused)
  t.is(here.server.counters.overflows, 0)
})

test('two processes whose handlers hold their windows and ask each other are answered', async (t) => {
  const broker = new MemoryBroker()
  const processes = new Map<string, Process>()
  const channels = new Map<string, string>()
  const done: string[] = []
  const asking = async (name: string, other: string): Promise<void> => {
    const app = mqttasgi()
    app.topic(`ask/${name}`, async () => {
      await processes.get(name)!.layer.groupAdd('all', channels.get(other)!)
      done.push(name)
    })
    const { receivers } = plainParts(app)
    const window = { maxInFlight: 1, maxWaitingBytes: 1_000 }
    processes.set(name, await processOn(t, broker, {}, { receivers, window }))
    channels.set(name, await processes.get(name)!.layer.newChannel())
  }
  await asking('a', 'b')
  await asking('b', 'a')
  for (const [name, { transport }] of processes) transport.deliver(`ask/${name}`)
  await settled()
  await settled()
  t.deepEqual(done.toSorted(), ['a', 'b'])
})

test('a publication that is awaited while an answer is due cuts nothing', async (t) => {
  const publishes = new Deferred()
  const { here } = await held(t, 2, (all) =>
    mqttasgi()
      .topic('ask', () =>
        all()
          .here.layer.groupAdd('all', all().channel)
          .catch(() => {}),
      )
      .topic('publish', async (ctx) => {
        await publishes.promise
        await ctx.publish('out', 'x')
      })
      .topic('other', () => {}),
  )
  here.transport.deliver('ask')
  here.transport.deliver('publish')
  await settled()
  // A broker that goes on sending, and a socket that holds some more when it is not read.
  for (let more = 0; more < 5;) {
    here.transport.deliver('other', 'x'.repeat(200))
    await settled()
    if (here.transport.paused) more++
  }
  publishes.resolve()
  await settled()
  t.is(here.server.counters.overflows, 0)
})

test('an answer that is there is not waited for, though the broker has not confirmed the question', async (t) => {
  const broker = new MemoryBroker()
  const [there, here] = [await processOn(t, broker), await processOn(t, broker)]
  const channel = await there.layer.newChannel()
  here.transport.holdAnswers = true
  await t.notThrowsAsync(here.layer.groupAdd('all', channel))
})

test('a question is done once, however late it comes again, and in time where it comes with QoS 1 only', async (t) => {
  const { layer, transport } = await processOn(t, new MemoryBroker())
  const channel = await layer.newChannel()
  const own = [...transport.subscriptions.keys()].find((filter) => filter.endsWith('/+')) ?? ''
  const ask = async (number: number, type: string, qos: 0 | 1): Promise<void> => {
    const question = JSON.stringify({ type, group: 'all', channel, number })
    transport.deliver(own.replace('+', 'control'), `A ${number}\n${question}`, { qos })
    await settled()
  }
  const isIn = (): boolean => transport.subscriptions.has('asgi/groups/all')
  await ask(1, 'group.add', 1)
  t.true(isIn())
  await ask(2, 'group.discard', 0)
  t.false(isIn())
  for (let at = 0; at < 5_000; at++) transport.deliver(own.replace('+', channel), `B ${at}\n{"type":"x"}`)
  await settled()
  await ask(1, 'group.add', 1)
  t.false(isIn())
})

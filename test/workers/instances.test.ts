// Several instances of one worker: each gets what it has asked for, and those that are left take over from one that has ended for good.
import test from 'ava'
import { Deferred } from '../../lib/core/deferred.ts'
import { mqttasgi, type RawApplication } from '../../lib/index.ts'
import { CrewScene } from '../helpers/crew-scene.ts'
import { crewedServer } from '../helpers/crewed-server.ts'
import { settled } from '../helpers/fake-clock.ts'
import { hand, session, type StagedHost } from '../helpers/worker-place.ts'

/** Takes messages until one of them says how it is to end. */
const mortal: RawApplication = async (_scope, receive, send) => {
  for (;;) {
    const event = await receive()
    if (event.type === 'mqtt.connect') await send({ type: 'mqtt.sub', mqtt: { topic: 'm/+', qos: 1 } })
    if (event.type === 'mqtt.disconnect') return
    if (event.type !== 'mqtt.msg') continue
    if (event.mqtt.payload.toString() === 'fail') throw new Error('no device')
    if (event.mqtt.payload.toString() === 'end') return
  }
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve))
}

for (const [restart, last] of [
  ['temporary', 'fail'],
  ['transient', 'end'],
] as const) {
  test(`${restart}: the instances that are left take over from one that has ended for good`, async (t) => {
    const { server, transport } = await crewedServer(t, mqttasgi(), { deadLetter: { store: 'none' } })
    await server.spawn('one', mortal, { restart, instances: 2 })
    const { counters } = server
    transport.deliver('m/1', last)
    await until(() => counters.failed + counters.handled === 1)
    for (let i = 0; i < 8; i++) transport.deliver(`m/${i}`, '')
    await until(() => counters.failed + counters.handled === 9)
    // What it had begun might end the next one, too.
    t.is(counters.failed, last === 'fail' ? 1 : 0)
    t.is(server.workers()[0]?.state, 'running')
    t.true(server.health.ready)
    t.true(transport.subscriptions.has('m/+'))
  })
}

test('what waits for an instance is taken over by the others when that one has ended for good', async (t) => {
  const { server, transport } = await crewedServer(t, mqttasgi(), { deadLetter: { store: 'none' } })
  const ends = new Deferred()
  const seen: string[] = []
  const slow: RawApplication = async (scope, receive, send) => {
    for (;;) {
      const event = await receive()
      if (event.type === 'mqtt.connect') await send({ type: 'mqtt.sub', mqtt: { topic: '+/+', qos: 1 } })
      if (event.type !== 'mqtt.msg') continue
      seen.push(event.mqtt.topic)
      if (event.mqtt.payload.toString() !== 'end') continue
      await ends.promise
      throw new Error('no device')
    }
  }
  await server.spawn('one', slow, { restart: 'temporary', instances: 2 })
  transport.deliver('m/0', 'end')
  // Others of the same instance stand behind it, one of them of the same topic.
  for (const topic of ['m/0', 'm/2', 'm/4', 'm/6']) transport.deliver(topic, '')
  await until(() => seen.includes('m/0'))
  ends.resolve()
  await until(() => server.counters.handled + server.counters.failed === 5)
  t.deepEqual(seen.sort(), ['m/0', 'm/0', 'm/2', 'm/4', 'm/6'])
  t.is(server.counters.failed, 1)
})

/** Which instance has got each topic. */
function places(host: StagedHost): Map<string, Set<number>> {
  const found = new Map<string, Set<number>>()
  for (const [at, { messages }] of host.started.entries()) {
    for (const message of messages) {
      const topic = message.split(':')[0]!
      found.set(topic, (found.get(topic) ?? new Set()).add(at))
    }
  }
  return found
}

test('what has its place at an instance that is left keeps it, and the rest is spread over all that are left', async (t) => {
  const scene = new CrewScene()
  const host = await scene.spawn('one', { instances: 4, restart: 'transient' })
  const topics = Array.from({ length: 40 }, (_, i) => `room/${i}`)
  for (const topic of topics) void hand(scene.receiver, topic)
  const before = places(host)
  host.started[0]!.ending.resolve(undefined)
  await settled()
  for (const one of host.started) one.messages.length = 0
  for (const topic of topics) void hand(scene.receiver, topic)
  const after = places(host)
  const taken = topics.filter((topic) => before.get(topic)?.has(0))
  t.true(taken.length > 5)
  for (const topic of topics) if (!taken.includes(topic)) t.deepEqual(after.get(topic), before.get(topic))
  for (const place of [1, 2, 3]) t.true(taken.some((topic) => after.get(topic)?.has(place)))
  t.false(taken.some((topic) => after.get(topic)?.has(0)))
})

test('messages without an order take turns among those that are left', async (t) => {
  const scene = new CrewScene({ order: 'none' })
  const host = await scene.spawn('one', { instances: 3, restart: 'transient' })
  host.started[1]!.ending.resolve(undefined)
  await settled()
  for (let i = 0; i < 12; i++) void hand(scene.receiver, 'a')
  t.deepEqual(
    host.started.map(({ messages }) => messages.length),
    [6, 0, 6],
  )
})

test('what nobody but the one that has ended had asked for is given up, connected or not', async (t) => {
  for (const isConnected of [true, false]) {
    const scene = new CrewScene()
    const host = await scene.spawn('one', { instances: 2, restart: 'transient' })
    const [first, second] = host.started
    first?.want('routed')
    for (const filter of ['mine', 'both']) await first?.client?.subscribe(filter)
    await second?.client?.subscribe('both')
    if (!isConnected) await scene.receiver.disconnected({ type: 'lost' })
    first?.ending.resolve(undefined)
    await settled()
    if (!isConnected) await scene.receiver.connected(scene.place.client, session)
    const { asked } = scene.place.client
    t.deepEqual(
      asked.flatMap(([what, filter]) => (what === 'unsubscribe' ? [filter] : [])),
      ['mine'],
    )
    t.deepEqual(
      scene.receiver.interests().map(({ filter }) => filter),
      ['#'],
    )
  }
})

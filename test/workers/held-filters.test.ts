// What the instances of one worker subscribe to by hand: each gives up its own, and nobody else's.
import test from 'ava'
import { Deferred } from '../../lib/core/deferred.ts'
import type { SubscribeResult } from '../../lib/core/message.ts'
import { mqttasgi, MqttConsumer } from '../../lib/index.ts'
import { HeldFilters } from '../../lib/workers/held-filters.ts'
import { CrewScene } from '../helpers/crew-scene.ts'
import { crewedServer, type CrewedServer } from '../helpers/crewed-server.ts'
import { settled } from '../helpers/fake-clock.ts'
import { recordingClient } from '../helpers/worker-place.ts'

interface Pair extends CrewedServer {
  readonly a: MqttConsumer
  readonly b: MqttConsumer
}

/** Two instances of one worker. */
async function pair(t: Parameters<typeof crewedServer>[0]): Promise<Pair> {
  const started = await crewedServer(t, mqttasgi())
  const made: MqttConsumer[] = []
  class One extends MqttConsumer {
    override connect(): void {
      made.push(this)
    }
  }
  await started.server.spawn('one', One, { instances: 2 })
  return { ...started, a: made[0]!, b: made[1]! }
}

test('an instance that unsubscribes leaves another what that has subscribed to as well', async (t) => {
  const { a, b, transport } = await pair(t)
  await a.subscribe('x')
  await b.subscribe('x')
  await a.unsubscribe('x')
  t.true(transport.subscriptions.has('x'))
  await b.unsubscribe('x')
  t.false(transport.subscriptions.has('x'))
})

test('nor does it end what it has never subscribed to itself', async (t) => {
  const { a, b, transport } = await pair(t)
  await b.subscribe('x')
  await a.unsubscribe('x')
  t.true(transport.subscriptions.has('x'))
})

test('the best QoS of those that hold a filter counts, whoever has asked last', async (t) => {
  const { a, b, transport } = await pair(t)
  const qos = (): number | undefined => transport.subscriptions.get('x')?.qos
  await a.subscribe('x', { qos: 1 })
  t.deepEqual(await b.subscribe('x', { qos: 0 }), { filter: 'x', qos: 0 })
  t.is(qos(), 1)
  await a.unsubscribe('x')
  t.is(qos(), 0)
  await a.subscribe('x')
  t.is(qos(), 1)
  await a.subscribe('x', { qos: 0 })
  t.is(qos(), 0)
})

test('one that has ended for good does not keep up the QoS of those that are left', async (t) => {
  const scene = new CrewScene()
  const { started } = await scene.spawn('one', { instances: 2, restart: 'transient' })
  await started[0]?.client?.subscribe('x', { qos: 1 })
  await started[1]?.client?.subscribe('x', { qos: 0 })
  started[0]?.ending.resolve(undefined)
  await settled()
  t.deepEqual(scene.place.client.asked, [
    ['subscribe', 'x', { qos: 1 }],
    ['subscribe', 'x', { qos: 1 }],
    ['subscribe', 'x', { qos: 0 }],
  ])
})

test('a successor that wants less than the one before gets less, once it has said so', async (t) => {
  const scene = new CrewScene()
  const { started } = await scene.spawn('one', { instances: 2 })
  await started[0]?.client?.subscribe('x', { qos: 1 })
  await started[1]?.client?.subscribe('x', { qos: 0 })
  started[0]?.ending.resolve(new Error('broken'))
  await settled()
  // It has not spoken of it yet, and messages wait for it.
  await started[1]?.client?.subscribe('x', { qos: 0 })
  scene.clock.advance(100)
  await settled()
  t.deepEqual(
    scene.place.client.asked.map(([, , options]) => options),
    [{ qos: 1 }, { qos: 1 }, { qos: 1 }, { qos: 0 }],
  )
})

test('what an instance was refused it does not hold for others', async (t) => {
  const client = recordingClient()
  const held = new HeldFilters(
    () => undefined,
    () => {},
  )
  const refusing = held.noting({ ...client, subscribe: () => Promise.reject(new Error('refused')) })
  await t.throwsAsync(refusing.subscribe('x'))
  t.is(held.of('x'), undefined)
  await held.noting(client).subscribe('x')
  await t.throwsAsync(refusing.subscribe('x'))
  t.deepEqual(held.of('x'), {})
})

test('one that is late to unsubscribe does not end what its successor wants', async (t) => {
  const client = recordingClient()
  const held = new HeldFilters(
    () => undefined,
    () => {},
  )
  const before = held.noting(client)
  await before.subscribe('x')
  held.next()
  await held.noting(client).subscribe('x')
  await before.unsubscribe('x')
  t.deepEqual(
    client.asked.map(([what]) => what),
    ['subscribe', 'subscribe'],
  )
})

test('a refusal takes back what it refuses, and not what was granted meanwhile', async (t) => {
  const answers: Deferred<SubscribeResult>[] = []
  const subscribe = (): Promise<SubscribeResult> => {
    const answer = new Deferred<SubscribeResult>()
    answers.push(answer)
    return answer.promise
  }
  const held = new HeldFilters(
    () => undefined,
    () => {},
  )
  const client = held.noting({ ...recordingClient(), subscribe })
  const refused = client.subscribe('x')
  const granted = client.subscribe('x')
  answers[1]!.resolve({ filter: 'x', qos: 1 })
  await granted
  answers[0]!.reject(new Error('refused'))
  await t.throwsAsync(refused, { message: 'refused' })
  t.deepEqual(held.filters, ['x'])
})

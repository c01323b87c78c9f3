// What the instances of one worker subscribe to by hand: each gives up its own, and nobody else's.
import test from 'ava'
import { mqttasgi, MqttConsumer } from '../../lib/index.ts'
import { HeldFilters } from '../../lib/workers/held-filters.ts'
import { crewedServer, type CrewedServer } from '../helpers/crewed-server.ts'
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

test('what an instance was refused it does not hold for others', async (t) => {
  const client = recordingClient()
  const held = new HeldFilters(
    () => false,
    () => {},
  )
  const refusing = held.noting({ ...client, subscribe: () => Promise.reject(new Error('refused')) })
  await t.throwsAsync(refusing.subscribe('x'))
  t.false(held.has('x'))
  await held.noting(client).subscribe('x')
  await t.throwsAsync(refusing.subscribe('x'))
  t.true(held.has('x'))
})

test('one that is late to unsubscribe does not end what its successor wants', async (t) => {
  const client = recordingClient()
  const held = new HeldFilters(
    () => false,
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

// Several instances of one worker that have not asked for the same: each message goes to those that have asked for it.
import test, { type ExecutionContext } from 'ava'
import { mqttasgi, MqttConsumer, type ConsumerMessage } from '../../lib/index.ts'
import type { WorkerOptions } from '../../lib/core/workforce.ts'
import { CrewScene } from '../helpers/crew-scene.ts'
import { crewedServer, type CrewedServer } from '../helpers/crewed-server.ts'
import { settled } from '../helpers/fake-clock.ts'
import { hand } from '../helpers/worker-place.ts'

interface Pair extends CrewedServer {
  readonly instances: readonly MqttConsumer[]
  readonly received: readonly string[]
  /** A message on each of these topics, until all have their end. */
  readonly deliver: (...topics: readonly string[]) => Promise<void>
}

/** Two instances of one worker, which say what they receive: who, what, with which parameters. */
async function pair(t: ExecutionContext, options: WorkerOptions = {}): Promise<Pair> {
  const started = await crewedServer(t, mqttasgi(), { deadLetter: { store: 'none' } })
  const instances: MqttConsumer[] = []
  const received: string[] = []
  class One extends MqttConsumer {
    readonly place = instances.push(this) - 1
    override receive({ params, topic }: ConsumerMessage): void {
      received.push(`${this.place} ${topic} ${JSON.stringify({ ...params })}`)
    }
  }
  await started.server.spawn('one', One, { instances: 2, ...options })
  const { counters } = started.server
  const deliver = async (...topics: readonly string[]): Promise<void> => {
    const all = counters.handled + counters.unmatched + counters.failed + topics.length
    for (const topic of topics) started.transport.deliver(topic, '')
    while (counters.handled + counters.unmatched + counters.failed < all) await settled()
  }
  return { ...started, instances, received, deliver }
}

test('what only one of the instances has subscribed to goes to that one, with its parameters', async (t) => {
  const { deliver, instances, received } = await pair(t)
  await instances[0]!.subscribe('mine/+x')
  await instances[1]!.subscribe('yours/+y')
  await deliver('mine/1', 'mine/2', 'yours/1', 'yours/2')
  t.deepEqual(received, [
    '0 mine/1 {"x":"1"}',
    '0 mine/2 {"x":"2"}',
    '1 yours/1 {"y":"1"}',
    '1 yours/2 {"y":"2"}',
  ])
})

test('a route that only one of them has registered gets its messages', async (t) => {
  const { deliver, instances, received, server } = await pair(t)
  const routed: string[] = []
  instances[1]!.topic('routed/+x', (ctx) => void routed.push(ctx.params.x))
  await server.ready()
  await deliver('routed/1', 'routed/2', 'routed/3')
  t.deepEqual(routed, ['1', '2', '3'])
  t.deepEqual(received, [])
})

test('what all of them have subscribed to is shared by all, whatever else one of them wants', async (t) => {
  const { deliver, instances, received } = await pair(t)
  for (const one of instances) await one.subscribe('all/+x')
  await instances[0]!.subscribe('mine/+x')
  await deliver('all/1', 'all/2', 'all/3', 'all/4')
  t.deepEqual(new Set(received.map((line) => line[0])), new Set(['0', '1']))
})

test('what one has given up goes to those that still want it', async (t) => {
  const { deliver, instances, received } = await pair(t)
  for (const one of instances) await one.subscribe('all/+x')
  await instances[0]!.unsubscribe('all/+x')
  await deliver('all/1', 'all/2')
  t.deepEqual(received, ['1 all/1 {"x":"1"}', '1 all/2 {"x":"2"}'])
})

test('in a group, and with a group of its own, it is the same', async (t) => {
  const { deliver, instances, received, transport } = await pair(t, { share: 'crew' })
  await instances[0]!.subscribe('mine/+x')
  await instances[1]!.subscribe('$share/own/yours/+y')
  t.deepEqual([...transport.subscriptions.keys()].sort(), ['$share/crew/mine/+', '$share/own/yours/+'])
  await deliver('mine/1', 'mine/2', 'yours/1', 'yours/2')
  t.deepEqual(
    received.map((line) => line.slice(0, 8)),
    ['0 mine/1', '0 mine/2', '1 yours/', '1 yours/'],
  )
})

test('while one is started again, what only that one has asked for waits for it', async (t) => {
  const scene = new CrewScene()
  const host = await scene.spawn('one', { instances: 2 })
  for (const one of host.started) one.filters = []
  host.started[0]?.want('mine')
  host.started[1]?.want('yours')
  await host.started[0]?.client?.subscribe('reply/0')
  host.started[0]?.ending.resolve(new Error('broken'))
  await settled()
  void hand(scene.receiver, 'mine')
  void hand(scene.receiver, 'reply/0')
  void hand(scene.receiver, 'yours')
  t.deepEqual(host.started[1]?.messages, ['yours:'])
  scene.clock.advance(100)
  await settled()
  t.deepEqual(host.last.messages, ['mine:', 'reply/0:'])
})

test('what nobody has asked for is shared by all', async (t) => {
  const scene = new CrewScene()
  const host = await scene.spawn('one', { instances: 2 })
  for (const one of host.started) one.filters = []
  host.started[0]?.want('mine')
  for (let i = 0; i < 4; i++) void hand(scene.receiver, `other/${i}`)
  t.true(host.started.every(({ messages }) => messages.length > 0))
})

test('what only one had asked for that has ended for good fails for good', async (t) => {
  const scene = new CrewScene()
  const host = await scene.spawn('one', { instances: 2, restart: 'transient' })
  for (const one of host.started) one.filters = []
  host.started[0]?.want('mine')
  host.started[0]?.ending.resolve(undefined)
  await settled()
  t.like(await hand(scene.receiver, 'mine'), { type: 'failed', error: { code: 'ERR_WORKER_STOPPED' } })
  t.deepEqual(await hand(scene.receiver, 'other'), { type: 'done', handled: true })
})

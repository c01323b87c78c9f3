// Routes that do not go together with the group of their worker are the trouble of that worker alone.
import test from 'ava'
import { Deferred } from '../../lib/core/deferred.ts'
import { silentLog } from '../../lib/core/log.ts'
import type { DisconnectReason } from '../../lib/core/receiver.ts'
import { masterScope } from '../../lib/core/scope.ts'
import { asHostable } from '../../lib/consumer/hostable.ts'
import { mqttasgi, MqttConsumer } from '../../lib/index.ts'
import { Crew } from '../../lib/workers/crew.ts'
import { InProcessHost } from '../../lib/workers/in-process.ts'
import { WorkerReceiver } from '../../lib/workers/worker-receiver.ts'
import { CrewScene } from '../helpers/crew-scene.ts'
import { crewedServer, type CrewedServer } from '../helpers/crewed-server.ts'
import { settled } from '../helpers/fake-clock.ts'
import { StagedIncarnation } from '../helpers/worker-place.ts'
import { Tally, within } from '../integration/tally.ts'

const programs = new URL('programs/', import.meta.url).pathname

/** Whether messages for the application come, and routes that it adds later. */
async function isServed({ server, transport }: CrewedServer, app: ReturnType<typeof mqttasgi>, seen: Tally) {
  const before = seen.total
  app.topic('later/#', (ctx) => seen.add(ctx.topic))
  await server.ready()
  transport.deliver('own')
  transport.deliver('later/1')
  await seen.untilTotal(before + 2)
}

test('what a worker wants can always be asked, and what it can not have is left out', (t) => {
  const receiver = new WorkerReceiver({ id: 'one', instances: 1, share: 'g', now: () => 0 })
  const instance = new StagedIncarnation()
  receiver.seats[0].occupy(instance, undefined)
  t.notThrows(() => instance.want('deaf', { noLocal: true }))
  instance.want('twice', { share: 'g' })
  instance.want('other', { share: 'h' })
  t.deepEqual(
    receiver.interests().map(({ filter, share }) => [filter, share]),
    [
      ['#', 'g'],
      ['other', 'h'],
    ],
  )
  t.like(receiver.conflictOf(instance), {
    code: 'ERR_WORKER_OPTION',
    message:
      'Route "deaf" of worker "one": noLocal does not go together with a group [MQTT-3.8.3-4]. Leave it out there.',
  })
})

test('a worker that begins with a route it can not share is refused, and leaves nothing behind', async (t) => {
  const seen = new Tally()
  const app = mqttasgi()
  app.topic('own', (ctx) => seen.add(ctx.topic))
  const scene = await crewedServer(t, app)
  const { server, transport } = scene
  class Deaf extends MqttConsumer {
    override connect(): void {
      this.topic('bad', { noLocal: true }, () => {})
    }
  }
  const deaf = mqttasgi().topic('bad', { noLocal: true }, () => {})
  const twice = mqttasgi().topic('$share/g/bad', () => {})
  for (const application of [Deaf, deaf, twice]) {
    await t.throwsAsync(server.spawn('one', application, { share: 'g' }), { code: 'ERR_WORKER_OPTION' })
    t.deepEqual(server.workers(), [])
  }
  await isServed(scene, app, seen)
  t.deepEqual([...transport.subscriptions.keys()], ['own', 'later/#'])
})

test('a route that can not be shared, added later, fails its worker and nobody else', async (t) => {
  const seen = new Tally()
  const app = mqttasgi()
  app.topic('own', (ctx) => seen.add(ctx.topic))
  const scene = await crewedServer(t, app)
  const { log, server, transport } = scene
  const worker = mqttasgi()
  await server.spawn('one', worker, { share: 'g', maxRestarts: 1 })
  worker.topic('good', () => {})
  t.notThrows(() => worker.topic('bad', { noLocal: true }, () => {}))
  // It is still there at the next start.
  await within(10_000, 'it is given up', log.said(/Worker "one" has failed too often.*noLocal/))
  t.like(server.workers()[0], { state: 'stopped' })
  await isServed(scene, app, seen)
  t.false([...transport.subscriptions.keys()].some((filter) => filter.includes('bad')))
  transport.lose()
  await within(10_000, 'the next connection', new Promise((resolve) => (transport.granted = resolve)))
  await server.kill('one')
  t.deepEqual(server.workers(), [])
})

test('the next instance does not start while the one before says farewell, for as long as that may take', async (t) => {
  for (const isInTime of [true, false]) {
    const scene = new CrewScene()
    const farewell = new Deferred()
    const made: MqttConsumer[] = []
    const reasons: string[] = []
    class One extends MqttConsumer {
      override connect(): void {
        made.push(this)
      }
      override async disconnect({ type }: DisconnectReason): Promise<void> {
        reasons.push(type)
        await farewell.promise
      }
    }
    const host = new InProcessHost(asHostable(One, 'It'), {
      id: 'one',
      mount: '',
      log: silentLog,
      scope: masterScope,
      clock: scene.clock,
    })
    const crew = new Crew({ ...scene.parts, hostFor: async () => host })
    await crew.spawn('one', One, { share: 'g' })
    for (const pattern of ['bad/1', 'bad/2']) made[0]?.topic(pattern, { noLocal: true }, () => {})
    await settled()
    t.deepEqual(reasons, ['failed'])
    t.is(crew.workers()[0]?.state, 'restarting')
    scene.clock.advance(1_000)
    await settled()
    t.is(made.length, 1)
    if (isInTime) farewell.resolve()
    else scene.clock.advance(4_000)
    await settled()
    scene.clock.advance(100)
    await settled()
    t.is(made.length, 2)
    t.like(crew.workers()[0], { state: 'running', restarts: 1 })
    farewell.resolve()
    await crew.close()
  }
})

test('what a thread wants that it can not have ends that thread, and the next one does its work', async (t) => {
  const seen = new Tally()
  const app = mqttasgi()
  app.topic('own', (ctx) => seen.add(ctx.topic))
  const scene = await crewedServer(t, app)
  const { log, server, transport } = scene
  await server.spawn('one', `${programs}ill.ts#unshareable`, { share: 'g', thread: true })
  transport.deliver('go')
  await within(20_000, 'it fails', log.said(/Worker "one" has failed: Route "bad".*noLocal/))
  await isServed(scene, app, seen)
  const done = within(20_000, 'the next one answers', new Promise((resolve) => (transport.reached = resolve)))
  transport.deliver('good/7')
  t.like(await done, { topic: 'done' })
})

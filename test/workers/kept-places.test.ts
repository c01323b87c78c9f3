// Workers that are killed with `subscriptions: 'keep'`: what waits for them waits for the next one with their id, and runs there.
import test from 'ava'
import { Deferred } from '../../lib/core/deferred.ts'
import { mqttasgi, MqttasgiError, MqttConsumer, type RawApplication } from '../../lib/index.ts'
import { crewedServer } from '../helpers/crewed-server.ts'
import { turns } from '../helpers/memory-server.ts'
import { Tally, within } from '../integration/tally.ts'

const keep = { subscriptions: 'keep', drainTimeoutMs: 60_000 } as const

/** Notes what comes on `w/+`. */
function noting(seen: Tally): ReturnType<typeof mqttasgi> {
  const app = mqttasgi()
  app.topic('w/+n', (ctx) => seen.add(`${ctx.topic} ${ctx.payload.toString()}`))
  return app
}

/** Takes messages on `w/+` and ends none of them; fails when told to, and from then on at each start. */
class Frail {
  readonly #end = new Deferred<never>()
  /** It has begun a message. */
  readonly hasBegun = new Deferred()

  fail(): void {
    this.#end.reject(new Error('broken'))
  }

  readonly application: RawApplication = async (_scope, receive, send) => {
    for (;;) {
      const event = await Promise.race([this.#end.promise, receive()])
      if (event.type === 'mqtt.connect') await send({ type: 'mqtt.sub', mqtt: { topic: 'w/+', qos: 1 } })
      if (event.type !== 'mqtt.msg') continue
      this.hasBegun.resolve()
      await this.#end.promise
    }
  }
}

test('what waits for a worker that is being started again waits for its successor', async (t) => {
  const { log, server, transport } = await crewedServer(t, mqttasgi())
  const [frail, seen] = [new Frail(), new Tally()]
  await server.spawn('w', frail.application, { maxRestarts: 1_000 })
  frail.fail()
  await log.said(/It is started again/)
  for (const topic of ['w/1', 'w/2', 'w/1']) transport.deliver(topic, `${seen.total}`)
  await turns()
  t.is(server.workers()[0]?.inFlight, 3)
  await within(10_000, 'a kill without anything to wait for', server.kill('w', keep))
  await server.spawn('w', noting(seen))
  await seen.untilTotal(3)
  t.deepEqual(seen.keys, ['w/1 0', 'w/2 0'])
  t.is(seen.of('w/1 0'), 2)
})

test('what stands in the line of an instance that ends while it is killed waits for its successor', async (t) => {
  const { server, transport } = await crewedServer(t, mqttasgi())
  const [frail, seen] = [new Frail(), new Tally()]
  await server.spawn('w', frail.application)
  for (const topic of ['w/1', 'w/2', 'w/3']) transport.deliver(topic)
  await frail.hasBegun.promise
  const killed = server.kill('w', keep)
  frail.fail()
  await within(10_000, 'a kill without anything to wait for', killed)
  await server.spawn('w', noting(seen))
  await seen.untilTotal(3)
  t.is(seen.distinct, 3)
})

test('a worker that is killed in any moment of its spawn leaves its place as a whole', async (t) => {
  t.timeout(120_000)
  const { server, transport } = await crewedServer(t, mqttasgi())
  const ends = new Set<string>()
  for (let moment = 0; moment < 80; moment++) {
    const seen = new Tally()
    await server.spawn('w', noting(seen))
    await server.kill('w', keep)
    for (const n of [1, 2]) transport.deliver(`w/${n}`, `${moment}`)
    const spawned = server.spawn('w', noting(seen)).then(
      () => 'spawned',
      (error: unknown) => (error instanceof MqttasgiError ? error.code : String(error)),
    )
    for (let i = 0; i < moment; i++) await Promise.resolve()
    await within(10_000, `the kill at moment ${moment}`, server.kill('w', keep))
    ends.add(await spawned)
    t.deepEqual(server.workers(), [], `at moment ${moment}`)
    transport.deliver('w/3', `${moment}`)
    await server.spawn('w', noting(seen))
    await seen.untilTotal(3)
    t.deepEqual(seen.repeated(), [])
    await server.kill('w')
  }
  t.deepEqual([...ends].sort(), ['ERR_RECEIVER_DETACHED', 'spawned'])
})

test('a successor that can not be spawned leaves the place, and what waits there, as it was', async (t) => {
  const { server, transport } = await crewedServer(t, mqttasgi())
  const seen = new Tally()
  transport.grant = ({ filter, qos }) => (filter === 'forbidden' ? 0x87 : qos)
  const refused = noting(seen)
  refused.topic('forbidden', () => {})
  class Broken extends MqttConsumer {
    override async connect(): Promise<void> {
      throw new Error('broken')
    }
  }
  await server.spawn('w', noting(seen))
  await server.kill('w', keep)
  transport.deliver('w/1')
  await t.throwsAsync(server.spawn('w', refused), { code: 'ERR_SUBSCRIBE_REFUSED' })
  await t.throwsAsync(server.spawn('w', Broken), { code: 'ERR_WORKER_START', message: /broken/ })
  await t.throwsAsync(server.spawn('w', Broken, { instances: 2 }), { code: 'ERR_WORKER_START' })
  t.deepEqual([...transport.subscriptions.keys()], ['w/+'])
  transport.deliver('w/2')
  await server.spawn('w', noting(seen))
  await seen.untilTotal(2)
})

test('one that is killed before it has said what it wants leaves what its predecessor held', async (t) => {
  const { server, transport } = await crewedServer(t, mqttasgi())
  const seen = new Tally()
  const connecting = new Deferred()
  class Slow extends MqttConsumer {
    override async connect(): Promise<void> {
      await this.subscribe('more')
      connecting.resolve()
      await new Promise(() => {})
    }
  }
  await server.spawn('w', noting(seen))
  await server.kill('w', keep)
  const spawned = server.spawn('w', Slow)
  await connecting.promise
  await Promise.all([server.kill('w', keep), t.throwsAsync(spawned, { code: 'ERR_RECEIVER_DETACHED' })])
  t.deepEqual([...transport.subscriptions.keys()].toSorted(), ['more', 'w/+'])
  transport.deliver('w/1')
  await server.spawn('w', noting(seen))
  await seen.untilTotal(1)
  t.deepEqual([...transport.subscriptions.keys()], ['w/+'])
})

// What a worker fails of: its messages, which are bounded by their attempts, or itself.
import test from 'ava'
import { MqttasgiError } from '../../lib/core/errors.ts'
import { Deferred } from '../../lib/core/deferred.ts'
import type { Message } from '../../lib/core/message.ts'
import type { Outcome } from '../../lib/core/receiver.ts'
import { mqttasgi, type RawApplication } from '../../lib/index.ts'
import { memoryArrival } from '../../lib/testing/memory-arrival.ts'
import { Blame } from '../../lib/workers/blame.ts'
import type { Workplace } from '../../lib/workplace.ts'
import { crewedServer } from '../helpers/crewed-server.ts'
import { PlainAttempt } from '../helpers/worker-place.ts'
import { Tally, within } from '../integration/tally.ts'

const programs = new URL('programs/', import.meta.url).pathname
const done: Outcome = { type: 'done', handled: true }
const lost: Outcome = {
  type: 'retry',
  afterMs: undefined,
  error: new MqttasgiError('ERR_WORKER_CRASHED', 'lost'),
  route: undefined,
}

/** Messages in hand at one place. */
class Scene {
  readonly place = {}
  readonly blame = new Blame<object>()

  async end(message: Message, outcome: Outcome): Promise<void> {
    await this.blame.watch(this.place, message, new PlainAttempt(), Promise.resolve(outcome))
  }

  take(message: Message, attempt = new PlainAttempt()): Deferred<Outcome> {
    const outcome = new Deferred<Outcome>()
    void this.blame.watch(this.place, message, attempt, outcome.promise)
    return outcome
  }
}

async function deadLetters({ counters }: Pick<Workplace, 'counters'>, count: number): Promise<void> {
  while (counters.deadLettered < count) await new Promise((resolve) => setTimeout(resolve, 10))
}

function message(topic: string): Message {
  return memoryArrival(topic, Buffer.alloc(0), {})
}

test('a failure with nothing in hand is charged to nobody', async (t) => {
  const scene = new Scene()
  t.is(scene.blame.charge(scene.place), undefined)
  await scene.end(message('a'), done)
  t.is(scene.blame.charge(scene.place), undefined)
  const waits = new PlainAttempt()
  waits.isWaiting = true
  scene.take(message('b'), waits)
  t.is(scene.blame.charge(scene.place), undefined)
  // It has been begun since.
  waits.begins(10)
  t.true(scene.blame.charge(scene.place)!.holds)
})

test('a failure is charged to all in hand, until each of them has turned out well', async (t) => {
  const scene = new Scene()
  const [poison, innocent] = [message('poison'), message('innocent')]
  const outcomes = [poison, innocent].map((one) => scene.take(one))
  const first = scene.blame.charge(scene.place)!
  for (const outcome of outcomes) outcome.resolve(lost)
  await scene.end(innocent, done)
  t.true(first.holds)
  scene.take(poison)
  const second = scene.blame.charge(scene.place)!
  t.is(scene.blame.charge(scene.place), undefined)
  await scene.end(poison, { type: 'failed', error: new Error('no'), route: undefined })
  t.true(first.holds)
  t.true(second.holds)
  scene.blame.ended(scene.place, poison, { type: 'dropped', error: new Error('no'), route: undefined })
  t.false(first.holds)
  t.false(second.holds)
})

test('messages that end their thread become dead letters, and not the end of the worker', async (t) => {
  const seen = new Tally()
  const { log, server, transport } = await crewedServer(t, mqttasgi())
  transport.reached = ({ topic, payload }) => seen.add(`${topic} ${payload.toString()}`)
  await server.spawn('images', `${programs}ill.ts#fragile`, { thread: true, instances: 2 })
  // 3 attempts each, where 5 restarts are allowed.
  for (const n of [1, 2]) transport.deliver(`images/p${n}`)
  for (let n = 0; n < 10; n++) transport.deliver(`images/good/${n}`)
  await within(90_000, () => log.lines.join('\n'), deadLetters(server, 2))
  for (let n = 10; n < 20; n++) transport.deliver(`images/good/${n}`)
  await seen.untilDistinct(20, 60_000)
  t.is(server.counters.deadLettered, 2)
  const [worker] = server.workers()
  t.not(worker?.state, 'stopped')
  t.true(worker!.restarts > 5)
  t.true(server.health.ready)
})

test('a failure behind a message that has failed is charged to it, once, unless another has turned out well since', async (t) => {
  const scene = new Scene()
  await scene.end(message('a'), lost)
  const charge = scene.blame.charge(scene.place)
  t.true(charge?.holds)
  t.is(scene.blame.charge(scene.place), undefined)
  await scene.end(message('a'), lost)
  await scene.end(message('b'), done)
  t.is(scene.blame.charge(scene.place), undefined)
})

test('messages that an application in this thread fails of are to blame as well', async (t) => {
  const seen = new Tally()
  const { log, server, transport } = await crewedServer(t, mqttasgi())
  const fragile: RawApplication = async (_scope, receive, send) => {
    for (;;) {
      const event = await receive()
      if (event.type === 'mqtt.connect') await send({ type: 'mqtt.sub', mqtt: { topic: '+/+' } })
      if (event.type === 'mqtt.msg' && event.mqtt.topic.startsWith('bad')) throw new Error('broken')
      if (event.type === 'mqtt.msg') seen.add(event.mqtt.topic)
      if (event.type === 'mqtt.disconnect') return
    }
  }
  await server.spawn('one', fragile, { maxRestarts: 2 })
  transport.deliver('bad/1')
  await within(20_000, () => log.lines.join('\n'), deadLetters(server, 1))
  transport.deliver('good/1')
  await seen.untilTotal(1)
  t.not(server.workers()[0]?.state, 'stopped')
})

test('a thread that dies by itself is given up, though it has messages in hand that are not to blame', async (t) => {
  const { log, server, transport } = await crewedServer(t, mqttasgi(), { maxInFlight: 4 })
  await server.spawn('jobs', `${programs}ill.ts#mortal`, {
    thread: true,
    maxRestarts: 1,
    withinSeconds: 600,
  })
  let n = 0
  const traffic = setInterval(() => transport.deliver(`jobs/${n++}`), 10)
  t.teardown(() => clearInterval(traffic))
  await within(
    90_000,
    () => log.lines.join('\n'),
    log.said(/Worker "jobs" has failed too often.*exit code 4/),
  )
  t.is(server.workers()[0]?.state, 'stopped')
})

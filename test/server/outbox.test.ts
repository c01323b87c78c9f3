import test, { type ExecutionContext } from 'ava'
import * as fc from 'fast-check'
import { Deferred } from '../../lib/core/deferred.ts'
import { MqttasgiError } from '../../lib/core/errors.ts'
import type { PublishResult } from '../../lib/core/message.ts'
import { Outbox, type OutboxLimits } from '../../lib/server/outbox.ts'
import { settled } from '../helpers/fake-clock.ts'

const DONE: PublishResult = { reasonCode: 0 }
const STOPPED = new MqttasgiError('ERR_STOPPED', 'Stopped.')

interface Stage {
  readonly outbox: Outbox
  /** Topics as they were sent, and their answers. */
  readonly sent: string[]
  readonly answers: Deferred<PublishResult>[]
}

function stage(limits: Partial<OutboxLimits> = {}): Stage {
  const sent: string[] = []
  const answers: Deferred<PublishResult>[] = []
  const outbox = new Outbox(
    (topic) => {
      sent.push(topic)
      const answer = new Deferred<PublishResult>()
      answers.push(answer)
      return answer.promise
    },
    { maxMessages: 10, maxBytes: 100, ...limits },
  )
  return { outbox, sent, answers }
}

function publish({ outbox }: Stage, topic: string, bytes = 1, qos: 0 | 1 | 2 = 1): Promise<PublishResult> {
  return outbox.publish(topic, Buffer.alloc(bytes), { qos })
}

async function rejectsWith(t: ExecutionContext, promise: Promise<unknown>, code: string): Promise<void> {
  t.is((await t.throwsAsync(promise, { instanceOf: MqttasgiError }))?.code, code as MqttasgiError['code'])
}

test('publications wait for the broker and go in order, as many at once as it takes', async (t) => {
  const scene = stage()
  const results = ['a', 'b', 'c'].map((topic) => publish(scene, topic))
  t.deepEqual(scene.sent, [])
  t.is(scene.outbox.size, 3)
  scene.outbox.open(2)
  t.deepEqual(scene.sent, ['a', 'b'])
  scene.answers[1]?.resolve(DONE)
  t.deepEqual(await results[1], DONE)
  await settled()
  t.deepEqual(scene.sent, ['a', 'b', 'c'])
  scene.answers[0]?.resolve({ reasonCode: 0x10 })
  scene.answers[2]?.reject(STOPPED)
  t.deepEqual(await results[0], { reasonCode: 0x10 })
  await rejectsWith(t, Promise.resolve(results[2]), 'ERR_STOPPED')
  await settled()
  t.is(scene.outbox.size, 0)
})

test('QoS 0 does not wait, and takes no place', async (t) => {
  const scene = stage({ maxMessages: 1 })
  void publish(scene, 'waits')
  const result = publish(scene, 'now', 1, 0)
  t.deepEqual(scene.sent, ['now'])
  t.is(scene.outbox.size, 1)
  scene.answers[0]?.resolve(DONE)
  t.deepEqual(await result, DONE)
})

test('more than the limits are refused, in number and in bytes, and the answers make room', async (t) => {
  const scene = stage({ maxMessages: 2, maxBytes: 10 })
  scene.outbox.open(10)
  const first = publish(scene, 'a', 8)
  await rejectsWith(t, publish(scene, 'b', 3), 'ERR_OUTBOX_FULL')
  void publish(scene, 'c', 2)
  const error = await t.throwsAsync(publish(scene, 'd', 0), { message: /"d".*2 publications \(10 bytes\)/ })
  t.is((error as MqttasgiError).code, 'ERR_OUTBOX_FULL')
  scene.answers[0]?.resolve(DONE)
  await first
  await settled()
  t.notThrows(() => void publish(scene, 'e', 8))
  t.deepEqual(scene.sent, ['a', 'c', 'e'])
})

test('while the broker is away nothing more is sent, and what is under way stays so', async (t) => {
  const scene = stage()
  scene.outbox.open(1)
  const results = [publish(scene, 'a'), publish(scene, 'b')]
  scene.outbox.open(0)
  scene.answers[0]?.resolve(DONE)
  await results[0]
  await settled()
  t.deepEqual(scene.sent, ['a'])
  scene.outbox.open(1)
  t.deepEqual(scene.sent, ['a', 'b'])
})

test('it is idle when all have their answer', async (t) => {
  const scene = stage()
  await scene.outbox.idle()
  scene.outbox.open(10)
  const results = [publish(scene, 'a'), publish(scene, 'b')]
  let idle = false
  const waiting = scene.outbox.idle().then(() => (idle = true))
  scene.answers[0]?.resolve(DONE)
  await results[0]
  await settled()
  t.false(idle)
  scene.answers[1]?.reject(STOPPED)
  await t.throwsAsync(Promise.resolve(results[1]))
  await waiting
  t.true(idle)
})

test('the end refuses what waits and what comes, and leaves what is under way to the connection', async (t) => {
  const scene = stage()
  scene.outbox.open(1)
  const results = [publish(scene, 'a'), publish(scene, 'b')]
  const idle = scene.outbox.idle()
  scene.outbox.close(STOPPED)
  await rejectsWith(t, Promise.resolve(results[1]), 'ERR_STOPPED')
  await rejectsWith(t, publish(scene, 'c'), 'ERR_STOPPED')
  await rejectsWith(t, publish(scene, 'd', 1, 0), 'ERR_STOPPED')
  scene.answers[0]?.resolve(DONE)
  t.deepEqual(await results[0], DONE)
  await idle
  t.deepEqual(scene.sent, ['a'])
})

type Event = 'publish' | 'resolve' | 'reject' | 'open' | 'shut' | 'close'

test('over any order of events each publication settles exactly once, in the bounds, and is sent at most once', async (t) => {
  const events = fc.array(
    fc.constantFrom<Event>('publish', 'publish', 'publish', 'resolve', 'reject', 'open', 'shut'),
    {
      maxLength: 60,
    },
  )
  await fc.assert(
    fc.asyncProperty(events, fc.integer({ min: 1, max: 4 }), async (list, takes) => {
      const scene = stage({ maxMessages: 5 })
      const { answers, outbox, sent } = scene
      const outcomes: number[] = []
      let open = 0
      for (const event of [...list, 'close' as const]) {
        const pending = answers.find(({ settled: done }) => !done)
        if (event === 'publish') {
          const index = outcomes.push(0) - 1
          const note = (): void => void (outcomes[index] = (outcomes[index] ?? 0) + 1)
          publish(scene, `${index}`).then(note, note)
        } else if (event === 'resolve') pending?.resolve(DONE)
        else if (event === 'reject') pending?.reject(STOPPED)
        else if (event === 'close') outbox.close(STOPPED)
        else outbox.open((open = event === 'open' ? takes : 0))
        await Promise.resolve()
        t.true(outbox.size <= 5)
        if (open > 0) t.true(answers.filter(({ settled: done }) => !done).length <= takes)
      }
      for (const answer of answers) if (!answer.settled) answer.resolve(DONE)
      await outbox.idle()
      await settled()
      t.true(outcomes.every((count) => count === 1))
      t.is(new Set(sent).size, sent.length)
      t.deepEqual(
        sent,
        sent.toSorted((a, b) => Number(a) - Number(b)),
      )
    }),
    { numRuns: 150 },
  )
})

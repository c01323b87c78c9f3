import test, { type ExecutionContext } from 'ava'
import type { Outcome } from '../../lib/core/receiver.ts'
import { silentLog } from '../../lib/core/log.ts'
import { masterScope } from '../../lib/core/scope.ts'
import { asHostable } from '../../lib/consumer/hostable.ts'
import { MqttConsumer } from '../../lib/consumer/consumer.ts'
import { MqttasgiError } from '../../lib/core/errors.ts'
import { ThreadSide } from '../../lib/workers/thread-side.ts'
import type { Incarnation } from '../../lib/workers/host.ts'
import type { PulseTimes } from '../../lib/workers/pulse.ts'
import { InMemoryChannelLayer } from '../../lib/channels/memory.ts'
import { Asking } from '../../lib/workers/asking.ts'
import { routeTable, TablePlans } from '../../lib/workers/route-table.ts'
import { memoryArrival } from '../../lib/testing/memory-arrival.ts'
import { wireError } from '../../lib/workers/wire-error.ts'
import type { FromThread, ThreadOrder } from '../../lib/workers/wire.ts'
import { FakeClock, settled } from '../helpers/fake-clock.ts'
import { plainMessage } from '../helpers/plain-message.ts'
import { hand, PlainAttempt, session } from '../helpers/worker-place.ts'
import { threadHost, threadStage } from '../helpers/thread-stage.ts'

async function fakeTimed(
  t: ExecutionContext,
  times: PulseTimes,
): Promise<{ readonly clock: FakeClock; readonly thread: Incarnation }> {
  const clock = new FakeClock()
  const { thread } = await threadStage(t, { identity: { clock }, times })
  return { clock, thread }
}

const programs = new URL('programs/', import.meta.url).pathname

test.serial(
  'what a thread wants and how its messages are run is planned here, with the same rules',
  async (t) => {
    const { thread } = await threadStage(t)
    const { receiver } = thread
    t.like(
      receiver.interests().find(({ source }) => source === 'echo/+what'),
      { filter: 'echo/+', share: 'group', qos: 1 },
    )
    const message = plainMessage('echo/x')
    t.deepEqual(receiver.plan(message).routes, [])
    const plan = receiver.plan({ ...message, share: 'group' })
    t.like(plan, { routes: ['echo/+what'], order: 'key', timeoutMs: 1_000, holdMs: 60_000 })
    t.is(plan.keyOf?.(message), 'x')
    t.like(plan.failurePolicy('echo/+what', 1), { deadLetter: true, retry: { attempts: 2, minDelayMs: 1 } })
  },
)

test.serial(
  'a message crosses with its bytes and properties, the parameters and the scope are those of the worker',
  async (t) => {
    const { client, thread } = await threadStage(t)
    const userProperties = JSON.parse('{"__proto__": ["x"], "a": ["1", "2"]}') as Record<string, string[]>
    const outcome = await hand(thread.receiver, 'tell/it', 'grüße', new PlainAttempt(3), {
      properties: { correlationData: Buffer.from('id'), userProperties },
    })
    t.deepEqual(outcome, { type: 'done', handled: true })
    const told = JSON.parse(String(client.asked.at(-1)![2])) as Record<string, unknown>
    t.like(told, {
      params: { what: 'it' },
      attempt: 3,
      scope: { appId: 'threaded', instanceType: 'worker', params: { unit: 'C' } },
    })
    t.deepEqual((told['properties'] as { correlationData: unknown }).correlationData, {
      type: 'Buffer',
      data: [...Buffer.from('id')],
    })
    t.regex(String(client.asked.at(-1)![2]), /"userProperties":\{"__proto__":\["x"\],"a":\["1","2"\]\}/)
  },
)

test.serial('the bytes of a message are a copy: the buffer they came in may be used again', async (t) => {
  const { client, thread } = await threadStage(t)
  const payload = Buffer.from('first')
  const { receiver } = thread
  const message = {
    topic: 'echo/x',
    payload,
    qos: 1,
    retain: false,
    dup: false,
    properties: {},
    share: 'group',
  } as const
  const outcome = receiver.receive(message, receiver.plan(message), new PlainAttempt())
  payload.fill('x')
  await outcome
  t.is(client.asked.at(-1)![2], 'first')
  t.is(payload.byteLength, 5)
})

test.serial(
  'each outcome crosses with its error: name, message, stack, codes, and that it is final',
  async (t) => {
    const { thread } = await threadStage(t)
    const outcome = async (topic: string, text = ''): Promise<Outcome> => hand(thread.receiver, topic, text)
    t.like(await outcome('outcome/retry'), {
      type: 'retry',
      afterMs: 70,
      route: 'outcome/retry',
      error: { name: 'Retry', message: 'later' },
    })
    t.like(await outcome('outcome/reject'), { type: 'rejected', reasonCode: 0x99 })
    t.like(await outcome('outcome/drop'), { type: 'dropped', error: { message: 'nobody needs it' } })
    const failed = (await outcome('outcome/error')) as Extract<Outcome, { type: 'failed' }>
    t.like(failed, { type: 'failed', error: { name: 'TypeError', message: 'wrong', code: 'E_WRONG' } })
    t.regex(failed.error.stack ?? '', /applications\.ts/)
    const json = (await outcome('outcome/json', '{')) as Extract<Outcome, { type: 'failed' }>
    t.true(json.error instanceof MqttasgiError && json.error.isFinal)
    t.like(json.error, { code: 'ERR_PAYLOAD_JSON', topic: 'outcome/json' })
  },
)

test.serial('an error of a class that is never tried again is known as final on this side', async (t) => {
  const { thread } = await threadStage(t)
  const { receiver } = thread
  const outcome = (await hand(receiver, 'outcome/final')) as Extract<Outcome, { type: 'failed' }>
  const message = plainMessage('outcome/final')
  const { never } = receiver.plan(message).failurePolicy(outcome.route, 1).retry
  t.true(never.some((one) => outcome.error instanceof one))
  const other = (await hand(receiver, 'outcome/error')) as Extract<Outcome, { type: 'failed' }>
  t.false(never.some((one) => other.error instanceof one))
})

test.serial('what no route matches is run as the application in the thread says', async (t) => {
  const { thread } = await threadStage(t)
  const { receiver } = thread
  const message = plainMessage('nobody/final')
  const plan = receiver.plan(message)
  t.like(plan, { routes: [], timeoutMs: 30_000, holdMs: 60_000 })
  const { deadLetter, retry } = plan.failurePolicy(undefined, 1)
  t.like({ deadLetter, ...retry }, { deadLetter: true, attempts: 2, minDelayMs: 1 })
  t.is(plan.failurePolicy(undefined, 0).retry.attempts, 1)
  const isFinal = async (topic: string): Promise<boolean> => {
    const { error } = (await hand(receiver, topic)) as Extract<Outcome, { type: 'failed' }>
    return retry.never.some((one) => error instanceof one)
  }
  t.true(await isFinal('nobody/final'))
  t.false(await isFinal('nobody/else'))
})

test('what none of the subscriptions of a consumer brought is run as the consumer says, in a thread too', (t) => {
  class Brief extends MqttConsumer {
    static override readonly options = { timeoutMs: 7, retry: { attempts: 9 } }
  }
  const receiver = asHostable(Brief, 'Brief').receiver({
    id: 'brief',
    mount: '',
    scope: masterScope,
    log: silentLog,
    clock: new FakeClock(),
  })
  const plan = new TablePlans(routeTable(receiver)).of(memoryArrival('a', Buffer.alloc(0), {}))
  t.like(plan, { routes: [], timeoutMs: 7 })
  t.is(plan.failurePolicy(undefined, 1).retry.attempts, 9)
  receiver.release()
})

test.serial('more time, and that nobody waits any more, cross', async (t) => {
  const { asked, client, thread } = await threadStage(t)
  const attempt = new PlainAttempt()
  const before = client.asked.length
  const outcome = hand(thread.receiver, 'extend', '', attempt)
  // The thread has begun it when it has answered for another one.
  await hand(thread.receiver, 'tell/x')
  t.deepEqual(attempt.extended, [5_000])
  attempt.controller.abort(new Error('too late'))
  await asked(before + 2)
  t.is(client.asked.at(-1)![2], 'Error: too late')
  await outcome
})

test.serial('what the broker refuses is an error in the thread', async (t) => {
  const { client, thread } = await threadStage(t)
  client.subscribe = async () => {
    throw new MqttasgiError('ERR_FILTER_INVALID', 'no')
  }
  await hand(thread.receiver, 'refused')
  t.is(client.asked.at(-1)![2], 'ERR_FILTER_INVALID')
})

test.serial('a route that is registered later is wanted here too', async (t) => {
  const { thread } = await threadStage(t)
  let changes = 0
  thread.receiver.onInterests(() => changes++)
  await hand(thread.receiver, 'late')
  t.true(changes > 0)
  t.true(thread.receiver.interests().some(({ filter }) => filter === 'came/late'))
})

test.serial('what a thread says goes to the log of the server, with the id of the worker', async (t) => {
  const { lines, thread } = await threadStage(t)
  await hand(thread.receiver, 'log')
  const [level, message, fields] = lines.find(([, text]) => text === 'a word')!
  t.deepEqual(
    [level, message, fields['worker'], fields['run']],
    ['warn', 'a word', 'threaded', '(of type function, which stays in its thread)'],
  )
  t.like(fields['error'], { message: 'why' })
  t.deepEqual(fields['deep'], { a: 1 })
})

test.serial('a router in a thread stands under its mount, parameters included', async (t) => {
  const { client, thread } = await threadStage(t, {
    application: `${programs}applications.ts#router`,
    identity: { mount: 'house/+floor' },
  })
  t.deepEqual(
    thread.receiver.interests().map(({ filter }) => filter),
    ['house/+/temp/+'],
  )
  await hand(thread.receiver, 'house/2/temp/hall')
  t.is(client.asked.at(-1)![2], '{"floor":"2","room":"hall"}')
})

test.serial(
  'a thread whose file can not be loaded, or whose routes can not cross, is not started',
  async (t) => {
    await t.throwsAsync(threadHost({ application: `${programs}nowhere.ts` }).start(), {
      code: 'ERR_APPLICATION_FILE',
    })
    await t.throwsAsync(threadHost({ application: `${programs}applications.ts#nobody` }).start(), {
      code: 'ERR_APPLICATION_EXPORT',
    })
    await t.throwsAsync(threadHost({ application: `${programs}applications.ts#keyed` }).start(), {
      code: 'ERR_WORKER_THREAD_KEY',
      message: /key: 'room'/,
    })
    await t.throwsAsync(threadHost({ identity: { mount: 'a/+what' } }).start(), {
      code: 'ERR_WORKER_OPTION',
      message: /under "a\/\+what"/,
    })
    const scope = { type: 'mqtt', appId: 1, instanceType: 'worker', params: { f: () => {} } } as const
    await t.throwsAsync(threadHost({ identity: { scope } }).start(), { code: 'ERR_WORKER_START' })
  },
)

test.serial(
  'a loop without end is ended when its attempt is given up: what was in hand is to be tried again',
  async (t) => {
    const { thread } = await threadStage(t)
    const attempt = new PlainAttempt()
    const outcome = hand(thread.receiver, 'spin', '', attempt)
    // It has begun: what was sent before it has been answered.
    const began = performance.now()
    attempt.controller.abort(new Error('time is over'))
    void attempt.chain!.giveUp(new Error('time is over'))
    t.like(await outcome, { type: 'retry', error: { code: 'ERR_WORKER_CRASHED' } })
    t.like(await thread.ended, { code: 'ERR_WORKER_UNRESPONSIVE' })
    const took = performance.now() - began
    t.log(`${Math.round(took)} ms from the timeout to the end of the thread`)
    t.true(took < 1_000)
    // Whoever still holds it is told the same.
    t.like(await hand(thread.receiver, 'tell/x'), { type: 'retry' })
    await thread.receiver.disconnected({ type: 'killed' })
  },
)

test.serial('a handler that merely does not heed its time does not cost the thread its life', async (t) => {
  const times = { everyMs: 60_000, answerMs: 1_000, silenceMs: 60_000 }
  const { clock, thread } = await fakeTimed(t, times)
  const attempt = new PlainAttempt()
  void hand(thread.receiver, 'extend', '', attempt)
  void attempt.chain!.giveUp(new Error('time is over'))
  // Its answer comes before that to this message.
  await hand(thread.receiver, 'tell/x')
  clock.advance(1_000)
  t.deepEqual(await hand(thread.receiver, 'tell/y'), { type: 'done', handled: true })
})

test.serial('a loop outside of any message is found out by its silence', async (t) => {
  const { thread } = await threadStage(t, { times: { everyMs: 20, answerMs: 50, silenceMs: 100 } })
  await hand(thread.receiver, 'timer')
  t.like(await thread.ended, { code: 'ERR_WORKER_UNRESPONSIVE' })
})

for (const [topic, message] of [
  ['exit', /exit code 7/],
  ['throw', /nobody caught it/],
] as const) {
  test.serial(
    `a thread that ends by ${topic} ends alone, and its messages are to be tried again`,
    async (t) => {
      const { thread } = await threadStage(t)
      const pending = hand(thread.receiver, 'extend')
      void hand(thread.receiver, topic)
      t.like(await pending, { type: 'retry', error: { code: 'ERR_WORKER_CRASHED' } })
      t.regex((await thread.ended)?.message ?? '', message)
    },
  )
}

test.serial('a heap beyond its limit ends the thread alone', async (t) => {
  const { thread } = await threadStage(t, { memoryMb: 32 })
  const outcome = await hand(thread.receiver, 'heap')
  t.like(outcome, { type: 'retry', error: { code: 'ERR_WORKER_CRASHED' } })
  t.like(await thread.ended, { code: 'ERR_WORKER_MEMORY' })
})

test.serial('buffers beyond the limit, which the heap does not count, end the thread as well', async (t) => {
  const { thread } = await threadStage(t, { memoryMb: 64 })
  t.deepEqual(await hand(thread.receiver, 'buffers'), { type: 'done', handled: true })
  await hand(thread.receiver, 'buffers')
  const error = await thread.ended
  t.like(error, { code: 'ERR_WORKER_MEMORY' })
  t.regex(error?.message ?? '', /MB of buffers/)
})

test.serial('a thread that is being started is ended when nobody waits for it any more', async (t) => {
  const life = new AbortController()
  const started = threadHost({ application: `${programs}endless.ts#endless` }).start(life.signal)
  life.abort(new MqttasgiError('ERR_STOPPED', 'enough'))
  await t.throwsAsync(started, { code: 'ERR_STOPPED', message: 'enough' })
  await t.throwsAsync(threadHost().start(life.signal), { code: 'ERR_STOPPED' })
})

test.serial('whatever follows from what a thread says, it follows for that thread alone', async (t) => {
  const { thread } = await threadStage(t)
  thread.receiver.onInterests(() => {
    throw new Error('this can not be')
  })
  void hand(thread.receiver, 'late')
  t.is((await thread.ended)?.message, 'this can not be')
})

test.serial('a thread that is let go of leaves nothing', async (t) => {
  const { thread } = await threadStage(t)
  await thread.receiver.disconnected({ type: 'killed' })
  await thread.close()
  t.truthy(await thread.ended)
  await t.notThrowsAsync(thread.receiver.connected({} as never, session))
})

test.serial('an application in a thread hears channel events as well', async (t) => {
  const channels = new InMemoryChannelLayer()
  t.teardown(() => channels.close())
  const { asked, client } = await threadStage(t, {
    application: `${programs}contract.ts#listening`,
    identity: { channels },
  })
  await channels.groupSend('alarms', { type: 'alarm.raised', text: 'from outside' })
  await asked(1)
  t.deepEqual(client.asked.at(-1)?.slice(0, 3), ['publish', 'heard', 'from outside'])
})

test.serial(
  'channels of the server are those of its threads: groups, events, and what is left when one is lost',
  async (t) => {
    const channels = new InMemoryChannelLayer()
    t.teardown(() => channels.close())
    const { asked, client, thread } = await threadStage(t, {
      application: `${programs}contract.ts#Listener`,
      identity: { channels },
    })
    await channels.groupSend('alarms', { type: 'alarm.raised', text: 'from outside' })
    await asked(2)
    t.deepEqual(client.asked.at(-1)?.slice(0, 3), ['publish', 'heard', 'from outside'])
    await hand(thread.receiver, 'tell', 'from inside')
    await asked(3)
    t.deepEqual(client.asked.at(-1)?.slice(0, 3), ['publish', 'heard', 'from inside'])
    await thread.close()
    // Its channel is in no group any more, so nothing is left to fill up.
    for (let i = 0; i < 200; i++) await channels.groupSend('alarms', { type: 'alarm.raised', text: 'nobody' })
    t.is(channels.counters.full, 0)
  },
)

test.serial('a consumer that fails in a thread has its last words sent before the thread ends', async (t) => {
  const { client, thread } = await threadStage(t, { application: `${programs}applications.ts#Leaving` })
  t.like(await thread.ended, { message: 'no sensor' })
  t.deepEqual(
    client.asked.map(([, , payload]) => payload),
    ['off', 'last'],
  )
})

test('of a consumer that fails at its first connection a thread says its end, and not that it is done with it', async (t) => {
  const posted: string[] = []
  class Broken extends MqttConsumer {
    override connect(): void {
      throw new Error('no sensor')
    }
  }
  const line = { post: ({ type }: FromThread) => void posted.push(type) }
  const order = { id: 'one', application: '', mount: '', scope: masterScope } as ThreadOrder
  const side = new ThreadSide(line, order, asHostable(Broken, 'It'), () => 0)
  side.heard({ type: 'connected', call: 1, session })
  await settled()
  t.deepEqual(posted, ['table', 'log', 'ended'])
})

test.serial('an event that a thread has asked for and takes back is not lost', async (t) => {
  const posted: FromThread[] = []
  const asking = new Asking({ post: (news) => void posted.push(news) })
  const channels = asking.channels(60)
  t.is(channels.groupExpiry, 60)
  const controller = new AbortController()
  const receiving = channels.receive('mine', controller.signal)
  controller.abort(new Error('enough'))
  t.deepEqual(
    posted.map(({ type }) => type),
    ['call', 'cancel'],
  )
  // It was on its way already.
  asking.answered(1, { type: 'late' })
  t.deepEqual(await receiving, { type: 'late' })
  await t.throwsAsync(channels.receive('mine', controller.signal), { message: 'enough' })
  const other = new AbortController()
  const again = channels.receive('mine', other.signal)
  other.abort(new Error('enough'))
  asking.refused(2, wireError(new Error('The thread waits no longer.')))
  await t.throwsAsync(again, { message: 'enough' })
})

test('an event that can not cross is refused as one that is no plain data', async (t) => {
  const { port1, port2 } = new MessageChannel()
  t.teardown(() => {
    port1.close()
    port2.close()
  })
  const asking = new Asking({ post: (news) => port1.postMessage(news) })
  const channels = asking.channels(60)
  await t.throwsAsync(channels.send('mine', { type: 'x', run: () => {} }), {
    code: 'ERR_CHANNEL_EVENT',
  })
})

import test from 'ava'
import { silentLog } from '../../lib/core/log.ts'
import { MqttasgiError } from '../../lib/core/errors.ts'
import type { ReceiverHost } from '../../lib/core/receiver-host.ts'
import type { Message } from '../../lib/core/message.ts'
import type { Outcome } from '../../lib/core/receiver.ts'
import { memoryArrival } from '../../lib/testing/memory-arrival.ts'
import type { KillOptions } from '../../lib/core/workforce.ts'
import { resolveWorkerOptions } from '../../lib/config/worker.ts'
import { Crew } from '../../lib/workers/crew.ts'
import type { Incarnation, WorkerHost } from '../../lib/workers/host.ts'
import { untilAborted } from '../../lib/workers/until-aborted.ts'
import { Deferred } from '../../lib/core/deferred.ts'
import { CrewScene as Scene } from '../helpers/crew-scene.ts'
import { settled } from '../helpers/fake-clock.ts'
import { hand, PlainAttempt, StagedHost, StagedIncarnation } from '../helpers/worker-place.ts'

test('a spawned worker is attached, told of the connection, and listed', async (t) => {
  const scene = new Scene()
  const host = await scene.spawn('one')
  t.deepEqual(host.last.told, ['connected'])
  t.is(scene.place.attached.size, 1)
  t.deepEqual(scene.crew.workers(), [{ id: 'one', state: 'running', restarts: 0, inFlight: 0 }])
})

test('a second worker with an id that is taken is refused, and the first hears nothing of it', async (t) => {
  const scene = new Scene()
  const host = await scene.spawn('one')
  await t.throwsAsync(scene.spawn('one'), { code: 'ERR_RECEIVER_DUPLICATE' })
  t.deepEqual(host.last.told, ['connected'])
  t.is(host.started.length, 1)
  for (const id of ['application', '0']) {
    await t.throwsAsync(scene.spawn(id), { code: 'ERR_RECEIVER_DUPLICATE', message: /application itself/ })
  }
})

test('of two spawned at once with one id only one is', async (t) => {
  const scene = new Scene()
  const results = await Promise.allSettled([scene.spawn('one'), scene.spawn('one')])
  t.deepEqual(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
  t.is(scene.crew.workers().length, 1)
})

test('options that are none are refused before anything is begun', async (t) => {
  const scene = new Scene()
  const options: readonly (readonly [object, RegExp])[] = [
    [{ instance: 2 }, /instance: there is no such key. Did you mean instances/],
    [{ instances: 0 }, /instances: expected a whole number/],
    [{ restart: 'always' }, /restart: expected 'permanent'/],
    [{ memoryMb: 64 }, /memoryMb: only a thread/],
    [{ share: 'a/b' }, /share: expected the name of a group/],
  ]
  for (const [one, message] of options) {
    await t.throwsAsync(scene.spawn('one', one), { code: 'ERR_WORKER_OPTION', message })
  }
  await t.throwsAsync(scene.spawn(''), { code: 'ERR_WORKER_OPTION', message: /as id, got an empty one/ })
  await t.throwsAsync(scene.spawn(7 as never), { code: 'ERR_WORKER_OPTION', message: /as id, got number/ })
  const none = { code: 'ERR_WORKER_OPTION', message: /expected an object of options, got null/ }
  await t.throwsAsync(scene.spawn('one', null as never), none)
  t.deepEqual(scene.crew.workers(), [])
})

test('params that can not be copied to a thread are refused, and what in them', async (t) => {
  const scene = new Scene()
  const circle: Record<string, unknown> = { unit: 'C' }
  circle['self'] = circle
  const wrong: Record<string, unknown> = {}
  wrong['self'] = wrong
  wrong['log'] = () => {}
  const cases: readonly (readonly [params: Record<string, unknown>, what: string])[] = [
    [{ unit: 'C', log: () => {} }, 'a function as params.log'],
    [{ deep: [{ unit: 'C' }, { kind: Symbol('kind') }] }, 'a symbol as params.deep[1].kind'],
    [{ circle, 'in time': { 2: Promise.resolve() } }, 'an object (Promise) as params["in time"][2]'],
    [{ callbacks: new Map([['a', () => {}]]) }, 'an object (Map) as params.callbacks'],
    [{ circle, wrong }, 'a function as params.wrong.log'],
    [
      {
        get unit() {
          throw new Error('not read yet')
        },
      },
      'something that can not be read (not read yet)',
    ],
  ]
  for (const [params, what] of cases) {
    const { message } = await t.throwsAsync(scene.spawn('one', { thread: true, params }), {
      code: 'ERR_WORKER_OPTION',
    })
    t.true(message.startsWith(`Worker "one": params: expected plain data`), message)
    t.true(message.includes(`got ${what}. `), message)
    await scene.spawn(what, { params })
  }
  const params = {
    circle,
    bytes: Buffer.from('a'),
    at: new Date(0),
    list: [null, undefined, new Map([[1, 2]])],
    observed: new Proxy({ unit: 'C' }, {}),
  }
  await t.notThrowsAsync(scene.spawn('one', { thread: true, params }))
})

test('options of kill() that are none are refused, and the worker goes on', async (t) => {
  const scene = new Scene()
  await scene.spawn('one')
  const options: readonly (readonly [unknown, RegExp])[] = [
    [{ subscriptions: 'kep' }, /^kill\(\): subscriptions: expected 'unsubscribe' or 'keep', got "kep"\.$/],
    [{ subscription: 'keep' }, /subscription: there is no such key. Did you mean subscriptions\?/],
    [{ force: true }, /force: there is no such key. kill\(\) has drainTimeoutMs, subscriptions\./],
    [null, /expected an object of options, got null/],
  ]
  for (const [one, message] of options) {
    await t.throwsAsync(scene.crew.kill('one', one as KillOptions), { code: 'ERR_WORKER_OPTION', message })
  }
  t.is(scene.crew.workers()[0]!.state, 'running')
  await scene.crew.kill('one', {
    subscriptions: undefined,
    drainTimeoutMs: Infinity,
  } as unknown as KillOptions)
  t.deepEqual(scene.crew.workers(), [])
})

test('what can not be loaded, started or subscribed is told to the caller, and leaves nothing behind', async (t) => {
  const scene = new Scene()
  scene.fault = new MqttasgiError('ERR_APPLICATION_LOAD', 'it threw')
  await t.throwsAsync(scene.spawn('one'), { code: 'ERR_APPLICATION_LOAD' })
  scene.fault = undefined
  scene.place.fault = new MqttasgiError('ERR_SUBSCRIBE_REFUSED', 'no')
  await t.throwsAsync(scene.spawn('one'), { code: 'ERR_SUBSCRIBE_REFUSED' })
  t.true(scene.hosts.get('one')!.last.isClosed)
  scene.place.fault = undefined
  t.deepEqual(scene.crew.workers(), [])
  t.is(scene.place.attached.size, 0)
  await scene.spawn('one')
  t.is(scene.crew.workers().length, 1)
})

test('a worker that ends before it is ready has not been started', async (t) => {
  const scene = new Scene()
  scene.place.attach = async (_receiver, until) => {
    scene.hosts.get('one')!.last.ending.resolve(new Error('connect() threw'))
    await until
  }
  await t.throwsAsync(scene.spawn('one'), { code: 'ERR_WORKER_START', message: /connect\(\) threw/ })
  t.deepEqual(scene.crew.workers(), [])
})

test('a worker that ends in any moment of its attachment has not been started, or is started again', async (t) => {
  const ends = new Set<string>()
  for (let moment = 0; moment < 20; moment++) {
    const scene = new Scene()
    const attached = new Deferred()
    scene.place.attach = async (_receiver, until) => Promise.race([attached.promise, until!])
    const spawned = scene.crew.spawn('one', './a.ts').then(
      () => 'spawned',
      (error: MqttasgiError) => error.code,
    )
    await settled()
    const { last } = scene.hosts.get('one')!
    if (moment > 0) attached.resolve()
    for (let i = 1; i < moment; i++) await Promise.resolve()
    last.ending.resolve(new Error('broken'))
    const end = await spawned
    ends.add(end)
    await settled()
    scene.clock.advance(100)
    await settled()
    if (end === 'spawned') t.like(scene.crew.workers()[0], { state: 'running', restarts: 1 })
    else t.deepEqual(scene.crew.workers(), [])
  }
  t.deepEqual([...ends].sort(), ['ERR_WORKER_START', 'spawned'])
})

test('a worker that fails is started again after its delay, and is told of the connection', async (t) => {
  const scene = new Scene()
  const host = await scene.spawn('one')
  await scene.fails(host)
  t.true(host.started[0]!.isClosed)
  t.is(scene.crew.workers()[0]!.state, 'restarting')
  t.is(scene.crew.workers()[0]!.error?.message, 'broken')
  scene.clock.advance(99)
  t.is(host.started.length, 1)
  scene.clock.advance(1)
  await settled()
  t.is(host.started.length, 2)
  t.deepEqual(host.last.told, ['connected'])
  t.like(scene.crew.workers()[0], { state: 'running', restarts: 1 })
  t.is(scene.place.attached.size, 1)
  t.is(host.started[0]!.listeners, 0)
})

test('what is said of a failure are sentences, whoever has begun them', async (t) => {
  const scene = new Scene()
  const said: string[] = []
  const log = { ...silentLog, warn: (message: string) => void said.push(message) }
  const crew = new Crew({ ...scene.parts, log })
  await crew.spawn('one', './a.ts')
  await crew.spawn('two', './a.ts')
  await scene.fails(scene.hosts.get('one')!, new Error('no device'))
  await scene.fails(scene.hosts.get('two')!, new Error('There is none.'))
  scene.clock.advance(100)
  await settled()
  scene.hosts.get('one')!.last.ending.resolve(undefined)
  await settled()
  t.deepEqual(said, [
    'Worker "one" has failed: no device. It is started again in 100 ms.',
    'Worker "two" has failed: There is none. It is started again in 100 ms.',
    'Worker "one" has ended. It is started again in 200 ms.',
  ])
})

test('a worker that was spawned, and one that runs again, are told of once, with their id', async (t) => {
  const scene = new Scene()
  const said: unknown[] = []
  const log = { ...silentLog, info: (...line: unknown[]) => void said.push(line) }
  const crew = new Crew({ ...scene.parts, log })
  await crew.prepare([{ ...resolveWorkerOptions({}), id: 'declared', application: './a.ts' }])
  t.deepEqual(said, [])
  await crew.spawn('one', './a.ts', { instances: 2 })
  t.deepEqual(said.splice(0), [['Worker "one" was spawned.', { worker: 'one' }]])
  const host = scene.hosts.get('one')!
  for (const instance of host.started) instance.ending.resolve(new Error('broken'))
  await scene.fails(scene.hosts.get('declared')!)
  t.is(crew.workers()[1]!.state, 'restarting')
  t.deepEqual(said, [])
  scene.clock.advance(100)
  await settled()
  t.deepEqual(said.splice(0), [['Worker "declared" runs again.', { worker: 'declared' }]])
  scene.clock.advance(100)
  await settled()
  t.deepEqual(said.splice(0), [['Worker "one" runs again.', { worker: 'one' }]])
  host.fault = new Error('no device')
  await scene.fails(host)
  scene.clock.advance(400)
  await settled()
  t.deepEqual(said, [])
  scene.fault = new MqttasgiError('ERR_APPLICATION_LOAD', 'it threw')
  await t.throwsAsync(crew.spawn('two', './a.ts'), { code: 'ERR_APPLICATION_LOAD' })
  t.deepEqual(said, [])
})

test('messages for a worker that is being started again wait, and run in their order on the next one', async (t) => {
  const scene = new Scene()
  const host = await scene.spawn('one')
  await scene.fails(host)
  const attempt = new PlainAttempt()
  const outcomes = [hand(scene.receiver, 'a', '1', attempt), hand(scene.receiver, 'b', '2')].map(
    async (one) => one,
  )
  t.true(attempt.isWaiting)
  scene.clock.advance(100)
  t.deepEqual(await Promise.all(outcomes), [
    { type: 'done', handled: true },
    { type: 'done', handled: true },
  ])
  t.deepEqual(host.last.messages, ['a:1', 'b:2'])
  t.false(attempt.isWaiting)
  t.is(attempt.waitedMs, 100)
})

test('a message whose time is over while it waits is not run later', async (t) => {
  const scene = new Scene()
  const host = await scene.spawn('one')
  await scene.fails(host)
  const attempt = new PlainAttempt()
  const outcome = hand(scene.receiver, 'a', '1', attempt)
  const error = new Error('held')
  t.like(await attempt.chain!.giveUp(error), { type: 'failed', error })
  t.like(await outcome, { type: 'failed', error })
  scene.clock.advance(100)
  await settled()
  t.deepEqual(host.last.messages, [])
})

test('the sixth failure within a minute stops the worker: its messages fail for good, and it can be seen', async (t) => {
  const scene = new Scene()
  const host = await scene.spawn('one')
  const { receiver } = scene
  for (let i = 0; i < 5; i++) {
    await scene.fails(host)
    scene.clock.advance(2_000)
    await settled()
  }
  const waiting = new Promise((resolve) => {
    void scene.fails(host).then(() => resolve(undefined))
  })
  await waiting
  t.is(host.started.length, 6)
  t.like(await hand(receiver, 'a'), { type: 'failed', error: { code: 'ERR_WORKER_STOPPED', isFinal: true } })
  t.like(scene.crew.workers()[0], { state: 'stopped', restarts: 5 })
  t.regex(scene.crew.faults[0]!, /Worker "one" is stopped.*failed too often.*broken/)
  t.deepEqual(scene.exits, [])
  // Its subscriptions stay, so that what comes for it is kept and not lost.
  t.is(scene.place.attached.size, 1)
  t.is(scene.clock.timers, 0)
  await scene.crew.kill('one')
  t.deepEqual(scene.crew.faults, [])
  await scene.spawn('one')
  t.is(scene.crew.workers()[0]!.state, 'running')
})

test('with escalation exit the server ends, and what waited is left to the next process', async (t) => {
  const scene = new Scene()
  const host = await scene.spawn('one', { escalation: 'exit', maxRestarts: 0 })
  const { receiver } = scene
  await scene.fails(host)
  t.deepEqual(
    scene.exits.map(({ code }) => code),
    ['ERR_WORKER_STOPPED'],
  )
  t.like(await hand(receiver, 'a'), { type: 'retry', error: { code: 'ERR_WORKER_CRASHED', isFinal: false } })
})

test('a start that fails at a restart counts as a failure', async (t) => {
  const scene = new Scene()
  const host = await scene.spawn('one', { maxRestarts: 2 })
  host.fault = new Error('no memory')
  await scene.fails(host)
  scene.clock.advance(100)
  await settled()
  t.is(scene.crew.workers()[0]!.restarts, 2)
  scene.clock.advance(200)
  await settled()
  t.is(scene.crew.workers()[0]!.state, 'stopped')
})

test('a temporary worker that fails is gone, and whoever spawned it is told', async (t) => {
  const scene = new Scene()
  const handle = await scene.crew.spawn('one', './a.ts', { restart: 'temporary' })
  await scene.fails(scene.hosts.get('one')!)
  t.like(await handle.ended, { type: 'failed', error: { message: 'broken' } })
  t.deepEqual(scene.crew.workers(), [])
  t.is(scene.place.attached.size, 0)
})

test('a transient worker that is done has finished', async (t) => {
  const scene = new Scene()
  const handle = await scene.crew.spawn('one', './a.ts', { restart: 'transient' })
  scene.hosts.get('one')!.last.ending.resolve(undefined)
  t.deepEqual(await handle.ended, { type: 'finished' })
  t.deepEqual(scene.crew.workers(), [])
})

test('one that has failed, was started again and is done has finished all the same', async (t) => {
  const scene = new Scene()
  const handle = await scene.crew.spawn('one', './a.ts', { restart: 'transient' })
  const host = scene.hosts.get('one')!
  await scene.fails(host)
  scene.clock.advance(100)
  await settled()
  t.like(scene.crew.workers()[0], { state: 'running', error: { message: 'broken' } })
  host.last.ending.resolve(undefined)
  t.deepEqual(await handle.ended, { type: 'finished' })
})

test('of several instances each has an end of its own, and one that has failed is not forgotten for another', async (t) => {
  const scene = new Scene()
  const handle = await scene.crew.spawn('one', './a.ts', { restart: 'temporary', instances: 2 })
  const [first, second] = scene.hosts.get('one')!.started
  first?.ending.resolve(new Error('broken'))
  await settled()
  second?.ending.resolve(undefined)
  t.like(await handle.ended, { type: 'failed', error: { message: 'broken' } })
})

test('a kill drains, tells, lets go, and tells whoever spawned it', async (t) => {
  const scene = new Scene()
  const handle = await scene.crew.spawn('one', './a.ts')
  const drained = new Deferred()
  scene.place.drained = drained.promise
  const host = scene.hosts.get('one')!
  const killed = Promise.all([
    scene.crew.kill('one', { drainTimeoutMs: 7, subscriptions: 'keep' }),
    scene.crew.kill('one'),
  ])
  await settled()
  t.is(scene.crew.workers()[0]!.state, 'stopping')
  t.false(host.last.isClosed)
  drained.resolve()
  await killed
  t.deepEqual(scene.place.detached, [
    ['one', { reason: { type: 'killed' }, drainTimeoutMs: 7, keepSubscriptions: true }],
  ])
  t.deepEqual(host.last.told, ['connected', 'disconnected'])
  t.true(host.last.isClosed)
  t.deepEqual(await handle.ended, { type: 'killed' })
  t.deepEqual(scene.crew.workers(), [])
})

test('a worker that is killed while it waits to be started again is not started', async (t) => {
  const scene = new Scene()
  const host = await scene.spawn('one')
  await scene.fails(host)
  const waiting = hand(scene.receiver, 'a')
  await scene.crew.kill('one')
  t.like(await waiting, { type: 'failed', error: { code: 'ERR_WORKER_STOPPED' } })
  t.is(scene.clock.timers, 0)
  t.is(host.started.length, 1)
})

test('a worker that is killed while it is loaded or started is not started, and whoever spawned it is told so', async (t) => {
  const scene = new Scene()
  const loading = new Deferred<WorkerHost>()
  const crew = new Crew({ ...scene.parts, hostFor: () => loading.promise })
  const spawned = crew.spawn('one', './a.ts')
  await crew.kill('one')
  await t.throwsAsync(spawned, { code: 'ERR_RECEIVER_DETACHED', message: /"one" was not started.*kill\(\)/ })
  t.deepEqual(crew.workers(), [])
  const again = crew.spawn('one', './a.ts')
  await crew.close()
  await t.throwsAsync(again, { code: 'ERR_STOPPED', message: /the server stops/ })
})

test('a worker that is killed in the moment it has been started is not attached', async (t) => {
  const scene = new Scene()
  const place = new Deferred<ReceiverHost>()
  const crew = new Crew({ ...scene.parts, place: place.promise })
  const spawned = crew.spawn('one', './a.ts')
  await settled()
  const killed = crew.kill('one')
  place.resolve(scene.place)
  await t.throwsAsync(spawned, { code: 'ERR_RECEIVER_DETACHED' })
  await killed
  t.is(scene.place.attached.size, 0)
  t.true(scene.hosts.get('one')!.last.isClosed)
})

test('a kill waits for the end of an instance that comes too late, and of one that has just left', async (t) => {
  const scene = new Scene()
  const starts = [new Deferred<Incarnation>(), new Deferred<Incarnation>()]
  const hosted = [...starts]
  const crew = new Crew({
    ...scene.parts,
    hostFor: async () => ({ start: () => hosted.shift()!.promise }),
  })
  const closings = [new Deferred(), new Deferred()]
  const [left, late] = closings.map(({ promise }) => {
    const one = new StagedIncarnation()
    one.close = () => promise
    return one
  })
  starts[0]!.resolve(left!)
  await crew.spawn('one', './a.ts')
  left!.ending.resolve(new Error('broken'))
  await settled()
  scene.clock.advance(100)
  await settled()
  let isKilled = false
  const killed = crew.kill('one').then(() => (isKilled = true))
  starts[1]!.resolve(late!)
  for (const closing of closings) {
    await settled()
    t.false(isKilled)
    closing.resolve()
  }
  await killed
  t.deepEqual(crew.workers(), [])
})

test('a worker that is killed in the moment it has been attached has not been started, and is let go of once', async (t) => {
  const scene = new Scene()
  const attached = new Deferred()
  scene.place.attach = () => attached.promise
  const spawned = scene.crew.spawn('one', './a.ts')
  await settled()
  attached.resolve()
  const killed = scene.crew.kill('one', { subscriptions: 'keep' })
  await t.throwsAsync(spawned, { code: 'ERR_RECEIVER_DETACHED', message: /kill\(\)/ })
  await killed
  t.deepEqual(
    scene.place.detached.map(([, { keepSubscriptions }]) => keepSubscriptions),
    [true],
  )
  t.deepEqual(scene.crew.workers(), [])
})

test('a kill that is to wait for no time at all is refused, and the worker runs on', async (t) => {
  const scene = new Scene()
  const host = await scene.spawn('one')
  await t.throwsAsync(scene.crew.kill('one', { drainTimeoutMs: -1 }), { code: 'ERR_CONFIG_VALUE' })
  t.deepEqual(await hand(scene.receiver, 'a'), { type: 'done', handled: true })
  t.is(scene.crew.workers()[0]?.state, 'running')
  await scene.crew.kill('one')
  t.true(host.last.isClosed)
})

test('nobody is there to be killed under an unknown id, and the application is not to be', async (t) => {
  const scene = new Scene()
  await scene.spawn('one')
  await t.throwsAsync(scene.crew.kill('two'), { code: 'ERR_WORKER_UNKNOWN', message: /There are "one"/ })
  for (const id of ['application', '0', 0 as unknown as string]) {
    await t.throwsAsync(scene.crew.kill(id), { code: 'ERR_WORKER_MASTER', message: /server\.stop\(\)/ })
  }
})

test('what waits for each other always meets at the same instance', async (t) => {
  const scene = new Scene()
  const host = await scene.spawn('one', { instances: 3 })
  t.is(host.started.length, 3)
  for (let i = 0; i < 60; i++) void hand(scene.receiver, `room/${i % 20}`, String(i))
  const places = new Map<string, Set<number>>()
  for (const [at, one] of host.started.entries()) {
    for (const message of one.messages) {
      const topic = message.split(':')[0]!
      places.set(topic, (places.get(topic) ?? new Set()).add(at))
    }
  }
  t.is(places.size, 20)
  t.true([...places.values()].every((seats) => seats.size === 1))
  t.true(host.started.every(({ messages }) => messages.length > 0))
})

test('messages without an order take turns', async (t) => {
  const scene = new Scene({ order: 'none' })
  const host = await scene.spawn('one', { instances: 2 })
  for (let i = 0; i < 4; i++) void hand(scene.receiver, 'a', String(i))
  t.deepEqual(
    host.started.map(({ messages }) => messages),
    [
      ['a:0', 'a:2'],
      ['a:1', 'a:3'],
    ],
  )
})

test('of several instances only the messages of the one that failed wait', async (t) => {
  const scene = new Scene({ order: 'none' })
  const host = await scene.spawn('one', { instances: 2 })
  host.started[0]!.ending.resolve(new Error('broken'))
  await settled()
  const first = hand(scene.receiver, 'a')
  t.true(first instanceof Promise)
  t.deepEqual(hand(scene.receiver, 'a'), { type: 'done', handled: true })
})

test('a worker with a group shares all of its subscriptions, and sees its messages as its own', async (t) => {
  const scene = new Scene()
  const host = await scene.spawn('one', { share: 'crew' })
  t.deepEqual(
    scene.receiver.interests().map(({ filter, share }) => [filter, share]),
    [['#', 'crew']],
  )
  const seen: unknown[] = []
  host.last.receive = (message) => {
    seen.push(message.share, message.topic, message.payload.toString(), message.qos)
    return { type: 'done', handled: true }
  }
  await hand(scene.receiver, 'a', 'x', new PlainAttempt(), { share: 'crew' })
  t.deepEqual(seen, [undefined, 'a', 'x', 1])
})

test('what one subscribes to later is noticed, and no more when it is gone', async (t) => {
  const scene = new Scene()
  const host = await scene.spawn('one')
  let changes = 0
  scene.receiver.onInterests(() => changes++)
  host.last.want('later')
  t.is(changes, 1)
  t.deepEqual(
    scene.receiver.interests().map(({ filter }) => filter),
    ['#', 'later'],
  )
})

test('workers of the configuration are there before the server is, and go if one of them can not be', async (t) => {
  const scene = new Scene()
  const order = {
    application: './a.ts',
    mount: '',
    params: {},
    thread: false,
    memoryMb: undefined,
    instances: 1,
    share: undefined,
    restart: 'permanent',
    escalation: 'stop-mount',
    maxRestarts: 5,
    withinSeconds: 60,
  } as const
  const receivers = await scene.crew.prepare([
    { ...order, id: 'one' },
    { ...order, id: 'two' },
  ])
  t.deepEqual(
    receivers.map(({ id }) => id),
    ['one', 'two'],
  )
  t.deepEqual(
    scene.crew.workers().map(({ state }) => state),
    ['running', 'running'],
  )
  const other = new Scene()
  await t.throwsAsync(
    other.crew.prepare([
      { ...order, id: 'one' },
      { ...order, id: 'one' },
    ]),
    {
      code: 'ERR_RECEIVER_DUPLICATE',
    },
  )
  t.true(other.hosts.get('one')?.last.isClosed ?? true)
})

test('when the server ends all workers are let go of, and nobody is spawned any more', async (t) => {
  const scene = new Scene()
  const handle = await scene.crew.spawn('one', './a.ts')
  await scene.crew.close()
  t.deepEqual(await handle.ended, { type: 'stopped' })
  t.true(scene.hosts.get('one')!.last.isClosed)
  await t.throwsAsync(scene.spawn('two'), { code: 'ERR_STOPPED' })
})

const lost: Outcome = {
  type: 'retry',
  afterMs: undefined,
  error: new MqttasgiError('ERR_WORKER_CRASHED', 'lost'),
  route: undefined,
}

test('what was in hand when an instance was lost runs alone, so that nobody is blamed for another', async (t) => {
  const scene = new Scene()
  const host = await scene.spawn('one')
  const { receiver } = scene
  const [first, second, third] = ['a', 'b', 'c'].map((topic) => memoryArrival(topic, Buffer.alloc(0), {}))
  const give = (message: Message): Promise<Outcome> =>
    Promise.resolve(receiver.receive(message, receiver.plan(message), new PlainAttempt()))
  const losing = new Deferred<Outcome>()
  host.last.outcome = losing.promise
  const outcomes = [give(first!), give(second!)]
  losing.resolve(lost)
  t.deepEqual(await Promise.all(outcomes), [lost, lost])
  await scene.fails(host)
  scene.clock.advance(100)
  await settled()
  const alone = new Deferred<Outcome>()
  host.last.outcome = alone.promise
  void give(first!)
  const after = [give(second!), give(third!)]
  await settled()
  t.deepEqual(host.last.messages, ['a:'])
  host.last.outcome = Promise.resolve({ type: 'done', handled: true })
  alone.resolve({ type: 'done', handled: true })
  await Promise.all(after)
  t.deepEqual(host.last.messages, ['a:', 'b:', 'c:'])
})

test('twenty messages that end their instance at each attempt are not the end of the worker', async (t) => {
  const scene = new Scene()
  const host = await scene.spawn('one')
  const { receiver } = scene
  const give = (message: Message): Promise<Outcome> =>
    Promise.resolve(receiver.receive(message, receiver.plan(message), new PlainAttempt()))
  for (let i = 0; i < 20; i++) {
    const poison = memoryArrival(`poison/${i}`, Buffer.alloc(0), {})
    for (let attempt = 0; attempt < 3; attempt++) {
      const losing = new Deferred<Outcome>()
      host.last.outcome = losing.promise
      const outcome = give(poison)
      losing.resolve(lost)
      await scene.fails(host)
      t.is(await outcome, lost)
      scene.clock.advance(1_000)
      await settled()
    }
  }
  t.like(scene.crew.workers()[0], { state: 'running', restarts: 60 })
  t.deepEqual(await hand(receiver, 'good'), { type: 'done', handled: true })
  // Without a message it is the worker's own, and there are five of those.
  for (let i = 0; i < 5; i++) {
    await scene.fails(host)
    scene.clock.advance(2_000)
    await settled()
  }
  t.is(scene.crew.workers()[0]?.state, 'running')
  await scene.fails(host)
  t.is(scene.crew.workers()[0]?.state, 'stopped')
})

const notTaken: Outcome = {
  type: 'notTaken',
  error: new MqttasgiError('ERR_STOPPED', 'it has ended'),
  route: undefined,
}

test('what an instance has not begun waits for the next one, and its outcome is that of the next one', async (t) => {
  const scene = new Scene()
  const host = await scene.spawn('one')
  const attempt = new PlainAttempt()
  const leaving = new Deferred<Outcome>()
  host.last.outcome = leaving.promise
  const outcomes = [hand(scene.receiver, 'a', '', attempt), hand(scene.receiver, 'b')]
  scene.clock.advance(40)
  leaving.resolve(notTaken)
  await settled()
  t.true(attempt.isWaiting)
  // Its end has not been told yet, and nothing more is given to it.
  const late = hand(scene.receiver, 'c')
  t.deepEqual(host.last.messages, ['a:', 'b:'])
  await scene.fails(host)
  scene.clock.advance(100)
  for (const outcome of [...outcomes, late]) t.deepEqual(await outcome, { type: 'done', handled: true })
  t.deepEqual(host.last.messages, ['a:', 'b:', 'c:'])
  t.is(attempt.waitedMs, 140)
})

test('an instance that can say at once that it takes nothing more keeps no message from the next one', async (t) => {
  const scene = new Scene()
  const host = await scene.spawn('one')
  host.last.outcome = notTaken
  const outcome = hand(scene.receiver, 'a')
  await settled()
  await scene.fails(host)
  scene.clock.advance(100)
  t.deepEqual(await outcome, { type: 'done', handled: true })
})

test('what comes back from an instance whose place is taken already is given to the new one', async (t) => {
  const scene = new Scene()
  const host = await scene.spawn('one')
  const leaving = new Deferred<Outcome>()
  host.last.outcome = leaving.promise
  const outcome = hand(scene.receiver, 'a')
  await scene.fails(host)
  scene.clock.advance(100)
  await settled()
  leaving.resolve(notTaken)
  t.deepEqual(await outcome, { type: 'done', handled: true })
  t.deepEqual(host.last.messages, ['a:'])
})

test('of a worker that is not started again what was not begun fails for good', async (t) => {
  const scene = new Scene()
  const host = await scene.spawn('one', { restart: 'temporary' })
  const leaving = new Deferred<Outcome>()
  host.last.outcome = leaving.promise
  const outcomes = [hand(scene.receiver, 'a')]
  await scene.fails(host)
  leaving.resolve(notTaken)
  t.like(await outcomes[0], { type: 'failed', error: { code: 'ERR_WORKER_STOPPED' } })
})

test('what stood in the line of a thread that was lost has been no attempt', async (t) => {
  const scene = new Scene()
  const host = await scene.spawn('one')
  const losing = new Deferred<Outcome>()
  host.last.outcome = losing.promise
  const [begun, stood, givenUp] = [new PlainAttempt(), new PlainAttempt(), new PlainAttempt()]
  const outcomes = [begun, stood, givenUp].map((attempt, i) => hand(scene.receiver, `${i}`, '', attempt))
  stood.isWaiting = givenUp.isWaiting = true
  givenUp.controller.abort()
  losing.resolve(lost)
  t.is(await outcomes[0], lost)
  t.is(await outcomes[2], lost)
  await scene.fails(host)
  scene.clock.advance(100)
  t.deepEqual(await outcomes[1], { type: 'done', handled: true })
})

test('what an instance had subscribed to by hand, and the next one does not want, is given up', async (t) => {
  const scene = new Scene()
  const host = await scene.spawn('one')
  const { asked } = scene.place.client
  for (const filter of ['reply/1', 'both']) await host.last.client?.subscribe(filter)
  await scene.fails(host)
  host.wants = ['both', 'reply/2']
  scene.clock.advance(100)
  await settled()
  t.deepEqual(
    asked.map(([what, filter]) => `${String(what)} ${String(filter)}`),
    ['subscribe reply/1', 'subscribe both', 'subscribe both', 'subscribe reply/2', 'unsubscribe reply/1'],
  )
})

test('what another instance has subscribed to as well stays', async (t) => {
  const scene = new Scene()
  const host = await scene.spawn('one', { instances: 2 })
  for (const one of host.started) await one.client?.subscribe('all')
  await scene.fails(host)
  scene.clock.advance(100)
  await settled()
  t.deepEqual(
    scene.place.client.asked.map(([what]) => what),
    ['subscribe', 'subscribe'],
  )
})

test('an instance that has ended for good holds nothing for the others', async (t) => {
  const scene = new Scene()
  const host = await scene.spawn('one', { instances: 2, restart: 'transient' })
  for (const one of host.started) await one.client?.subscribe('all')
  const [finished, other] = host.started
  finished?.ending.resolve(undefined)
  await settled()
  await other?.client?.unsubscribe('all')
  t.deepEqual(
    scene.place.client.asked.map(([what]) => what),
    ['subscribe', 'subscribe', 'unsubscribe'],
  )
})

test('what ends because the server stops is not started again', async (t) => {
  const scene = new Scene()
  const host = await scene.spawn('one')
  await scene.receiver.disconnected({ type: 'stopped' })
  await scene.fails(host)
  t.is(scene.clock.timers, 0)
  const other = new Scene()
  const lost = await other.spawn('one')
  await other.receiver.disconnected({ type: 'lost' })
  await other.fails(lost)
  t.is(other.clock.timers, 1)
})

test('a worker of the configuration that ends while another one still begins is started again', async (t) => {
  const slow = new Deferred<WorkerHost>()
  const scene = new Scene()
  const crew = new Crew({
    ...scene.parts,
    hostFor: (order) => (order.id === 'slow' ? slow.promise : scene.parts.hostFor(order)),
  })
  const order = { ...resolveWorkerOptions({}), application: './a.ts' }
  const prepared = crew.prepare([
    { ...order, id: 'quick' },
    { ...order, id: 'slow' },
  ])
  await settled()
  await scene.fails(scene.hosts.get('quick')!)
  scene.clock.advance(100)
  slow.resolve(new StagedHost())
  await prepared
  await settled()
  t.is(scene.hosts.get('quick')!.started.length, 2)
  t.is(crew.workers()[0]?.state, 'running')
})

test('a worker of the configuration that ends in any moment after it was loaded is started again', async (t) => {
  for (let moment = 0; moment < 12; moment++) {
    const scene = new Scene()
    const host = new StagedHost()
    const crew = new Crew({ ...scene.parts, hostFor: async () => host })
    const prepared = crew.prepare([{ ...resolveWorkerOptions({}), application: './a.ts', id: 'one' }])
    while (host.started.length === 0) await Promise.resolve()
    for (let i = 0; i < moment; i++) await Promise.resolve()
    host.last.ending.resolve(new Error('broken'))
    await prepared
    await settled()
    scene.clock.advance(100)
    await settled()
    t.like(crew.workers()[0], { state: 'running', restarts: 1 })
  }
})

test('nor does it wait for its other instances, which may still fail to load', async (t) => {
  const scene = new Scene()
  const second = new Deferred<Incarnation>()
  const [first, again] = [new StagedIncarnation(), new StagedIncarnation()]
  const starts = [Promise.resolve<Incarnation>(first), second.promise, Promise.resolve<Incarnation>(again)]
  const crew = new Crew({ ...scene.parts, hostFor: async () => ({ start: () => starts.shift()! }) })
  const order = { ...resolveWorkerOptions({ instances: 2 }), application: './a.ts', id: 'one' }
  const prepared = crew.prepare([order])
  await settled()
  first.ending.resolve(new Error('broken'))
  await settled()
  scene.clock.advance(100)
  await settled()
  t.is(starts.length, 0)
  second.reject(new Error('no such file'))
  await t.throwsAsync(prepared, { code: 'ERR_WORKER_START', message: /no such file/ })
  t.true(again.isClosed)
  t.deepEqual(crew.workers(), [])
  t.is(scene.clock.timers, 0)
})

test('one of the configuration that is given up before all have been loaded keeps its messages, as later', async (t) => {
  for (const [escalation, outcome] of [
    ['stop-mount', { type: 'failed', error: { code: 'ERR_WORKER_STOPPED' } }],
    ['exit', { type: 'retry', error: { code: 'ERR_WORKER_CRASHED' } }],
  ] as const) {
    const scene = new Scene()
    const first = new StagedIncarnation()
    const starts = [Promise.resolve<Incarnation>(first)]
    const start = (signal: AbortSignal): Promise<Incarnation> =>
      starts.pop() ?? untilAborted(new Promise(() => {}), signal)
    const crew = new Crew({ ...scene.parts, hostFor: async () => ({ start }) })
    const options = resolveWorkerOptions({ instances: 2, maxRestarts: 0, escalation })
    const prepared = crew.prepare([{ ...options, application: './a.ts', id: 'one' }])
    await settled()
    first.ending.resolve(new Error('broken'))
    const [receiver] = await prepared
    t.is(crew.workers()[0]?.state, 'stopped')
    t.is(scene.exits.length, escalation === 'exit' ? 1 : 0)
    t.like(await hand(receiver!, 'a'), outcome)
    t.true(first.isClosed)
  }
})

test('of several instances one that ends before the others have begun is a start that has failed', async (t) => {
  const scene = new Scene()
  const second = new Deferred<Incarnation>()
  const first = new StagedIncarnation()
  const starts = [Promise.resolve<Incarnation>(first), second.promise]
  const crew = new Crew({ ...scene.parts, hostFor: async () => ({ start: () => starts.shift()! }) })
  const spawned = crew.spawn('one', './a.ts', { instances: 2 })
  await settled()
  first.ending.resolve(new Error('broken'))
  await settled()
  const late = new StagedIncarnation()
  second.resolve(late)
  await t.throwsAsync(spawned, { code: 'ERR_WORKER_START', message: /broken/ })
  t.true(late.isClosed)
  t.deepEqual(crew.workers(), [])
})

test('a worker that has finished before there is a server is let go of when there is one', async (t) => {
  const scene = new Scene()
  const place = new Deferred<ReceiverHost>()
  const crew = new Crew({ ...scene.parts, place: place.promise })
  const order = { ...resolveWorkerOptions({ restart: 'temporary' }), application: './a.ts', id: 'one' }
  await crew.prepare([order])
  scene.hosts.get('one')!.last.ending.resolve(undefined)
  await settled()
  t.deepEqual(scene.place.detached, [])
  place.resolve(scene.place)
  await settled()
  t.deepEqual(
    scene.place.detached.map(([id]) => id),
    ['one'],
  )
  t.deepEqual(crew.workers(), [])
})

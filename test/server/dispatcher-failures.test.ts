// What fails is tried again, becomes a dead letter, or stays unacknowledged; nothing else is held up by it.
import test from 'ava'
import { Deferred } from '../../lib/core/deferred.ts'
import { MqttasgiError } from '../../lib/core/errors.ts'
import type { FailurePolicy, Outcome, Plan } from '../../lib/core/receiver.ts'
import type { Burial } from '../../lib/server/settlement.ts'
import { settled } from '../helpers/fake-clock.ts'
import { arrival, HANDLED, Stage, type StageOptions } from '../helpers/dispatcher-stage.ts'

const failed: Outcome = { type: 'failed', error: new Error('no'), route: '#' }

const policy: FailurePolicy = {
  retry: { attempts: 3, minDelayMs: 100, maxDelayMs: 1_000, jitter: false, never: [] },
  deadLetter: true,
}

function plan(more: Partial<Plan> = {}): Partial<Plan> {
  return { failurePolicy: () => policy, ...more }
}

/** A stage whose dead letters are kept at once, or when the test says so. */
function burying(options: StageOptions = {}): {
  stage: Stage
  buried: (readonly [string, Burial['cause']])[]
} {
  const buried: (readonly [string, Burial['cause']])[] = []
  const stage = new Stage({
    plan: plan(),
    bury: async (payload, { cause }) => void buried.push([payload, cause]),
    ...options,
  })
  return { stage, buried }
}

test('what failed runs again after its wait, the same chain with the next number, and is acknowledged once', async (t) => {
  const { stage, buried } = burying()
  stage.dispatcher.arrived(arrival(1, 'a'))
  await stage.end('a', { outcome: failed })
  t.deepEqual(stage.acked, [])
  stage.clock.advance(99)
  t.is(stage.runs.length, 1)
  stage.clock.advance(1)
  t.is(stage.run('a').attempt.number, 2)
  await stage.end('a', { outcome: failed })
  stage.clock.advance(200)
  t.is(stage.run('a').attempt.number, 3)
  await stage.end('a')
  t.deepEqual(stage.acked, [1])
  t.is(stage.counters.retried, 2)
  t.deepEqual(buried, [])
  t.is(stage.clock.timers, 0)
})

test('after the last attempt it is a dead letter, and acknowledged when that is kept', async (t) => {
  const kept = new Deferred()
  const stage = new Stage({ plan: plan(), bury: () => kept.promise })
  stage.dispatcher.arrived(arrival(1, 'a'))
  for (const wait of [100, 200, 0]) {
    await stage.end('a', { outcome: failed })
    stage.clock.advance(wait)
  }
  await stage.turn()
  t.is(stage.runs.length, 3)
  t.deepEqual(stage.acked, [])
  kept.resolve()
  await stage.turn()
  await stage.turn()
  t.deepEqual(stage.acked, [1])
  t.like(stage.settlements, [{ type: 'deadLettered', route: '#' }])
})

const notTaken: Outcome = { type: 'notTaken', error: new Error('it has ended'), route: '#' }

test('what a receiver has not begun is no attempt, however often it is asked', async (t) => {
  const { stage, buried } = burying()
  stage.dispatcher.arrived(arrival(1, 'a'))
  for (let i = 0; i < 5; i++) {
    await stage.end('a', { outcome: notTaken })
    stage.clock.advance(200)
    t.is(stage.run('a').attempt.number, 1)
  }
  await stage.end('a', { outcome: failed })
  stage.clock.advance(100)
  t.is(stage.run('a').attempt.number, 2)
  await stage.end('a')
  t.deepEqual(stage.acked, [1])
  t.is(stage.counters.retried, 1)
  t.deepEqual(buried, [])
})

test('what nobody begins is held no longer than a message may be', async (t) => {
  const { stage, buried } = burying({ plan: plan({ holdMs: 500 }) })
  stage.dispatcher.arrived(arrival(1, 'a'))
  for (let i = 0; i < 3; i++) {
    await stage.end('a', { outcome: notTaken })
    stage.clock.advance(200)
  }
  t.deepEqual(buried, [['a', 'held']])
})

test('at the end what nobody begins is left to the next process, or kept where nobody sends it again', async (t) => {
  for (const [how, kept] of [
    ['drop', []],
    ['finish', [['a', 'failed']]],
  ] as const) {
    const { stage, buried } = burying()
    stage.dispatcher.arrived(arrival(1, 'a'))
    const drained = stage.dispatcher.drain(how)
    await stage.end('a', { outcome: notTaken })
    await drained
    t.deepEqual<unknown, unknown>(buried, kept)
    t.is(stage.acked.length, kept.length)
  }
})

test('the waits of a message at one receiver after the other do not count for its time', async (t) => {
  const { stage } = burying({ plan: plan({ timeoutMs: 100, holdMs: 10_000 }) })
  stage.dispatcher.arrived(arrival(1, 'a'))
  const { attempt } = stage.run('a')
  for (const waitMs of [300, 50]) {
    attempt.isWaiting = true
    stage.clock.advance(waitMs)
    attempt.begins?.(waitMs)
  }
  stage.clock.advance(99)
  t.false(attempt.signal.aborted)
  stage.clock.advance(2)
  t.true(attempt.signal.aborted)
  await stage.end('a')
})

test('a retry runs the receiver that failed, and no other', async (t) => {
  const { stage } = burying({ receivers: 2 })
  stage.dispatcher.arrived(arrival(1, 'a'))
  await stage.end('a', { receiver: 0, outcome: failed })
  await stage.end('a', { receiver: 1 })
  stage.clock.advance(100)
  t.deepEqual(
    stage.runs.map(({ receiver, attempt }) => [receiver, attempt.number]),
    [
      [0, 1],
      [1, 1],
      [0, 2],
    ],
  )
  await stage.end('a', { receiver: 0 })
  t.deepEqual(stage.acked, [1])
})

test('while a message waits to be tried again its topic waits with it, and others go on', async (t) => {
  const { stage } = burying()
  stage.dispatcher.arrived(arrival(1, 'a1', { topic: 'a' }))
  stage.dispatcher.arrived(arrival(2, 'a2', { topic: 'a' }))
  await stage.end('a1', { outcome: failed })
  stage.dispatcher.arrived(arrival(3, 'b'))
  t.deepEqual(stage.running, ['b'])
  await stage.end('b')
  stage.clock.advance(100)
  t.deepEqual(stage.running, ['a1'])
  await stage.end('a1')
  t.deepEqual(stage.running, ['a2'])
  await stage.end('a2')
  t.deepEqual(stage.acked, [1, 2, 3])
})

test('a reason code goes with the acknowledgement of what was rejected', async (t) => {
  const { stage, buried } = burying()
  for (const [i, payload] of ['a', 'b', 'c'].entries()) stage.dispatcher.arrived(arrival(i + 1, payload))
  await stage.end('a')
  await stage.end('b', { outcome: { type: 'rejected', error: new Error('x'), route: '#', reasonCode: 0x99 } })
  await stage.turn()
  t.deepEqual(stage.acked, [1, 2])
  t.deepEqual([...stage.reasonCodes], [[2, 0x99]])
  t.deepEqual(buried, [['b', 'rejected']])
})

test('what can not be kept anywhere has failed, and is acknowledged', async (t) => {
  const stage = new Stage({ plan: plan() })
  stage.dispatcher.arrived(arrival(1, 'a'))
  await stage.end('a', { outcome: { type: 'rejected', error: new Error('x'), route: '#', reasonCode: 0 } })
  t.like(stage.settlements, [{ type: 'failed' }])
  t.deepEqual(stage.acked, [1])
})

test('a handler that heeds its signal is tried again when its time is over', async (t) => {
  const { stage } = burying({ plan: plan({ timeoutMs: 50 }) })
  stage.dispatcher.arrived(arrival(1, 'a'))
  const first = stage.run('a')
  stage.clock.advance(50)
  t.true(first.attempt.signal.aborted)
  await stage.turn()
  first.ended.resolve(failed)
  await stage.turn()
  stage.clock.advance(100)
  t.is(stage.run('a').attempt.number, 2)
  t.false(stage.run('a').attempt.signal.aborted)
  await stage.end('a')
  t.deepEqual(stage.acked, [1])
})

test('a handler that does not is never started beside itself: its message is a dead letter', async (t) => {
  const { stage, buried } = burying({ plan: plan({ timeoutMs: 50 }) })
  stage.dispatcher.arrived(arrival(1, 'a1', { topic: 'a' }))
  stage.dispatcher.arrived(arrival(2, 'a2', { topic: 'a' }))
  stage.clock.advance(50)
  await stage.turn()
  t.deepEqual(stage.started, ['a1'])
  stage.clock.advance(100)
  await stage.turn()
  await stage.turn()
  t.deepEqual(buried, [['a1', 'failed']])
  t.deepEqual(stage.started, ['a1', 'a2'])
  t.deepEqual(stage.acked, [1])
  // What it ends in is nobody's concern any more.
  stage.run('a1').ended.resolve(HANDLED)
  await stage.end('a2')
  t.deepEqual(stage.acked, [1, 2])
})

test('no message is held longer than it may: all attempts and waits together', async (t) => {
  const { stage, buried } = burying({ plan: plan({ holdMs: 250 }) })
  stage.dispatcher.arrived(arrival(1, 'a'))
  stage.clock.advance(90)
  await stage.end('a', { outcome: failed })
  stage.clock.advance(100)
  // The third attempt would come at 390.
  await stage.end('a', { outcome: failed })
  await stage.turn()
  t.deepEqual(buried, [['a', 'held']])
  stage.dispatcher.arrived(arrival(2, 'b'))
  const { attempt } = stage.run('b')
  attempt.extend(100)
  stage.clock.advance(349)
  t.false(attempt.signal.aborted)
  stage.clock.advance(1)
  t.true(attempt.signal.aborted)
  t.is((attempt.signal.reason as MqttasgiError).code, 'ERR_MESSAGE_HELD')
})

test('of a message without a route it is said that the application limits its time', async (t) => {
  const { stage } = burying({ plan: plan({ routes: [], timeoutMs: 250 }) })
  stage.dispatcher.arrived(arrival(1, 'a'))
  const { signal } = stage.run('a').attempt
  stage.clock.advance(250)
  t.is(
    (signal.reason as MqttasgiError).message,
    'The chain for "a" has not ended within 250 ms (timeoutMs of the application).',
  )
})

test('a message that waits for a place to be tried again is not held longer than it may either', async (t) => {
  const limits = [{ name: 'r', most: 1 }]
  const planOf = (topic: string): Partial<Plan> => ({ holdMs: topic === 'a' ? 1_000 : 0 })
  const { stage, buried } = burying({ plan: plan({ limits }), planOf })
  stage.dispatcher.arrived(arrival(1, 'a'))
  await stage.end('a', { outcome: failed })
  stage.dispatcher.arrived(arrival(2, 'b'))
  stage.clock.advance(999)
  t.deepEqual(stage.started, ['a', 'b'])
  t.is(stage.dispatcher.running, 2)
  t.deepEqual(buried, [])
  stage.clock.advance(1)
  await stage.turn()
  t.deepEqual(buried, [['a', 'held']])
  t.deepEqual(stage.acked, [1])
  await stage.end('b')
  t.deepEqual(stage.started, ['a', 'b'])
  stage.dispatcher.arrived(arrival(3, 'c'))
  t.deepEqual(stage.running, ['c'])
})

test('a message that got its place in time to be tried again runs for as long as it may be held', async (t) => {
  const limits = [{ name: 'r', most: 1 }]
  const { stage, buried } = burying({ plan: plan({ limits, holdMs: 1_000 }) })
  stage.dispatcher.arrived(arrival(1, 'a'))
  await stage.end('a', { outcome: failed })
  stage.dispatcher.arrived(arrival(2, 'b'))
  stage.clock.advance(500)
  await stage.end('b')
  t.deepEqual(stage.running, ['a'])
  stage.clock.advance(500)
  t.true(stage.run('a').attempt.signal.aborted)
  await stage.end('a', { outcome: failed })
  await stage.turn()
  t.deepEqual(buried, [['a', 'held']])
  t.deepEqual(stage.acked, [1, 2])
})

test('a stop of a kept session leaves what waits for a place to be tried again with the broker', async (t) => {
  const limits = [{ name: 'r', most: 1 }]
  const { stage } = burying({ plan: plan({ limits }) })
  stage.dispatcher.arrived(arrival(1, 'a'))
  await stage.end('a', { outcome: failed })
  stage.dispatcher.arrived(arrival(2, 'b'))
  stage.clock.advance(100)
  let isDrained = false
  void stage.dispatcher.drain('drop').then(() => (isDrained = true))
  await stage.end('b')
  t.true(isDrained)
  t.deepEqual(stage.started, ['a', 'b'])
  t.deepEqual(stage.acked, [])
})

test('a stop of a session that ends with us runs what waits for a place to be tried again', async (t) => {
  const limits = [{ name: 'r', most: 1 }]
  const { stage } = burying({ plan: plan({ limits }) })
  stage.dispatcher.arrived(arrival(1, 'a'))
  await stage.end('a', { outcome: failed })
  stage.dispatcher.arrived(arrival(2, 'b'))
  stage.clock.advance(100)
  let isDrained = false
  void stage.dispatcher.drain('finish').then(() => (isDrained = true))
  await stage.end('b')
  t.false(isDrained)
  await stage.end('a')
  t.true(isDrained)
  t.deepEqual(stage.acked, [1, 2])
})

test('a stop of a kept session tries nothing again and leaves the message with the broker', async (t) => {
  const { stage, buried } = burying()
  stage.dispatcher.arrived(arrival(1, 'a1', { topic: 'a' }))
  stage.dispatcher.arrived(arrival(2, 'a2', { topic: 'a' }))
  stage.dispatcher.arrived(arrival(3, 'b'))
  await stage.end('a1', { outcome: failed })
  const drained = stage.dispatcher.drain('drop')
  await stage.end('b', { outcome: failed })
  await drained
  stage.clock.advance(1_000)
  t.deepEqual(stage.started, ['a1', 'b'])
  t.deepEqual(stage.acked, [])
  t.deepEqual(buried, [])
  t.is(stage.clock.timers, 0)
})

test('a stop of a session that ends with us tries again at once, for what is left would be lost', async (t) => {
  const { stage, buried } = burying()
  stage.dispatcher.arrived(arrival(1, 'a'))
  stage.dispatcher.arrived(arrival(2, 'b'))
  await stage.end('a', { outcome: failed })
  const drained = stage.dispatcher.drain('finish')
  t.is(stage.run('a').attempt.number, 2)
  await stage.end('b', { outcome: failed })
  await stage.turn()
  await stage.end('b')
  for (let i = 0; i < 2; i++) await stage.end('a', { outcome: failed })
  await drained
  await stage.turn()
  t.deepEqual(buried, [['a', 'failed']])
  t.deepEqual(stage.acked, [1, 2])
})

test('a key that can not be made fails the message, and no other', async (t) => {
  const keyOf = (message: { topic: string }): string => {
    if (message.topic === 'bad') throw new TypeError('no key in it')
    return 'same'
  }
  const { stage, buried } = burying({
    plan: plan({
      order: 'key',
      keyOf,
      failurePolicy: () => ({ ...policy, retry: { ...policy.retry, attempts: 1 } }),
    }),
  })
  for (const [i, topic] of ['x', 'bad', 'y'].entries()) stage.dispatcher.arrived(arrival(i + 1, topic))
  await stage.turn()
  await stage.turn()
  t.deepEqual(buried, [['bad', 'failed']])
  t.deepEqual(stage.running, ['x'])
  await stage.end('x')
  t.deepEqual(stage.running, ['y'])
})

test('of a route with a limit only so many run at one time, whatever their topics', async (t) => {
  const { stage } = burying({ plan: plan({ order: 'none', limits: [{ name: '#', most: 2 }] }) })
  for (let i = 1; i <= 5; i++) stage.dispatcher.arrived(arrival(i, `${i}`))
  t.deepEqual(stage.running, ['1', '2'])
  await stage.end('2')
  t.deepEqual(stage.running, ['1', '3'])
  // A message that waits to be tried again leaves its place.
  await stage.end('1', { outcome: failed })
  t.deepEqual(stage.running, ['3', '4'])
  stage.clock.advance(100)
  t.deepEqual(stage.running, ['3', '4'])
  await stage.end('3')
  await stage.end('4')
  t.deepEqual(stage.running, ['5', '1'])
})

test('thousands that wait for one place and need not be waited for run one behind the other', async (t) => {
  const { stage } = burying({
    maxInFlight: 65_535,
    maxWaitingBytes: 1e9,
    plan: plan({ order: 'none', limits: [{ name: '#', most: 1 }] }),
    synchronous: (payload) => payload !== '1',
  })
  for (let i = 1; i <= 20_000; i++) stage.dispatcher.arrived(arrival(i, `${i}`))
  t.is(stage.runs.length, 1)
  await stage.end('1')
  t.is(stage.runs.length, 20_000)
  t.is(stage.acked.length, 20_000)
})

test('with strict order one runs at a time', async (t) => {
  const { stage } = burying({ plan: plan({ order: 'strict' }) })
  for (const [i, topic] of ['a', 'b', 'c'].entries()) stage.dispatcher.arrived(arrival(i + 1, topic))
  for (const topic of ['a', 'b', 'c']) {
    t.deepEqual(stage.running, [topic])
    await stage.end(topic)
  }
  t.deepEqual(stage.acked, [1, 2, 3])
})

test('a retained message that became a dead letter is not run again when a subscription brings it again', async (t) => {
  const { stage, buried } = burying()
  const rejected: Outcome = { type: 'rejected', error: new Error('x'), route: '#', reasonCode: 0 }
  stage.dispatcher.arrived(arrival(1, 'a', { retain: true }))
  await stage.end('a', { outcome: rejected })
  await stage.turn()
  stage.dispatcher.arrived(arrival(2, 'a', { retain: true }))
  stage.dispatcher.arrived(arrival(3, 'a', { retain: false }))
  await stage.turn()
  t.deepEqual(buried, [['a', 'rejected']])
  t.is(stage.counters.refusedAgain, 1)
  t.deepEqual(stage.started, ['a', 'a'])
  await stage.end('a')
  t.deepEqual(stage.acked, [1, 2, 3])
})

test('routes that may be shed drop what is too much, count it, and acknowledge it in its turn', async (t) => {
  const shedding = { name: '#', overflow: 'latest', maxWaiting: 10, throttleMs: 0, debounceMs: 0 } as const
  const { stage } = burying({ plan: plan({ shedding }) })
  stage.dispatcher.survey({ isStrict: false, sheds: true })
  for (let i = 1; i <= 5; i++) stage.dispatcher.arrived(arrival(i, `${i}`, { topic: 'state' }))
  stage.dispatcher.arrived(arrival(0, '6', { topic: 'state' }))
  t.deepEqual(stage.running, ['1'])
  t.is(stage.counters.shed, 4)
  await stage.end('1')
  t.deepEqual(stage.acked, [1, 2, 3, 4, 5])
  t.deepEqual(stage.running, ['6'])
  await stage.end('6')
  t.is(stage.dispatcher.inHand, 0)
})

test('routes that may be shed drop what waits for their limit, and not what is in front of it', async (t) => {
  const shedding = {
    name: '#',
    overflow: 'drop-oldest',
    maxWaiting: 2,
    throttleMs: 0,
    debounceMs: 0,
  } as const
  const { stage } = burying({ plan: plan({ shedding, limits: [{ name: '#', most: 1 }] }) })
  stage.dispatcher.survey({ isStrict: false, sheds: true })
  for (let i = 1; i <= 6; i++) stage.dispatcher.arrived(arrival(i, `${i}`, { topic: `topic ${i}` }))
  t.deepEqual(stage.running, ['1'])
  t.is(stage.counters.shed, 3)
  await stage.end('1')
  t.deepEqual(stage.running, ['5'])
  // While it waits to be tried again its place is free.
  await stage.end('5', { outcome: failed })
  t.deepEqual(stage.running, ['6'])
  stage.clock.advance(100)
  await stage.end('6')
  await stage.end('5')
  t.deepEqual(stage.acked, [1, 2, 3, 4, 5, 6])
  t.is(stage.dispatcher.inHand, 0)
})

test('a stop runs what is debounced at once where it would be lost, and leaves it where it comes again', async (t) => {
  const shedding = {
    name: '#',
    overflow: 'latest',
    maxWaiting: 10,
    throttleMs: 0,
    debounceMs: 1_000,
  } as const
  for (const [waiting, started] of [
    ['finish', ['1']],
    ['drop', []],
  ] as const) {
    const { stage } = burying({ plan: plan({ shedding }) })
    stage.dispatcher.survey({ isStrict: false, sheds: true })
    stage.dispatcher.arrived(arrival(1, '1'))
    t.deepEqual(stage.running, [])
    const drained = stage.dispatcher.drain(waiting)
    t.deepEqual(stage.started, started)
    for (const payload of started) await stage.end(payload)
    await drained
    stage.dispatcher.leave()
    t.is(stage.clock.timers, 0)
  }
})

test('where a route is strict one message is in hand at a time, of any route', async (t) => {
  const { stage } = burying()
  stage.dispatcher.survey({ isStrict: true, sheds: false })
  for (const [i, topic] of ['a', 'b'].entries()) stage.dispatcher.arrived(arrival(i + 1, topic))
  t.deepEqual(stage.running, ['a'])
  await stage.end('a')
  t.deepEqual(stage.running, ['b'])
})

test('a message whose time comes late finds a place, though all are held by what is to be acknowledged behind it', async (t) => {
  const shedding = { name: '#', overflow: 'latest', maxWaiting: 10, throttleMs: 60, debounceMs: 0 } as const
  const { stage } = burying({ maxInFlight: 1, plan: plan({ shedding }) })
  stage.dispatcher.survey({ isStrict: false, sheds: true })
  stage.dispatcher.arrived(arrival(1, '1', { topic: 'a' }))
  stage.dispatcher.arrived(arrival(2, '2', { topic: 'a' }))
  stage.dispatcher.arrived(arrival(3, '3', { topic: 'b' }))
  await stage.end('1')
  t.deepEqual(stage.running, ['3'])
  await stage.end('3')
  t.deepEqual(stage.acked, [1])
  stage.clock.advance(60)
  t.deepEqual(stage.running, ['2'])
  await stage.end('2')
  t.deepEqual(stage.acked, [1, 2, 3])
  t.is(stage.dispatcher.inHand, 0)
})

test('a message that waits for its place goes on waiting while as many run as may', async (t) => {
  const shedding = { name: '#', overflow: 'latest', maxWaiting: 10, throttleMs: 60, debounceMs: 0 } as const
  const { stage } = burying({ maxInFlight: 1, plan: plan({ shedding }) })
  stage.dispatcher.survey({ isStrict: false, sheds: true })
  stage.dispatcher.arrived(arrival(1, '1', { topic: 'a' }))
  stage.dispatcher.arrived(arrival(2, '2', { topic: 'a' }))
  stage.dispatcher.arrived(arrival(3, '3', { topic: 'b' }))
  await stage.end('1')
  stage.clock.advance(60)
  t.deepEqual(stage.running, ['3'])
  await stage.end('3')
  t.deepEqual(stage.running, ['2'])
  await stage.end('2')
  t.deepEqual(stage.acked, [1, 2, 3])
})

test('a stop does not wait for what stands behind a message that is left to come again', async (t) => {
  const { stage } = burying({
    maxInFlight: 1,
    judge: (topic) => ({ type: topic === 'x' ? 'copy' : 'run', share: undefined }),
  })
  stage.dispatcher.arrived(arrival(1, '1'))
  stage.dispatcher.arrived(arrival(2, '2'))
  // Done with already, so that what stands in front of it is worth being run.
  stage.dispatcher.arrived(arrival(3, 'x'))
  await stage.end('1', { outcome: failed })
  const drained = stage.dispatcher.drain('drop')
  await drained
  t.deepEqual(stage.started, ['1'])
  t.deepEqual(stage.acked, [])
})

test('a handler that asks for more time at once has it', async (t) => {
  const { stage } = burying({ plan: plan({ timeoutMs: 100 }), begun: (attempt) => attempt.extend(50) })
  stage.dispatcher.arrived(arrival(1, 'a'))
  stage.clock.advance(149)
  t.false(stage.run('a').attempt.signal.aborted)
  stage.clock.advance(1)
  t.true(stage.run('a').attempt.signal.aborted)
})

test('an attempt that its receiver can not begin has its whole time when it begins', async (t) => {
  const { stage } = burying({
    plan: plan({ timeoutMs: 50, holdMs: 1_000 }),
    begun: (attempt) => (attempt.isWaiting = true),
  })
  stage.dispatcher.arrived(arrival(1, 'a'))
  stage.clock.advance(120)
  const { attempt } = stage.run('a')
  t.false(attempt.signal.aborted)
  attempt.begins?.(120)
  stage.clock.advance(49)
  t.false(attempt.signal.aborted)
  stage.clock.advance(1)
  t.true(attempt.signal.aborted)
})

test('an attempt that its receiver never begins is held no longer than its message may be', async (t) => {
  const { buried, stage } = burying({
    plan: plan({ timeoutMs: 50, holdMs: 130 }),
    begun: (attempt) => (attempt.isWaiting = true),
  })
  stage.dispatcher.arrived(arrival(1, 'a'))
  stage.clock.advance(129)
  t.false(stage.run('a').attempt.signal.aborted)
  stage.clock.advance(1)
  t.true(stage.run('a').attempt.signal.aborted)
  await stage.turn()
  t.deepEqual(buried, [['a', 'held']])
})

test('an attempt without a time limit begins when its receiver can', async (t) => {
  const { stage } = burying({ begun: (attempt) => (attempt.isWaiting = true) })
  stage.dispatcher.arrived(arrival(1, 'a'))
  const { attempt } = stage.run('a')
  attempt.begins?.(10)
  stage.clock.advance(100_000)
  t.false(attempt.signal.aborted)
  await stage.end('a')
  t.deepEqual(stage.acked, [1])
})

test('what waits for a place to be tried again is left to come again when a stop waits no longer', async (t) => {
  const { buried, stage } = burying({
    plan: plan({ order: 'none', holdMs: 500, limits: [{ name: '#', most: 1 }] }),
  })
  stage.dispatcher.arrived(arrival(1, 'a'))
  stage.dispatcher.arrived(arrival(2, 'b'))
  await stage.end('a', { outcome: failed })
  stage.clock.advance(100)
  stage.dispatcher.abort(new MqttasgiError('ERR_STOPPED', 'no longer'))
  stage.clock.advance(1_000)
  await stage.turn()
  t.deepEqual(buried, [])
  t.deepEqual(stage.acked, [])
})

test('what is too large to be kept is acknowledged when that is a dead letter, where its route has some', async (t) => {
  const { stage, buried } = burying({
    planOf: (topic) => (topic === 'none' ? { failurePolicy: () => ({ ...policy, deadLetter: false }) } : {}),
  })
  stage.dispatcher.skipped({ packetId: 1, bytes: 9_000, topic: 'large', dup: false })
  t.is(stage.dispatcher.running, 1)
  stage.dispatcher.skipped({ packetId: 2, bytes: 9_000, topic: 'none', dup: false })
  await stage.turn()
  t.deepEqual(buried, [['', 'oversized']])
  t.deepEqual(stage.acked, [1, 2])
  t.deepEqual(
    stage.settlements.map(({ type, error }) => [type, error?.message]),
    [
      ['failed', '9000 bytes on "none" are above maxPacketBytes: nothing was kept of them.'],
      ['deadLettered', '9000 bytes on "large" are above maxPacketBytes: nothing was kept of them.'],
    ],
  )
  t.deepEqual(stage.started, [])
})

test('what is too large to be kept is one dead letter, however often it comes again before it is acknowledged', async (t) => {
  const { stage, buried } = burying()
  stage.dispatcher.arrived(arrival(1, 'a'))
  for (const dup of [false, true, true]) {
    stage.dispatcher.skipped({ packetId: 2, bytes: 9_000, topic: 'large', dup })
    await stage.turn()
    stage.dispatcher.disconnected()
    stage.dispatcher.connected(true)
    stage.dispatcher.arrived(arrival(1, 'a', { dup: true }))
  }
  stage.dispatcher.skipped({ packetId: 2, bytes: 9_000, topic: 'large', dup: true })
  await stage.end('a')
  t.deepEqual(buried, [['', 'oversized']])
  t.deepEqual(stage.acked, [1, 2])
})

test('what is too large to be kept waits for receivers that are still connecting', async (t) => {
  const { stage } = burying({ receivers: 0 })
  stage.dispatcher.expect(true)
  stage.dispatcher.skipped({ packetId: 1, bytes: 9_000, topic: 'large', dup: false })
  await stage.turn()
  t.deepEqual(stage.acked, [])
  stage.dispatcher.expect(false)
  await stage.turn()
  t.deepEqual(stage.acked, [1])
})

test('a receiver that breaks its word and rejects costs one message', async (t) => {
  const { stage, buried } = burying()
  stage.dispatcher.arrived(arrival(1, 'a'))
  for (let attempt = 1; attempt <= 3; attempt++) {
    stage.run('a').ended.reject(new Error('it can not'))
    await stage.turn()
    stage.clock.advance(1_000)
    await stage.turn()
  }
  t.deepEqual(buried, [['a', 'failed']])
  t.deepEqual(stage.acked, [1])
})

test('a stop begins nothing that waits for a place which another message gives up at that stop', async (t) => {
  const limits: Record<string, Plan['limits']> = {
    both: [
      { name: 'a', most: 1 },
      { name: 'b', most: 1 },
    ],
    a: [{ name: 'a', most: 1 }],
    b: [{ name: 'b', most: 1 }],
  }
  const { stage } = burying({ planOf: (topic) => ({ limits: limits[topic]! }) })
  stage.dispatcher.arrived(arrival(1, 'first', { topic: 'both' }))
  await stage.end('first', { outcome: failed })
  stage.dispatcher.arrived(arrival(2, 'second', { topic: 'a' }))
  await stage.end('second', { outcome: failed })
  stage.dispatcher.arrived(arrival(3, 'busy', { topic: 'b' }))
  // The first has its place in a and waits for b, the second waits for a.
  stage.clock.advance(100)
  await stage.turn()
  void stage.dispatcher.drain('drop')
  await stage.turn()
  t.deepEqual(stage.running, ['busy'])
})

test('a stop that waits for nobody takes back what was to be tried again', async (t) => {
  const { stage } = burying()
  stage.dispatcher.arrived(arrival(1, 'a'))
  stage.dispatcher.arrived(arrival(2, 'b'))
  await stage.end('a', { outcome: failed })
  t.is(stage.dispatcher.running, 2)
  stage.dispatcher.abort(new MqttasgiError('ERR_STOPPED', 'no longer'))
  t.is(stage.dispatcher.leave(), 2)
  stage.clock.advance(60_000)
  t.is(stage.runs.length, 2)
  t.is(stage.clock.timers, 0)
  t.deepEqual(stage.acked, [])
})

test('what was to be tried again at once when the last moment came is not begun', async (t) => {
  const { stage } = burying()
  stage.dispatcher.arrived(arrival(1, 'a'))
  void stage.dispatcher.drain('finish')
  stage.run('a').ended.resolve(failed)
  await settled()
  stage.dispatcher.leave()
  await stage.turn()
  t.deepEqual(stage.started, ['a'])
})

test('a dead letter that is kept after the last moment is not heard of', async (t) => {
  const kept = new Deferred()
  const { stage } = burying({ bury: () => kept.promise })
  stage.dispatcher.arrived(arrival(1, 'a'))
  await stage.end('a', { outcome: { type: 'rejected', error: new Error('no'), route: '#', reasonCode: 0 } })
  stage.dispatcher.leave()
  kept.resolve()
  await stage.turn()
  t.deepEqual(stage.settlements, [])
  t.deepEqual(stage.acked, [])
})

test('what is about to be tried again without a wait is not begun any more once the stop has given up', async (t) => {
  const { stage } = burying()
  stage.dispatcher.arrived(arrival(1, 'a'))
  void stage.dispatcher.drain('finish')
  stage.run('a').ended.resolve(failed)
  await settled()
  stage.dispatcher.abort(new MqttasgiError('ERR_STOPPED', 'over'))
  await stage.turn()
  t.is(stage.runs.length, 1)
  t.is(stage.dispatcher.leave(), 1)
})

test('what stands before a message that is let in for its acknowledgement goes in before it', async (t) => {
  const shedding = { name: '#', overflow: 'latest', maxWaiting: 10, throttleMs: 0, debounceMs: 0 } as const
  const { stage } = burying({
    maxInFlight: 1,
    planOf: (topic) => (topic === 's' ? plan({ shedding }) : plan()),
  })
  stage.dispatcher.survey({ isStrict: false, sheds: true })
  stage.dispatcher.arrived(arrival(1, '1', { topic: 'x' }))
  stage.dispatcher.arrived(arrival(0, '2', { topic: 'a' }))
  stage.dispatcher.arrived(arrival(2, '3', { topic: 'a' }))
  stage.dispatcher.arrived(arrival(3, '4', { topic: 's' }))
  stage.dispatcher.arrived(arrival(4, '5', { topic: 'a' }))
  for (let i = 0; i < 5; i++) {
    const [payload = ''] = stage.running
    await stage.end(payload)
  }
  t.deepEqual(
    stage.started.filter((payload) => payload !== '4'),
    ['1', '2', '3', '5'],
  )
  t.deepEqual(stage.acked, [1, 2, 3, 4])
})

test('a retained message that became a dead letter at one receiver comes to the others again', async (t) => {
  const { stage } = burying({ receivers: 2 })
  const rejected: Outcome = { type: 'rejected', error: new Error('x'), route: '#', reasonCode: 0 }
  stage.dispatcher.arrived(arrival(1, 'a', { retain: true }))
  await stage.end('a', { receiver: 0, outcome: rejected })
  await stage.end('a', { receiver: 1 })
  stage.dispatcher.arrived(arrival(2, 'a', { retain: true }))
  t.deepEqual(
    stage.runs.map(({ receiver }) => receiver),
    [0, 1, 1],
  )
  await stage.end('a', { receiver: 1 })
  t.deepEqual(stage.acked, [1, 2])
})

test('when a message that was let in for its acknowledgement ends at once, what waits behind it goes in', async (t) => {
  const shedding = {
    name: '#',
    overflow: 'drop-newest',
    maxWaiting: 10,
    throttleMs: 0,
    debounceMs: 30,
  } as const
  const { stage } = burying({
    maxInFlight: 1,
    synchronous: (payload) => payload === '1',
    planOf: (topic) => (topic === 's' ? plan({ shedding, order: 'none' }) : plan()),
  })
  stage.dispatcher.survey({ isStrict: false, sheds: true })
  stage.dispatcher.arrived(arrival(1, '1', { topic: 's' }))
  stage.dispatcher.arrived(arrival(0, '2', { topic: 's' }))
  stage.dispatcher.arrived(arrival(2, '3', { topic: 'a' }))
  await stage.end('3')
  stage.clock.advance(30)
  t.deepEqual(stage.started, ['3', '1', '2'])
  await stage.end('2')
  t.deepEqual(stage.acked, [1, 2])
  t.is(stage.dispatcher.inHand, 0)
})

test('a stop handles what waits and what failed of a session that the broker has lost, for nobody sends it again', async (t) => {
  const { stage } = burying({ maxInFlight: 2 })
  for (const [id, payload] of [
    [1, 'a'],
    [2, 'b'],
    [3, 'c'],
  ] as const)
    stage.dispatcher.arrived(arrival(id, payload))
  await stage.end('a', { outcome: failed })
  stage.dispatcher.disconnected()
  stage.dispatcher.connected(false)
  stage.dispatcher.arrived(arrival(1, 'new'))
  let isDrained = false
  void stage.dispatcher.drain('drop').then(() => (isDrained = true))
  t.is(stage.run('a').attempt.number, 2)
  await stage.end('b', { outcome: failed })
  t.is(stage.run('b').attempt.number, 2)
  await stage.end('a')
  await stage.end('b')
  t.deepEqual(stage.running, ['c'])
  await stage.end('c')
  await stage.turn()
  t.true(isDrained)
  t.deepEqual(stage.started, ['a', 'b', 'a', 'b', 'c'])
})

test('a stop handles what is ours also behind a message of QoS 0 of its topic, which is tried again', async (t) => {
  const { stage } = burying()
  stage.dispatcher.arrived(arrival(0, 'x', { topic: 't' }))
  stage.dispatcher.arrived(arrival(1, 'y', { topic: 't' }))
  await stage.end('x', { outcome: failed })
  stage.dispatcher.disconnected()
  stage.dispatcher.connected(false)
  let isDrained = false
  void stage.dispatcher.drain('drop').then(() => (isDrained = true))
  t.deepEqual(stage.running, ['x'])
  await stage.end('x')
  t.deepEqual(stage.running, ['y'])
  t.false(isDrained)
  await stage.end('y')
  t.true(isDrained)
})

test('a stop handles what is ours also behind a message of its topic that waited for a limit and comes again', async (t) => {
  const { stage } = burying({ plan: plan({ limits: [{ name: '#', most: 1 }] }) })
  stage.dispatcher.arrived(arrival(1, 'busy'))
  stage.dispatcher.arrived(arrival(2, 'x', { topic: 't' }))
  // The same packet id: the broker will not send it again.
  stage.dispatcher.arrived(arrival(2, 'y', { topic: 't' }))
  void stage.dispatcher.drain('drop')
  await stage.end('busy')
  t.deepEqual(stage.running, ['y'])
  await stage.end('y')
  t.deepEqual(stage.started, ['busy', 'y'])
  t.deepEqual(stage.acked, [1])
})

test('a stop begins nothing that comes again behind a message of its topic that is not tried again', async (t) => {
  const { stage } = burying()
  for (const [id, payload] of ['x', 'y'].entries())
    stage.dispatcher.arrived(arrival(id + 1, payload, { topic: 't' }))
  await stage.end('x', { outcome: failed })
  await stage.dispatcher.drain('drop')
  t.deepEqual(stage.started, ['x'])
  t.deepEqual(stage.acked, [])
})

test('a stop handles what is ours also where a message of QoS 0 that is tried again has the only place', async (t) => {
  const { stage } = burying({ maxInFlight: 1 })
  stage.dispatcher.arrived(arrival(0, 'x'))
  stage.dispatcher.arrived(arrival(1, 'y'))
  await stage.end('x', { outcome: failed })
  stage.dispatcher.disconnected()
  stage.dispatcher.connected(false)
  let isDrained = false
  void stage.dispatcher.drain('drop').then(() => (isDrained = true))
  t.deepEqual(stage.running, ['x'])
  await stage.end('x')
  t.deepEqual(stage.running, ['y'])
  await stage.end('y')
  t.true(isDrained)
})

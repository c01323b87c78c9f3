import test from 'ava'
import { MqttasgiError } from '../../lib/core/errors.ts'
import { silentLog } from '../../lib/core/log.ts'
import type { Order, Outcome, Plan } from '../../lib/core/receiver.ts'
import { arrival, HANDLED, Stage } from '../helpers/dispatcher-stage.ts'

const NO_MORE = new MqttasgiError('ERR_STOPPED', 'No more.')

test('a message is acknowledged when its handler is done, not before', async (t) => {
  const stage = new Stage()
  stage.dispatcher.arrived(arrival(1, 'a'))
  await stage.turn()
  t.deepEqual(stage.running, ['a'])
  t.is(stage.dispatcher.running, 1)
  t.deepEqual(stage.acked, [])
  await stage.end('a')
  t.deepEqual(stage.acked, [1])
  t.is(stage.dispatcher.running, 0)
  t.is(stage.dispatcher.inHand, 0)
  t.like(stage.counters, { received: 1, acknowledged: 1 })
})

test('the routes of the chain that was started last can be named, for who blocks the event loop', async (t) => {
  const stage = new Stage()
  t.deepEqual(stage.dispatcher.lastRoutes, [])
  stage.dispatcher.arrived(arrival(1, 'a'))
  t.deepEqual(stage.dispatcher.lastRoutes, ['#'])
  await stage.end('a')
})

test('acknowledgements leave in the order of arrival, those of one turn in one write', async (t) => {
  const stage = new Stage()
  for (const [i, payload] of ['a', 'b', 'c', 'd'].entries()) stage.dispatcher.arrived(arrival(i + 1, payload))
  await stage.end('c')
  await stage.end('b')
  t.deepEqual(stage.writes, [])
  await stage.end('a')
  t.deepEqual(stage.writes, [[1, 2, 3]])
  await stage.end('d')
  t.deepEqual(stage.writes, [[1, 2, 3], [4]])
})

test('what is handled without a promise is done at once, and acknowledged with the turn', async (t) => {
  const stage = new Stage({ synchronous: () => true })
  stage.dispatcher.arrived(arrival(1, 'a'))
  stage.dispatcher.arrived(arrival(2, 'b'))
  t.deepEqual(stage.settlements, [{ type: 'handled' }, { type: 'handled' }])
  t.deepEqual(stage.writes, [])
  await stage.turn()
  t.deepEqual(stage.writes, [[1, 2]])
})

test('acknowledgements that are due can be written before the turn ends, and are not written again', async (t) => {
  const stage = new Stage({ synchronous: () => true })
  stage.dispatcher.arrived(arrival(1, 'a'))
  stage.dispatcher.flush()
  t.deepEqual(stage.writes, [[1]])
  await stage.turn()
  t.deepEqual(stage.writes, [[1]])
})

test('QoS 0 is handled and never acknowledged', async (t) => {
  const stage = new Stage()
  stage.dispatcher.arrived(arrival(0, 'a'))
  stage.dispatcher.arrived(arrival(0, 'a'))
  await stage.end('a')
  await stage.end('a')
  t.deepEqual(stage.started, ['a', 'a'])
  t.deepEqual(stage.writes, [])
  t.is(stage.dispatcher.inHand, 0)
})

test('a failed message is acknowledged like any other', async (t) => {
  const stage = new Stage()
  stage.dispatcher.arrived(arrival(1, 'a'))
  const error = new Error('no')
  await stage.end('a', { outcome: { type: 'failed', error, route: '#' } })
  t.deepEqual(stage.settlements, [{ type: 'failed', error, route: '#', reasonCode: 0 }])
  t.deepEqual(stage.acked, [1])
})

test('no more run than the window has places, and the next begins with a place', async (t) => {
  const stage = new Stage({ maxInFlight: 2 })
  for (const [i, payload] of ['a', 'b', 'c', 'd'].entries()) stage.dispatcher.arrived(arrival(i + 1, payload))
  t.deepEqual(stage.running, ['a', 'b'])
  t.is(stage.dispatcher.inHand, 4)
  // Done, but behind one that is not: its place is taken until it is acknowledged.
  await stage.end('b')
  t.deepEqual(stage.running, ['a'])
  await stage.end('a')
  t.deepEqual(stage.running, ['c', 'd'])
})

test('what is dealt with at once and owes nothing passes by those that wait for a place', async (t) => {
  const stage = new Stage({
    maxInFlight: 1,
    synchronous: (payload) => payload.startsWith('answer'),
    planOf: (topic) => (topic === 'answers' ? { isPrompt: true } : {}),
  })
  stage.dispatcher.arrived(arrival(1, 'asks'))
  stage.dispatcher.arrived(arrival(2, 'later'))
  stage.dispatcher.arrived(arrival(0, 'answer', { topic: 'answers' }))
  // Its acknowledgement would have to wait for those before it.
  stage.dispatcher.arrived(arrival(3, 'answer with QoS 1', { topic: 'answers' }))
  stage.dispatcher.arrived(arrival(0, 'plain'))
  t.deepEqual(stage.started, ['asks', 'answer'])
  t.is(stage.dispatcher.inHand, 4)
  for (const payload of ['asks', 'later', 'plain']) await stage.end(payload)
  t.deepEqual(stage.started, ['asks', 'answer', 'later', 'answer with QoS 1', 'plain'])
  t.deepEqual(stage.acked, [1, 2, 3])
  t.is(stage.dispatcher.inHand, 0)
})

test('what one of its receivers only deals with at once waits for a place as any other', (t) => {
  const stage = new Stage({
    maxInFlight: 1,
    receivers: 2,
    planOf: (topic, receiver) => ({ isPrompt: topic === 'answer' && receiver === 0 }),
  })
  stage.dispatcher.arrived(arrival(1, 'asks'))
  stage.dispatcher.arrived(arrival(0, 'answer'))
  t.deepEqual(stage.started, ['asks', 'asks'])
})

const orders: Record<Order, { readonly running: string[]; readonly keyOf?: Plan['keyOf'] }> = {
  topic: { running: ['1', '2'] },
  key: {
    running: ['1', '2', '3'],
    keyOf: ({ payload }) => (payload.toString() === '4' ? '3' : payload.toString()),
  },
  strict: { running: ['1'] },
  none: { running: ['1', '2', '3', '4'] },
}

for (const [order, { keyOf, running }] of Object.entries(orders)) {
  test(`with order "${order}" ${running.length} of four messages on two topics run at once`, async (t) => {
    const plan = { order: order as Order, ...(keyOf === undefined ? {} : { keyOf }) }
    const stage = new Stage({ plan })
    for (const [i, topic] of ['x', 'y', 'x', 'y'].entries())
      stage.dispatcher.arrived(arrival(i + 1, `${i + 1}`, { topic }))
    t.deepEqual(stage.running, running)
    for (const payload of ['1', '2', '3', '4']) await stage.end(payload)
    t.deepEqual(stage.acked, [1, 2, 3, 4])
  })
}

test('without a function for the key the topic is the key', async (t) => {
  const stage = new Stage({ plan: { order: 'key' } })
  for (const [i, topic] of ['x', 'x', 'y'].entries())
    stage.dispatcher.arrived(arrival(i + 1, `${i + 1}`, { topic }))
  t.deepEqual(stage.running, ['1', '3'])
  await stage.end('1')
  t.deepEqual(stage.running, ['3', '2'])
})

test('a lane goes on through messages that need no promise, in order', async (t) => {
  const stage = new Stage({ synchronous: (payload) => payload !== 'first' && payload !== 'last' })
  const topic = 'x'
  for (const [i, payload] of ['first', 'b', 'c', 'last', 'e'].entries())
    stage.dispatcher.arrived(arrival(i + 1, payload, { topic }))
  t.deepEqual(stage.started, ['first'])
  await stage.end('first')
  t.deepEqual(stage.started, ['first', 'b', 'c', 'last'])
  t.deepEqual(stage.acked, [1, 2, 3])
  await stage.end('last')
  t.deepEqual(stage.started, ['first', 'b', 'c', 'last', 'e'])
})

test('several receivers each run it, in lanes of their own, and the slowest is waited for', async (t) => {
  const stage = new Stage({ receivers: 3 })
  stage.dispatcher.arrived(arrival(1, 'a', { topic: 'x' }))
  stage.dispatcher.arrived(arrival(2, 'b', { topic: 'x' }))
  t.deepEqual(stage.started, ['a', 'a', 'a'])
  await stage.end('a', { receiver: 1 })
  t.is(stage.run('b', 1).payload, 'b')
  await stage.end('a', { receiver: 0 })
  t.deepEqual(stage.acked, [])
  await stage.end('a', { receiver: 2, outcome: { type: 'failed', error: new Error('no'), route: undefined } })
  t.deepEqual(stage.acked, [1])
  t.is(stage.dispatcher.running, 3)
})

test('a message with a topic that is not allowed is not dropped in silence', (t) => {
  const lines: string[] = []
  const stage = new Stage({ log: { ...silentLog, debug: (line) => void lines.push(line) } })
  stage.dispatcher.arrived(arrival(1, 'x', { topic: 'a/+', invalid: 'it has a +' }))
  t.deepEqual(lines, ['"a/+" is no topic, its message was only acknowledged: it has a +.'])
})

test('topics that are not allowed and copies are acknowledged in their turn, counted, and not run', async (t) => {
  const stage = new Stage({
    judge: (topic) => (topic === 'copy' ? { type: 'copy' } : { type: 'run', share: 'g' }),
  })
  const shared = arrival(1, 'a')
  stage.dispatcher.arrived(shared)
  stage.dispatcher.arrived(arrival(2, 'bad', { invalid: 'it has a +' }))
  stage.dispatcher.arrived(arrival(3, 'copy'))
  stage.dispatcher.arrived(arrival(0, 'copy'))
  await stage.turn()
  t.deepEqual(stage.acked, [])
  await stage.end('a')
  t.deepEqual(stage.acked, [1, 2, 3])
  t.deepEqual(stage.started, ['a'])
  t.is(shared.share, 'g')
  t.like(stage.counters, { received: 4, invalidTopics: 1, copies: 2 })
})

test('what was too large to keep is told, counted, and acknowledged in its turn, once', async (t) => {
  const lines: string[] = []
  const line = (text: string): void => void lines.push(text)
  const stage = new Stage({ log: { debug: line, info: line, warn: line, error: line } })
  stage.dispatcher.arrived(arrival(1, 'a'))
  stage.dispatcher.skipped({ packetId: 2, bytes: 9_000, topic: 'large', dup: false })
  stage.dispatcher.skipped({ packetId: 2, bytes: 9_000, topic: 'large', dup: false })
  stage.dispatcher.skipped({ packetId: 0, bytes: 9_000, topic: 'large', dup: false })
  await stage.turn()
  t.deepEqual(stage.acked, [])
  await stage.end('a')
  t.deepEqual(stage.acked, [1, 2])
  t.like(stage.counters, { received: 4, oversized: 3 })
  t.is(lines.length, 3)
  t.regex(lines[0] ?? '', /9000 bytes.*"large"/)
  // Of another connection it is none of ours: it is told, and acknowledged, again.
  stage.dispatcher.skipped({ packetId: 3, bytes: 9_000, topic: 'large', dup: false })
  stage.dispatcher.disconnected()
  stage.dispatcher.connected(true)
  stage.dispatcher.skipped({ packetId: 3, bytes: 9_000, topic: 'large', dup: false })
  await stage.turn()
  t.deepEqual(stage.acked, [1, 2, 3])
})

test('the same message again on one connection joins the one in hand', async (t) => {
  const stage = new Stage()
  stage.dispatcher.arrived(arrival(1, 'a'))
  stage.dispatcher.arrived(arrival(1, 'a', { dup: true }))
  stage.dispatcher.arrived(arrival(1, 'a'))
  await stage.end('a')
  t.deepEqual(stage.started, ['a'])
  t.deepEqual(stage.acked, [1])
  t.is(stage.counters.joined, 2)
})

test('another message with a packet id that is in use is handled as well, and the id acknowledged once', async (t) => {
  const stage = new Stage()
  stage.dispatcher.arrived(arrival(1, 'a'))
  stage.dispatcher.arrived(arrival(1, 'b'))
  await stage.end('a')
  await stage.end('b')
  t.deepEqual(stage.acked, [1])
  t.is(stage.dispatcher.inHand, 0)
})

test('an older message that comes again with a packet id that is in use by now is not acknowledged twice', async (t) => {
  const stage = new Stage()
  stage.dispatcher.arrived(arrival(5, 'a'))
  stage.dispatcher.disconnected()
  stage.dispatcher.connected(true)
  stage.dispatcher.arrived(arrival(1, 'b'))
  stage.dispatcher.arrived(arrival(1, 'a', { dup: true }))
  await stage.end('b')
  for (const { ended } of stage.runs) ended.resolve(HANDLED)
  await stage.turn()
  t.deepEqual(stage.acked, [1])
})

test('a packet id that is used again by an equal message is a new message, once there were new ones', async (t) => {
  const stage = new Stage()
  stage.dispatcher.arrived(arrival(1, 'a'))
  await stage.turn()
  stage.dispatcher.disconnected()
  await stage.end('a')
  stage.dispatcher.connected(true)
  // The first one expired at the broker: with b it has gone on to new messages.
  stage.dispatcher.arrived(arrival(2, 'b'))
  stage.dispatcher.arrived(arrival(1, 'a'))
  t.deepEqual(stage.running, ['b', 'a'])
  // But what the broker says it sends again is what it sent.
  stage.dispatcher.arrived(arrival(3, 'a', { dup: true }))
  t.deepEqual(stage.running, ['b', 'a'])
})

test('what a lost session left with us alone is handled, though the next session is resumed', async (t) => {
  const stage = new Stage({ maxInFlight: 1 })
  stage.dispatcher.arrived(arrival(1, 'a'))
  stage.dispatcher.arrived(arrival(2, 'b'))
  stage.dispatcher.disconnected()
  stage.dispatcher.connected(false)
  stage.dispatcher.disconnected()
  stage.dispatcher.connected(true)
  await stage.end('a')
  t.deepEqual(stage.running, ['b'])
  await stage.end('b')
  t.deepEqual(stage.acked, [])
  t.is(stage.dispatcher.inHand, 0)
})

test('above the limit the socket is not read, and at half of it it is again', async (t) => {
  const stage = new Stage({ maxInFlight: 1, maxWaitingBytes: 200 })
  for (let i = 1; i <= 3; i++) stage.dispatcher.arrived(arrival(i, `${i}`))
  t.false(stage.paused)
  stage.dispatcher.arrived(arrival(4, '4'))
  t.true(stage.paused)
  await stage.end('1')
  t.true(stage.paused)
  await stage.end('2')
  t.false(stage.paused)
})

test('a paused socket is read as soon as an answer is awaited', (t) => {
  const stage = new Stage({ maxInFlight: 1, maxWaitingBytes: 100 })
  stage.dispatcher.relieve()
  for (let i = 1; i <= 3; i++) stage.dispatcher.arrived(arrival(i, `${i}`))
  t.true(stage.paused)
  stage.awaiting = true
  stage.dispatcher.relieve()
  t.false(stage.paused)
  stage.awaiting = false
  stage.dispatcher.arrived(arrival(4, '4'))
  t.true(stage.paused)
})

test('while an answer is awaited the connection is cut beyond four times the limit', (t) => {
  const stage = new Stage({ maxInFlight: 1, maxWaitingBytes: 100 })
  stage.awaiting = true
  for (let i = 1; i <= 5; i++) stage.dispatcher.arrived(arrival(i, `${i}`))
  t.deepEqual(stage.cuts, [])
  stage.dispatcher.arrived(arrival(6, '6'))
  t.is(stage.cuts.length, 1)
  t.is(stage.cuts[0]?.type, 'overflow')
  t.regex(stage.cuts[0]?.message ?? '', /500 bytes.*limit of 100/)
  t.is(stage.counters.overflows, 1)
  t.false(stage.paused)
})

test('after its time the message has failed, the signal is aborted, and a later end changes nothing', async (t) => {
  const stage = new Stage({ plan: { timeoutMs: 50, routes: ['a/+', 'b'] } })
  stage.dispatcher.arrived(arrival(1, 'a', { topic: 'x' }))
  stage.dispatcher.arrived(arrival(2, 'b', { topic: 'x' }))
  const { attempt, ended } = stage.run('a')
  const { signal } = attempt
  t.is(attempt.number, 1)
  stage.clock.advance(49)
  t.false(signal.aborted)
  stage.clock.advance(1)
  t.true(signal.aborted)
  t.is((signal.reason as MqttasgiError).code, 'ERR_HANDLER_TIMEOUT')
  await stage.turn()
  t.like(stage.settlements, [{ type: 'failed', route: 'a/+' }])
  t.deepEqual(stage.started, ['a', 'b'])
  await stage.turn()
  t.deepEqual(stage.acked, [1])
  ended.resolve(HANDLED)
  await stage.turn()
  t.is(stage.settlements.length, 1)
  await stage.end('b')
  t.deepEqual(stage.acked, [1, 2])
  stage.clock.advance(50)
  t.is(stage.clock.timers, 0)
})

test('a signal that is first looked at after the time is over is aborted already', (t) => {
  const stage = new Stage({ plan: { timeoutMs: 50 } })
  stage.dispatcher.arrived(arrival(1, 'a'))
  stage.clock.advance(50)
  const { signal } = stage.run('a').attempt
  t.true(signal.aborted)
  t.is(stage.run('a').attempt.signal, signal)
})

test('an attempt can be given more time, but not when it is over or has no limit', async (t) => {
  const stage = new Stage({ plan: { timeoutMs: 50 } })
  stage.dispatcher.arrived(arrival(1, 'a'))
  const { attempt } = stage.run('a')
  stage.clock.advance(40)
  attempt.extend(30)
  stage.clock.advance(39)
  t.false(attempt.signal.aborted)
  stage.clock.advance(1)
  t.true(attempt.signal.aborted)
  attempt.extend(100)
  t.is(stage.clock.timers, 0)
  const free = new Stage()
  free.dispatcher.arrived(arrival(1, 'a'))
  free.run('a').attempt.extend(10)
  t.is(free.clock.timers, 0)
})

test('a drain of a lasting session finishes what has begun and what stands in front of it, and leaves the rest with the broker', async (t) => {
  const stage = new Stage({ maxInFlight: 3, maxWaitingBytes: 100 })
  for (const [i, topic] of ['x', 'x', 'y', 'z', 'z'].entries())
    stage.dispatcher.arrived(arrival(i + 1, `${i + 1}`, { topic }))
  t.true(stage.paused)
  let drained = false
  const draining = stage.dispatcher.drain('drop').then(() => (drained = true))
  t.false(stage.paused)
  stage.dispatcher.arrived(arrival(6, '6'))
  stage.dispatcher.arrived(arrival(0, '7'))
  stage.dispatcher.skipped({ packetId: 8, bytes: 9_000, topic: 'large', dup: false })
  await stage.end('1')
  t.false(drained)
  await stage.end('3')
  t.false(drained)
  await stage.end('2')
  await draining
  t.deepEqual(stage.started, ['1', '3', '2'])
  t.deepEqual(stage.acked, [1, 2, 3])
})

test('a drain of a session that ends with us runs all that is in hand', async (t) => {
  const stage = new Stage({ maxInFlight: 2 })
  for (const [i, topic] of ['x', 'x', 'y', 'z'].entries())
    stage.dispatcher.arrived(arrival(i + 1, `${i + 1}`, { topic }))
  let drained = false
  const draining = stage.dispatcher.drain('finish').then(() => (drained = true))
  stage.dispatcher.arrived(arrival(5, '5'))
  for (const payload of ['1', '2', '3']) {
    await stage.end(payload)
    t.false(drained)
  }
  await stage.end('4')
  await draining
  t.deepEqual(stage.acked, [1, 2, 3, 4])
})

test('at a drain a handler still hears what is dealt with at once, and nobody does when nobody waits any more', async (t) => {
  for (const ending of ['finish', 'drop'] as const) {
    const stage = new Stage({
      synchronous: (payload) => payload.startsWith('answer'),
      planOf: (topic) => (topic === 'answers' ? { isPrompt: true } : {}),
    })
    stage.dispatcher.arrived(arrival(1, 'asks'))
    const draining = stage.dispatcher.drain(ending)
    stage.dispatcher.arrived(arrival(0, 'answer', { topic: 'answers' }))
    stage.dispatcher.arrived(arrival(0, 'plain'))
    t.deepEqual(stage.started, ['asks', 'answer'])
    stage.dispatcher.abort(NO_MORE)
    stage.dispatcher.arrived(arrival(0, 'answer again', { topic: 'answers' }))
    t.deepEqual(stage.started, ['asks', 'answer'])
    await stage.end('asks')
    await draining
  }
})

test('a drain with nothing in hand is over at once, and what comes again is still acknowledged', async (t) => {
  await t.notThrowsAsync(new Stage().dispatcher.drain('drop'))
  const stage = new Stage()
  stage.dispatcher.arrived(arrival(1, 'a'))
  const draining = stage.dispatcher.drain('drop')
  stage.dispatcher.arrived(arrival(1, 'a', { dup: true }))
  await stage.end('a')
  await draining
  t.deepEqual(stage.acked, [1])
})

test('when nobody waits any more all that runs is told, nothing new begins, and what heeds it is done', async (t) => {
  const stage = new Stage({ maxInFlight: 3 })
  for (const [i, topic] of ['x', 'x', 'y', 'z'].entries())
    stage.dispatcher.arrived(arrival(i + 1, `${i + 1}`, { topic }))
  const draining = stage.dispatcher.drain('finish')
  stage.dispatcher.abort(NO_MORE)
  for (const payload of ['1', '3']) {
    const { signal } = stage.run(payload).attempt
    t.is(signal.reason, NO_MORE)
  }
  await stage.end('1')
  await stage.end('3')
  await draining
  t.deepEqual(stage.started, ['1', '3'])
  t.deepEqual(stage.acked, [1])
})

test('what is left behind keeps no timer, is counted, and is heard of no more', async (t) => {
  const stage = new Stage({ plan: { timeoutMs: 50 } })
  stage.dispatcher.arrived(arrival(1, 'a'))
  stage.dispatcher.arrived(arrival(2, 'b'))
  await stage.end('b')
  void stage.dispatcher.drain('drop')
  t.is(stage.dispatcher.leave(), 1)
  t.is(stage.clock.timers, 0)
  await stage.end('a')
  t.deepEqual(stage.acked, [])
  t.is(stage.settlements.length, 1)
})

test('where the broker sets DUP, a message without it is a new one, whatever its packet id', async (t) => {
  const stage = new Stage()
  stage.dispatcher.arrived(arrival(1, 'a'))
  stage.dispatcher.arrived(arrival(2, 'b'))
  stage.dispatcher.disconnected()
  stage.dispatcher.connected(true)
  stage.dispatcher.arrived(arrival(2, 'b', { dup: true }))
  stage.dispatcher.arrived(arrival(1, 'a'))
  t.is(stage.counters.joined, 1)
  await stage.end('a')
  t.deepEqual(stage.running, ['b', 'a'])
})

test('a handler that fails because nobody waits for it any more leaves its message unacknowledged', async (t) => {
  const stage = new Stage()
  stage.dispatcher.arrived(arrival(1, 'a', { topic: 'x' }))
  stage.dispatcher.arrived(arrival(2, 'b', { topic: 'y' }))
  void stage.dispatcher.drain('drop')
  stage.dispatcher.abort(new MqttasgiError('ERR_STOPPED', 'stop'))
  stage.run('a').ended.resolve({ type: 'failed', error: new Error('aborted'), route: undefined })
  stage.run('b').ended.resolve(HANDLED)
  await stage.turn()
  t.deepEqual(stage.acked, [])
  t.like(stage.settlements, [{ type: 'handled' }])
  t.is(stage.dispatcher.leave(), 1)
})

test('what is sent again while its acknowledgement is about to be written is not run again, and not acknowledged twice', async (t) => {
  const stage = new Stage({ synchronous: () => true })
  stage.dispatcher.arrived(arrival(1, 'a'))
  stage.dispatcher.arrived(arrival(1, 'a', { dup: true }))
  await stage.turn()
  t.deepEqual(stage.started, ['a'])
  t.deepEqual(stage.acked, [1])
  t.is(stage.counters.joined, 1)
  // Once it has been written the id is free, and whoever uses it means another message.
  stage.dispatcher.arrived(arrival(1, 'a', { dup: true }))
  await stage.turn()
  t.deepEqual(stage.started, ['a', 'a'])
})

test('a drain that drops what waits goes on with what is ours behind it', async (t) => {
  const shedding = {
    name: 'r',
    overflow: 'drop-newest',
    maxWaiting: 5,
    throttleMs: 0,
    debounceMs: 0,
  } as const
  const limits = [{ name: 'r', most: 1 }]
  const stage = new Stage({ plan: { shedding, limits } })
  stage.dispatcher.survey({ isStrict: false, sheds: true })
  stage.dispatcher.arrived(arrival(1, 'runs', { topic: 'a' }))
  // It has a place in the window, and none in the limit; the next one of its topic waits for its end.
  stage.dispatcher.arrived(arrival(0, 'waits', { topic: 'b' }))
  stage.dispatcher.arrived(arrival(2, 'ours', { topic: 'b' }))
  stage.dispatcher.disconnected()
  stage.dispatcher.connected(false)
  let isDrained = false
  void stage.dispatcher.drain('drop').then(() => (isDrained = true))
  await stage.end('runs')
  await stage.end('ours')
  t.true(isDrained)
  t.deepEqual(stage.started, ['runs', 'ours'])
})

test('at a drain a message of QoS 0 that one receiver has begun is run by the others too', async (t) => {
  const limits = [{ name: 'r', most: 1 }]
  const both = new Stage({ receivers: 2, plan: { limits } })
  both.dispatcher.arrived(arrival(0, 'first', { topic: 'a' }))
  both.dispatcher.arrived(arrival(0, 'second', { topic: 'b' }))
  await both.end('first')
  t.deepEqual(both.started, ['first', 'first', 'second'])
  let isDrained = false
  void both.dispatcher.drain('drop').then(() => (isDrained = true))
  await both.end('first', { receiver: 1 })
  await both.end('second')
  await both.end('second', { receiver: 1 })
  t.true(isDrained)
  t.deepEqual(both.started, ['first', 'first', 'second', 'second'])
  t.is(both.dispatcher.inHand, 0)
})

const thrice: Partial<Plan> = {
  failurePolicy: () => ({
    retry: { attempts: 3, minDelayMs: 1_000, maxDelayMs: 1_000, jitter: false, never: [] },
    deadLetter: true,
  }),
}
const failure: Outcome = { type: 'failed', error: new Error('no'), route: undefined }

test('at a drain a message of QoS 0 that waits for its retry is tried at once, and not forgotten', async (t) => {
  const stage = new Stage({ plan: thrice, bury: () => Promise.resolve() })
  stage.dispatcher.arrived(arrival(0, 'once'))
  await stage.end('once', { outcome: failure })
  let isDrained = false
  void stage.dispatcher.drain('drop').then(() => (isDrained = true))
  await stage.turn()
  t.false(isDrained)
  await stage.end('once')
  t.true(isDrained)
  t.deepEqual(stage.started, ['once', 'once'])
})

test('at a drain a message of QoS 0 that has begun is run also behind one that is not tried again', async (t) => {
  const stage = new Stage({ receivers: 2, plan: thrice, bury: () => Promise.resolve() })
  stage.dispatcher.arrived(arrival(1, 'x', { topic: 't' }))
  await stage.end('x')
  await stage.end('x', { receiver: 1, outcome: failure })
  stage.dispatcher.arrived(arrival(0, 'q', { topic: 't' }))
  let isDrained = false
  void stage.dispatcher.drain('drop').then(() => (isDrained = true))
  await stage.end('q')
  t.false(isDrained)
  await stage.end('q', { receiver: 1 })
  t.true(isDrained)
  t.deepEqual(stage.acked, [])
})

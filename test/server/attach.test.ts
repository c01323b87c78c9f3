// Receivers that come and go while a server runs: what they are told, what they get, and that nothing of them stays.
import test, { type ExecutionContext } from 'ava'
import { mqttasgi } from '../../lib/core/application.ts'
import type { Noted } from '../../lib/core/crash-ledger.ts'
import type { DeadLetter } from '../../lib/core/dead-letter.ts'
import { Deferred } from '../../lib/core/deferred.ts'
import { toError, type MqttasgiError } from '../../lib/core/errors.ts'
import type { Plan } from '../../lib/core/receiver.ts'
import { Guest } from '../helpers/guest.ts'
import { interest } from '../helpers/interest.ts'
import { turns } from '../helpers/memory-server.ts'
import { stageServer, type StagedServer, type StageParts } from '../helpers/staged-server.ts'

const failing: Plan['failurePolicy'] = () => ({
  retry: { attempts: 3, minDelayMs: 1_000, maxDelayMs: 1_000, jitter: false, never: [] },
  deadLetter: true,
})

const once: Plan['failurePolicy'] = (route, qos) => {
  const policy = failing(route, qos)
  return { ...policy, retry: { ...policy.retry, attempts: 1 } }
}

interface Started extends StagedServer {
  /** Of the receiver that was there from the start. */
  readonly host: Guest
}

/** A server that has started, with one receiver that wants `a/#` unless told otherwise. */
async function started(
  t: ExecutionContext,
  { host = new Guest('host', ['a/#']), ...parts }: StageParts & { readonly host?: Guest } = {},
): Promise<Started> {
  const staged = stageServer(t, mqttasgi(), { receivers: [host], ...parts })
  await staged.server.start()
  await turns()
  staged.transport.calls.length = 0
  return { ...staged, host }
}

function letters(): {
  readonly kept: DeadLetter[]
  readonly deadLetters: NonNullable<StageParts['deadLetters']>
} {
  const kept: DeadLetter[] = []
  const keep = (letter: DeadLetter): Promise<void> => Promise.resolve(void kept.push(letter))
  return { kept, deadLetters: { name: 'a list', keep, close: () => Promise.resolve() } }
}

test('one that comes is told of the connection, gets what it wants, and is told when it goes', async (t) => {
  const { server, transport } = await started(t)
  const guest = new Guest('guest', ['b'])
  await server.attach(guest)
  t.deepEqual(guest.news, ['connected'])
  t.deepEqual(transport.calls, ['subscribe b'])
  transport.deliver('b', 'one')
  await turns()
  t.deepEqual(guest.seen, ['one'])
  t.deepEqual(await server.detach(guest), { unsettled: 0 })
  t.deepEqual(guest.news, ['connected', 'disconnected killed'])
  t.deepEqual(transport.calls, ['subscribe b', 'unsubscribe b'])
  t.is(guest.listeners, 0)
  transport.deliver('b', 'two')
  await turns()
  t.deepEqual(guest.seen, ['one'])
  t.deepEqual(transport.acknowledged, [1, 2])
})

test('without a connection it waits for one', async (t) => {
  const { server, transport } = stageServer(t, mqttasgi())
  const guest = new Guest('guest', ['b'])
  const attached = server.attach(guest)
  await turns()
  t.deepEqual(guest.news, [])
  await server.start()
  await attached
  t.deepEqual(guest.news, ['connected'])
  t.true(transport.subscriptions.has('b'))
})

test('it is told of each further connection, and of the end of each', async (t) => {
  const { clock, server, transport } = await started(t)
  const guest = new Guest('guest', ['b'])
  await server.attach(guest)
  transport.info = { ...transport.info, sessionPresent: true }
  transport.lose()
  await turns()
  clock.advance(100)
  await turns()
  t.deepEqual(guest.news, ['connected', 'disconnected lost', 'connected again'])
  await server.stop()
  t.deepEqual(guest.news.at(-1), 'disconnected stopped')
})

test('it is attached when connected() has resolved and what that asked for by hand is granted', async (t) => {
  const { server, transport } = await started(t)
  const gate = new Deferred()
  const guest = new Guest('guest', [], {
    connect: async (client) => {
      void client.subscribe('by/hand')
      await gate.promise
    },
  })
  let isAttached = false
  const attached = server.attach(guest).then(() => (isAttached = true))
  await turns()
  t.false(isAttached)
  gate.resolve()
  await attached
  t.true(transport.subscriptions.has('by/hand'))
})

for (const heeds of [true, false]) {
  test(`at its last attempt a handler that ${heeds ? 'heeds' : 'ignores'} its signal leaves its message to the successor`, async (t) => {
    const kept: unknown[] = []
    const deadLetters = {
      name: 'list',
      keep: async (letter: unknown) => void kept.push(letter),
      close: async () => {},
    }
    const host = new Guest('host', ['a/#'])
    const { server, transport } = stageServer(t, mqttasgi(), { receivers: [host], deadLetters })
    await server.start()
    const guest = new Guest('guest', ['b'], { holds: true, plan: { failurePolicy: once } })
    await server.attach(guest)
    transport.deliver('b', 'one')
    await turns()
    const { attempt, ended } = guest.runs[0]!
    const fail = (): void =>
      ended.resolve({ type: 'failed', error: toError(attempt.signal.reason), route: undefined })
    if (heeds) attempt.signal.addEventListener('abort', fail)
    const options = { keepSubscriptions: true, drainTimeoutMs: 0 }
    t.deepEqual(await server.detach(guest, options), { unsettled: 1 })
    const successor = new Guest('guest', ['b'])
    await server.attach(successor)
    await turns()
    t.deepEqual(successor.seen, ['one'])
    t.deepEqual(kept, [])
    t.is(server.counters.acknowledged, 1)
  })
}

test('what is refused to it takes it out again, and leaves the others alone', async (t) => {
  const { host, server, transport } = await started(t)
  transport.grant = ({ filter, qos }) => (filter === 'b' ? 0x87 : qos)
  const guest = new Guest('guest', ['b', 'c'])
  await t.throwsAsync(server.attach(guest), { code: 'ERR_SUBSCRIBE_REFUSED' })
  t.deepEqual(guest.news, ['connected', 'disconnected failed'])
  t.is(guest.listeners, 0)
  t.deepEqual([...transport.subscriptions.keys()], ['a/#'])
  await server.ready()
  await t.notThrowsAsync(server.attach(new Guest('guest', ['d'])))
  transport.deliver('a/1', 'one')
  await turns()
  t.deepEqual(host.seen, ['one'])
})

test('what is refused to others does not concern it', async (t) => {
  const { host, server, transport } = await started(t)
  transport.grant = ({ filter, qos }) => (filter === 'x' ? 0x87 : qos)
  host.want(interest('a/#'), interest('x'))
  await turns()
  await t.notThrowsAsync(server.attach(new Guest('guest', ['b'])))
  t.true(transport.subscriptions.has('b'))
})

test('what fails in connected() is told to whoever attaches it, and it is out again', async (t) => {
  const { server, transport } = await started(t)
  const guest = new Guest('guest', ['b'], { connect: () => Promise.reject(new Error('no meter')) })
  await t.throwsAsync(server.attach(guest), { message: 'no meter' })
  t.deepEqual([...transport.subscriptions.keys()], ['a/#'])
  t.is(server.inFlight(guest), 0)
})

test('one that has ended before it is attached is out again, and what ends later is nothing to its attachment', async (t) => {
  const { server, transport } = await started(t)
  const [early, late] = [new Deferred<never>(), new Deferred<never>()]
  const guest = new Guest('guest', ['b'], { connect: () => new Promise(() => {}) })
  const attached = server.attach(guest, early.promise)
  await turns()
  early.reject(new Error('broken'))
  await t.throwsAsync(attached, { message: 'broken' })
  t.deepEqual(guest.news, ['connected', 'disconnected failed'])
  t.deepEqual([...transport.subscriptions.keys()], ['a/#'])
  await server.attach(new Guest('guest', ['c']), late.promise)
  late.reject(new Error('broken'))
  await turns()
  t.deepEqual([...transport.subscriptions.keys()], ['a/#', 'c'])
})

test('one that fails at the start is logged, and does not end the server', async (t) => {
  const host = new Guest('host', ['a/#'], { connect: () => Promise.reject(new Error('no meter')) })
  const { lines, server } = await started(t, { host })
  t.regex(lines.join('\n'), /error: "host" failed at the news of its connection: no meter/)
  t.is(server.state, 'connected')
})

test('an id that is taken, options that contradict those of others, and a server that stops are refused', async (t) => {
  const { server } = await started(t)
  const one = new Guest('one', ['b'])
  await server.attach(one)
  const twin = new Guest('one', ['c'])
  await t.throwsAsync(server.attach(twin), { code: 'ERR_RECEIVER_DUPLICATE', message: /"one"/ })
  const other = new Guest('two', [interest('a/#', { noLocal: true })])
  await t.throwsAsync(server.attach(other), { code: 'ERR_SUBSCRIBE_OPTIONS_DIFFER' })
  await t.notThrowsAsync(server.ready())
  t.is(twin.listeners + other.listeners, 0)
  await server.stop()
  await t.throwsAsync(server.attach(new Guest('three', [])), { code: 'ERR_STOPPED' })
})

test('whoever waits to be attached when the server stops is told so', async (t) => {
  const { server } = stageServer(t, mqttasgi())
  const attached = server.attach(new Guest('guest', ['b']))
  const stopped = server.stop()
  await t.throwsAsync(attached, { code: 'ERR_STOPPED' })
  await stopped
})

test('one that is detached before it was attached is told so, and leaves nothing', async (t) => {
  const { server, transport } = await started(t)
  const guest = new Guest('guest', ['b'], { connect: () => new Promise(() => {}) })
  const attached = server.attach(guest)
  await turns()
  const detached = server.detach(guest)
  await t.throwsAsync(attached, { code: 'ERR_RECEIVER_DETACHED' })
  t.deepEqual(await detached, { unsettled: 0 })
  t.deepEqual([...transport.subscriptions.keys()], ['a/#'])
})

test('one that is not attached is left alone, and all who detach one get the same answer', async (t) => {
  const { server } = await started(t)
  const guest = new Guest('guest', ['b'])
  t.deepEqual(await server.detach(guest), { unsettled: 0 })
  await server.attach(guest)
  t.is(server.detach(guest), server.detach(guest))
  await server.detach(guest)
  t.deepEqual(guest.news, ['connected', 'disconnected killed'])
})

test('what it has in hand and what stands in its lanes ends first, nothing new is begun', async (t) => {
  const { server, transport } = await started(t)
  const guest = new Guest('guest', ['b'], { holds: true })
  await server.attach(guest)
  transport.deliver('b', 'one')
  transport.deliver('b', 'two')
  await turns()
  t.deepEqual(guest.seen, ['one'])
  t.is(server.inFlight(guest), 2)
  const detached = server.detach(guest, { drainTimeoutMs: 500 })
  transport.deliver('b', 'three')
  guest.end('one')
  await turns()
  guest.end('two')
  t.deepEqual(await detached, { unsettled: 0 })
  await turns()
  t.deepEqual(guest.seen, ['one', 'two'])
  t.deepEqual(
    transport.acknowledged.toSorted((one, other) => one - other),
    [1, 2, 3],
  )
})

test('while it says farewell it can still publish and unsubscribe, and afterwards it can not subscribe', async (t) => {
  const { server, transport } = await started(t)
  const guest = new Guest('guest', ['b'], {
    connect: (client) => client.subscribe('by/hand'),
    disconnect: async (client) => {
      await client.publish('last/words', 'x')
      await client.unsubscribe('by/hand')
    },
  })
  await server.attach(guest)
  await server.detach(guest)
  t.is(transport.published[0]?.topic, 'last/words')
  t.deepEqual(transport.calls.slice(-2), ['unsubscribe by/hand', 'unsubscribe b'])
  await t.throwsAsync(guest.client!.subscribe('later'), { code: 'ERR_NOT_ATTACHED' })
})

test('a server without receivers waits for the first one', async (t) => {
  const { server, transport } = stageServer(t, mqttasgi(), { receivers: [] })
  await server.start()
  transport.deliver('b', 'nobody')
  await turns()
  t.deepEqual(transport.acknowledged, [1])
  const guest = new Guest('guest', ['b'])
  await server.attach(guest)
  transport.deliver('b', 'somebody')
  await turns()
  t.deepEqual(guest.seen, ['somebody'])
})

test('what comes while its predecessor has still something in hand is behind that', async (t) => {
  const host = new Guest('host', ['a/#'], { holds: true })
  const { clock, server, transport } = await started(t, { host })
  const guest = new Guest('guest', ['b'], { holds: true })
  await server.attach(guest)
  transport.deliver('a/1', 'of another')
  transport.deliver('b', 'one')
  await turns()
  const detached = server.detach(guest, { drainTimeoutMs: 500, keepSubscriptions: true })
  transport.deliver('b', 'two')
  await turns()
  clock.advance(500)
  t.deepEqual(await detached, { unsettled: 1 })
  t.false(host.runs[0]!.attempt.signal.aborted)
  const successor = new Guest('guest', ['b'])
  await server.attach(successor)
  t.deepEqual(successor.seen, ['one', 'two'])
  host.end('of another')
})

test('what has no end at the limit is told to give up, and kept as a dead letter: nobody behind it is held up', async (t) => {
  const { deadLetters, kept } = letters()
  const { clock, host, server, transport } = await started(t, { deadLetters })
  const guest = new Guest('guest', ['b/+'], { holds: true, plan: { failurePolicy: failing } })
  await server.attach(guest)
  clock.advance(100)
  transport.deliver('b/1', 'one')
  transport.deliver('b/1', 'behind')
  transport.deliver('b/2', 'heeds')
  transport.deliver('a/1', 'later')
  await turns()
  const [one] = guest.runs
  const heeds = guest.runs.find(({ text }) => text === 'heeds')!
  const signals = [one!.attempt.signal, heeds.attempt.signal]
  signals[1]!.addEventListener('abort', () => guest.end('heeds'))
  const detached = server.detach(guest, { drainTimeoutMs: 500 })
  await turns()
  clock.advance(500)
  t.deepEqual(await detached, { unsettled: 2 })
  t.true(signals[0]!.aborted)
  t.is((signals[0]!.reason as MqttasgiError).code, 'ERR_RECEIVER_DETACHED')
  await turns()
  t.deepEqual(
    kept.map(({ cause, error, payload, receiver }) => [payload.toString(), cause, error.code, receiver]),
    [
      ['one', 'failed', 'ERR_RECEIVER_DETACHED', 'guest'],
      ['behind', 'failed', 'ERR_RECEIVER_DETACHED', 'guest'],
    ],
  )
  t.deepEqual(
    kept.map(({ arrivedAt, deadAt }) => deadAt - arrivedAt),
    [500, 0],
  )
  t.deepEqual(host.seen, ['later'])
  t.deepEqual(transport.acknowledged, [1, 2, 3, 4])
  t.deepEqual(guest.news, ['connected', 'disconnected killed'])
  // What ends after all is heard by nobody.
  guest.end('one')
  await turns()
  t.is(server.counters.handled, 2)
})

test('without a store what has no end at the limit has failed', async (t) => {
  const { server, transport } = await started(t)
  const guest = new Guest('guest', ['b'], { holds: true, plan: { failurePolicy: failing } })
  await server.attach(guest)
  transport.deliver('b', 'one')
  await turns()
  t.deepEqual(await server.detach(guest, { drainTimeoutMs: 0 }), { unsettled: 1 })
  await turns()
  t.is(server.counters.failed, 1)
  t.deepEqual(transport.acknowledged, [1])
})

test('what waits to be tried again, or for a place, is not begun again once it is let go of', async (t) => {
  const { deadLetters, kept } = letters()
  const { clock, server, transport } = await started(t, { deadLetters })
  const guest = new Guest('guest', ['b/+'], {
    holds: true,
    plan: { order: 'none', limits: [{ name: 'b', most: 1 }], failurePolicy: failing },
  })
  await server.attach(guest)
  for (const text of ['tried', 'runs', 'waits']) transport.deliver(`b/${text}`, text)
  await turns()
  guest.end('tried', { type: 'failed', error: new Error('not now'), route: undefined })
  await turns()
  t.deepEqual(guest.seen, ['tried', 'runs'])
  t.deepEqual(await server.detach(guest, { drainTimeoutMs: 0 }), { unsettled: 3 })
  clock.advance(5_000)
  await turns()
  t.deepEqual(guest.seen, ['tried', 'runs'])
  t.is(kept.length, 3)
  t.is(transport.acknowledged.length, 3)
})

test('a receiver that does not end its farewell is not waited for for ever', async (t) => {
  const { clock, server, transport } = await started(t)
  const guest = new Guest('guest', ['b'], { disconnect: () => new Promise(() => {}) })
  await server.attach(guest)
  const detached = server.detach(guest, { drainTimeoutMs: 100 })
  await turns()
  clock.advance(4_999)
  await turns()
  t.true(transport.subscriptions.has('b'))
  clock.advance(1)
  await detached
  t.false(transport.subscriptions.has('b'))
})

test('with its subscriptions kept its messages wait for whoever comes with its id, in their order', async (t) => {
  const { server, transport } = await started(t)
  const guest = new Guest('guest', ['b'], { holds: true, connect: (client) => client.subscribe('b/more') })
  await server.attach(guest)
  transport.deliver('b', 'one')
  transport.deliver('b', 'two')
  await turns()
  t.deepEqual(await server.detach(guest, { drainTimeoutMs: 0, keepSubscriptions: true }), { unsettled: 2 })
  transport.deliver('b', 'three')
  transport.deliver('b/more', 'four')
  await turns()
  t.is(server.inFlight(guest), 4)
  t.deepEqual(transport.acknowledged, [])
  const successor = new Guest('guest', ['b'], { connect: (client) => client.subscribe('c') })
  await server.attach(successor)
  await turns()
  t.deepEqual(successor.seen, ['one', 'two', 'three', 'four'])
  t.deepEqual(transport.acknowledged, [1, 2, 3, 4])
  // What it has not asked for itself goes when it is there, and not before.
  t.deepEqual(
    transport.calls.filter((call) => call.startsWith('unsubscribe')),
    ['unsubscribe b/more'],
  )
  t.deepEqual([...transport.subscriptions.keys()], ['a/#', 'b', 'c'])
  t.is(server.inFlight(successor), 0)
})

test('a successor that can not be attached leaves the place, and what waits there, as it was', async (t) => {
  const { server, transport } = await started(t)
  const guest = new Guest('guest', ['b'])
  await server.attach(guest)
  await server.detach(guest, { keepSubscriptions: true })
  transport.deliver('b', 'one')
  await turns()
  const failing = new Guest('guest', ['b', 'x'], { connect: () => Promise.reject(new Error('not yet')) })
  await t.throwsAsync(server.attach(failing), { message: 'not yet' })
  t.deepEqual([...transport.subscriptions.keys()], ['a/#', 'b'])
  const successor = new Guest('guest', ['b'])
  await server.attach(successor)
  await turns()
  t.deepEqual([failing.seen, successor.seen], [[], ['one']])
})

test('a place that nobody comes to is given up: what waits there is kept as dead letters', async (t) => {
  const { deadLetters, kept } = letters()
  const { host, server, transport } = await started(t, { deadLetters })
  const guest = new Guest('guest', ['b'])
  await server.attach(guest)
  await server.detach(guest, { keepSubscriptions: true })
  t.deepEqual(await server.detach(guest, { keepSubscriptions: true }), { unsettled: 0 })
  transport.deliver('b', 'one')
  transport.deliver('b', 'zero', { qos: 0 })
  transport.deliver('a/1', 'other')
  await turns()
  t.deepEqual(host.seen, ['other'])
  t.deepEqual(transport.acknowledged, [])
  t.deepEqual(await server.detach(guest), { unsettled: 2 })
  await turns()
  t.deepEqual(
    kept.map(({ payload }) => payload.toString()),
    ['one'],
  )
  t.is(server.counters.failed, 1)
  t.deepEqual(transport.acknowledged, [1, 2])
  t.false(transport.subscriptions.has('b'))
})

test('what waits for a successor is bounded by the window: then nothing further is begun', async (t) => {
  const { host, server, transport } = await started(t, { window: { maxInFlight: 2, maxWaitingBytes: 20 } })
  const guest = new Guest('guest', ['b'])
  await server.attach(guest)
  await server.detach(guest, { keepSubscriptions: true })
  for (let i = 0; i < 6; i++) transport.deliver('b', `${i}`)
  transport.deliver('a/1', 'behind')
  await turns()
  t.is(server.inFlight(guest), 2)
  t.deepEqual(host.seen, [])
  t.true(transport.paused)
  const successor = new Guest('guest', ['b'])
  await server.attach(successor)
  await turns()
  t.deepEqual(successor.seen, ['0', '1', '2', '3', '4', '5'])
  t.deepEqual(host.seen, ['behind'])
})

test('what waits for a successor when the server stops comes again where the session lasts, else it is kept', async (t) => {
  for (const sessionLasts of [true, false]) {
    const { deadLetters, kept } = letters()
    const { server, transport } = await started(t, { deadLetters, sessionLasts })
    const guest = new Guest('guest', ['b'])
    await server.attach(guest)
    await server.detach(guest, { keepSubscriptions: true })
    transport.deliver('b', 'one')
    await turns()
    const { unsettled } = await server.stop()
    t.is(unsettled, sessionLasts ? 1 : 0)
    t.is(kept.length, sessionLasts ? 0 : 1)
    t.is(transport.acknowledged.length, sessionLasts ? 0 : 1)
    t.deepEqual(await server.detach(guest), { unsettled: sessionLasts ? 1 : 0 })
  }
})

test('what waits for a successor joins what comes again on a new connection', async (t) => {
  const { clock, server, transport } = await started(t, { sessionLasts: true })
  const guest = new Guest('guest', ['b'])
  await server.attach(guest)
  await server.detach(guest, { keepSubscriptions: true })
  transport.deliver('b', 'one', { packetId: 7 })
  await turns()
  transport.info = { ...transport.info, sessionPresent: true }
  transport.lose()
  await turns()
  clock.advance(100)
  await turns()
  transport.deliver('b', 'one', { packetId: 7, dup: true })
  await turns()
  const successor = new Guest('guest', ['b'])
  await server.attach(successor)
  await turns()
  t.deepEqual(successor.seen, ['one'])
  t.deepEqual(transport.acknowledged, [7])
})

test('a message for two of which one goes is acknowledged when the other is done', async (t) => {
  const { host, server, transport } = await started(t)
  const guest = new Guest('guest', ['a/1'], { holds: true })
  await server.attach(guest)
  transport.deliver('a/1', 'both')
  await turns()
  t.deepEqual([host.seen, guest.seen], [['both'], ['both']])
  t.deepEqual(transport.acknowledged, [])
  await server.detach(guest, { drainTimeoutMs: 0 })
  await turns()
  t.deepEqual(transport.acknowledged, [1])
})

test('a subscription has the best QoS that is wanted, and is lowered without a gap when the one has left who wanted it', async (t) => {
  for (const protocolVersion of [5, 4] as const) {
    const host = new Guest('host', [interest('a', { qos: 0 })])
    const policy = { retries: 0, protocolVersion, backoff: () => 100 }
    const { clock, server, transport } = await started(t, { host, policy })
    const guest = new Guest('guest', [interest('a', { qos: 1, retainHandling: 0 })])
    await server.attach(guest)
    t.is(transport.subscriptions.get('a')?.qos, 1)
    clock.advance(1_000)
    await server.detach(guest)
    t.like(transport.subscriptions.get('a'), { qos: 0, retainHandling: 1 })
    t.deepEqual(transport.calls, ['subscribe a', 'subscribe a'])
    // MQTT 3.1.1 brings what is retained again, and nobody runs it.
    transport.deliver('a', 'old', { retain: true })
    transport.deliver('a', 'new')
    await turns()
    if (protocolVersion === 4) t.deepEqual(host.seen, ['new'])
    t.is(transport.acknowledged.length, 2)
  }
})

test('reasons of others count for the health', async (t) => {
  let faults: string[] = []
  const { server } = await started(t, { faults: () => faults })
  t.deepEqual(server.health, { ready: true, reasons: [] })
  faults = ['Worker "pump" has been given up.']
  t.deepEqual(server.health, { ready: false, reasons: faults })
})

test('one that fails at its farewell is logged, and goes all the same', async (t) => {
  const { lines, server, transport } = await started(t)
  const guest = new Guest('guest', ['b'], { disconnect: () => Promise.reject(new Error('no words')) })
  await server.attach(guest)
  t.deepEqual(await server.detach(guest), { unsettled: 0 })
  t.regex(lines.join('\n'), /error: "guest" failed at the news of its connection: no words/)
  t.false(transport.subscriptions.has('b'))
})

test('what fails in connected() on the connection that was waited for is told as well', async (t) => {
  const { server } = stageServer(t, mqttasgi())
  const guest = new Guest('guest', ['b'], { connect: () => Promise.reject(new Error('no meter')) })
  const attached = server.attach(guest)
  await server.start()
  await t.throwsAsync(attached, { message: 'no meter' })
})

test('a connection that is lost while it is told of it does not end its coming: the next one counts', async (t) => {
  const { clock, server, transport } = await started(t)
  const gates = [new Deferred(), new Deferred()]
  let tries = 0
  const guest = new Guest('guest', ['b'], { connect: () => gates[tries++]!.promise })
  const attached = server.attach(guest)
  await turns()
  transport.info = { ...transport.info, sessionPresent: true }
  transport.lose()
  await turns()
  gates[0]!.resolve()
  await turns()
  clock.advance(100)
  await turns()
  gates[1]!.resolve()
  await attached
  t.deepEqual(guest.news, ['connected', 'disconnected lost', 'connected again'])
})

test('a place that is kept is told of no connection', async (t) => {
  const { clock, server, transport } = await started(t)
  const guest = new Guest('guest', ['b'])
  await server.attach(guest)
  await server.detach(guest, { keepSubscriptions: true })
  await t.throwsAsync(guest.client!.subscribe('later'), { code: 'ERR_NOT_ATTACHED' })
  transport.lose()
  await turns()
  clock.advance(100)
  await turns()
  t.deepEqual(guest.news, ['connected', 'disconnected killed'])
  t.true(transport.subscriptions.has('b'))
})

test('one that goes while there is no connection hears of it, if it ever heard of one', async (t) => {
  const { server, transport } = await started(t)
  const guest = new Guest('guest', ['b'])
  await server.attach(guest)
  transport.lose()
  await turns()
  await server.detach(guest)
  t.deepEqual(guest.news, ['connected', 'disconnected lost', 'disconnected killed'])
  const never = new Guest('never', ['c'])
  const attached = server.attach(never)
  await turns()
  await server.detach(never)
  await t.throwsAsync(attached, { code: 'ERR_RECEIVER_DETACHED' })
  t.deepEqual(never.news, [])
})

test('a successor that is detached before it is attached takes what waited with it, or leaves it waiting', async (t) => {
  for (const keepSubscriptions of [false, true]) {
    const { deadLetters, kept } = letters()
    const { server, transport } = await started(t, { deadLetters })
    const guest = new Guest('guest', ['b'])
    await server.attach(guest)
    await server.detach(guest, { keepSubscriptions: true })
    transport.deliver('b', 'one')
    await turns()
    const slow = new Guest('guest', ['b'], { connect: () => new Promise(() => {}) })
    const attached = server.attach(slow)
    await turns()
    const detached = server.detach(slow, { keepSubscriptions })
    await t.throwsAsync(attached, { code: 'ERR_RECEIVER_DETACHED' })
    t.deepEqual(await detached, { unsettled: keepSubscriptions ? 0 : 1 })
    await turns()
    t.is(kept.length, keepSubscriptions ? 0 : 1)
    t.is(transport.subscriptions.has('b'), keepSubscriptions)
  }
})

test('what may be shed waits as it is for whoever comes in the place of another', async (t) => {
  const shedding = { name: 'b', overflow: 'latest', maxWaiting: 1, throttleMs: 0, debounceMs: 0 } as const
  const plan = { shedding }
  const { server, transport } = await started(t, { host: new Guest('host', []) })
  const wanted = interest('b', { sheds: true })
  const guest = new Guest('guest', [wanted], { plan })
  await server.attach(guest)
  await server.detach(guest, { keepSubscriptions: true })
  for (const text of ['1', '2', '3']) transport.deliver('b', text)
  await turns()
  const successor = new Guest('guest', [wanted], { plan })
  await server.attach(successor)
  t.deepEqual(successor.seen, ['1', '2', '3'])
  t.is(server.counters.shed, 0)
})

test('what is on its way to the dead letters is not in hand any more when its receiver goes', async (t) => {
  const keeping = new Deferred()
  const deadLetters = { name: 'slow', keep: () => keeping.promise, close: () => Promise.resolve() }
  const { clock, server, transport } = await started(t, { deadLetters })
  const plan: Partial<Plan> = {
    failurePolicy: (route, qos) => ({
      ...failing(route, qos),
      retry: { ...failing(route, qos).retry, attempts: 1 },
    }),
  }
  const guest = new Guest('guest', ['b'], { holds: true, plan })
  await server.attach(guest)
  transport.deliver('b', 'one')
  transport.deliver('b', 'behind')
  await turns()
  guest.end('one', { type: 'failed', error: new Error('no'), route: undefined })
  await turns()
  const detached = server.detach(guest, { drainTimeoutMs: 100, keepSubscriptions: true })
  await turns()
  clock.advance(100)
  t.deepEqual(await detached, { unsettled: 1 })
  const successor = new Guest('guest', ['b'])
  await server.attach(successor)
  t.deepEqual(successor.seen, ['behind'])
  keeping.resolve()
  await turns()
  t.deepEqual(transport.acknowledged, [1, 2])
})

test('while messages are asked about that a process may have died of their receiver can go', async (t) => {
  for (const crashes of [0, 9]) {
    const asked = new Deferred<Noted>()
    const crashLedger = {
      name: 'slow',
      endedCleanly: false,
      begin: () => asked.promise,
      settled: () => Promise.resolve(),
      cleanEnd: () => Promise.resolve(),
      known: 0,
      knows: () => false,
      close: () => Promise.resolve(),
    }
    const { deadLetters, kept } = letters()
    const { server, transport } = await started(t, { crashLedger, deadLetters })
    const guest = new Guest('guest', ['b'])
    await server.attach(guest)
    transport.deliver('b', 'one')
    await turns()
    await server.detach(guest, { drainTimeoutMs: 0 })
    asked.resolve({ deaths: crashes, wasRepeat: true })
    await turns()
    t.deepEqual(guest.seen, [])
    t.is(kept.length, 1)
    t.deepEqual(transport.acknowledged, [1])
  }
})

test('a thousand that come and go on one connection leave nothing', async (t) => {
  const { clock, host, server, transport } = await started(t)
  for (let i = 0; i < 1_000; i++) {
    const guest = new Guest(`guest ${i}`, [`b/${i}`, 'a/1'], {
      connect: (client) => client.subscribe(`c/${i}`),
    })
    await server.attach(guest)
    transport.deliver(`b/${i}`, 'x')
    await someTurns()
    t.is(guest.runs.length, 1)
    await server.detach(guest)
    t.is(guest.listeners, 0)
    clock.advance(1_000)
  }
  await turns()
  t.deepEqual([...transport.subscriptions.keys()], ['a/#'])
  t.is(host.listeners, 1)
  t.is(clock.timers, 0)
  t.is(transport.acknowledged.length, 1_000)
})

test('what a process has died of is kept, also where its place waits for somebody', async (t) => {
  const { deadLetters, kept } = letters()
  const crashLedger = {
    name: 'a ledger',
    endedCleanly: false,
    begin: () => Promise.resolve({ deaths: 9, wasRepeat: true }),
    settled: () => Promise.resolve(),
    cleanEnd: () => Promise.resolve(),
    known: 1,
    knows: () => true,
    close: () => Promise.resolve(),
  }
  const { server, transport } = await started(t, { crashLedger, deadLetters })
  const guest = new Guest('guest', ['b'])
  await server.attach(guest)
  await server.detach(guest, { keepSubscriptions: true })
  transport.deliver('b', 'poison')
  await turns()
  t.deepEqual(
    kept.map(({ cause, receiver }) => [cause, receiver]),
    [['crashed', 'guest']],
  )
  t.deepEqual(transport.acknowledged, [1])
})

async function someTurns(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve))
}

test('a successor may ask for what was kept for it with other options', async (t) => {
  const { server, transport } = await started(t)
  const guest = new Guest('guest', [], { connect: (client) => client.subscribe('x') })
  await server.attach(guest)
  await server.detach(guest, { keepSubscriptions: true })
  const successor = new Guest('guest', [], {
    connect: (client) => client.subscribe('x', { retainAsPublished: true }),
  })
  await server.attach(successor)
  t.like(transport.subscriptions.get('x'), { retainAsPublished: true })
})

test('a detach that is to wait for no time at all is refused, and nothing has happened', async (t) => {
  const { host, server } = await started(t)
  await t.throwsAsync(server.detach(host, { drainTimeoutMs: Number.NaN }), { code: 'ERR_CONFIG_VALUE' })
  t.deepEqual(host.news, ['connected'])
})

test('a detach that is under way when its server stops ends with it, and leaves no timer', async (t) => {
  const { clock, server, transport } = await started(t, { sessionLasts: true })
  const guest = new Guest('guest', ['b'], { holds: true })
  await server.attach(guest)
  for (const text of ['runs', 'waits']) transport.deliver('b', text)
  await turns()
  t.is(server.inFlight(guest), 2)
  const detached = server.detach(guest, { drainTimeoutMs: 60_000 })
  const stopped = server.stop()
  await turns()
  for (const text of guest.seen) guest.end(text)
  await turns()
  clock.advance(1_000)
  await stopped
  await detached
  await turns()
  t.is(clock.timers, 0)
})

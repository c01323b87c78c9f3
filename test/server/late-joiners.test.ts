// What is retained, for receivers that come when others have had it; and what a session brings before they have subscribed.
import test, { type ExecutionContext } from 'ava'
import { mqttasgi } from '../../lib/core/application.ts'
import { Deferred } from '../../lib/core/deferred.ts'
import type { Client } from '../../lib/core/receiver.ts'
import { Guest } from '../helpers/guest.ts'
import { interest } from '../helpers/interest.ts'
import { turns } from '../helpers/memory-server.ts'
import { stageServer, type StagedServer, type StageParts } from '../helpers/staged-server.ts'
import type { MemoryTransport } from '../../lib/testing/memory-transport.ts'

/** The broker brings this as retained, over this filter as it is subscribed now. */
function bring(transport: MemoryTransport, filter: string, topic: string, text: string): void {
  const { identifier } = transport.subscriptions.get(filter)!
  const subscriptionIdentifiers = identifier === undefined ? [] : [identifier]
  transport.deliver(topic, text, { retain: true, subscriptionIdentifiers })
}

/** A publication of now, with a copy for each of these filters. */
function publish(transport: MemoryTransport, filters: readonly string[], topic: string, text: string): void {
  for (const filter of filters) {
    const { identifier } = transport.subscriptions.get(filter)!
    transport.deliver(topic, text, { subscriptionIdentifiers: identifier === undefined ? [] : [identifier] })
  }
}

async function started(t: ExecutionContext, host: Guest, parts: StageParts = {}): Promise<StagedServer> {
  const staged = stageServer(t, mqttasgi(), { receivers: [host], ...parts })
  await staged.server.start()
  await turns()
  staged.clock.advance(1_000)
  staged.transport.calls.length = 0
  return staged
}

const four = { policy: { retries: 0, protocolVersion: 4, backoff: () => 100 } } as const

test('what is retained comes to a late joiner of a filter that is held, and to nobody else', async (t) => {
  for (const parts of [{}, four]) {
    const host = new Guest('host', ['a'])
    const { clock, server, transport } = await started(t, host, parts)
    bring(transport, 'a', 'a', 'old')
    await turns()
    t.deepEqual(host.seen, ['old'])
    clock.advance(1_000)
    const guest = new Guest('guest', ['a'])
    await server.attach(guest)
    t.deepEqual(transport.calls, ['subscribe a'])
    t.is(transport.subscriptions.get('a')?.retainHandling, 0)
    bring(transport, 'a', 'a', 'old')
    publish(transport, ['a'], 'a', 'new')
    await turns()
    t.deepEqual(
      [host.seen, guest.seen],
      [
        ['old', 'new'],
        ['old', 'new'],
      ],
    )
    t.is(transport.acknowledged.length, 3)
  }
})

test('a joiner that asks once it is connected has what is retained to itself, on MQTT 3.1.1 too', async (t) => {
  const host = new Guest('host', ['b'])
  const { clock, server, transport } = await started(t, host, four)
  const guests = ['first', 'second', 'third'].map((id) => new Guest(id, []))
  for (const guest of guests) {
    await server.attach(guest)
    await guest.client!.subscribe('a')
    bring(transport, 'a', 'a', 'old')
    await turns()
    clock.advance(1_000)
  }
  for (const { seen } of guests) t.deepEqual(seen, ['old'])
})

test('where a covering filter is held, only what matches the one of the joiner goes to it', async (t) => {
  for (const parts of [{}, four]) {
    const host = new Guest('host', ['a/#'])
    const { clock, server, transport } = await started(t, host, parts)
    clock.advance(1_000)
    const guest = new Guest('guest', ['a/b/+'])
    await server.attach(guest)
    t.deepEqual(transport.calls, ['subscribe a/#'])
    bring(transport, 'a/#', 'a/b/c', 'mine')
    bring(transport, 'a/#', 'a/x', 'not mine')
    await turns()
    t.deepEqual([host.seen, guest.seen], [[], ['mine']])
    t.is(server.counters.copies, 1)
    t.is(transport.acknowledged.length, 2)
  }
})

test('what an older SUBSCRIBE still brings goes to those for whom that was sent', async (t) => {
  const host = new Guest('host', ['a/#'])
  const { server, transport } = await started(t, host)
  const before = transport.subscriptions.get('a/#')!.identifier!
  const guest = new Guest('guest', ['a/1'])
  await server.attach(guest)
  t.not(transport.subscriptions.get('a/#')!.identifier, before)
  transport.deliver('a/1', 'for host', { retain: true, subscriptionIdentifiers: [before] })
  bring(transport, 'a/#', 'a/1', 'for guest')
  transport.deliver('a/1', 'for both', { subscriptionIdentifiers: [before] })
  await turns()
  t.deepEqual(
    [host.seen, guest.seen],
    [
      ['for host', 'for both'],
      ['for guest', 'for both'],
    ],
  )
})

test('what was brought by nobody knows what is for everybody', async (t) => {
  const host = new Guest('host', ['a/#'])
  const { server, transport } = await started(t, host)
  const guest = new Guest('guest', ['a/1'])
  await server.attach(guest)
  transport.deliver('a/1', 'old', { retain: true, subscriptionIdentifiers: [77] })
  const { identifier } = transport.subscriptions.get('a/#')!
  transport.deliver('a/1', 'older', { retain: true, subscriptionIdentifiers: [identifier!, 77] })
  await turns()
  t.deepEqual(
    [host.seen, guest.seen],
    [
      ['old', 'older'],
      ['old', 'older'],
    ],
  )
})

test('without identifiers what may still be on its way for others goes to them too: twice rather than never', async (t) => {
  const host = new Guest('host', ['a/#'])
  const { server, transport } = await started(t, host, four)
  // It is unacknowledged, so more of its kind may stand behind it.
  const slow = new Guest('slow', ['a/slow'], { holds: true })
  await server.attach(slow)
  bring(transport, 'a/#', 'a/slow', 'slow')
  await turns()
  const guest = new Guest('guest', ['a/slow'])
  await server.attach(guest)
  bring(transport, 'a/#', 'a/slow', 'slow')
  await turns()
  t.deepEqual([host.seen, guest.seen], [[], ['slow']])
  t.deepEqual(slow.seen, ['slow'])
  slow.end('slow')
  await turns()
  t.deepEqual(slow.seen, ['slow', 'slow'])
})

test('a subscription by hand brings it to the one who asked, and a second one of the same nothing', async (t) => {
  const host = new Guest('host', ['a/#'])
  const { server, transport } = await started(t, host)
  const guest = new Guest('guest', [])
  await server.attach(guest)
  t.deepEqual(transport.calls, [])
  await guest.client!.subscribe('a/1')
  t.deepEqual(transport.calls, ['subscribe a/#'])
  bring(transport, 'a/#', 'a/1', 'old')
  await guest.client!.subscribe('a/1')
  await turns()
  t.deepEqual(transport.calls, ['subscribe a/#'])
  t.deepEqual([host.seen, guest.seen], [[], ['old']])
})

test('a route that is registered late gets it, though what covers it is held for the same receiver', async (t) => {
  const host = new Guest('host', ['a/#'])
  const { server, transport } = await started(t, host)
  host.want(interest('a/#'), interest('a/1'))
  await server.ready()
  bring(transport, 'a/#', 'a/1', 'old')
  bring(transport, 'a/#', 'a/2', 'other')
  await turns()
  t.deepEqual(host.seen, ['old'])
})

test('of filters that are asked for together each receiver gets it once', async (t) => {
  const host = new Guest('host', ['a/#'])
  const { server, transport } = await started(t, host)
  const one = new Guest('one', ['a/1/#', '+/1/x'])
  const other = new Guest('other', ['+/1/x'])
  await Promise.all([server.attach(one), server.attach(other)])
  t.deepEqual(transport.calls.toSorted(), ['subscribe +/1/x', 'subscribe a/#'])
  for (const filter of ['a/#', '+/1/x']) bring(transport, filter, 'a/1/x', 'old')
  await turns()
  t.deepEqual([host.seen, one.seen, other.seen], [[], ['old'], ['old']])
})

test('a new filter that overlaps with what others hold brings it to its own receiver only', async (t) => {
  const host = new Guest('host', ['a/+'])
  const { server, transport } = await started(t, host)
  const guest = new Guest('guest', ['+/b'])
  await server.attach(guest)
  t.deepEqual(transport.calls, ['subscribe +/b'])
  bring(transport, '+/b', 'a/b', 'old')
  publish(transport, ['+/b', 'a/+'], 'a/b', 'new')
  await turns()
  t.deepEqual([host.seen, guest.seen], [['new'], ['old', 'new']])
})

test('Retain Handling is that of the joiner: 2 brings nothing, 1 brings it unless the subscription was kept', async (t) => {
  const host = new Guest('host', [interest('a', { retainHandling: 2 }), interest('b', { retainHandling: 1 })])
  const { server, transport } = await started(t, host)
  const never = new Guest('never', [interest('a', { retainHandling: 2 })])
  await server.attach(never)
  t.deepEqual(transport.calls, [])
  const once = new Guest('once', [interest('b', { retainHandling: 1 })])
  await server.attach(once)
  t.deepEqual(transport.calls, ['subscribe b'])
  await server.detach(once, { keepSubscriptions: true })
  await server.attach(new Guest('once', [interest('b', { retainHandling: 1 })]))
  t.deepEqual(transport.calls, ['subscribe b'])
})

test('a successor gets what is retained anew, for it does not know what its predecessor knew', async (t) => {
  const host = new Guest('host', ['a'])
  const { server, transport } = await started(t, host)
  const guest = new Guest('guest', ['a'])
  await server.attach(guest)
  await server.detach(guest, { keepSubscriptions: true })
  const successor = new Guest('guest', ['a'])
  await server.attach(successor)
  bring(transport, 'a', 'a', 'old')
  await turns()
  t.deepEqual([host.seen, successor.seen], [[], ['old']])
})

test('where publications of now keep their retain flag nobody is left out', async (t) => {
  const keeping = interest('a', { retainAsPublished: true })
  const host = new Guest('host', [keeping])
  const { server, transport } = await started(t, host)
  const guest = new Guest('guest', [keeping])
  await server.attach(guest)
  bring(transport, 'a', 'a', 'now or old')
  await turns()
  t.deepEqual([host.seen, guest.seen], [['now or old'], ['now or old']])
})

test('a QoS that is raised, and what is asked for again on a new connection, brings nothing to those who had it', async (t) => {
  const host = new Guest('host', [interest('a', { qos: 0 })])
  const { clock, server, transport } = await started(t, host)
  const guest = new Guest('guest', [interest('a', { retainHandling: 0 })])
  await server.attach(guest)
  transport.info = { ...transport.info, sessionPresent: true }
  transport.lose()
  await turns()
  clock.advance(100)
  await turns()
  t.like(transport.subscriptions.get('a'), { qos: 1, retainHandling: 1 })
})

/** One that subscribes when the test lets it. */
function hesitating(id: string, filter: string): { readonly guest: Guest; readonly gate: Deferred } {
  const gate = new Deferred()
  const connect = async (client: Client): Promise<void> => {
    await gate.promise
    await client.subscribe(filter)
  }
  return { guest: new Guest(id, [], { connect }), gate }
}

function lasting(parts: StageParts, host: Guest, t: ExecutionContext): StagedServer {
  const staged = stageServer(t, mqttasgi(), { receivers: [host], sessionLasts: true, ...parts })
  staged.transport.info = { ...staged.transport.info, sessionPresent: true }
  return staged
}

test('what a session brings before a receiver has subscribed waits for it, in order', async (t) => {
  const { guest, gate } = hesitating('host', 'a/+')
  const { server, transport } = lasting({}, guest, t)
  void server.start()
  await turns()
  for (const text of ['1', '2']) transport.deliver('a/x', text)
  await turns()
  t.deepEqual([guest.seen, transport.acknowledged], [[], []])
  t.is(server.counters.stale, 0)
  gate.resolve()
  await turns()
  t.deepEqual(guest.seen, ['1', '2'])
  t.deepEqual(transport.acknowledged, [1, 2])
  // Afterwards nothing waits any more.
  transport.deliver('x', 'unwanted')
  await turns()
  t.deepEqual(guest.seen, ['1', '2', 'unwanted'])
})

test('what somebody wants already does not wait, and what nobody wants then is only acknowledged', async (t) => {
  const host = new Guest('host', ['b'])
  const { guest, gate } = hesitating('guest', 'a/+')
  const { server, transport } = lasting({ receivers: [host, guest] }, host, t)
  void server.start()
  await turns()
  transport.deliver('a/x', '1')
  transport.deliver('b', '2')
  transport.deliver('c', '3')
  await turns()
  t.deepEqual([host.seen, guest.seen, transport.acknowledged], [['2'], [], []])
  gate.resolve()
  await turns()
  t.deepEqual([host.seen, guest.seen], [['2', '3'], ['1']])
  t.deepEqual(transport.acknowledged, [1, 2, 3])
})

test('it waits for ten seconds and no longer', async (t) => {
  const { guest, gate } = hesitating('host', 'a/+')
  const { clock, server, transport } = lasting({}, guest, t)
  void server.start()
  await turns()
  transport.deliver('a/x', '1')
  await turns()
  clock.advance(9_999)
  await turns()
  t.deepEqual(transport.acknowledged, [])
  clock.advance(1)
  await turns()
  t.deepEqual(transport.acknowledged, [1])
  gate.resolve()
  await turns()
})

test('what is waited for behind a backlog is read, and more than may wait does not wait', async (t) => {
  const host = new Guest('host', ['b'])
  const { guest, gate } = hesitating('guest', 'a/+')
  const window = { maxInFlight: 4, maxWaitingBytes: 60 }
  const { lines, server, transport } = lasting({ receivers: [host, guest], window }, host, t)
  void server.start()
  await turns()
  // Nobody waits for the broker yet: it is felt there.
  for (let i = 0; i < 8; i++) transport.deliver('a/x', `${i}`)
  await turns()
  t.true(transport.paused)
  // The answer to this stands behind all of them.
  gate.resolve()
  await turns()
  t.deepEqual(guest.seen, ['0', '1', '2', '3', '4', '5', '6', '7'])
  t.false(transport.paused)
  t.is(server.counters.overflows, 0)
  t.false(lines.join().includes('came before'))
})

test('more than four times what may wait does not wait, and does not cost the connection', async (t) => {
  const host = new Guest('host', ['b'])
  const { guest, gate } = hesitating('guest', 'a/+')
  const window = { maxInFlight: 4, maxWaitingBytes: 20 }
  const { lines, server, transport } = lasting({ receivers: [host, guest], window }, host, t)
  void server.start()
  await turns()
  await turns()
  // An answer is awaited that does not come.
  transport.holdAnswers = true
  void server.publish('x', 'x')
  await turns()
  for (let i = 0; i < 12; i++) transport.deliver('a/x', `${i}`)
  await turns()
  t.is(server.counters.overflows, 0)
  t.regex(lines.join('\n'), /came before the receivers had subscribed, more than four times the limit of 20/)
  t.is(transport.acknowledged.length, 12)
  transport.holdAnswers = false
  transport.answer()
  gate.resolve()
  await turns()
})

test('a connection that is lost takes its backlog with it, and the next one brings it again', async (t) => {
  const { guest, gate } = hesitating('host', 'a/+')
  const { clock, server, transport } = lasting({}, guest, t)
  void server.start()
  await turns()
  transport.deliver('a/x', '1', { packetId: 3 })
  await turns()
  transport.lose()
  await turns()
  clock.advance(20_000)
  await turns()
  t.deepEqual(guest.seen, [])
  transport.deliver('a/x', '1', { packetId: 3, dup: true })
  gate.resolve()
  await turns()
  t.deepEqual(guest.seen, ['1'])
  t.deepEqual(transport.acknowledged, [3])
})

test('a stop leaves the backlog of a session that lasts to the next process', async (t) => {
  const { guest } = hesitating('host', 'a/+')
  const { server, transport } = lasting({}, guest, t)
  void server.start()
  await turns()
  transport.deliver('a/x', '1')
  await turns()
  t.true((await server.stop()).clean)
  t.deepEqual([guest.seen, transport.acknowledged], [[], []])
})

test('one that is attached later counts as connecting as well', async (t) => {
  const host = new Guest('host', ['b'])
  const { server, transport } = lasting({}, host, t)
  void server.start()
  await turns()
  await turns()
  const { guest, gate } = hesitating('guest', 'a/+')
  const attached = server.attach(guest)
  transport.deliver('a/x', '1')
  await turns()
  t.deepEqual([host.seen, guest.seen], [[], []])
  gate.resolve()
  await attached
  await turns()
  t.deepEqual([host.seen, guest.seen], [[], ['1']])
})

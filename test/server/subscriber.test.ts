import test, { type ExecutionContext } from 'ava'
import { MqttasgiError, type ErrorCode } from '../../lib/core/errors.ts'
import { silentLog, type Logger } from '../../lib/core/log.ts'
import type { Interest, Receiver } from '../../lib/core/receiver.ts'
import { Copies } from '../../lib/server/copies.ts'
import type { Slot } from '../../lib/server/job.ts'
import { Newcomers } from '../../lib/server/newcomers.ts'
import type { Overlap } from '../../lib/server/overlaps.ts'
import { Roster } from '../../lib/server/roster.ts'
import { Subscriber } from '../../lib/server/subscriber.ts'
import { unlimited } from '../../lib/transport/broker-limits.ts'
import type { ConnectionInfo } from '../../lib/transport/transport.ts'
import { MemoryTransport } from '../../lib/testing/memory-transport.ts'
import { settled } from '../helpers/fake-clock.ts'
import { interest } from '../helpers/interest.ts'
import { plainPlan } from '../helpers/plan.ts'

const STOPPED = new MqttasgiError('ERR_STOPPED', 'Stopped.')

const info: ConnectionInfo = {
  sessionPresent: false,
  protocolVersion: 5,
  receiveMaximum: 10,
  maximumPacketSize: undefined,
  subscriptionIdentifiers: true,
  sharedSubscriptions: true,
  limits: unlimited,
}

/** A subscriber with one receiver, on a broker in memory. */
class Desk {
  readonly transport = new MemoryTransport()
  readonly subscriber: Subscriber
  readonly roster: Roster
  readonly slot: Slot
  readonly lines: string[] = []
  overlap: Overlap | undefined = undefined
  highestQoS: 1 | 2 = 1
  listeners = 0
  #interests: readonly Interest[]
  #changed: () => void = () => {}

  constructor(...interests: Interest[]) {
    this.#interests = interests
    this.roster = new Roster([this.#receiver()])
    this.slot = this.roster.slots[0]!
    const line = (text: string): void => void this.lines.push(text)
    const log: Logger = { ...silentLog, warn: line, error: line }
    const { transport } = this
    const copies = new Copies()
    // As the configuration says it; here before the connection is made.
    const overlap = (): Overlap | undefined => this.overlap
    const highestQoS = (): 1 | 2 => this.highestQoS
    this.subscriber = new Subscriber({
      broker: transport,
      roster: this.roster,
      newcomers: new Newcomers({ now: () => 0, holdsRetained: () => false }),
      copies,
      log,
      get overlap() {
        return overlap()
      },
      get highestQoS() {
        return highestQoS()
      },
    })
    transport.listen({
      connected: (connection) => this.subscriber.connected(connection),
      arrived: () => {},
      skipped: () => {},
      closed: () => this.subscriber.disconnected(),
    })
  }

  /** The filters the broker holds. */
  get held(): string[] {
    return [...this.transport.subscriptions.keys()]
  }

  want(...interests: Interest[]): void {
    this.#interests = interests
    this.#changed()
  }

  connect(sessionPresent = false, version: 4 | 5 = 5): void {
    this.transport.info = { ...info, sessionPresent }
    this.transport.connect(version)
  }

  /** From now on the broker refuses these filters. */
  refuse(filters: readonly string[], code = 0x87): void {
    this.transport.grant = ({ filter, qos }) => (filters.includes(filter) ? code : qos)
  }

  #receiver(): Receiver {
    return {
      id: 'application',
      interests: () => this.#interests,
      onInterests: (listener) => {
        this.#changed = listener
        this.listeners++
        return () => void this.listeners--
      },
      plan: () => plainPlan,
      receive: () => ({ type: 'done', handled: true }),
      connected: () => Promise.resolve(),
      disconnected: () => Promise.resolve(),
    }
  }
}

async function rejectsWith(
  t: ExecutionContext,
  promise: Promise<unknown>,
  code: ErrorCode,
  words = /./,
): Promise<void> {
  const error = await t.throwsAsync(promise, { instanceOf: MqttasgiError, message: words })
  t.is(error?.code, code)
}

test('it is ready when the broker has granted all that is wanted', async (t) => {
  const desk = new Desk(interest('a'), interest('b/+'))
  let ready = false
  const waiting = desk.subscriber.ready().then(() => (ready = true))
  await settled()
  t.false(ready)
  desk.connect()
  await waiting
  t.deepEqual(desk.held, ['a', 'b/+'])
})

test('contradicting options throw before anything is asked', (t) => {
  const error = t.throws(() => new Desk(interest('a'), interest('a', { noLocal: true, source: 'b' })))
  t.is((error as MqttasgiError).code, 'ERR_SUBSCRIBE_OPTIONS_DIFFER')
})

test('what the broker refuses, or grants less for, is named with the reason', async (t) => {
  const desk = new Desk(interest('a'), interest('b'), interest('c'))
  desk.transport.grant = ({ filter, qos }) => ({ a: 0x87, b: 0 })[filter] ?? qos
  desk.connect()
  await rejectsWith(t, desk.subscriber.ready(), 'ERR_SUBSCRIBE_REFUSED', /"a" \(0x87.*"b".*QoS 1, granted 0/)
  t.deepEqual(desk.lines, [])
})

test('a broker without QoS 2 is said to be one, with the way out; where it has it, 2 is granted', async (t) => {
  const desk = new Desk(interest('a', { qos: 2 }))
  desk.highestQoS = 2
  desk.transport.grant = ({ qos }) => Math.min(qos, 1)
  desk.connect()
  await rejectsWith(
    t,
    desk.subscriber.ready(),
    'ERR_SUBSCRIBE_REFUSED',
    /QoS 2, granted 1; with qos2: 'downgrade'/,
  )
  const other = new Desk(interest('a', { qos: 2 }))
  other.highestQoS = 2
  other.connect()
  await other.subscriber.ready()
  t.deepEqual(await other.subscriber.add(other.slot, 'b', { qos: 2 }), { filter: 'b', qos: 2 })
  t.deepEqual(other.lines, [])
})

test('a start needs the routes; what a receiver asks for itself and is refused is said to it alone', async (t) => {
  const desk = new Desk(interest('a'))
  desk.refuse(['b'], 0x87)
  const [adding] = await Promise.allSettled([
    desk.subscriber.add(desk.slot, 'b', {}),
    t.notThrowsAsync(desk.subscriber.started()),
    Promise.resolve().then(() => desk.connect()),
  ])
  t.is(adding.status, 'rejected')
  const strict = new Desk(interest('a'), interest('b'))
  strict.refuse(['b'], 0x87)
  strict.connect()
  await rejectsWith(t, strict.subscriber.started(), 'ERR_SUBSCRIBE_REFUSED', /"b"/)
})

test('a grant of less is not forgotten when something else is wanted later', async (t) => {
  const desk = new Desk(interest('a'))
  desk.refuse(['a'], 0)
  desk.connect()
  await rejectsWith(t, desk.subscriber.ready(), 'ERR_SUBSCRIBE_REFUSED')
  desk.want(interest('a'), interest('b'))
  await rejectsWith(t, desk.subscriber.ready(), 'ERR_SUBSCRIBE_REFUSED', /"a"/)
  desk.refuse([])
  desk.want(interest('a'), interest('b'))
  await desk.subscriber.ready()
  t.deepEqual(desk.held, ['a', 'b'])
})

test('what is wanted later is the difference only, and what is wanted no more is given up after it', async (t) => {
  const desk = new Desk(interest('a'), interest('b'))
  desk.connect()
  await desk.subscriber.ready()
  desk.transport.calls.length = 0
  desk.want(interest('b'), interest('c'))
  desk.want(interest('b'), interest('c'), interest('d'))
  await desk.subscriber.ready()
  t.deepEqual(desk.transport.calls, ['subscribe c', 'subscribe d', 'unsubscribe a'])
})

test('what is wanted while the broker is asked is asked for next, and readiness waits for it', async (t) => {
  const desk = new Desk(interest('a'))
  desk.transport.grant = ({ qos }) => {
    desk.transport.grant = (request) => request.qos
    desk.want(interest('a'), interest('b'))
    return qos
  }
  desk.connect()
  await desk.subscriber.ready()
  t.deepEqual(desk.held, ['a', 'b'])
})

test('many filters are asked for, and given up, in portions', async (t) => {
  const desk = new Desk(...Array.from({ length: 250 }, (_, i) => interest(`t/${i}`)))
  desk.connect()
  await desk.subscriber.ready()
  t.is(desk.held.length, 250)
  t.is(desk.transport.count('subscribe'), 3)
  desk.want()
  await desk.subscriber.ready()
  t.deepEqual(desk.held, [])
  t.is(desk.transport.count('unsubscribe'), 3)
})

test('with the session all subscriptions are lost and made again, without readiness in between', async (t) => {
  const desk = new Desk(interest('a'), interest('b'))
  desk.connect()
  await desk.subscriber.ready()
  desk.transport.lose()
  await settled()
  let ready = false
  const waiting = desk.subscriber.ready().then(() => (ready = true))
  await settled()
  t.false(ready)
  desk.connect()
  await waiting
  t.deepEqual(desk.held, ['a', 'b'])
})

test('in a session that an older process began all is asked for, for nobody knows what it holds', async (t) => {
  const desk = new Desk(interest('a'), interest('b'))
  desk.connect(true)
  await desk.subscriber.ready()
  t.deepEqual(desk.held, ['a', 'b'])
  desk.transport.calls.length = 0
  desk.transport.lose()
  await settled()
  desk.connect(true)
  await desk.subscriber.ready()
  t.deepEqual(desk.transport.calls, ['connect 5', 'subscribe a', 'subscribe b'])
})

test('a connection that is lost while the broker is asked rejects nobody: the next one asks again', async (t) => {
  const desk = new Desk(interest('a'), interest('b'))
  desk.transport.failAt('subscribe', 1, { type: 'lose' })
  const waiting = desk.subscriber.ready()
  desk.connect()
  await settled()
  desk.connect(true)
  await waiting
  t.deepEqual(desk.held, ['a', 'b'])
})

test('a subscription by hand is asked for and taken back on its own', async (t) => {
  const desk = new Desk(interest('a'))
  desk.connect()
  await desk.subscriber.ready()
  const options = { qos: 2, noLocal: true } as const
  t.deepEqual(await desk.subscriber.add(desk.slot, 'x/#', options), { filter: 'x/#', qos: 1 })
  t.deepEqual(await desk.subscriber.add(desk.slot, '$share/g/y', {}), { filter: '$share/g/y', qos: 1 })
  t.deepEqual(await desk.subscriber.add(desk.slot, 'z', { qos: 0 }), { filter: 'z', qos: 0 })
  t.like(desk.transport.subscriptions.get('x/#'), { qos: 1, noLocal: true })
  await desk.subscriber.remove(desk.slot, 'x/#')
  await desk.subscriber.remove(desk.slot, 'never')
  t.deepEqual(desk.held, ['a', '$share/g/y', 'z'])
})

test('a refused subscription by hand is taken back, to what it was before', async (t) => {
  const desk = new Desk(interest('a'))
  desk.connect()
  await desk.subscriber.add(desk.slot, 'x', { retainAsPublished: true })
  desk.refuse(['x', 'y'])
  await rejectsWith(t, desk.subscriber.add(desk.slot, 'y', {}), 'ERR_SUBSCRIBE_REFUSED', /"y"/)
  await rejectsWith(t, desk.subscriber.add(desk.slot, 'x', {}), 'ERR_SUBSCRIBE_REFUSED', /"x"/)
  desk.refuse([])
  await desk.subscriber.ready()
  t.like(desk.transport.subscriptions.get('x'), { retainAsPublished: true })
  t.deepEqual(desk.held, ['a', 'x'])
})

test('a subscription by hand has nothing to do with what is refused to others', async (t) => {
  const desk = new Desk(interest('a'), interest('b/#'))
  desk.refuse(['a'])
  desk.connect()
  await rejectsWith(t, desk.subscriber.ready(), 'ERR_SUBSCRIBE_REFUSED')
  await desk.subscriber.add(desk.slot, 'x', {})
  await desk.subscriber.add(desk.slot, 'b/c', {})
  await desk.subscriber.remove(desk.slot, 'x')
  t.deepEqual(desk.held, ['b/#'])
})

test('a broker that refuses to end a subscription is heard', async (t) => {
  const desk = new Desk()
  desk.connect()
  await desk.subscriber.add(desk.slot, 'x', {})
  desk.transport.failAt('unsubscribe', 1, { type: 'refuse', reasonCode: 0x87 })
  await rejectsWith(t, desk.subscriber.remove(desk.slot, 'x'), 'ERR_UNSUBSCRIBE_REFUSED')
})

test('what the broker refuses to end is nothing to anybody else, and is tried again on the next connection', async (t) => {
  const desk = new Desk(interest('a'))
  desk.connect()
  for (const filter of ['x', 'y', 'z']) await desk.subscriber.add(desk.slot, filter, {})
  const refuse = (nth: number): void =>
    desk.transport.failAt('unsubscribe', nth, { type: 'refuse', reasonCode: 0x87 })
  refuse(1)
  refuse(2)
  const removals = ['x', 'y'].map((filter) => desk.subscriber.remove(desk.slot, filter))
  const [first, second] = await Promise.allSettled(removals)
  t.is(first?.status, 'rejected')
  t.is(second?.status, 'fulfilled')
  t.deepEqual(desk.held, ['a', 'x', 'z'])
  await desk.subscriber.add(desk.slot, 'b', {})
  await desk.subscriber.remove(desk.slot, 'z')
  t.true(desk.subscriber.isSubscribed)
  t.deepEqual(desk.held.toSorted(), ['a', 'b', 'x'])
  desk.transport.lose()
  await settled()
  desk.connect(true)
  await desk.subscriber.ready()
  t.deepEqual(desk.held.toSorted(), ['a', 'b'])
})

test('a subscription by hand that contradicts another one fails alone', async (t) => {
  const desk = new Desk(interest('a'))
  desk.connect()
  await desk.subscriber.ready()
  const [wrong, right] = await Promise.allSettled([
    desk.subscriber.add(desk.slot, 'a', { noLocal: true }),
    desk.subscriber.add(desk.slot, 'good', {}),
  ])
  t.like(wrong, { status: 'rejected', reason: { code: 'ERR_SUBSCRIBE_OPTIONS_DIFFER' } })
  t.is(right.status, 'fulfilled')
  // Its own options may be changed by whoever has it.
  await desk.subscriber.add(desk.slot, 'good', { retainAsPublished: true })
  t.deepEqual(desk.held, ['a', 'good'])
})

test('what no broker may be asked for is refused before', async (t) => {
  const desk = new Desk()
  desk.connect()
  await desk.subscriber.ready()
  await rejectsWith(t, desk.subscriber.add(desk.slot, 'a/#/b', {}), 'ERR_FILTER_INVALID')
  await rejectsWith(t, desk.subscriber.remove(desk.slot, ''), 'ERR_FILTER_INVALID')
  // A Protocol Error: the broker would end the connection, and the next one, and so on.
  await rejectsWith(t, desk.subscriber.add(desk.slot, '$share/g/a', { noLocal: true }), 'ERR_ROUTE_OPTION')
  await rejectsWith(t, desk.subscriber.add(desk.slot, 'a', { qos: 3 as 2 }), 'ERR_ROUTE_OPTION')
  t.is(desk.transport.count('subscribe'), 0)
})

test('contradicting options that come later are told, and what was wanted before goes on', async (t) => {
  const desk = new Desk(interest('a'))
  desk.connect()
  await desk.subscriber.ready()
  desk.want(interest('a'), interest('a', { noLocal: true }), interest('b'))
  await rejectsWith(t, desk.subscriber.ready(), 'ERR_SUBSCRIBE_OPTIONS_DIFFER')
  t.is(desk.lines.length, 1)
  desk.transport.lose()
  await settled()
  desk.connect()
  await rejectsWith(t, desk.subscriber.ready(), 'ERR_SUBSCRIBE_OPTIONS_DIFFER')
  t.deepEqual(desk.held, ['a'])
  await rejectsWith(t, desk.subscriber.add(desk.slot, 'x', {}), 'ERR_SUBSCRIBE_OPTIONS_DIFFER')
})

test('a broker without shared subscriptions is not asked for one: it would end the connection, each time anew', async (t) => {
  const desk = new Desk(interest('a', { share: 'g' }), interest('b'))
  desk.connect()
  desk.transport.info = { ...desk.transport.info, sharedSubscriptions: false }
  const error = await t.throwsAsync(desk.subscriber.ready(), { code: 'ERR_SUBSCRIBE_REFUSED' })
  t.regex(String(error), /"\$share\/g\/a" \(0x9e, shared subscriptions not supported\)/)
  t.deepEqual(desk.held, ['b'])
  t.false(desk.transport.calls.includes('subscribe $share/g/a'))
})

test('a broker without wildcards is not asked for one, and is asked for all else', async (t) => {
  const desk = new Desk(interest('a/+'), interest('b/#', { share: 'g' }), interest('c', { share: 'g' }))
  desk.connect()
  const limits = { ...unlimited, wildcardSubscriptions: false }
  desk.transport.info = { ...desk.transport.info, limits }
  const error = await t.throwsAsync(desk.subscriber.ready(), { code: 'ERR_SUBSCRIBE_REFUSED' })
  t.regex(String(error), /"a\/\+" \(0xa2, wildcard subscriptions not supported\); "\$share\/g\/b\/#" \(0xa2/)
  t.deepEqual(desk.held, ['$share/g/c'])
})

test('a refusal after the start is logged, for it may be that nobody waits', async (t) => {
  const desk = new Desk(interest('a'))
  desk.connect()
  await desk.subscriber.ready()
  desk.refuse(['b'])
  desk.want(interest('a'), interest('b'))
  await settled()
  t.regex(desk.lines.join(), /"b"/)
})

test('what will not be as it was written is said once', async (t) => {
  const desk = new Desk(interest('a', { qos: 2 }), interest('b', { noLocal: true }))
  desk.connect(false, 4)
  await desk.subscriber.ready()
  t.is(desk.lines.length, 2)
  desk.transport.lose()
  await settled()
  desk.connect(false, 4)
  await desk.subscriber.ready()
  t.is(desk.lines.length, 2)
})

test('over 3.1.1 no identifiers are sent', async (t) => {
  const desk = new Desk(interest('a'))
  desk.connect(false, 4)
  await desk.subscriber.ready()
  t.is(desk.transport.subscriptions.get('a')?.identifier, undefined)
})

test('a filter that is raised for another is asked for before that one, and brings nothing retained again', async (t) => {
  const desk = new Desk(interest('a/+', { qos: 0 }))
  desk.connect()
  await desk.subscriber.ready()
  desk.transport.calls.length = 0
  desk.want(interest('+/b'), interest('a/+', { qos: 0 }))
  await desk.subscriber.ready()
  t.deepEqual(desk.transport.calls, ['subscribe a/+', 'subscribe +/b'])
  t.like(desk.transport.subscriptions.get('a/+'), { qos: 1, retainHandling: 1 })
  t.like(desk.transport.subscriptions.get('+/b'), { qos: 1, retainHandling: 0 })
})

test('the surest filters are asked for first: of one age the first one runs', async (t) => {
  const desk = new Desk(interest('x', { qos: 0 }), interest('a/+', { noLocal: true }), interest('+/b'))
  desk.connect()
  await desk.subscriber.ready()
  t.deepEqual(desk.held, ['+/b', 'x', 'a/+'])
})

test('without identifiers a superset is asked for, and what it replaces is given up behind it', async (t) => {
  const desk = new Desk(interest('a/+'))
  desk.overlap = 'superset'
  desk.connect(false, 4)
  await desk.subscriber.ready()
  desk.transport.calls.length = 0
  desk.want(interest('a/+'), interest('+/b'))
  await desk.subscriber.ready()
  t.deepEqual(desk.transport.calls, ['subscribe +/+', 'unsubscribe a/+'])
  t.regex(desk.lines.join(), /"\+\/\+" for "a\/\+", "\+\/b".*surplus/)
})

test('with identifiers nothing is widened', async (t) => {
  const desk = new Desk(interest('a/+'), interest('+/b'))
  desk.overlap = 'superset'
  desk.connect()
  await desk.subscriber.ready()
  t.deepEqual(desk.held, ['a/+', '+/b'])
})

test('a superset that would be # is refused before anything is asked', async (t) => {
  const desk = new Desk(interest('a/#'), interest('+/b'))
  desk.overlap = 'superset'
  desk.connect(false, 4)
  await rejectsWith(t, desk.subscriber.ready(), 'ERR_OVERLAP_TOO_WIDE')
  t.deepEqual(desk.held, [])
})

test('without identifiers a shared and another filter that overlap are refused, unless that is accepted', async (t) => {
  for (const overlap of [undefined, 'superset', 'accept'] as const) {
    const desk = new Desk(interest('x'), interest('a/+', { share: 'g' }), interest('+/b'))
    desk.overlap = overlap
    desk.connect(false, 4)
    if (overlap === 'accept') {
      await desk.subscriber.ready()
      t.regex(desk.lines.join(), /each copy runs the routes of both/)
    } else {
      await rejectsWith(
        t,
        desk.subscriber.ready(),
        'ERR_OVERLAP_SHARED',
        /"\$share\/g\/a\/\+" and "\+\/b" both match "a\/b"/,
      )
      t.deepEqual(desk.held, [])
    }
  }
  const apart = new Desk(interest('a/+', { share: 'g' }), interest('b/+'))
  apart.connect(false, 4)
  await t.notThrowsAsync(apart.subscriber.ready())
})

test('the end rejects all who wait, and all who come later, and listens to nobody', async (t) => {
  const desk = new Desk(interest('a'))
  const waiting = [desk.subscriber.ready(), desk.subscriber.add(desk.slot, 'x', {})]
  t.is(desk.listeners, 1)
  desk.subscriber.close(STOPPED)
  desk.roster.close()
  for (const one of waiting) await rejectsWith(t, one, 'ERR_STOPPED')
  desk.subscriber.disconnected()
  await rejectsWith(t, desk.subscriber.ready(), 'ERR_STOPPED')
  await rejectsWith(t, desk.subscriber.add(desk.slot, 'y', {}), 'ERR_STOPPED')
  t.is(desk.listeners, 0)
})

test('after the end it is not ready any more, though it was', async (t) => {
  const desk = new Desk(interest('a'))
  desk.connect()
  await desk.subscriber.ready()
  desk.subscriber.close(STOPPED)
  desk.subscriber.disconnected()
  await rejectsWith(t, desk.subscriber.ready(), 'ERR_STOPPED')
})

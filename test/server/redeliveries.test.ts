import test from 'ava'
import * as fc from 'fast-check'
import { Redeliveries, type Comparable, type Expected } from '../../lib/server/redeliveries.ts'

interface Coming extends Comparable {
  readonly payload: string
  equals(other: Coming): boolean
}

function coming(packetId: number, payload: string, dup = false, topic = 't'): Coming {
  return {
    topic,
    packetId,
    dup,
    payload,
    equals: (other) => other.topic === topic && other.payload === payload,
  }
}

function held(packetId: number, payload: string, topic = 't'): Expected<Coming> {
  return { arrival: coming(packetId, payload, false, topic), packetId, settled: false }
}

function expecting(...deliveries: Expected<Coming>[]): Redeliveries<Expected<Coming>, Coming> {
  const redeliveries = new Redeliveries<Expected<Coming>, Coming>()
  redeliveries.expect(deliveries)
  return redeliveries
}

test('nothing is taken where nothing is expected', (t) => {
  t.is(expecting().take(coming(1, 'x', true)), undefined)
  t.is(expecting(held(1, 'x', 'other')).take(coming(1, 'x', true)), undefined)
})

test('a redelivery with DUP takes its equal, whatever its packet id is now', (t) => {
  const one = held(1, 'x')
  const redeliveries = expecting(one, held(2, 'y'))
  t.is(redeliveries.take(coming(9, 'x', true)), one)
  t.is(redeliveries.take(coming(9, 'x', true)), undefined)
  t.is(redeliveries.size, 1)
})

test('a redelivery without DUP takes its equal with the same packet id only', (t) => {
  const one = held(1, 'x')
  const redeliveries = expecting(one)
  t.is(redeliveries.take(coming(2, 'x')), undefined)
  t.is(redeliveries.take(coming(1, 'y')), undefined)
  t.is(redeliveries.take(coming(1, 'x')), one)
})

test('of several equals the one with its packet id is taken, else the oldest', (t) => {
  const [one, two, three] = [held(1, 'x'), held(2, 'x'), held(3, 'x')]
  const redeliveries = expecting(one, two, three)
  t.is(redeliveries.take(coming(2, 'x', true)), two)
  t.is(redeliveries.take(coming(7, 'x', true)), one)
  t.is(redeliveries.take(coming(7, 'x', true)), three)
  t.is(redeliveries.size, 0)
})

test('the packet id that counts is the last one a delivery had', (t) => {
  const moved: Expected<Coming> = { ...held(1, 'x'), packetId: 5 }
  const redeliveries = expecting(moved)
  t.is(redeliveries.take(coming(1, 'x')), undefined)
  t.is(redeliveries.take(coming(5, 'x')), moved)
})

test('where the broker sets DUP, and once it has gone on to new messages, a packet id says nothing', (t) => {
  const marking = expecting(held(1, 'x'), held(2, 'y'))
  t.truthy(marking.take(coming(1, 'x', true)))
  t.is(marking.take(coming(2, 'y')), undefined)
  const goneOn = expecting(held(1, 'x'))
  goneOn.passed(coming(7, 'new'))
  t.is(goneOn.take(coming(1, 'x')), undefined)
  t.truthy(goneOn.take(coming(1, 'x', true)))
})

test('what is done with is expected on the next connection, unless the broker had gone on without it', (t) => {
  const done = { ...held(1, 'x'), settled: true }
  const once = expecting(done)
  once.disconnected([])
  t.is(once.size, 1)
  const goneOn = expecting(done, held(2, 'y'))
  goneOn.passed(coming(7, 'new'))
  goneOn.disconnected([])
  t.is(goneOn.size, 1)
  t.truthy(goneOn.take(coming(2, 'y')))
})

test('what the broker has passed over is taken last, though a younger one comes with its packet id', (t) => {
  const [passedOver, younger] = [held(1, 'x'), held(13, 'x')]
  const redeliveries = expecting(passedOver)
  redeliveries.passed(coming(13, 'x'))
  redeliveries.disconnected([younger])
  redeliveries.disconnected([])
  t.deepEqual([...redeliveries], [younger, passedOver])
  t.is(redeliveries.take(coming(1, 'x', true)), younger)
  t.is(redeliveries.take(coming(2, 'x', true)), passedOver)
})

test('what was passed over and has ended since is taken by nothing', (t) => {
  let settled = false
  const passedOver = {
    ...held(1, 'x'),
    get settled() {
      return settled
    },
  }
  const other = held(2, 'x')
  const redeliveries = expecting(passedOver, other)
  redeliveries.passed(coming(13, 'y'))
  redeliveries.disconnected([])
  settled = true
  t.is(redeliveries.take(coming(9, 'x', true)), other)
  t.is(redeliveries.take(coming(9, 'x', true)), undefined)
})

test('what was not begun and comes again without DUP is no new message, so the next one is looked for too', (t) => {
  const [left, running] = [{ ...held(1, 'x'), isLeft: true }, held(2, 'y')]
  const redeliveries = expecting(left, running)
  const again = coming(1, 'x')
  t.is(redeliveries.take(again), left)
  redeliveries.passed(again)
  t.is(redeliveries.take(coming(2, 'y')), running)
})

test('clear gives all that was not taken', (t) => {
  const list = [held(1, 'x'), held(2, 'y', 'u'), held(3, 'x')]
  const redeliveries = expecting(...list)
  const left = redeliveries.clear()
  t.is(left.length, 3)
  t.true(list.every((delivery) => left.includes(delivery)))
  t.is(redeliveries.size, 0)
  t.is(redeliveries.take(coming(1, 'x', true)), undefined)
})

test('adoption is of multisets: each redelivery takes one delivery at most, each delivery is taken once', (t) => {
  const message = fc.tuple(
    fc.integer({ min: 1, max: 6 }),
    fc.constantFrom('x', 'y'),
    fc.constantFrom('t', 'u'),
  )
  fc.assert(
    fc.property(
      fc.array(message, { maxLength: 12 }),
      fc.array(message, { maxLength: 16 }),
      (older, newer) => {
        const deliveries = older.map(([id, payload, topic]) => held(id, payload, topic))
        const redeliveries = expecting(...deliveries)
        const taken = newer.flatMap(
          ([id, payload, topic]) => redeliveries.take(coming(id, payload, true, topic)) ?? [],
        )
        t.is(new Set(taken).size, taken.length)
        t.is(redeliveries.size, deliveries.length - taken.length)
        for (const kind of ['x t', 'x u', 'y t', 'y u']) {
          const count = (list: readonly (readonly [number, string, string])[]): number =>
            list.filter(([, payload, topic]) => `${payload} ${topic}` === kind).length
          const joined = taken.filter(({ arrival }) => `${arrival.payload} ${arrival.topic}` === kind).length
          t.is(joined, Math.min(count(older), count(newer)))
        }
      },
    ),
  )
})

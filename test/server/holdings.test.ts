// What the broker holds for us: what is asked for next, and in which order.
import test from 'ava'
import fc from 'fast-check'
import { Holdings } from '../../lib/server/holdings.ts'
import { planSubscriptions, type Subscription } from '../../lib/server/subscriptions.ts'
import { unlimited } from '../../lib/transport/broker-limits.ts'
import type { ConnectionInfo } from '../../lib/transport/transport.ts'
import { interest } from '../helpers/interest.ts'

const info: ConnectionInfo = {
  sessionPresent: true,
  protocolVersion: 5,
  receiveMaximum: 10,
  maximumPacketSize: undefined,
  subscriptionIdentifiers: true,
  sharedSubscriptions: true,
  limits: unlimited,
}

const wanted = planSubscriptions([interest('a'), interest('$share/g/b'), interest('c', { share: 'g' })])

function holding(): Holdings {
  const holdings = new Holdings()
  for (const { request } of wanted) holdings.answered(request, 1)
  return holdings
}

function wantedFor(...filters: string[]): readonly Subscription[] {
  return planSubscriptions(filters.map((filter) => interest(filter)))
}

test('after a reconnect all is told again where that brings nothing retained, else only what is shared', (t) => {
  const five = holding()
  t.deepEqual(five.missing(wanted), [])
  five.connected(info)
  t.is(five.missing(wanted).length, 3)
  for (const request of five.missing(wanted)) {
    t.is(five.told(request).retainHandling, 1)
    t.false(five.bringsRetained(request))
  }
  const four = holding()
  four.connected({ ...info, protocolVersion: 4 })
  t.deepEqual(
    four.missing(wanted).map(({ filter }) => filter),
    ['$share/g/b', '$share/g/c'],
  )
})

test('with the session all is gone', (t) => {
  const holdings = holding()
  holdings.gaveUp('a')
  holdings.connected({ ...info, sessionPresent: false })
  t.is(holdings.granted.size + holdings.lives.size, 0)
})

test('what was refused is not held, and less than was asked for is asked for again', (t) => {
  const holdings = new Holdings()
  const [first, second] = wanted
  holdings.answered(first!.request, 0x87)
  holdings.answered(second!.request, 0)
  t.deepEqual([...holdings.granted.keys()], [second!.request.filter])
  t.false(holdings.holds(second!))
  t.is(holdings.missing(wanted).length, 3)
  t.is(holdings.missing(wanted)[0]?.filter, second!.request.filter)
})

test('the lives of filters are counted, and the oldest forgotten', (t) => {
  const holdings = new Holdings()
  holdings.gaveUp('a')
  holdings.gaveUp('a')
  t.is(holdings.lives.get('a'), 2)
  for (let i = 0; i < 1_000; i++) holdings.gaveUp(`t/${i}`)
  t.is(holdings.lives.size, 1_000)
  t.false(holdings.lives.has('a'))
})

test('of filters that were given up the youngest are remembered', (t) => {
  const holdings = new Holdings()
  holdings.gaveUp('first')
  holdings.gaveUp('again')
  for (let i = 0; i < 999; i++) holdings.gaveUp(`f/${i}`)
  holdings.gaveUp('again')
  t.false(holdings.lives.has('first'))
  t.is(holdings.lives.get('again'), 2)
  t.is(holdings.lives.size, 1_000)
})

test('what is being given up is superfluous until the broker has said so, and begins another life', (t) => {
  const holdings = holding()
  holdings.leaves('a')
  holdings.leaves('a')
  t.false(holdings.granted.has('a'))
  t.is(holdings.lives.get('a'), 1)
  t.deepEqual(holdings.superfluous(wanted.slice(1)), ['a'])
  // The connection ended before UNSUBACK, and it is wanted again: the broker may have it or not.
  holdings.connected(info)
  t.deepEqual(holdings.superfluous(wanted), [])
  t.true(holdings.missing(wanted).some(({ filter }) => filter === 'a'))
  holdings.answered(wanted[0]!.request, 1)
  t.deepEqual(holdings.superfluous(wanted.slice(1)), ['a'])
  holdings.gaveUp('a')
  t.is(holdings.lives.get('a'), 2)
  t.deepEqual(holdings.superfluous(wanted.slice(1)), [])
})

test('what is held is not forgotten among the lives, and those of older processes go on', (t) => {
  const holdings = new Holdings(new Map([['a', 4]]))
  holdings.answered(wanted[0]!.request, 1)
  for (let i = 0; i < 1_000; i++) holdings.gaveUp(`f/${i}`)
  t.is(holdings.lives.get('a'), 4)
  t.false(holdings.lives.has('f/0'))
})

test('whatever is asked, granted, refused and lost: nothing is missing exactly when all is held and told on this connection', (t) => {
  const filters = ['a/+', 'b', '$SYS/#']
  const command = fc.oneof(
    fc.record({
      type: fc.constant('answer' as const),
      filter: fc.constantFrom(...filters),
      code: fc.constantFrom(0, 1, 0x87),
    }),
    fc.record({ type: fc.constant('giveUp' as const), filter: fc.constantFrom(...filters) }),
    fc.record({ type: fc.constant('connect' as const), sessionPresent: fc.boolean() }),
  )
  fc.assert(
    fc.property(fc.array(command), (commands) => {
      const holdings = new Holdings()
      const all = wantedFor(...filters)
      // What the broker has, and whether it was told so on the connection that is up.
      const model = new Map<string, { readonly qos: number; readonly isTold: boolean }>()
      for (const one of commands) {
        if (one.type === 'answer') {
          const request = all.find(({ filter }) => filter === one.filter)!.request
          holdings.answered(request, one.code)
          const held = model.get(one.filter)
          if (one.code < 0x80) model.set(one.filter, { qos: one.code, isTold: true })
          else if (held !== undefined) model.set(one.filter, { ...held, isTold: true })
        } else if (one.type === 'giveUp') {
          holdings.gaveUp(one.filter)
          model.delete(one.filter)
        } else {
          holdings.connected({ ...info, sessionPresent: one.sessionPresent })
          for (const [filter, held] of model) {
            if (one.sessionPresent) model.set(filter, { ...held, isTold: false })
            else model.delete(filter)
          }
        }
        const missing = filters.filter((filter) => model.get(filter)?.qos !== 1 || !model.get(filter)?.isTold)
        t.deepEqual(
          holdings
            .missing(all)
            .map(({ filter }) => filter)
            .toSorted(),
          missing.toSorted(),
        )
        t.deepEqual([...holdings.granted.keys()].toSorted(), [...model.keys()].toSorted())
        for (const { filter, request } of all)
          t.is(holdings.holds({ ...all[0]!, request }), model.get(filter)?.qos === 1)
        t.deepEqual(
          holdings.superfluous(wantedFor('b')).toSorted(),
          [...model.keys()].filter((filter) => filter !== 'b').toSorted(),
        )
      }
    }),
  )
})

// What the broker holds for us: what is asked for next, and in which order.
import test from 'ava'
import { Holdings } from '../../lib/server/holdings.ts'
import { planSubscriptions } from '../../lib/server/subscriptions.ts'
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
  for (let i = 0; i < 10_000; i++) holdings.gaveUp(`t/${i}`)
  t.is(holdings.lives.size, 10_000)
  t.false(holdings.lives.has('a'))
})

import test from 'ava'
import type { Interest } from '../../lib/core/receiver.ts'
import { subscriptionNotices } from '../../lib/server/subscription-notices.ts'
import { planSubscriptions } from '../../lib/server/subscriptions.ts'
import { interest } from '../helpers/interest.ts'

function notices(
  interests: readonly Interest[],
  protocolVersion: 4 | 5,
  subscriptionIdentifiers: boolean,
): string[] {
  return subscriptionNotices(interests, planSubscriptions(interests), {
    protocolVersion,
    subscriptionIdentifiers,
  })
}

test('nothing is said where all is as it was written', (t) => {
  t.deepEqual(notices([interest('a'), interest('b', { noLocal: true })], 5, true), [])
  t.deepEqual(notices([interest('a')], 4, false), [])
  t.deepEqual(notices([interest('a', { share: 'g' })], 4, false), [])
})

test('QoS 2 is said to be requested as 1, with the routes', (t) => {
  const [notice, ...more] = notices(
    [interest('a', { qos: 2 }), interest('b'), interest('c', { qos: 2 })],
    5,
    true,
  )
  t.regex(notice ?? '', /QoS 2 is requested as 1 for "a", "c"/)
  t.deepEqual(more, [])
})

test('where QoS 2 is requested as 2 nothing is said', (t) => {
  const interests = [interest('a', { qos: 2 })]
  const plan = planSubscriptions(interests, { highestQoS: 2 })
  const terms = { protocolVersion: 5, subscriptionIdentifiers: true, highestQoS: 2 } as const
  t.deepEqual(subscriptionNotices(interests, plan, terms), [])
})

for (const option of [{ noLocal: true }, { retainHandling: 1 }, { retainAsPublished: true }] as const) {
  test(`${Object.keys(option).join()} is said to have no effect over 3.1.1`, (t) => {
    const [notice, ...more] = notices([interest('a', option), interest('b')], 4, false)
    t.regex(notice ?? '', /3\.1\.1.*no effect for "a"\.$/)
    t.deepEqual(more, [])
  })
}

test('without identifiers shared and plain subscriptions that overlap are said to look alike', (t) => {
  const [notice, ...more] = notices([interest('a', { share: 'g' }), interest('a')], 4, false)
  t.regex(notice ?? '', /"\$share\/g\/a" and "a" match the same topic, each copy runs the routes of both/)
  t.deepEqual(more, [])
  t.deepEqual(notices([interest('a', { share: 'g' }), interest('b')], 4, false), [])
})

test('without identifiers filters that overlap are said to bring copies, with the way out', (t) => {
  const [notice, ...more] = notices([interest('a/+'), interest('+/b')], 4, false)
  t.regex(notice ?? '', /"a\/\+" and "\+\/b" match the same topic.*each copy runs\. overlap: 'superset' asks/)
  t.deepEqual(more, [])
  t.deepEqual(notices([interest('a/+'), interest('+/b')], 5, true), [])
})

test('of many pairs a few are named', (t) => {
  const many = (count: number): string =>
    notices(
      Array.from({ length: count }, (_, i) => interest(`${i}/+`)).concat(interest('+/b')),
      4,
      false,
    ).join()
  t.regex(many(4), /"2\/\+" and "\+\/b" and 1 more pair match/)
  t.regex(many(5), /and 2 more pairs match/)
  t.regex(many(300), /and many more pairs match/)
})

test('under superset what still overlaps is said to have options that differ, and what is widened is named', (t) => {
  const interests = [
    interest('a/+'),
    interest('+/b', { noLocal: true }),
    interest('c/+'),
    interest('c/+/d'),
    interest('c/d/+'),
  ]
  const plan = planSubscriptions(interests, { superset: true })
  const [overlapping, widened, ...more] = subscriptionNotices(interests, plan, {
    protocolVersion: 5,
    subscriptionIdentifiers: false,
    overlap: 'superset',
  })
  t.regex(overlapping ?? '', /Their options differ/)
  t.regex(widened ?? '', /subscribes to "c\/\+\/\+" for "c\/\+\/d", "c\/d\/\+": .*surplus/)
  t.deepEqual(more, [])
})

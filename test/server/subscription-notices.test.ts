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

for (const option of [{ noLocal: true }, { retainHandling: 1 }, { retainAsPublished: true }] as const) {
  test(`${Object.keys(option).join()} is said to have no effect over 3.1.1`, (t) => {
    const [notice, ...more] = notices([interest('a', option), interest('b')], 4, false)
    t.regex(notice ?? '', /3\.1\.1.*no effect for "a"\.$/)
    t.deepEqual(more, [])
  })
}

test('without identifiers shared and plain subscriptions are said to look alike', (t) => {
  const [notice, ...more] = notices([interest('a', { share: 'g' }), interest('a')], 4, false)
  t.regex(notice ?? '', /"\$share\/g\/a"/)
  t.deepEqual(more, [])
})

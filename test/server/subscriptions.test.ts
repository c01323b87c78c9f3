import test from 'ava'
import * as fc from 'fast-check'
import { MqttasgiError } from '../../lib/core/errors.ts'
import { covers } from '../../lib/core/filter-cover.ts'
import type { Interest } from '../../lib/core/receiver.ts'
import { subscriptionIdentifier } from '../../lib/server/subscription-identifier.ts'
import { difference, planSubscriptions, wireFilter } from '../../lib/server/subscriptions.ts'
import type { SubscriptionRequest } from '../../lib/transport/transport.ts'
import { interest } from '../helpers/interest.ts'

function planned(...interests: Interest[]): string[] {
  return planSubscriptions(interests).map(({ request }) => `${request.filter} ${request.qos}`)
}

test('identical filters become one with the highest quality of service, at the place of the first', (t) => {
  t.deepEqual(planned(interest('a', { qos: 0 }), interest('b'), interest('a')), ['a 1', 'b 1'])
})

test('QoS 2 is requested as 1', (t) => {
  t.deepEqual(planned(interest('a', { qos: 2 }), interest('b', { qos: 0 })), ['a 1', 'b 0'])
})

test('a filter that another covers is left out, and raises that one', (t) => {
  t.deepEqual(planned(interest('a/b'), interest('a/+', { qos: 0 }), interest('a/#', { qos: 0 })), ['a/# 1'])
  t.deepEqual(planned(interest('a/+'), interest('+/b')), ['a/+ 1', '+/b 1'])
})

test('only what is subscribed alike stands for one another', (t) => {
  t.deepEqual(planned(interest('a/#', { noLocal: true }), interest('a/b')), ['a/# 1', 'a/b 1'])
  t.deepEqual(planned(interest('a/#', { share: 'g' }), interest('a/b')), ['$share/g/a/# 1', 'a/b 1'])
  t.deepEqual(planned(interest('a/#', { share: 'g' }), interest('a/b', { share: 'g' })), ['$share/g/a/# 1'])
  t.deepEqual(planned(interest('a/#', { share: 'g' }), interest('a/b', { share: 'h' })), [
    '$share/g/a/# 1',
    '$share/h/a/b 1',
  ])
})

test('what is held stays, with its quality of service at least', (t) => {
  const [held] = planSubscriptions([interest('a/b')])
  const holding = new Map([['a/b', held?.request as SubscriptionRequest]])
  const plan = planSubscriptions([interest('a/#'), interest('a/b', { qos: 0 })], holding)
  t.deepEqual(
    plan.map(({ request }) => `${request.filter} ${request.qos}`),
    ['a/# 1', 'a/b 1'],
  )
})

test('different options on one filter throw, and name both routes', (t) => {
  for (const option of [{ noLocal: true }, { retainHandling: 2 }, { retainAsPublished: true }] as const) {
    const act = (): unknown =>
      planSubscriptions([interest('a', { source: 'one' }), interest('a', { source: 'two', ...option })])
    const error = t.throws(act, {
      instanceOf: MqttasgiError,
      message: /"one" and "two" both subscribe to "a"/,
    })
    t.is(error?.code, 'ERR_SUBSCRIBE_OPTIONS_DIFFER')
  }
})

test('the difference is what is new or asked for otherwise, and what is wanted no more', (t) => {
  const plan = planSubscriptions([interest('a'), interest('b'), interest('c', { retainHandling: 1 })])
  const granted = new Map(plan.map(({ request }) => [request.filter, request]))
  t.deepEqual(difference(plan, granted), { subscribe: [], unsubscribe: [] })
  const later = planSubscriptions([interest('b', { qos: 0 }), interest('c'), interest('d')])
  const { subscribe, unsubscribe } = difference(later, granted)
  t.deepEqual(
    subscribe.map(({ filter }) => filter),
    ['b', 'c', 'd'],
  )
  t.deepEqual(unsubscribe, ['a'])
})

test('over any interests every one is covered by what is subscribed, as well and with no filter too many', (t) => {
  const filter = fc.constantFrom('a', 'a/b', 'a/+', 'a/#', '+/b', '#', '+/+', 'a/b/c', '$SYS/#', '$SYS/x')
  const share = fc.constantFrom(undefined, undefined, 'g')
  const qos = fc.constantFrom(0 as const, 1 as const, 2 as const)
  const some = fc.array(fc.record({ filter, share, qos }), { maxLength: 8 })
  fc.assert(
    fc.property(some, (list) => {
      const interests = list.map(({ filter: text, ...more }) => interest(text, more))
      const plan = planSubscriptions(interests)
      for (const wanted of interests) {
        // Two filters that overlap may both cover it; one of them must do so as well as it was wanted.
        const by = plan.filter((one) => one.share === wanted.share && covers(one.filter, wanted.filter))
        t.true(by.some((one) => one.request.qos >= Math.min(1, wanted.qos)))
      }
      for (const one of plan) {
        t.true(interests.some((wanted) => wireFilter(wanted) === one.request.filter))
        const others = plan.filter((other) => other !== one && other.share === one.share)
        t.false(others.some((other) => covers(other.filter, one.filter)))
      }
      const identifiers = plan.map(({ request }) => request.identifier)
      t.is(new Set(identifiers).size, identifiers.length)
    }),
  )
})

test('an identifier means the same filter in every process', (t) => {
  t.is(subscriptionIdentifier('a/+', new Set()), 26_084_070)
  t.is(subscriptionIdentifier('a/+', new Set([26_084_070])), 26_084_071)
})

test('an identifier is within the bounds of the standard, and another one than those that are taken', (t) => {
  const largest = 268_435_455
  fc.assert(
    fc.property(fc.string(), (text) => {
      const identifier = subscriptionIdentifier(text, new Set())
      t.true(identifier >= 1 && identifier <= largest)
      const next = subscriptionIdentifier(text, new Set([identifier]))
      t.is(next, identifier === largest ? 1 : identifier + 1)
    }),
  )
})

import test from 'ava'
import * as fc from 'fast-check'
import { MqttasgiError } from '../../lib/core/errors.ts'
import { covers } from '../../lib/core/filter-cover.ts'
import { overlaps } from '../../lib/core/filter-overlap.ts'
import type { Interest } from '../../lib/core/receiver.ts'
import { nextIdentifier, stemOf, subscriptionIdentifier } from '../../lib/server/subscription-identifier.ts'
import { notGranted, planSubscriptions, wireFilter } from '../../lib/server/subscriptions.ts'
import type { SubscriptionRequest } from '../../lib/transport/transport.ts'
import { interest } from '../helpers/interest.ts'
import { anyFilter, anyTopic, naiveMatch } from '../helpers/naive-match.ts'

function requestFor(filter: string): SubscriptionRequest {
  const [subscription] = planSubscriptions([interest(filter)])
  return subscription!.request
}

function planned(...interests: Interest[]): string[] {
  return planSubscriptions(interests).map(({ request }) => `${request.filter} ${request.qos}`)
}

test('identical filters become one with the highest quality of service, at the place of the first', (t) => {
  t.deepEqual(planned(interest('a', { qos: 0 }), interest('b'), interest('a')), ['a 1', 'b 1'])
})

test('QoS 2 is requested as 1', (t) => {
  t.deepEqual(planned(interest('a', { qos: 2 }), interest('b', { qos: 0 })), ['a 1', 'b 0'])
})

test('QoS 2 is requested as 2 where it may be, and raises what overlaps with it to 2', (t) => {
  const plan = (...interests: Interest[]): string[] =>
    planSubscriptions(interests, { highestQoS: 2 }).map(
      ({ raisedBy, request }) =>
        `${request.filter} ${request.qos}${raisedBy === undefined ? '' : ` by ${raisedBy}`}`,
    )
  t.deepEqual(plan(interest('a', { qos: 2 }), interest('b', { qos: 1 }), interest('a')), ['a 2', 'b 1'])
  t.deepEqual(plan(interest('a/b', { qos: 2 }), interest('a/#', { qos: 0 })), ['a/# 2'])
  t.deepEqual(
    plan(interest('a/+', { qos: 2 }), interest('+/b'), interest('a/b/+', { qos: 0 }), interest('+/b/c')),
    ['a/+ 2', '+/b 2 by a/+', 'a/b/+ 1 by +/b/c', '+/b/c 1'],
  )
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

test('what is held stays beside what covers it, and is raised as any other', (t) => {
  const [held] = planSubscriptions([interest('a/b')])
  const holding = new Map([['a/b', held?.request as SubscriptionRequest]])
  const plan = planSubscriptions([interest('a/#'), interest('a/b', { qos: 0 })], { held: holding })
  t.deepEqual(
    plan.map(({ request }) => `${request.filter} ${request.qos}`),
    ['a/# 1', 'a/b 1'],
  )
})

test('filters that overlap are asked for with the best quality of service that is wanted among them', (t) => {
  t.deepEqual(planned(interest('a/+', { qos: 0 }), interest('+/b')), ['a/+ 1', '+/b 1'])
  // Not for what overlaps with one that was only raised: no topic of theirs is wanted any better.
  t.deepEqual(planned(interest('a/+/x', { qos: 0 }), interest('a/b/+', { qos: 0 }), interest('+/b/c')), [
    'a/+/x 0',
    'a/b/+ 1',
    '+/b/c 1',
  ])
  const [raised, other] = planSubscriptions([interest('a/+', { qos: 0 }), interest('+/b', { share: 'g' })])
  t.is(raised?.raisedBy, '$share/g/+/b')
  t.is(other?.raisedBy, undefined)
})

test('what is held and was raised is lowered when nobody wants it so any more', (t) => {
  const plan = planSubscriptions([interest('a/+/x', { qos: 0 }), interest('a/b/+', { qos: 0 })], {
    held: new Map([['a/b/+', { ...requestFor('a/b/+'), qos: 1 }]]),
  })
  t.deepEqual(
    plan.map(({ request }) => `${request.filter} ${request.qos}`),
    ['a/+/x 0', 'a/b/+ 0'],
  )
})

test('what was given up and is asked for again gets another identifier, and what is held keeps its own', (t) => {
  const [first] = planSubscriptions([interest('a')])
  const [second] = planSubscriptions([interest('a')], { lives: new Map([['a', 1]]) })
  t.not(first?.request.identifier, second?.request.identifier)
  const held = new Map([['a', second!.request]])
  const [kept] = planSubscriptions([interest('a')], { held, lives: new Map([['a', 7]]) })
  t.is(kept?.request.identifier, second?.request.identifier)
})

test('a superset stands for filters that overlap, in the same group and subscribed alike', (t) => {
  const superset = (...interests: Interest[]): string[] =>
    planSubscriptions(interests, { superset: true }).map(
      ({ request, serves, widened }) =>
        `${request.filter} ${request.qos} ${serves.map(({ source }) => source).join()}${widened ? ' widened' : ''}`,
    )
  t.deepEqual(superset(interest('a/+', { qos: 0 }), interest('c'), interest('+/b')), [
    '+/+ 1 a/+,+/b widened',
    'c 1 c',
  ])
  t.deepEqual(superset(interest('a/+'), interest('+/b'), interest('+/+')), ['+/+ 1 a/+,+/b,+/+'])
  t.deepEqual(superset(interest('a/+'), interest('+/b', { share: 'g' })), ['a/+ 1 a/+', '$share/g/+/b 1 +/b'])
  t.deepEqual(superset(interest('a/+'), interest('+/b', { noLocal: true })), ['a/+ 1 a/+', '+/b 1 +/b'])
  t.deepEqual(superset(interest('a/#'), interest('a/b')), ['a/# 1 a/#,a/b'])
})

test('on 3.1.1, where no options are told, they keep nothing apart', (t) => {
  const interests = [
    interest('a/+', { noLocal: true }),
    interest('a/b', { retainHandling: 2 }),
    interest('a/b'),
  ]
  const plan = planSubscriptions(interests, { protocolVersion: 4 })
  t.deepEqual(
    plan.map(({ request }) => request.filter),
    ['a/+'],
  )
  t.deepEqual(plan[0]?.serves, interests)
  t.false(plan[0]?.request.noLocal)
})

test('a superset is never #, unless a route says so', (t) => {
  const act = (...filters: string[]): unknown =>
    planSubscriptions(
      filters.map((filter) => interest(filter)),
      { superset: true },
    )
  const error = t.throws(() => act('a/#', 'c', '+/b'), {
    instanceOf: MqttasgiError,
    message: /"a\/#", "c", "\+\/b" would become one subscription to "#"/,
  })
  t.is(error?.code, 'ERR_OVERLAP_TOO_WIDE')
  const many = Array.from({ length: 9 }, (_, at) => `s${at}/#`)
  t.throws(() => act(...many, '+/x'), { message: /"s7\/#" and others would become/ })
  t.notThrows(() => act('a/#', '+/b', '#'))
})

test('over any interests a superset covers all, and no two alike overlap', (t) => {
  const share = fc.constantFrom(undefined, undefined, 'g')
  const qos = fc.constantFrom(0 as const, 1 as const)
  const some = fc.array(fc.record({ filter: anyFilter, share, qos, noLocal: fc.boolean() }), { maxLength: 8 })
  let widened = 0
  fc.assert(
    fc.property(some, (list) => {
      const interests = list.map(({ filter, share: group, ...more }) =>
        interest(filter, { ...more, share: group, noLocal: group === undefined && more.noLocal }),
      )
      let plan
      try {
        plan = planSubscriptions(interests, { superset: true })
      } catch (error) {
        return error instanceof MqttasgiError && /OVERLAP_TOO_WIDE|OPTIONS_DIFFER/.test(error.code)
      }
      const served = new Set(plan.flatMap(({ serves }) => serves))
      t.true(interests.every((one) => served.has(one)))
      for (const one of plan) {
        if (one.widened) widened++
        t.true(
          one.serves.every(({ filter, share: group }) => group === one.share && covers(one.filter, filter)),
        )
        for (const other of plan) {
          if (one === other || !overlaps(one.filter, other.filter)) continue
          t.true(one.share !== other.share || one.request.noLocal !== other.request.noLocal)
          const wanted = [...one.serves, ...other.serves].some((served) => served.qos > 0)
          if (wanted) t.is(Math.max(one.request.qos, other.request.qos), 1)
        }
      }
      return true
    }),
    { numRuns: 3_000 },
  )
  t.true(widened > 100)
})

test('over any interests and topics each filter that matches has the best quality of service wanted there', (t) => {
  t.plan(1)
  const some = fc.array(fc.record({ filter: anyFilter, qos: fc.constantFrom(0 as const, 1 as const) }), {
    maxLength: 8,
  })
  fc.assert(
    fc.property(some, anyTopic, (list, topic) => {
      const interests = list.map(({ filter, qos }) => interest(filter, { qos }))
      const wanted = interests.filter(({ filter }) => naiveMatch(filter, topic)).map(({ qos }) => qos)
      const plan = planSubscriptions(interests).filter(({ filter }) => naiveMatch(filter, topic))
      const best = Math.max(0, ...wanted)
      return plan.every(({ request }) => request.qos >= best) && (wanted.length === 0 || plan.length > 0)
    }),
    { numRuns: 5_000 },
  )
  t.pass()
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

test('what is new, or wanted otherwise than it was granted, is not granted', (t) => {
  const plan = planSubscriptions([interest('a'), interest('b'), interest('c', { retainHandling: 1 })])
  const granted = new Map(plan.map(({ request }) => [request.filter, request]))
  t.deepEqual(notGranted(plan, granted), [])
  const later = planSubscriptions([interest('b', { qos: 0 }), interest('c'), interest('d')])
  t.deepEqual(
    notGranted(later, granted).map(({ filter }) => filter),
    ['b', 'c', 'd'],
  )
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
  t.is(subscriptionIdentifier('a/+', new Set()), 26_084_175)
  t.is(subscriptionIdentifier('a/+', new Set([26_084_175])), 26_084_176)
})

test('a filter that is asked for while it is held has another identifier of the same stem, within the bounds', (t) => {
  for (const text of ['a/+', '#', '']) {
    const all = [subscriptionIdentifier(text, new Set())]
    for (let i = 0; i < 8; i++) all.push(nextIdentifier(all.at(-1)!))
    t.is(new Set(all).size, 8)
    t.is(all[8], all[0])
    t.true(all.every((one) => one >= 1 && one <= 268_435_455))
    t.is(new Set(all.map(stemOf)).size, 1)
  }
})

test('an identifier is within the bounds of the standard, and another one than those that are taken', (t) => {
  const largest = 2 ** 25 - 1
  fc.assert(
    fc.property(fc.string(), (text) => {
      const identifier = subscriptionIdentifier(text, new Set())
      t.true(identifier >= 1 && identifier <= largest)
      const next = subscriptionIdentifier(text, new Set([identifier]))
      t.is(next, identifier === largest ? 1 : identifier + 1)
    }),
  )
})

// A forwarded message carries the identifiers of all subscriptions of the client that it is for.
import test from 'ava'
import {
  type Identified,
  type Identifiable,
  nameSubscriptions,
} from '../../lib/broker/subscription-identifiers.ts'

const named = test.macro<[Identified, Partial<Identifiable>, object | undefined]>({
  title: (title = '') => title,
  exec: (t, subscriptions, more, expected) => {
    const message: Identifiable = { topic: 'a/b', clientId: 'other', brokerId: 'broker', ...more }
    nameSubscriptions({ id: 'self', subscriptions }, message)
    t.deepEqual(message.properties, expected)
  },
})

test(
  'all that match are named, and no others',
  named,
  { '+/b': { si: 1 }, 'a/#': { si: 2 }, 'b/#': { si: 3 }, 'a/+': {} },
  { properties: Object.freeze({ contentType: 'x', subscriptionIdentifier: 2 }) },
  { contentType: 'x', subscriptionIdentifier: [1, 2] },
)
test('without identifiers nothing is added', named, { '+/b': {} }, {}, undefined)
test(
  'noLocal: a subscription is not named for what its client has published',
  named,
  { '+/b': { si: 1, nl: true }, 'a/#': { si: 2, nl: false } },
  { clientId: 'self' },
  { subscriptionIdentifier: [2] },
)
test(
  'noLocal: it is for what others have',
  named,
  { '+/b': { si: 1, nl: true } },
  {},
  { subscriptionIdentifier: [1] },
)
test(
  'what is retained is for the subscription that asked for it',
  named,
  { '+/b': { si: 1 }, 'a/#': { si: 2 } },
  { brokerId: null, properties: { subscriptionIdentifier: 2 } },
  { subscriptionIdentifier: 2 },
)

// The QoS of a forwarded message is the best that was granted for its topic, and never raised.
import test from 'ava'
import type { QoS } from '../../lib/core/message.ts'
import { capQos, type Granted } from '../../lib/broker/granted-qos.ts'

interface Case {
  readonly granted: Granted
  readonly published: QoS
  readonly messageId?: number
  readonly expected: QoS
}

const caps = test.macro<[Case]>({
  title: (title = '') => title,
  exec: (t, { granted, published, messageId, expected }) => {
    const message = { topic: 'a/b', qos: published, messageId }
    capQos(granted, message)
    t.is(message.qos, expected)
  },
})

test('QoS 0 stays QoS 0', caps, { granted: { '#': { qos: 2 } }, published: 0, expected: 0 })
test('a wildcard subscription caps', caps, { granted: { 'a/+': { qos: 1 } }, published: 2, expected: 1 })
test('a grant is not raised to', caps, { granted: { 'a/+': { qos: 2 } }, published: 1, expected: 1 })
test('the best of several grants counts, whatever their order', caps, {
  granted: { '#': { qos: 0 }, 'a/+': { qos: 2 }, 'a/b': { qos: 1 } },
  published: 2,
  expected: 2,
})
test('grants for other topics do not count', caps, {
  granted: { 'a/+': { qos: 0 }, 'b/+': { qos: 2 } },
  published: 2,
  expected: 0,
})
test('without any grant for it the message is left alone', caps, {
  granted: { c: { qos: 0 } },
  published: 2,
  expected: 2,
})
test('a queued message does not fall to QoS 0, or it would never leave the queue', caps, {
  granted: { 'a/+': { qos: 0 } },
  published: 2,
  messageId: 7,
  expected: 1,
})

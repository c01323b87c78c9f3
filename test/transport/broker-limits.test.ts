import test from 'ava'
import { brokerLimits, unlimited } from '../../lib/transport/broker-limits.ts'

test('what CONNACK does not say is not limited', (t) => {
  t.deepEqual(brokerLimits({}), unlimited)
})

test('Maximum QoS is 0 or 1 where it is said, and 2 where it is not', (t) => {
  t.deepEqual(
    [0, 1, undefined].map((maximumQoS) => brokerLimits({ maximumQoS }).maximumQoS),
    [0, 1, 2],
  )
})

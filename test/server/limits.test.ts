import test from 'ava'
import fc from 'fast-check'
import { Limits } from '../../lib/server/limits.ts'

const two = { name: 'a/+', most: 2 }
const one = { name: 'b', most: 1 }

test('so many are inside, the others get the places that are left, in the order they came', (t) => {
  const limits = new Limits<string>()
  t.true(limits.hasRoom(two))
  t.true(limits.take(two, 'a1'))
  t.true(limits.hasRoom(two))
  t.true(limits.take(two, 'a2'))
  t.false(limits.hasRoom(two))
  t.false(limits.take(two, 'a3'))
  t.false(limits.take(two, 'a4'))
  t.true(limits.take(one, 'b1'))
  t.is(limits.leave(two), 'a3')
  t.is(limits.leave(two), 'a4')
  t.is(limits.leave(two), undefined)
  t.is(limits.leave(two), undefined)
  t.true(limits.take(two, 'a5'))
})

test('a place that was never taken can not be left', (t) => {
  const limits = new Limits<string>()
  t.is(limits.leave(one), undefined)
  t.true(limits.take(one, 'b1'))
})

test('what has gone holds no place', (t) => {
  const limits = new Limits<string>()
  for (const job of ['b1', 'b2']) limits.take(one, job)
  t.deepEqual(limits.clear(), ['b2'])
  t.true(limits.hasRoom(one))
})

test('what waits can be dropped', (t) => {
  const limits = new Limits<string>()
  for (const job of ['b1', 'b2', 'b3']) limits.take(one, job)
  limits.dropWaiting((job) => job === 'b2')
  t.is(limits.leave(one), 'b3')
  t.is(limits.leave(one), undefined)
})

test('never more than allowed are inside, and nobody waits while there is room', (t) => {
  const most = fc.integer({ min: 1, max: 4 })
  fc.assert(
    fc.property(most, fc.array(fc.boolean(), { maxLength: 60 }), (limit, steps) => {
      const limits = new Limits<number>()
      const gate = { name: 'x', most: limit }
      const inside: number[] = []
      const waiting: number[] = []
      for (const [i, takes] of steps.entries()) {
        if (takes && limits.take(gate, i)) inside.push(i)
        else if (takes) waiting.push(i)
        else if (inside.length > 0) {
          inside.shift()
          const next = limits.leave(gate)
          if (next !== waiting.shift()) return false
          if (next !== undefined) inside.push(next)
        }
        if (inside.length > limit || (waiting.length > 0 && inside.length < limit)) return false
      }
      return true
    }),
  )
  t.pass()
})

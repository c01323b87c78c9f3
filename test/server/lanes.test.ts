import test from 'ava'
import * as fc from 'fast-check'
import { Lanes } from '../../lib/server/lanes.ts'

test('a lane is busy from its first job to its last', (t) => {
  const lanes = new Lanes<string>()
  t.false(lanes.busy('a'))
  lanes.take('a', 'first')
  t.true(lanes.busy('a'))
  t.false(lanes.busy('b'))
  lanes.queue('a', 'second')
  lanes.queue('a', 'third')
  t.is(lanes.size, 1)
  t.deepEqual(lanes.running(), ['first'])
  t.is(lanes.next('a'), 'second')
  t.deepEqual(lanes.running(), ['second'])
  t.is(lanes.next('a'), 'third')
  t.true(lanes.busy('a'))
  t.is(lanes.next('a'), undefined)
  t.false(lanes.busy('a'))
  t.is(lanes.size, 0)
})

test('another job takes over a lane, and those behind stay', (t) => {
  const lanes = new Lanes<string>()
  lanes.take('a', 'first')
  lanes.queue('a', 'behind')
  lanes.takeOver('a', 'first again')
  t.deepEqual(lanes.clear(), ['first again', 'behind'])
})

test('nothing is next where nothing runs, and nothing can line up there', (t) => {
  const lanes = new Lanes<string>()
  lanes.take('b', 'other')
  t.is(lanes.next('a'), undefined)
  lanes.queue('a', 'lost')
  lanes.takeOver('a', 'lost')
  t.false(lanes.busy('a'))
})

test('what waits can be dropped, and what runs goes on', (t) => {
  const lanes = new Lanes<string>()
  lanes.take('a', 'a1')
  lanes.take('b', 'b1')
  lanes.queue('a', 'a2')
  lanes.queue('a', 'a3')
  lanes.dropWaiting((job) => job === 'a2')
  t.deepEqual(lanes.running().toSorted(), ['a1', 'b1'])
  t.is(lanes.next('a'), 'a3')
  t.is(lanes.next('a'), undefined)
})

// Many more keys than the table has places, so that they share them.
const keys = Array.from({ length: 600 }, (_, i) => `sensors/${i % 7}/room-${i}/temp`)

test('keys that share a place do not meet', (t) => {
  const lanes = new Lanes<string>()
  for (const order of [keys, keys.toReversed()]) {
    for (const key of keys) lanes.take(key, key)
    t.is(lanes.size, keys.length)
    for (const key of order) {
      t.true(lanes.busy(key))
      t.is(lanes.next(key), undefined)
      t.false(lanes.busy(key))
    }
    t.is(lanes.size, 0)
  }
  t.deepEqual(lanes.running(), [])
})

test('over any order of events no two jobs of a key run, and each key keeps its order', (t) => {
  const few = fc.integer({ min: 0, max: 5 }).map((i) => `t/${i}`)
  fc.assert(
    fc.property(fc.array(fc.tuple(few, fc.boolean()), { maxLength: 200 }), (events) => {
      const lanes = new Lanes<number>()
      const model = new Map<string, number[]>()
      for (const [i, [key, arrives]] of events.entries()) {
        const queue = model.get(key) ?? []
        t.is(lanes.busy(key), queue.length > 0)
        if (arrives) {
          if (queue.length === 0) lanes.take(key, i)
          else lanes.queue(key, i)
          model.set(key, [...queue, i])
        } else {
          t.is(lanes.next(key), queue[1])
          model.set(key, queue.slice(1))
        }
      }
      const busy = [...model.values()].filter(({ length }) => length > 0)
      t.is(lanes.size, busy.length)
      t.deepEqual(
        lanes.running().toSorted((a, b) => a - b),
        busy.map(([first = -1]) => first).toSorted((a, b) => a - b),
      )
    }),
  )
})

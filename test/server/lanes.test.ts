import test from 'ava'
import * as fc from 'fast-check'
import { Lanes } from '../../lib/server/lanes.ts'

test('a lane is there from its first job to its last', (t) => {
  const lanes = new Lanes<string>()
  t.is(lanes.find('a'), undefined)
  const lane = lanes.take('a', 'first')
  t.is(lanes.find('a'), lane)
  t.is(lanes.find('b'), undefined)
  lane.queue('second')
  lane.queue('third')
  t.is(lanes.size, 1)
  t.deepEqual(lanes.running(), ['first'])
  t.is(lanes.next(lane), 'second')
  t.deepEqual(lanes.running(), ['second'])
  t.is(lanes.next(lane), 'third')
  t.is(lanes.find('a'), lane)
  t.is(lanes.next(lane), undefined)
  t.is(lanes.find('a'), undefined)
  t.is(lanes.size, 0)
})

test('another job takes over a lane, and those behind stay', (t) => {
  const lanes = new Lanes<string>()
  const lane = lanes.take('a', 'first')
  lane.queue('behind')
  lane.running = 'first again'
  t.deepEqual(lanes.clear(), ['first again', 'behind'])
})

test('a lane that was cleared frees none of those that came after it', (t) => {
  const lanes = new Lanes<string>()
  const old = lanes.take('a', 'old')
  old.queue('taken out')
  lanes.clear()
  t.is(lanes.next(old), undefined)
  const lane = lanes.take('a', 'new')
  t.is(lanes.next(old), undefined)
  t.is(lanes.find('a'), lane)
  t.is(lanes.size, 1)
})

test('what waits can be dropped, and what runs goes on', (t) => {
  const lanes = new Lanes<string>()
  const lane = lanes.take('a', 'a1')
  lanes.take('b', 'b1')
  lane.queue('a2')
  lane.queue('a3')
  lanes.dropWaiting((job) => job === 'a2')
  t.deepEqual(lanes.running().toSorted(), ['a1', 'b1'])
  t.is(lanes.next(lane), 'a3')
  t.is(lanes.next(lane), undefined)
})

// Many more keys than the table has places, so that they share them.
const keys = Array.from({ length: 600 }, (_, i) => `sensors/${i % 7}/room-${i}/temp`)

test('keys that share a place do not meet', (t) => {
  const lanes = new Lanes<string>()
  for (const order of [keys, keys.toReversed()]) {
    const taken = new Map(keys.map((key) => [key, lanes.take(key, key)]))
    t.is(lanes.size, keys.length)
    for (const key of order) {
      t.is(lanes.find(key), taken.get(key))
      t.is(lanes.next(taken.get(key)!), undefined)
      t.is(lanes.find(key), undefined)
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
        const lane = lanes.find(key)
        t.is(lane?.running, queue[0])
        if (arrives) {
          if (lane === undefined) lanes.take(key, i)
          else lane.queue(i)
          model.set(key, [...queue, i])
        } else if (lane !== undefined) {
          t.is(lanes.next(lane), queue[1])
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

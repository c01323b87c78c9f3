// The book of segments: what can be dropped, what is worth cleaning, and in which order keys stand.
import test from 'ava'
import { type Place, Segments } from '../../lib/durable/segments.ts'

function place(segment: number, sequence: number, bytes = 10): Place {
  return { segment, sequence, bytes, valueAt: 0, valueBytes: 1 }
}

/** Segments of 100 bytes, each with the keys that were put into it, all of ten bytes. */
function book(...segments: readonly string[]): Segments {
  const made = new Segments(100)
  let sequence = 0
  for (const [index, keys] of segments.entries()) {
    made.add(index + 1)
    for (const key of keys) {
      made.grow(index + 1, 10)
      made.put(key, place(index + 1, ++sequence))
    }
  }
  return made
}

test('keys stand in the order of their latest put, and a move changes nothing of it', (t) => {
  const segments = book('abc', 'a')
  t.deepEqual([...segments.keys()], ['b', 'c', 'a'])
  segments.move('b', place(2, 2))
  t.deepEqual([...segments.keys()], ['b', 'c', 'a'])
  t.is(segments.place('b')?.segment, 2)
  t.deepEqual(segments.keysIn(1), ['c'])
  t.is(segments.size, 3)
  t.is(segments.liveBytes, 30)
})

test('only the oldest segment is dropped, when nothing lives in it and nobody writes into it', (t) => {
  const segments = book('a', 'b', 'b')
  t.is(segments.droppable(3), undefined)
  segments.delete('a')
  t.is(segments.droppable(1), undefined)
  t.is(segments.droppable(3), 1)
  segments.forget(1)
  t.is(segments.droppable(3), 2)
  segments.forget(2)
  t.is(segments.droppable(3), undefined)
  t.is(book().droppable(undefined), undefined)
  t.deepEqual(segments.numbers(), [3])
})

test('cleaning is worth it when more is dead than alive, and more than a segment', (t) => {
  const segments = book('k', 'aaaaaaaaaaa')
  t.is(segments.cleanable(2), undefined)
  segments.grow(2, 21)
  t.is(segments.cleanable(2), 1)
  t.is(segments.cleanable(1), undefined)
  t.is(book().cleanable(undefined), undefined)
})

test('cleaning is worth it when there are many small segments', (t) => {
  const few = book('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h')
  t.is(few.cleanable(8), undefined)
  t.is(book('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k').cleanable(11), 1)
})

test('what is not known is neither deleted nor counted', (t) => {
  const segments = book('a')
  t.false(segments.delete('b'))
  t.deepEqual(segments.keysIn(9), [])
  segments.grow(9, 1_000)
  segments.forget(9)
  segments.move('new', place(1, 9))
  t.deepEqual([...segments.keys()], ['a', 'new'])
})

import test from 'ava'
import * as fc from 'fast-check'
import { Fifo } from '../../lib/server/fifo.ts'

test('a new queue is empty', (t) => {
  const queue = new Fifo<number>()
  t.is(queue.size, 0)
  t.is(queue.peek(), undefined)
  t.is(queue.shift(), undefined)
  t.deepEqual(queue.clear(), [])
})

test('what was pushed comes out in order, and peek takes nothing', (t) => {
  const queue = new Fifo<string>()
  queue.push('a')
  queue.push('b')
  t.is(queue.peek(), 'a')
  t.is(queue.size, 2)
  t.is(queue.shift(), 'a')
  t.is(queue.peek(), 'b')
  t.is(queue.shift(), 'b')
  t.is(queue.shift(), undefined)
})

test('clear gives what is left and leaves nothing', (t) => {
  const queue = new Fifo<number>()
  for (let i = 0; i < 5; i++) queue.push(i)
  queue.shift()
  t.deepEqual(queue.clear(), [1, 2, 3, 4])
  t.is(queue.size, 0)
  queue.push(9)
  t.is(queue.shift(), 9)
})

test('a queue that is never empty drops what is spent, and stays in order', (t) => {
  const queue = new Fifo<number>()
  let pushed = 0
  let shifted = 0
  for (; pushed < 2_000; pushed++) queue.push(pushed)
  for (let i = 0; i < 10_000; i++) {
    t.is(queue.shift(), shifted++)
    queue.push(pushed++)
  }
  t.is(queue.size, 2_000)
  t.deepEqual(
    queue.clear(),
    Array.from({ length: 2_000 }, (_, i) => shifted + i),
  )
})

test('it does what an array does', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('push', 'shift', 'peek', 'clear'), { maxLength: 60 }),
      (operations) => {
        const queue = new Fifo<number>()
        let model: number[] = []
        for (const [i, operation] of operations.entries()) {
          if (operation === 'push') {
            queue.push(i)
            model.push(i)
          } else if (operation === 'shift') {
            t.is(queue.shift(), model.shift())
          } else if (operation === 'peek') {
            t.is(queue.peek(), model[0])
          } else {
            t.deepEqual(queue.clear(), model)
            model = []
          }
          t.is(queue.size, model.length)
        }
      },
    ),
  )
})

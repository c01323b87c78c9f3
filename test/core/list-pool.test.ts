// Lists that are made once for each combination of entries.
import test from 'ava'
import { ListPool } from '../../lib/core/list-pool.ts'

test('a list is found by its indexes once it is kept, and is frozen', (t) => {
  const pool = new ListPool(['a', 'b', 'c'])
  t.is(pool.find([0, 2]), 0)
  const number = pool.add([0, 2])
  t.is(pool.find([0, 2]), number)
  t.deepEqual(pool.get(number), ['a', 'c'])
  t.true(Object.isFrozen(pool.get(number)))
  t.is(pool.find([0]), 0)
  t.is(pool.find([0, 1]), 0)
  t.deepEqual(pool.make([1]), ['b'])
  t.is(pool.find([1]), 0)
})

test('300,000 lists are told apart, whatever their hashes do', (t) => {
  // So many that about ten hashes of 32 bits are the same.
  const values = Array.from({ length: 100_000 }, (_, i) => i)
  const pool = new ListPool(values)
  let seed = 1
  const index = () => (seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0) % values.length
  const lists = Array.from({ length: 300_000 }, () => [index(), index(), index()])
  const numbers = lists.map((list) => pool.find(list) || pool.add(list))
  let wrong = 0
  for (const [i, list] of lists.entries()) {
    if (pool.get(numbers[i]!).join() !== list.join() || pool.find(list) !== numbers[i]) wrong++
  }
  t.is(wrong, 0)
})

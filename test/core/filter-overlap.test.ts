// Which filters can match a common topic, against the topics themselves.
import test from 'ava'
import * as fc from 'fast-check'
import { covers } from '../../lib/core/filter-cover.ts'
import {
  commonTopic,
  leastSuperset,
  mergeOverlapping,
  OverlapIndex,
  overlaps,
} from '../../lib/core/filter-overlap.ts'
import { anyFilter, naiveMatch } from '../helpers/naive-match.ts'

const overlapping = test.macro((t, one: string, other: string, expected: string | undefined) => {
  t.is(commonTopic(one, other), expected)
  t.is(overlaps(other, one), expected !== undefined)
})
const table: readonly (readonly [one: string, other: string, expected: string | undefined])[] = [
  ['a/+', '+/b', 'a/b'],
  ['a/#', '+/b', 'a/b'],
  ['a/#', 'a', 'a'],
  ['a/#', 'a/b/c', 'a/b/c'],
  ['a/#', 'a/b/#', 'a/b'],
  ['#', '+', 'x'],
  ['#', '#', 'x'],
  ['/#', '/#', '/x'],
  ['+', '+', 'x'],
  ['a', 'a/+', undefined],
  ['a/b', 'a/c', undefined],
  ['a/b/#', 'a/c/#', undefined],
  ['+/+', 'a', undefined],
  ['#', '$SYS/x', undefined],
  ['+/x', '$SYS/x', undefined],
  ['$SYS/#', '$SYS/x', '$SYS/x'],
]
for (const [one, other, expected] of table) {
  test(
    `${one} and ${other} ${expected === undefined ? 'have no topic in common' : `share ${expected}`}`,
    overlapping,
    one,
    other,
    expected,
  )
}

const superset = test.macro((t, one: string, other: string, expected: string) => {
  t.is(leastSuperset(one, other), expected)
  t.is(leastSuperset(other, one), expected)
})
const supersets: readonly (readonly [one: string, other: string, expected: string])[] = [
  ['a/+', '+/b', '+/+'],
  ['a/b/#', 'a/+/c', 'a/+/#'],
  ['a/#', '+/b', '#'],
  ['a/#', 'a', 'a/#'],
  ['a/b', 'a/b', 'a/b'],
  ['$SYS/+/x', '$SYS/y/+', '$SYS/+/+'],
  ['a/+/#', '+/b', '+/+/#'],
  ['#', 'a/b', '#'],
]
for (const [one, other, expected] of supersets) {
  test(`the least superset of ${one} and ${other} is ${expected}`, superset, one, other, expected)
}

test('10,000 random pairs: what overlaps has a topic that both match, and what does not has none', (t) => {
  let found = 0
  const topics = fc.array(fc.constantFrom('a', 'b', '', '$x', 'x'), { minLength: 1, maxLength: 5 })
  fc.assert(
    fc.property(anyFilter, anyFilter, topics, (one, other, levels) => {
      const topic = commonTopic(one, other)
      if (topic !== undefined) {
        found++
        return naiveMatch(one, topic) && naiveMatch(other, topic)
      }
      const any = levels.join('/')
      return any === '' || !naiveMatch(one, any) || !naiveMatch(other, any)
    }),
    { numRuns: 10_000 },
  )
  t.true(found > 1_000)
})

test('over any filters the index finds what overlaps, neither more nor less', (t) => {
  const sets = fc.tuple(fc.array(anyFilter, { maxLength: 12 }), anyFilter)
  fc.assert(
    fc.property(sets, ([filters, filter]) => {
      const index = new OverlapIndex(filters)
      const found = index.find(filter).toSorted((a, b) => a - b)
      const expected = filters.flatMap((other, i) => (overlaps(filter, other) ? [i] : []))
      t.deepEqual(found, expected)
      t.is(index.find(filter, 1).length, Math.min(1, expected.length))
    }),
    { numRuns: 3_000 },
  )
})

test('the least superset covers both, and nothing that covers both is less', (t) => {
  fc.assert(
    fc.property(anyFilter, anyFilter, anyFilter, (one, other, any) => {
      fc.pre(overlaps(one, other))
      const wide = leastSuperset(one, other)
      t.true(covers(wide, one) && covers(wide, other), wide)
      if (covers(any, one) && covers(any, other)) t.true(covers(any, wide), `${any} ${wide}`)
    }),
    { numRuns: 20_000 },
  )
})

test('merged until nothing overlaps: each filter is covered, in any order alike, and no wider than it must be', (t) => {
  let merges = 0
  fc.assert(
    fc.property(fc.uniqueArray(anyFilter, { maxLength: 10 }), (filters) => {
      const merged = mergeOverlapping(filters)
      const wide = [...new Set(merged.values())]
      for (const filter of filters) t.true(covers(merged.get(filter)!, filter))
      for (const one of wide) for (const other of wide) t.true(one === other || !overlaps(one, other))
      const turned = mergeOverlapping(filters.toReversed())
      for (const filter of filters) t.is(turned.get(filter), merged.get(filter))
      for (const one of wide) {
        if (filters.includes(one)) continue
        merges++
        // What begins with a wildcard, or with $, began so in some route.
        const served = filters.filter((filter) => merged.get(filter) === one)
        t.true(served.length > 1)
        t.true(!/^[+#]/.test(one) || served.some((filter) => /^[+#]/.test(filter)))
        t.is(
          one.startsWith('$'),
          served.every((filter) => filter.startsWith('$')),
        )
      }
    }),
    { numRuns: 3_000 },
  )
  t.true(merges > 300)
})

test('10,000 filters of which few overlap take no time', (t) => {
  const filters = Array.from(
    { length: 10_000 },
    (_, i) => `t${i % 100}/s${i % 7}/${i % 2 ? '+' : `d${i}`}/m${i}`,
  )
  const began = performance.now()
  const merged = mergeOverlapping([...filters, 't7/+/x/m7'])
  t.true(performance.now() - began < 2_000)
  t.is(merged.get('t7/+/x/m7'), 't7/+/+/m7')
  t.is(merged.get('t7/s0/+/m7'), 't7/+/+/m7')
})

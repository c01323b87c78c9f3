// Which filters contain which, against the topics that tell them apart.
import test from 'ava'
import * as fc from 'fast-check'
import { coveringFilters, covers } from '../../lib/core/filter-cover.ts'
import { anyFilter, naiveMatch } from '../helpers/naive-match.ts'

const contains = test.macro((t, outer: string, inner: string, expected: boolean) => {
  t.is(covers(outer, inner), expected)
})
const table: readonly (readonly [outer: string, inner: string, expected: boolean])[] = [
  ['a/#', 'a/b', true],
  ['a/#', 'a/+', true],
  ['a/#', 'a', true],
  ['a/#', 'a/#', true],
  ['a/#', 'a/b/#', true],
  ['a/#', '+/b', false],
  ['a/+', 'a', false],
  ['a/+', 'a/#', false],
  ['a/+', 'a/', true],
  ['a/+/#', 'a/#', false],
  ['a/#', 'a/+/#', true],
  ['a/b', 'a/+', false],
  ['a', 'a/#', false],
  ['a/b', 'a', false],
  ['+', '+/+', false],
  ['+/+', '/', true],
  ['#', '+/a', true],
  ['#', '/', true],
  ['#', '$SYS/x', false],
  ['+/x', '$SYS/x', false],
  ['+/#', '$SYS/#', false],
  ['$SYS/#', '$SYS', true],
  ['$SYS/+', '$SYS/x', true],
  ['a/+', 'a/$x', true],
  ['$SYS/#', '#', false],
  // No topic has no level, so # and +/# say the same, and none is one empty level, so /# and /+/# do.
  ['#', '+/#', true],
  ['+/#', '#', true],
  ['/#', '/+/#', true],
  ['/+/#', '/#', true],
  ['+/+/#', '/#', true],
  ['+/#', '+', true],
  ['+/+/#', '#', false],
  ['+/+/#', '+/#', false],
]
for (const [outer, inner, expected] of table) {
  test(`${outer} ${expected ? 'covers' : 'does not cover'} ${inner}`, contains, outer, inner, expected)
}

/** Topics that `filter` matches and that a filter matches all of only if it covers `filter`. */
function witnesses(filter: string): string[] {
  const levels = filter.split('/').map((level) => (level === '+' ? 'fresh' : level))
  if (levels.at(-1) !== '#') return [levels.join('/')]
  const parent = levels.slice(0, -1)
  const topics = Array.from({ length: 8 }, (_, more) => parent.concat(Array(more).fill('new')).join('/'))
  return topics.filter((topic) => topic !== '')
}

test('10,000 random pairs: one covers the other exactly when it matches every topic that tells', (t) => {
  let covered = 0
  fc.assert(
    fc.property(anyFilter, anyFilter, (outer, inner) => {
      const expected = witnesses(inner).every((topic) => naiveMatch(outer, topic))
      if (expected) covered++
      return covers(outer, inner) === expected
    }),
    { numRuns: 10_000 },
  )
  t.true(covered > 100)
})

test('3,000 random sets: each filter goes to a widest one that covers it, in any order', (t) => {
  let moved = 0
  const sets = fc.uniqueArray(anyFilter, { maxLength: 12 })
  fc.assert(
    fc.property(sets, (filters) => {
      const covering = coveringFilters(filters)
      if ([...covering].some(([filter, cover]) => filter !== cover)) moved++
      const turned = coveringFilters(filters.toReversed())
      return (
        covering.size === filters.length &&
        filters.every((filter) => {
          const cover = covering.get(filter)!
          const wider = filters.filter((other) => covers(other, cover) && !covers(cover, other))
          return turned.get(filter) === cover && covers(cover, filter) && wider.length === 0
        }) &&
        // A cover is its own: whoever subscribes to all covers has everything, once.
        [...covering.values()].every((cover) => covering.get(cover) === cover)
      )
    }),
    { numRuns: 3_000 },
  )
  t.true(moved > 500)
})

test('a filter that nothing else covers goes to itself', (t) => {
  t.deepEqual(
    [...coveringFilters(['a/b', 'a/#', 'c', '$SYS/x', 'a'])],
    [
      ['a/b', 'a/#'],
      ['a/#', 'a/#'],
      ['c', 'c'],
      ['$SYS/x', '$SYS/x'],
      ['a', 'a/#'],
    ],
  )
  t.deepEqual([...coveringFilters([])], [])
})

test('of several widest filters the one with the wildcard first is taken, and the shorter of two that say the same', (t) => {
  t.is(coveringFilters(['a/b', 'a/+', '+/b']).get('a/b'), '+/b')
  t.deepEqual([...coveringFilters(['+/#', 'a']).values()], ['+/#', '+/#'])
  t.deepEqual([...coveringFilters(['+/#', 'a', '#', '$a']).values()], ['#', '#', '#', '$a'])
  t.deepEqual([...coveringFilters(['/+/#', '/#', '/', '/a/+']).values()], ['/#', '/#', '/#', '/#'])
  t.deepEqual([...coveringFilters(['/#', '+/+/#']).values()], ['+/+/#', '+/+/#'])
})

test('10,000 filters, and filters of 65,536 levels, take no time', (t) => {
  const filters = Array.from(
    { length: 10_000 },
    (_, i) => `t${i % 100}/s${i % 7}/${i % 2 ? '+' : `d${i}`}/m${i}`,
  )
  const began = process.cpuUsage()
  const covering = coveringFilters([...filters, 't7/#', '/'.repeat(65_535), `${'/'.repeat(65_533)}+/#`])
  const { user } = process.cpuUsage(began)
  // Measured at 30 to 60 ms of processor time; comparing each with each takes seconds.
  t.true(user < 1_000_000)
  t.is(covering.get('t7/s0/+/m7'), 't7/#')
  t.is(covering.get('t8/s1/d8/m8'), 't8/s1/d8/m8')
  t.is(covering.get('/'.repeat(65_535)), `${'/'.repeat(65_533)}+/#`)
})

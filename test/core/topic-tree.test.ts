// The topic tree: against a naive matcher, at every limit of what it remembers, and under hostile topics.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import test from 'ava'
import * as fc from 'fast-check'
import { topicTree } from '../../lib/core/topic-tree.ts'
import { anyFilter, anyTopic, naiveMatch } from '../helpers/naive-match.ts'

type Filters = readonly (string | undefined)[]

function treeOf(filters: Filters, words?: number) {
  return topicTree(
    filters.map((filter, value) => ({ filter, value })),
    words,
  )
}

function naive(filters: Filters, topic: string): number[] {
  return filters.flatMap((filter, i) => (filter === undefined || naiveMatch(filter, topic) ? [i] : []))
}

test('matches come in the order of the entries', (t) => {
  const tree = treeOf(['a/#', 'a/+', undefined, 'a/b', '#', 'a/b/c', '+/b', 'a/b/#'])
  t.deepEqual(tree.match('a/b'), [0, 1, 2, 3, 4, 6, 7])
  t.deepEqual(tree.match('a/b/c'), [0, 2, 4, 5, 7])
  t.deepEqual(tree.match('a'), [0, 2, 4])
  t.deepEqual(tree.match('$SYS/b'), [2])
})

test('one filter may have several entries', (t) => {
  t.deepEqual(treeOf(['a', '#', 'a', '#']).match('a'), [0, 1, 2, 3])
})

test('an entry without a filter matches every topic, even one that is none', (t) => {
  const tree = treeOf([undefined])
  for (const topic of ['a', '$SYS/x', '', '//', 'a/+']) t.deepEqual(tree.match(topic), [0])
})

test('what is matched by nothing gives one empty list', (t) => {
  const tree = treeOf(['a/b', '+/c'])
  t.deepEqual(tree.match('x'), [])
  t.is(tree.match('x'), tree.match('a/b/c/d'))
  t.is(tree.match('x'), tree.match('$a/c'))
  t.deepEqual(treeOf([]).match('a'), [])
})

test('a list is frozen, and the same combination of entries gives the same one', (t) => {
  const tree = treeOf(['a/+', 'b/+', 'a/#', 'b/#'])
  const list = tree.match('a/1')
  t.true(Object.isFrozen(list))
  t.is(tree.match('a/2'), list)
  t.is(tree.match('a/$x'), list)
  t.not(tree.match('a'), list)
  // Reached along other levels, but of the same entries.
  const twoWays = treeOf(['#', 'a/b', 'c/d'])
  t.is(twoWays.match('a'), twoWays.match('c/d/e'))
})

test('levels named like properties of objects are levels', (t) => {
  const filters = ['__proto__', 'constructor/+', '+/hasOwnProperty', 'toString/__proto__/#']
  for (const topic of [
    '__proto__',
    'constructor/x',
    'valueOf/hasOwnProperty',
    'toString/__proto__',
    'valueOf',
  ]) {
    t.deepEqual(treeOf(filters).match(topic), naive(filters, topic))
  }
})

test('a level that is spelled out elsewhere leads where all unknown ones do', (t) => {
  const tree = treeOf(['a/b/c', 'a/+/d', 'x'])
  t.deepEqual(tree.match('a/x/d'), [1])
  t.deepEqual(tree.match('a/other/d'), [1])
  t.deepEqual(tree.match('a/x/d'), [1])
  t.deepEqual(tree.match('a/b/d'), [1])
  t.deepEqual(tree.match('a/b/c'), [0])
  for (let i = 0; i < 1_000; i++) t.deepEqual(tree.match(`a/other${i}/d`), [1])
})

test('levels with the same hash are told apart', (t) => {
  // In sums of powers of 31, as here, these two are the same.
  const filters = ['Aa', 'BB', 'x/AaAa', 'x/BBBB/y', 'x/+/y', 'AaBB']
  const tree = treeOf(filters)
  for (const topic of ['Aa', 'BB', 'x/AaAa', 'x/BBBB/y', 'x/AaBB/y', 'x/BBAa/y', 'BBAa', 'AaBB', 'C#']) {
    for (const _ of [1, 2]) t.deepEqual(tree.match(topic), naive(filters, topic), topic)
  }
})

test('10,000 random tables of filters match random topics as the standard reads, remembering much or nothing', (t) => {
  let matched = 0
  const filters = fc.array(fc.option(anyFilter, { freq: 12, nil: undefined }), { maxLength: 12 })
  const topics = fc.array(anyTopic, { minLength: 1, maxLength: 8 })
  const words = fc.constantFrom(undefined, undefined, 0, 40, 120, 400)
  fc.assert(
    fc.property(filters, topics, words, (filters, topics, words) => {
      const tree = treeOf(filters, words)
      const known = new Map<string, readonly number[]>()
      // Twice: the first time the steps are worked out, the second time they are there.
      for (const topic of [...topics, ...topics]) {
        const list = tree.match(topic)
        const expected = naive(filters, topic)
        t.deepEqual(list, expected)
        const key = expected.join()
        if (expected.length > 0) matched++
        if (words === undefined) t.is(known.get(key) ?? list, list)
        known.set(key, list)
      }
    }),
    { numRuns: 10_000 },
  )
  t.true(matched > 10_000)
})

test('values may be anything', (t) => {
  const tree = topicTree<unknown>([
    { filter: 'a', value: NaN },
    { filter: 'b', value: NaN },
    { filter: 'c', value: undefined },
  ])
  t.deepEqual(tree.match('a'), [NaN])
  t.is(tree.match('a'), tree.match('a'))
  t.deepEqual(tree.match('c'), [undefined])
})

test('thousands of filters and states match as they should', (t) => {
  const filters = Array.from(
    { length: 3_000 },
    (_, i) => `t${i % 50}/${i % 3 === 0 ? '+' : `s${i % 7}`}/m${i}`,
  )
  const tree = treeOf(filters)
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < filters.length; i++) t.deepEqual(tree.match(`t${i % 50}/s${i % 7}/m${i}`), [i])
  }
  t.deepEqual(tree.match('t0/s0/none'), [])
})

test('every combination of a word and + over 12 levels matches at once', (t) => {
  const filters = Array.from({ length: 4_096 }, (_, bits) =>
    Array.from({ length: 12 }, (_, level) => ((bits >> level) & 1 ? '+' : 'x')).join('/'),
  )
  const tree = treeOf([...filters, 'y'])
  t.is(tree.match(Array(12).fill('x').join('/')).length, 4_096)
  t.is(tree.match(Array(12).fill('z').join('/')).length, 1)
  // Many open nodes, and a level that is known elsewhere: twice, the second time it is remembered.
  for (const _ of [1, 2]) t.is(tree.match(`${'x/'.repeat(6)}y/${'x/'.repeat(4)}x`).length, 2_048)
  t.is(treeOf(filters, 0).match(Array(12).fill('x').join('/')).length, 4_096)
})

/** Milliseconds for 1,000 matches. */
function timed(tree: { match(topic: string): unknown }, topic: string): number {
  for (let i = 0; i < 100; i++) tree.match(topic)
  const began = performance.now()
  for (let i = 0; i < 1_000; i++) tree.match(topic)
  return performance.now() - began
}

test('a topic of 65,535 bytes costs what the deepest filter costs', (t) => {
  // Measured at 1 to 5 ms; going through all levels would take 2,000.
  const filters = ['a/+/b', '+/+/+', 'a/b/#', '#', `/${'long'.repeat(4)}/x`]
  for (const words of [undefined, 0]) {
    const tree = treeOf(filters, words)
    t.deepEqual(tree.match('/'.repeat(65_535)), [3])
    t.true(timed(tree, '/'.repeat(65_535)) < 500)
    t.deepEqual(tree.match('x'.repeat(65_535)), [3])
    t.true(timed(tree, 'x'.repeat(65_535)) < 500)
  }
})

test('filters and topics of 65,536 levels do not overflow anything', (t) => {
  const deep = '/'.repeat(65_535)
  const tree = treeOf([deep, `${'/'.repeat(65_533)}#`, '#'])
  t.deepEqual(tree.match(deep), [0, 1, 2])
  t.deepEqual(tree.match(`${'/'.repeat(65_534)}x`), [1, 2])
})

test('topics do not choose how much is remembered', (t) => {
  setFlagsFromString('--expose-gc')
  const collect: unknown = runInNewContext('gc')
  if (typeof collect !== 'function') return t.fail('no way to collect garbage')
  const words = Array.from({ length: 100 }, (_, i) => `word${i}`)
  const filters = words.flatMap((word) => [`${word}/+/+`, `+/${word}/+`, `+/+/${word}`])
  const tree = treeOf(filters, 2 ** 15)
  collect()
  const before = process.memoryUsage().heapUsed
  let seed = 1
  const word = () => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
    return words[Math.floor((seed / 2 ** 32) * 100)]!
  }
  for (let i = 0; i < 60_000; i++) {
    const topic = `${word()}/${word()}/${word()}`
    if (tree.match(topic).length !== 3) t.is(tree.match(topic).length, 3)
  }
  collect()
  // 2 ** 15 words are 256 KB; remembering every combination took 20 MB.
  t.true(process.memoryUsage().heapUsed - before < 4 * 2 ** 20)
  // In use until here, so that it was not collected as well.
  t.is(tree.match('x/y/word0').length, 1)
})

// Which filters are contained in which: whoever has subscribed to the wider one need not subscribe to the other.
import { type FilterNode, filterTrie } from './filter-trie.ts'

/**
 * Whether every topic that `inner` matches is matched by `outer` too. Both are valid and not shared.
 *
 * @example
 * covers('a/#', 'a') // true
 * covers('#', '$SYS/uptime') // false [MQTT-4.7.2-1]
 */
export function covers(outer: string, inner: string): boolean {
  const wide = canonical(outer).split('/')
  const narrow = canonical(inner).split('/')
  if (inner.startsWith('$') && (wide[0] === '#' || wide[0] === '+')) return false
  let i = 0
  while (i < wide.length && wide[i] !== '#' && isWithin(wide[i], narrow[i])) i++
  return wide[i] === '#' || (i === wide.length && i === narrow.length)
}

/** Whether what one level may be is among what the other may be. */
function isWithin(wide: string | undefined, narrow: string | undefined): boolean {
  if (narrow === undefined || narrow === '#') return false
  return wide === '+' || wide === narrow
}

/**
 * For each of these filters the widest of them that covers it: itself when no other does.
 *
 * Filters are valid, not shared, and distinct. The answer does not depend on their order: of several widest
 * ones it is the one with `#`, then with `+`, at the first level where they differ, and the shorter of two
 * that say the same.
 *
 * @example
 * coveringFilters(['a/b', 'a/#', 'c']) // a/b → a/#, a/# → a/#, c → c
 */
export function coveringFilters(filters: readonly string[]): Map<string, string> {
  const { root } = filterTrie(filters.map(canonical))
  return new Map(
    filters.map((filter) => {
      const same = widestOf(root, canonical(filter)).map((index) => filters[index]!)
      return [filter, same.reduce((one, other) => (other.length < one.length ? other : one))]
    }),
  )
}

/**
 * One text for the filters that say the same. There is no topic of no level, so `#` is `+/#`, and none of
 * one empty level, so `/#` is `/+/#` [MQTT-4.7.3-1].
 */
export function canonical(filter: string): string {
  if (filter === '+/#') return '#'
  return filter === '/#' ? '/+/#' : filter
}

/** The first that covers, by index, wildcards tried before literals: then none that is wider is left. */
function widestOf(root: FilterNode, filter: string): readonly number[] {
  const levels = filter.split('/')
  const open: { node: FilterNode; depth: number }[] = [{ node: root, depth: 0 }]
  for (;;) {
    // The filter itself is in the tree, so the search ends before there is nothing left to try.
    const { node, depth } = open.pop()!
    const wildcards = depth > 0 || !filter.startsWith('$')
    if (wildcards && node.rest.length > 0) return node.rest
    if (depth === levels.length && node.here.length > 0) return node.here
    const level = levels[depth]
    // Nothing but # covers #.
    if (level === undefined || level === '#') continue
    const literal = node.literals?.get(level)
    if (literal !== undefined) open.push({ node: literal, depth: depth + 1 })
    if (wildcards && node.plus !== undefined) open.push({ node: node.plus, depth: depth + 1 })
  }
}

// Which filters can match a common topic, and the least filter that stands for two of them.
import { canonical } from './filter-cover.ts'
import { type FilterNode, filterTrie } from './filter-trie.ts'

/**
 * Whether some topic is matched by both. Both are valid and not shared.
 *
 * @example
 * overlaps('a/+', '+/b') // true: a/b
 * overlaps('#', '$SYS/#') // false [MQTT-4.7.2-1]
 */
export function overlaps(one: string, other: string): boolean {
  return commonTopic(one, other) !== undefined
}

/**
 * A topic that both match, for people; undefined when there is none. What any level would do is `x`.
 *
 * @example
 * commonTopic('a/+', '+/b') // 'a/b'
 */
export function commonTopic(one: string, other: string): string | undefined {
  const [a, b] = [canonical(one).split('/'), canonical(other).split('/')]
  if (isHidden(a, b) || isHidden(b, a)) return undefined
  const topic: string[] = []
  let [x, y] = [a[0], b[0]]
  while (x !== undefined && y !== undefined && x !== '#' && y !== '#') {
    if (x !== y && x !== '+' && y !== '+') return undefined
    topic.push(literalOf(x === '+' ? y : x))
    ;[x, y] = [a[topic.length], b[topic.length]]
  }
  if (x === '#' || y === '#') return topicOf([...topic, ...restOf(x === '#' ? b : a, topic.length)])
  return x === y ? topicOf(topic) : undefined
}

/**
 * The least filter that covers both; neither begins with `$` where the other begins with a wildcard.
 *
 * It begins with a wildcard only if one of the two does, or if their first levels differ.
 *
 * @example
 * leastSuperset('a/+', '+/b') // '+/+'
 * leastSuperset('a/b/#', 'a/+/c') // 'a/+/#'
 */
export function leastSuperset(one: string, other: string): string {
  const [a, b] = [canonical(one).split('/'), canonical(other).split('/')]
  const wide: string[] = []
  let [x, y] = [a[0], b[0]]
  while (x !== undefined && y !== undefined && x !== '#' && y !== '#') {
    wide.push(x === y ? x : '+')
    ;[x, y] = [a[wide.length], b[wide.length]]
  }
  return x === undefined && y === undefined ? wide.join('/') : everythingBelow(wide)
}

/**
 * Merges filters that overlap into their least superset until no two overlap. The answer does not depend on
 * the order of `filters`.
 *
 * Maps each filter to the one that stands for it; a filter that overlaps with none stands for itself.
 *
 * @example
 * mergeOverlapping(['a/+', '+/b', 'c/d/e']) // a/+ → +/+, +/b → +/+, c/d/e → c/d/e
 */
export function mergeOverlapping(filters: readonly string[]): Map<string, string> {
  const merged = new Map(filters.map((filter) => [filter, filter]))
  for (;;) {
    const distinct = [...new Set(merged.values())]
    const index = new OverlapIndex(distinct)
    const next = new Map<string, string>()
    for (const [own, filter] of distinct.entries()) {
      const others = index.find(filter).filter((at) => at !== own)
      next.set(
        filter,
        others.reduce((wide, at) => leastSuperset(wide, distinct[at]!), filter),
      )
    }
    if (distinct.every((filter) => next.get(filter) === filter)) return merged
    for (const [filter, wide] of merged) merged.set(filter, next.get(wide)!)
  }
}

/** Finds which of many filters overlap with one. */
export class OverlapIndex {
  readonly #root: FilterNode

  /** Filters are valid and not shared. */
  constructor(filters: readonly string[]) {
    this.#root = filterTrie(filters.map(canonical)).root
  }

  /** By index, at most `limit` of them, in no particular order; an equal filter is among them. */
  find(filter: string, limit: number = Number.POSITIVE_INFINITY): number[] {
    const levels = canonical(filter).split('/')
    const found: number[] = []
    const open: { node: FilterNode; depth: number }[] = [{ node: this.#root, depth: 0 }]
    for (let next = open.pop(); next !== undefined && found.length < limit; next = open.pop()) {
      const { node, depth } = next
      const level = levels[depth]
      const hidden = depth === 0 && filter.startsWith('$')
      if (!hidden) found.push(...node.rest)
      if (level === undefined) found.push(...node.here)
      if (level === '#') found.push(...all(node, depth === 0))
      else if (level !== undefined) {
        for (const child of childrenOf(node, level, depth)) open.push({ node: child, depth: depth + 1 })
      }
    }
    return found.slice(0, limit)
  }
}

function childrenOf(node: FilterNode, level: string, depth: number): FilterNode[] {
  const isFirst = depth === 0
  const plus = node.plus === undefined || (isFirst && level.startsWith('$')) ? [] : [node.plus]
  if (level !== '+') {
    const literal = node.literals?.get(level)
    return literal === undefined ? plus : [...plus, literal]
  }
  return [...plus, ...literalsOf(node, isFirst)]
}

/** What begins with `$` is none that a leading wildcard matches [MQTT-4.7.2-1]. */
function literalsOf(node: FilterNode, isFirst: boolean): FilterNode[] {
  return [...(node.literals ?? [])].flatMap(([text, child]) =>
    isFirst && text.startsWith('$') ? [] : [child],
  )
}

/** All filters that end at this node or below it; those that go on with # right here are found already. */
function all(node: FilterNode, isFirst: boolean): number[] {
  const found = [...node.here]
  const open = [...(node.plus === undefined ? [] : [node.plus]), ...literalsOf(node, isFirst)]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    found.push(...next.here, ...next.rest)
    if (next.plus !== undefined) open.push(next.plus)
    open.push(...literalsOf(next, false))
  }
  return found
}

function isHidden(wild: readonly string[], dollar: readonly string[]): boolean {
  return (wild[0] === '#' || wild[0] === '+') && dollar[0]!.startsWith('$')
}

function restOf(levels: readonly string[], from: number): string[] {
  return levels.slice(from).flatMap((level) => (level === '#' ? [] : [literalOf(level)]))
}

function literalOf(level: string): string {
  return level === '+' ? 'x' : level
}

// No topic is empty [MQTT-4.7.3-1]: # and # share one of any level.
function topicOf(levels: readonly string[]): string {
  return levels.join('/') || 'x'
}

// +/# says the same as #.
function everythingBelow(levels: readonly string[]): string {
  return levels.length === 0 || (levels.length === 1 && levels[0] === '+') ? '#' : `${levels.join('/')}/#`
}

// All filters as one tree, a node a level; the ground on which the topic tree and the cover of filters are built.

/** One level of one or more filters. Everything below it is reached through its three kinds of children. */
export class FilterNode {
  literals: Map<string, FilterNode> | undefined
  plus: FilterNode | undefined
  /** The entries whose filter ends here, by index. */
  readonly here: number[] = []
  /** The entries whose filter goes on with `#`: they match this level and everything below (4.7.1.2). */
  readonly rest: number[] = []
  /** The length of the longest literal below, -1 when there is none. */
  longest = -1
}

/** The tree, and all levels that are spelled out in it. */
export interface FilterTrie {
  readonly root: FilterNode
  readonly labels: ReadonlyMap<string, number>
  /** How many nodes there are. */
  readonly size: number
}

/** Builds the tree. Filters must be valid and not shared; undefined takes an index and no place. */
export function filterTrie(filters: readonly (string | undefined)[]): FilterTrie {
  const root = new FilterNode()
  const labels = new Map<string, number>()
  let size = 1
  for (const [index, filter] of filters.entries()) {
    if (filter === undefined) continue
    let node = root
    const levels = filter.split('/')
    const all = levels.at(-1) === '#' && levels.pop() === '#'
    for (const level of levels) {
      let child = level === '+' ? node.plus : node.literals?.get(level)
      if (child === undefined) {
        child = new FilterNode()
        size++
        attach(node, level, child, labels)
      }
      node = child
    }
    const ending = all ? node.rest : node.here
    ending.push(index)
  }
  return { root, labels, size }
}

function attach(node: FilterNode, level: string, child: FilterNode, labels: Map<string, number>): void {
  if (level === '+') {
    node.plus = child
    return
  }
  node.literals ??= new Map()
  node.literals.set(level, child)
  if (!labels.has(level)) labels.set(level, labels.size)
  node.longest = Math.max(node.longest, level.length)
}

// The index over all patterns: an automaton over topic levels that is built as topics come, up to a limit.
import { EdgeTable, MISSING, UNKNOWN } from './edge-table.ts'
import { FilterNode, filterTrie } from './filter-trie.ts'
import { ListPool } from './list-pool.ts'

/** Says which entries a topic matches. */
export interface TopicIndex<T> {
  /**
   * The values of the matching entries in their order, frozen. The same combination of entries gives the
   * same list again, so the list can be the key of a WeakMap; only beyond the limit of what is remembered
   * (some ten thousand combinations and more with more entries) it may be an equal one.
   */
  match(topic: string): readonly T[]
}

/** One filter and what it stands for; without a filter it matches every topic, `$…` included. */
export interface TopicEntry<T> {
  readonly filter: string | undefined
  readonly value: T
}

/** Where the automaton can be after some levels: open nodes, and entries that match whatever follows. */
interface Place {
  readonly nodes: readonly FilterNode[]
  readonly rest: readonly number[]
}

// A state is known by its number; what is known of it stands side by side at number * 4.
const LONGEST = 0
const OTHERWISE = 1
const AT_END = 2
const STATE_WIDTH = 4

const DOLLAR = 36
/** Number 0 is no state: it means "not worked out yet". */
const START = 1
const START_DOLLAR = 2

// What may be remembered, in words of eight bytes: 16 MB, and half a kilobyte more for each level of a filter.
const WORDS = 2 ** 21
const WORDS_PER_NODE = 64
const WORDS_OF_STATE = 32
const WORDS_OF_EDGE = 8
const WORDS_OF_LIST = 8
/** With more open nodes than this it is remembered too that a label leads nowhere special. */
const MANY = 8

/**
 * An index over `entries`. Their filters must be valid and not shared; topics are taken as they come.
 *
 * A match costs one step a level, however many entries there are and however many match. `words` limits
 * what is remembered; beyond it steps are worked out anew each time.
 */
export function topicTree<T>(entries: readonly TopicEntry<T>[], words?: number): TopicIndex<T> {
  return new TopicTree(entries, words)
}

class TopicTree<T> implements TopicIndex<T> {
  /** Every level that is spelled out in some filter. */
  readonly #labels: ReadonlyMap<string, number>
  readonly #lists: ListPool<T>
  readonly #edges: EdgeTable
  readonly #places: Place[] = [{ nodes: [], rest: [] }]
  /** A target above 0 is a state; below 0 it is the list of that number, whatever levels follow. */
  #states = new Int32Array(64 * STATE_WIDTH)
  #words: number

  constructor(entries: readonly TopicEntry<T>[], words: number | undefined) {
    const { root, labels, size } = filterTrie(entries.map((entry) => entry.filter))
    this.#labels = labels
    this.#edges = new EdgeTable(labels)
    this.#lists = new ListPool(entries.map((entry) => entry.value))
    this.#lists.add([])
    const everywhere = entries.flatMap((entry, index) => (entry.filter === undefined ? [index] : []))
    this.#addState({ nodes: [root], rest: [...everywhere, ...root.rest] })
    // What begins with $ is not matched by a leading wildcard [MQTT-4.7.2-1].
    const literalsOnly = new FilterNode()
    literalsOnly.literals = root.literals
    literalsOnly.longest = root.longest
    this.#addState({ nodes: [literalsOnly], rest: everywhere })
    this.#words = words ?? WORDS + WORDS_PER_NODE * size
  }

  match(topic: string): readonly T[] {
    let state = topic.charCodeAt(0) === DOLLAR ? START_DOLLAR : START
    let start = 0
    for (;;) {
      const longest = this.#states[state * STATE_WIDTH + LONGEST]!
      let target = this.#edges.follow(state, topic, start, longest)
      const end = this.#edges.end
      if (target === UNKNOWN) target = this.#states[state * STATE_WIDTH + OTHERWISE]!
      if (target === 0 || target === MISSING) {
        target = this.#step(state, target === 0 ? undefined : topic.slice(start, end))
        if (target === 0) return this.#walk(this.#places[state]!, topic, start)
      }
      if (target < 0) return this.#lists.get(-target)
      if (end === topic.length) return this.#ending(target)
      state = target
      start = end + 1
    }
  }

  /** Where a level without an edge leads: most often where all such levels do. 0 when it is not to be remembered. */
  #step(state: number, level: string | undefined): number {
    const at = state * STATE_WIDTH + OTHERWISE
    const otherwise = this.#states[at]!
    const label = level === undefined || !this.#labels.has(level) ? undefined : level
    if (otherwise !== 0 && label === undefined) return otherwise
    const place = this.#places[state]!
    const special = label !== undefined && place.nodes.some((node) => node.literals?.has(label))
    let target = special ? 0 : otherwise
    if (target === 0) {
      target = this.#target(advance(place, level), place)
      if (!special) this.#states[at] = target
    }
    const edge = special || (label !== undefined && place.nodes.length > MANY)
    if (edge && target !== 0 && this.#afford(WORDS_OF_EDGE)) this.#edges.add(state, label, target)
    return target
  }

  #target(place: Place, from: Place): number {
    if (place.nodes.length === 0) return -this.#list(endingOf(place))
    const words = WORDS_OF_STATE + place.nodes.length + (place.rest === from.rest ? 0 : place.rest.length)
    return this.#afford(words) ? this.#addState(place) : 0
  }

  #addState(place: Place): number {
    const state = this.#places.push(place) - 1
    if ((state + 1) * STATE_WIDTH > this.#states.length) {
      const states = new Int32Array(2 * this.#states.length)
      states.set(this.#states)
      this.#states = states
    }
    this.#states[state * STATE_WIDTH + LONGEST] = longestOf(place)
    return state
  }

  #ending(state: number): readonly T[] {
    const at = state * STATE_WIDTH + AT_END
    const known = this.#states[at]!
    if (known !== 0) return this.#lists.get(known)
    const indexes = endingOf(this.#places[state]!)
    const list = this.#list(indexes)
    this.#states[at] = list
    return list === 0 ? this.#lists.make(indexes) : this.#lists.get(list)
  }

  /** The number of the list for these entries, 0 when it is new and not to be remembered. */
  #list(indexes: readonly number[]): number {
    const known = this.#lists.find(indexes)
    if (known !== 0) return known
    return this.#afford(WORDS_OF_LIST + indexes.length) ? this.#lists.add(indexes) : 0
  }

  #afford(words: number): boolean {
    if (words > this.#words) return false
    this.#words -= words
    return true
  }

  /** The rest of a match beyond the limit: the same steps, remembered nowhere. */
  #walk(from: Place, topic: string, index: number): readonly T[] {
    let place = from
    let start = index
    for (;;) {
      const slash = topic.indexOf('/', start)
      const end = slash < 0 ? topic.length : slash
      place = advance(place, end - start > longestOf(place) ? undefined : topic.slice(start, end))
      if (place.nodes.length === 0 || end === topic.length) {
        const indexes = endingOf(place)
        const list = this.#lists.find(indexes)
        return list === 0 ? this.#lists.make(indexes) : this.#lists.get(list)
      }
      start = end + 1
    }
  }
}

function longestOf(place: Place): number {
  return place.nodes.reduce((longest, node) => Math.max(longest, node.longest), -1)
}

/** One level further. Nodes behind which nothing can follow any more are left out. */
function advance(place: Place, label: string | undefined): Place {
  const nodes: FilterNode[] = []
  const added: number[] = []
  for (const node of place.nodes) {
    for (const child of [label === undefined ? undefined : node.literals?.get(label), node.plus]) {
      if (child === undefined) continue
      for (const index of child.rest) added.push(index)
      if (child.here.length > 0 || child.plus !== undefined || child.literals !== undefined) nodes.push(child)
    }
  }
  // The same array where nothing is added, so that places share it.
  return { nodes, rest: added.length === 0 ? place.rest : place.rest.concat(added) }
}

/** The entries that match when the topic ends here, in order. */
function endingOf(place: Place): number[] {
  const indexes = [...place.rest]
  for (const node of place.nodes) {
    for (const index of node.here) indexes.push(index)
  }
  return indexes.sort((a, b) => a - b)
}

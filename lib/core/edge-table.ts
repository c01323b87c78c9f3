// Which level leads from which state to which target: one typed array, so that a step touches one place in memory.

const SEED = 5381
const SLASH = 47

/** A slot is `[state, hash of the level, target, index of its text]`; state 0 marks a free one. */
const WIDTH = 4

/** A level that no filter spells out. */
export const UNKNOWN = 0
/** A level that may be spelled out somewhere, but has no edge here yet. */
export const MISSING = 0x7fffffff

/**
 * Finds edges by reading a topic in place.
 *
 * States are positive; targets are neither UNKNOWN nor MISSING.
 */
export class EdgeTable {
  readonly #levels: ReadonlyMap<string, number>
  readonly #texts: readonly string[]
  #size = 0
  #slots = new Int32Array(256 * WIDTH)
  /** One bit for the hash of each known level: most levels that are not known end here. */
  readonly #known: Int32Array
  /** Where the level that was read last ends: the index of its slash, or the length of the topic. */
  end = 0

  /** `levels` are all those that edges will be added for, numbered from 0 in their order. */
  constructor(levels: ReadonlyMap<string, number>) {
    this.#levels = levels
    this.#texts = [...levels.keys()]
    this.#known = new Int32Array(2 ** Math.ceil(Math.log2(levels.size / 2 + 1)))
    for (const level of this.#texts) {
      const hash = hashOf(level)
      this.#known[(hash >>> 5) & (this.#known.length - 1)]! |= 1 << hash
    }
  }

  /**
   * The target for the level that begins at `start`, or one of the two above. What is longer than `longest`
   * is UNKNOWN without being looked at; with -1 everything is.
   */
  follow(state: number, topic: string, start: number, longest: number): number {
    const limit = longest < topic.length - start ? start + longest : topic.length
    let hash = SEED
    let end = start
    let code = 0
    for (; end < limit; end++) {
      code = topic.charCodeAt(end)
      if (code === SLASH) break
      hash = (Math.imul(hash, 31) + code) | 0
    }
    if (longest < 0 || (code !== SLASH && end < topic.length && topic.charCodeAt(end) !== SLASH)) {
      const slash = topic.indexOf('/', end)
      this.end = slash < 0 ? topic.length : slash
      return UNKNOWN
    }
    this.end = end
    if (((this.#known[(hash >>> 5) & (this.#known.length - 1)]! >>> hash) & 1) === 0) return UNKNOWN
    const slots = this.#slots
    for (let at = place(state, hash, slots.length); ; at = (at + WIDTH) & (slots.length - 1)) {
      const owner = slots[at]!
      if (owner === 0) return MISSING
      if (
        owner === state &&
        slots[at + 1] === hash &&
        topic.slice(start, end) === this.#texts[slots[at + 3]!]
      ) {
        return slots[at + 2]!
      }
    }
  }

  /** Keeps an edge that is not known yet. */
  add(state: number, level: string, target: number): void {
    this.#size++
    if (2 * WIDTH * this.#size > this.#slots.length) this.#grow()
    insert(this.#slots, [state, hashOf(level), target, this.#levels.get(level)!])
  }

  #grow(): void {
    const old = this.#slots
    this.#slots = new Int32Array(2 * old.length)
    for (let at = 0; at < old.length; at += WIDTH) {
      if (old[at] !== 0) insert(this.#slots, old.subarray(at, at + WIDTH))
    }
  }
}

function insert(slots: Int32Array, slot: ArrayLike<number>): void {
  let at = place(slot[0]!, slot[1]!, slots.length)
  while (slots[at] !== 0) at = (at + WIDTH) & (slots.length - 1)
  slots.set(slot, at)
}

function hashOf(level: string): number {
  let hash = SEED
  for (let i = 0; i < level.length; i++) hash = (Math.imul(hash, 31) + level.charCodeAt(i)) | 0
  return hash
}

function place(state: number, hash: number, length: number): number {
  const mixed = Math.imul(state, 0x9e3779b1) ^ Math.imul(hash, 0x85ebca6b)
  return ((mixed ^ (mixed >>> 15)) * WIDTH) & (length - 1)
}

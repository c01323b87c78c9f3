// Recipients: which receivers of this server get a message.
import type { Interest } from '../core/receiver.ts'
import { topicTree, type TopicIndex } from '../core/topic-tree.ts'

/** One receiver and the filters it wants now. */
export interface Wish<R> {
  readonly recipient: R
  readonly interests: readonly Interest[]
}

interface Entry<R> {
  readonly recipient: R
  readonly share: string | undefined
}

/** The index of who wants what. The first recipient also gets what nobody wants, to say so. */
export class Recipients<R> {
  readonly #source: () => readonly Wish<R>[]
  #isStale = true
  #tree: TopicIndex<Entry<R>> = topicTree<Entry<R>>([])
  #all: readonly R[] = []
  #found = new WeakMap<readonly Entry<R>[], Map<string | null | undefined, readonly R[]>>()

  /** `source` is asked for the wishes when they have changed and a message comes. */
  constructor(source: () => readonly Wish<R>[] = () => []) {
    this.#source = source
  }

  /** The wishes are not what they were. */
  changed(): void {
    this.#isStale = true
  }

  update(wishes: readonly Wish<R>[]): void {
    this.#isStale = false
    this.#all = wishes.map(({ recipient }) => recipient)
    this.#found = new WeakMap()
    this.#tree = topicTree(
      wishes.flatMap(({ recipient, interests }) =>
        interests.map(({ filter, share }) => ({ filter, value: { recipient, share } })),
      ),
    )
  }

  /** In the order the receivers were attached; `share` as in `Message.share`. */
  of(topic: string, share: string | null | undefined): readonly R[] {
    if (this.#isStale) this.update(this.#source())
    if (this.#all.length === 1) return this.#all
    const matched = this.#tree.match(topic)
    let byShare = this.#found.get(matched)
    if (byShare === undefined)
      this.#found.set(matched, (byShare = new Map<string | null | undefined, readonly R[]>()))
    let found = byShare.get(share)
    if (found === undefined) byShare.set(share, (found = this.#pick(matched, share)))
    return found
  }

  /** Somebody wants messages on this topic, alone or in a share group. */
  wants(topic: string): boolean {
    if (this.#isStale) this.update(this.#source())
    return this.#tree.match(topic).length > 0
  }

  #pick(matched: readonly Entry<R>[], share: string | null | undefined): readonly R[] {
    const wanting = new Set(
      matched.filter((entry) => share === null || entry.share === share).map(({ recipient }) => recipient),
    )
    return wanting.size === 0
      ? this.#all.slice(0, 1)
      : this.#all.filter((recipient) => wanting.has(recipient))
  }
}

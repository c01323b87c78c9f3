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
  #tree: TopicIndex<Entry<R>> = topicTree<Entry<R>>([])
  #all: readonly R[] = []
  #found = new WeakMap<readonly Entry<R>[], Map<string | null | undefined, readonly R[]>>()

  update(wishes: readonly Wish<R>[]): void {
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
    if (this.#all.length === 1) return this.#all
    const matched = this.#tree.match(topic)
    let byShare = this.#found.get(matched)
    if (byShare === undefined)
      this.#found.set(matched, (byShare = new Map<string | null | undefined, readonly R[]>()))
    let found = byShare.get(share)
    if (found === undefined) byShare.set(share, (found = this.#pick(matched, share)))
    return found
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

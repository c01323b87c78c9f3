// Which instances of a worker a message is meant for: those that have asked for its topic, or all where nobody has.
import type { Message } from '../core/message.ts'
import { splitShare } from '../core/topic.ts'
import { topicTree, type TopicIndex } from '../core/topic-tree.ts'

/** Whoever asks for filters, written as the broker is told them. */
export interface Asking {
  readonly asksFor: readonly string[]
}

interface Entry<A> {
  readonly asking: A
  readonly share: string | undefined
}

export class Wanting<A extends Asking> {
  readonly #all: readonly A[]
  #isStale = true
  /** Undefined where all ask for the same, as nearly all workers do. */
  #tree: TopicIndex<Entry<A>> | undefined = undefined

  constructor(all: readonly A[]) {
    this.#all = all
  }

  /** What somebody asks for is not what it was. */
  changed(): void {
    this.#isStale = true
  }

  of({ share, topic }: Pick<Message, 'share' | 'topic'>): readonly A[] {
    if (this.#isStale) this.#update()
    if (this.#tree === undefined) return this.#all
    const asking = new Set<A>()
    for (const entry of this.#tree.match(topic)) {
      // Through which of them it has come is not always known.
      if (share === null || entry.share === share) asking.add(entry.asking)
    }
    return asking.size === 0 ? this.#all : this.#all.filter((one) => asking.has(one))
  }

  #update(): void {
    this.#isStale = false
    const asked = this.#all.map((asking) => ({ asking, filters: new Set(asking.asksFor) }))
    const together = new Set(asked.flatMap(({ filters }) => [...filters]))
    const isAlike = asked.every(({ filters }) => filters.size === together.size)
    this.#tree = isAlike ? undefined : topicTree(asked.flatMap(entriesOf))
  }
}

function entriesOf<A>({ asking, filters }: { readonly asking: A; readonly filters: ReadonlySet<string> }): {
  readonly filter: string
  readonly value: Entry<A>
}[] {
  return [...filters].map((text) => {
    const shared = splitShare(text)
    return { filter: shared?.filter ?? text, value: { asking, share: shared?.group } }
  })
}

// A broker as a model of how copies come: one for each filter or one for all, in any order, QoS 1 slower than the rest.
import type { QoS } from '../../lib/core/message.ts'
import { filterMatches, sharedFilter } from '../../lib/core/topic.ts'
import type { SubscriptionRequest } from '../../lib/transport/transport.ts'
import type { SeededRandom } from './seeded-random.ts'

/** One PUBLISH on its way to us. */
export interface Copy {
  readonly publication: Publication
  readonly identifiers: readonly number[]
  readonly qos: QoS
}

export interface Publication {
  readonly number: number
  readonly topic: string
  /** The best quality of service a copy for a subscription of our own was sent with; undefined when none was. */
  ownQos: QoS | undefined
  /** The share groups for which a copy was sent to us, with the filters. */
  readonly groups: Map<string, string[]>
}

export class CopyingBroker {
  readonly publications: Publication[] = []
  readonly subscriptions = new Map<string, SubscriptionRequest>()
  /** QoS 1 waits for its turn in the session's queue; SUBACK and QoS 0 overtake it. */
  readonly slow: (() => void)[] = []
  readonly fast: (() => void)[] = []
  /** How all that matches is sent: a copy each, one for our own and one for each group, or one for each QoS. */
  readonly merges: 'nothing' | 'own' | 'all'
  /** Others are in our share groups. */
  readonly members: boolean
  deliver: (copy: Copy) => void = () => {}
  readonly #random: SeededRandom

  constructor(random: SeededRandom) {
    this.#random = random
    this.merges = random.pick(['nothing', 'own', 'all'] as const) ?? 'nothing'
    this.members = random.chance(0.5)
  }

  subscribe(requests: readonly SubscriptionRequest[]): Promise<readonly number[]> {
    for (const request of requests) this.subscriptions.set(request.filter, request)
    return this.#answer(requests.map(({ qos }) => qos))
  }

  unsubscribe(filters: readonly string[]): Promise<void> {
    for (const filter of filters) this.subscriptions.delete(filter)
    return this.#answer(undefined)
  }

  publish(topic: string, qos: QoS): Publication {
    const publication: Publication = {
      number: this.publications.length,
      topic,
      ownQos: undefined,
      groups: new Map(),
    }
    this.publications.push(publication)
    const matching = [...this.subscriptions.values()].filter((request) => this.#getsTo(request, topic))
    for (const requests of this.#packets(matching)) {
      const granted = Math.min(qos, Math.max(...requests.map((request) => request.qos))) as QoS
      for (const request of requests) note(publication, request, granted)
      const identifiers = requests.map(({ identifier }) => identifier ?? 0)
      const copy: Copy = { publication, identifiers, qos: granted }
      const queue = granted === 0 ? this.fast : this.slow
      queue.push(() => this.deliver(copy))
    }
    return publication
  }

  #getsTo({ filter }: SubscriptionRequest, topic: string): boolean {
    const shared = sharedFilter(filter)
    if (!filterMatches(shared?.filter ?? filter, topic)) return false
    return shared === null || !this.members || this.#random.chance(0.5)
  }

  #packets(matching: readonly SubscriptionRequest[]): SubscriptionRequest[][] {
    if (this.merges === 'all') {
      return ([0, 1] as const)
        .map((qos) => matching.filter((request) => request.qos === qos))
        .filter(({ length }) => length > 0)
    }
    const own = matching.filter(({ filter }) => sharedFilter(filter) === null)
    const each = (this.merges === 'own' ? matching.filter((one) => !own.includes(one)) : matching).map(
      (one) => [one],
    )
    const packets = this.merges === 'own' && own.length > 0 ? [own, ...each] : each
    return packets
      .map((packet) => ({ packet, at: this.#random.next() }))
      .sort((a, b) => a.at - b.at)
      .map(({ packet }) => packet)
  }

  #answer<T>(value: T): Promise<T> {
    return new Promise((resolve) => this.fast.push(() => resolve(value)))
  }
}

function note(publication: Publication, { filter }: SubscriptionRequest, qos: QoS): void {
  const shared = sharedFilter(filter)
  if (shared === null) publication.ownQos = Math.max(publication.ownQos ?? 0, qos) as QoS
  else publication.groups.set(shared.group, [...(publication.groups.get(shared.group) ?? []), filter])
}

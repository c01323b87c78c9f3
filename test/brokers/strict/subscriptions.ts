// Who gets a publication: the subscriptions of all sessions, shared ones in turn, and retained messages.
import type { ISubscribePacket } from 'mqtt-packet'
import { naiveMatch } from '../../helpers/naive-match.ts'
import type { Outgoing } from './session.ts'

export interface Publication {
  readonly topic: string
  readonly payload: Buffer
  readonly qos: 0 | 1 | 2
  readonly retain: boolean
  readonly properties: Readonly<Record<string, unknown>>
}

type Requested = ISubscribePacket['subscriptions'][number]

interface Subscription<S> {
  readonly subscriber: S
  readonly filter: string
  /** undefined for one of the subscriber's own. */
  readonly group: string | undefined
  readonly options: Requested
  readonly qos: 0 | 1 | 2
  readonly identifier: number | undefined
}

/** One packet on its way. */
export interface Copy<S> {
  readonly subscriber: S
  readonly message: Outgoing
}

export class Subscriptions<S> {
  readonly #all = new Map<S, Map<string, Subscription<S>>>()
  readonly #retained = new Map<string, Publication>()
  readonly #turns = new Map<string, number>()

  /** The filters of one subscriber. */
  filters(subscriber: S): string[] {
    return [...(this.#all.get(subscriber)?.keys() ?? [])]
  }

  forget(subscriber: S): void {
    this.#all.delete(subscriber)
  }

  remove(subscriber: S, filter: string): boolean {
    return this.#all.get(subscriber)?.delete(filter) === true
  }

  /** The retained messages that this brings. */
  add(subscriber: S, options: Requested, qos: 0 | 1 | 2, identifier: number | undefined): Copy<S>[] {
    const [, group, shared] = /^\$share\/([^/]+)\/(.*)$/.exec(options.topic) ?? []
    const filter = shared ?? options.topic
    const own = this.#all.get(subscriber) ?? new Map<string, Subscription<S>>()
    const isNew = !own.has(options.topic)
    const subscription = { subscriber, filter, group, options, qos, identifier }
    this.#all.set(subscriber, own.set(options.topic, subscription))
    const handling = options.rh ?? 0
    if (group !== undefined || handling === 2 || (handling === 1 && !isNew)) return []
    return [...this.#retained.values()]
      .filter(({ topic }) => naiveMatch(filter, topic))
      .map((publication) => this.#copy([subscription], publication, true))
  }

  /** `merged`: one for all of a subscriber's own that match; else one for each. */
  publish(publication: Publication, from: S | undefined, merged: boolean): Copy<S>[] {
    if (publication.retain && publication.payload.length === 0) this.#retained.delete(publication.topic)
    else if (publication.retain) this.#retained.set(publication.topic, publication)
    const copies: Copy<S>[] = []
    for (const own of this.#all.values()) {
      const matching = [...own.values()].filter(
        ({ filter, group, options, subscriber }) =>
          group === undefined &&
          !(options.nl === true && subscriber === from) &&
          naiveMatch(filter, publication.topic),
      )
      const packets = merged && matching.length > 0 ? [matching] : matching.map((one) => [one])
      for (const packet of packets) copies.push(this.#copy(packet, publication, false))
    }
    return [...copies, ...this.#shared(publication)]
  }

  #shared(publication: Publication): Copy<S>[] {
    const groups = new Map<string, Subscription<S>[]>()
    for (const own of this.#all.values()) {
      for (const one of own.values()) {
        if (one.group === undefined || !naiveMatch(one.filter, publication.topic)) continue
        groups.set(one.options.topic, [...(groups.get(one.options.topic) ?? []), one])
      }
    }
    return [...groups].flatMap(([name, members]) => {
      const turn = this.#turns.get(name) ?? 0
      this.#turns.set(name, turn + 1)
      const member = members[turn % members.length]
      return member === undefined ? [] : [this.#copy([member], publication, false)]
    })
  }

  #copy(subscriptions: readonly Subscription<S>[], publication: Publication, isRetained: boolean): Copy<S> {
    const { topic, payload, properties } = publication
    const granted = Math.max(...subscriptions.map(({ qos }) => qos))
    const keepsRetain = subscriptions.some(({ options }) => options.rap === true)
    const message: Outgoing = {
      topic,
      payload,
      properties,
      qos: Math.min(granted, publication.qos) as 0 | 1 | 2,
      retain: isRetained || (keepsRetain && publication.retain),
      identifiers: subscriptions.flatMap(({ identifier }) => (identifier === undefined ? [] : [identifier])),
    }
    const [first] = subscriptions
    if (first === undefined) throw new Error('A copy is for somebody.')
    return { subscriber: first.subscriber, message }
  }
}

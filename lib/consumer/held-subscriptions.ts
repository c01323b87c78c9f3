// What one consumer has subscribed to, and what the broker has granted of it. Several patterns may be one filter on the wire.
import { MqttasgiError, toError } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'
import type { QoS, SubscribeOptions, SubscribeResult } from '../core/message.ts'
import { mountedFilter } from '../core/mounted-client.ts'
import { joinPatterns, pattern } from '../core/pattern.ts'
import type { Client } from '../core/receiver.ts'
import { topicTree, type TopicIndex } from '../core/topic-tree.ts'
import { resolveRouteOptions, type ResolvedRouteOptions } from '../core/route.ts'

/** One pattern that is subscribed to: under the mount, with its names, without its share group. */
export interface Subscribed {
  readonly pattern: string
  readonly share: string | undefined
}

interface Held extends Subscribed {
  /** As it was asked for. */
  readonly text: string
  /** As the broker is told it. */
  readonly filter: string
  readonly options: SubscribeOptions
  /** The same with every default in place. */
  readonly terms: ResolvedRouteOptions
  /** Undefined as long as nothing is granted. */
  qos: QoS | undefined
  /** In which connection it was asked for last. */
  asked: number
}

/** What it works with. */
export interface HeldSubscriptionsParts {
  readonly mount: string
  readonly client: () => Client
  readonly log: Logger
  /** Which patterns there are has changed. */
  readonly changed: () => void
  /** This pattern is not subscribed to any more. */
  readonly gone: (pattern: string) => void
}

export class HeldSubscriptions {
  readonly #parts: HeldSubscriptionsParts
  readonly #held = new Map<string, Held>()
  #tree: TopicIndex<string> | undefined = undefined
  #connection = 0

  constructor(parts: HeldSubscriptionsParts) {
    this.#parts = parts
  }

  /** The filters as they were asked for, with the QoS that the broker has granted. */
  get granted(): ReadonlyMap<string, QoS> {
    return new Map(
      [...this.#held].flatMap(([text, { qos }]) => (qos === undefined ? [] : [[text, qos] as const])),
    )
  }

  /** What is subscribed to, granted or on the way. */
  get all(): readonly Subscribed[] {
    return [...this.#held.values()]
  }

  /** The pattern through which a topic comes; undefined where it is none of these. */
  patternOf(topic: string): string | undefined {
    this.#tree ??= topicTree(
      this.all.map((one) => ({ filter: pattern<string>(one.pattern).filter, value: one.pattern })),
    )
    return this.#tree.match(topic)[0]
  }

  async subscribe(text: string, options: SubscribeOptions = {}): Promise<SubscribeResult> {
    const wanted = this.#wanted(text, options)
    const before = this.#held.get(text)
    this.#refuseContradiction(wanted)
    // Messages may come before the answer does.
    const asking = { ...wanted, qos: before?.qos }
    this.#set(text, asking)
    try {
      const granted = await this.#ask(wanted)
      const qos = Math.min(granted.qos, wanted.terms.qos) as QoS
      this.#grant(text, wanted.filter, qos)
      return { filter: text, qos }
    } catch (error) {
      // Another one may have been asked for meanwhile.
      if (this.#held.get(text) === asking) {
        if (isRefused(error) || before === undefined) this.#delete(text)
        else this.#set(text, before)
      }
      throw error
    }
  }

  async unsubscribe(text: string): Promise<void> {
    const filter = mountedFilter(this.#parts.mount, text)
    this.#delete(text)
    const [left] = this.#named(filter)
    if (left === undefined) await this.#parts.client().unsubscribe(filter)
    else await this.#ask(left)
  }

  /** A new connection: what is not asked for again is `confirm()`ed. */
  connected(): void {
    this.#connection++
  }

  /** Asks again for what was granted on an older connection: it costs no packet, and tells what was refused since. */
  async confirm(): Promise<void> {
    const older = [...this.#held].filter(
      ([, { asked, qos }]) => asked < this.#connection && qos !== undefined,
    )
    await Promise.all(older.map(([text, { options }]) => this.#confirm(text, options)))
  }

  async #confirm(text: string, options: SubscribeOptions): Promise<void> {
    try {
      await this.subscribe(text, options)
    } catch (error) {
      if (!isRefused(error)) return
      this.#parts.log.warn(`The subscription "${text}" is gone: ${toError(error).message}`)
    }
  }

  // To the server there is one of each filter: what is asked for last takes the place of what was before.
  #ask({ filter, options }: Held): Promise<SubscribeResult> {
    const qos = Math.max(...this.#named(filter).map(({ terms }) => terms.qos)) as QoS
    return this.#parts.client().subscribe(filter, { ...options, qos })
  }

  /** All that are this filter on the wire. */
  #named(filter: string): readonly Held[] {
    return [...this.#held.values()].filter((held) => held.filter === filter)
  }

  #refuseContradiction({ filter, terms, text }: Held): void {
    const other = this.#named(filter).find(
      (held) => held.text !== text && optionsOf(held.terms) !== optionsOf(terms),
    )
    if (other === undefined) return
    throw new MqttasgiError(
      'ERR_SUBSCRIBE_OPTIONS_DIFFER',
      `"${other.text}" and "${text}" both subscribe to "${filter}", but one with ${optionsOf(other.terms)} and the other with ${optionsOf(terms)}. The broker keeps one subscription per filter: give both the same options.`,
    )
  }

  #wanted(text: string, options: SubscribeOptions): Held {
    const whole = joinPatterns(this.#parts.mount, text)
    const { filter, share, text: written } = pattern<string>(whole)
    return {
      text,
      filter: share === undefined ? filter : `$share/${share}/${filter}`,
      share,
      pattern: share === undefined ? written : written.slice(`$share/${share}/`.length),
      options,
      terms: resolveRouteOptions(text, options, share),
      qos: undefined,
      asked: this.#connection,
    }
  }

  #grant(text: string, filter: string, qos: QoS): void {
    const held = this.#held.get(text)
    if (held !== undefined && held.filter === filter) held.qos = qos
  }

  #set(text: string, held: Held): void {
    const known = this.#held.has(text)
    this.#held.set(text, held)
    if (!known) this.#changed()
  }

  #delete(text: string): void {
    const held = this.#held.get(text)
    if (held === undefined) return
    this.#held.delete(text)
    this.#changed()
    // It may be there a second time, in a group.
    if (!this.all.some((one) => one.pattern === held.pattern)) this.#parts.gone(held.pattern)
  }

  #changed(): void {
    this.#tree = undefined
    this.#parts.changed()
  }
}

function optionsOf({ noLocal, retainAsPublished, retainHandling }: ResolvedRouteOptions): string {
  return `noLocal ${noLocal}, retainHandling ${retainHandling}, retainAsPublished ${retainAsPublished}`
}

function isRefused(error: unknown): boolean {
  return error instanceof MqttasgiError && error.code === 'ERR_SUBSCRIBE_REFUSED'
}

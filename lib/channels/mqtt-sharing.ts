// Channels of no process over MQTT: subscribed to by all who receive, and what waits with one who is busy goes to one who waits.
import { decodeEvent, encodeEvent } from '../core/channel-event.ts'
import type { Clock } from '../core/clock.ts'
import { processOf } from '../core/channel-name.ts'
import type { Client } from '../core/receiver.ts'
import { Lingering } from './lingering.ts'
import type { Mailboxes } from './mailboxes.ts'
import type { Envelope } from './mqtt-envelope.ts'
import type { MqttTopics } from './mqtt-topics.ts'

export interface MqttSharingParts {
  readonly topics: MqttTopics
  readonly mailboxes: Mailboxes
  readonly after: Clock['after']
  readonly client: () => Promise<Client>
  /** False when the broker says that nobody hears it. */
  readonly publish: (topic: string, bytes: Uint8Array) => Promise<boolean>
  /** Where it fails, something comes that nobody wants, and is passed over. */
  readonly unsubscribe: (filter: string) => void
  /** The broker does not let us receive from it. */
  readonly refused: (channel: string, error: unknown) => void
}

// Whoever is busy with an event is back before that, more often than not.
const BUSY_MS = 250
const QUESTION = 'question'
const ANSWER = 'answer'

export class MqttSharing {
  readonly #parts: MqttSharingParts
  readonly #busy: Lingering
  readonly #shared = new Set<string>()
  // Those with events that nobody has come back for.
  readonly #idle = new Set<string>()
  #isEnding = false

  constructor(parts: MqttSharingParts) {
    this.#parts = parts
    this.#busy = new Lingering(parts.after, BUSY_MS, (channel) => this.#ask(channel))
  }

  /** Somebody receives from it from now on. */
  receives(channel: string): void {
    this.#busy.back(channel)
    this.#idle.delete(channel)
    if (this.#isEnding || this.#shared.has(channel)) return
    this.#shared.add(channel)
    this.#share(channel).catch((error: unknown) => {
      this.leave(channel)
      this.#parts.refused(channel, error)
    })
  }

  /** An event waits, or a receive has ended: nobody may be there for what waits. */
  waits(channel: string): void {
    if (this.#isLeft(channel)) this.#busy.left(channel)
  }

  /** What another process says to those who share a channel: that it has events, or that it waits for one. */
  heard(channel: string, { bytes, sender }: Envelope): void {
    const { type } = decodeEvent(bytes)
    if (this.#parts.mailboxes.isAwaited(channel)) {
      if (type === QUESTION) this.#say(channel, ANSWER)
    } else if (type === ANSWER && this.#isLeft(channel) && !this.#isSoonBack(channel)) {
      // The other one gets what comes from now on, until somebody receives here again.
      this.leave(channel)
      void this.#give(channel, sender)
    }
  }

  /** Nobody receives from it any more. */
  leave(channel: string): void {
    if (!this.#shared.delete(channel)) return
    this.#parts.unsubscribe(this.#parts.topics.shared(channel))
    if (this.#isLeft(channel)) this.#busy.left(channel)
    else this.#parts.unsubscribe(this.#parts.topics.receivers(channel))
  }

  /** Publishes what waits for those who go on. What nobody hears is left, to be counted. */
  async end(): Promise<void> {
    this.#isEnding = true
    this.#busy.close()
    const { client, mailboxes, publish, topics } = this.#parts
    const left = mailboxes.channels().filter((channel) => processOf(channel) === undefined)
    const channels = new Set([...this.#shared, ...left])
    this.#shared.clear()
    for (const channel of channels) {
      const connected = await client()
      for (const filter of [topics.shared(channel), topics.receivers(channel)])
        await connected.unsubscribe(filter)
      const kept: Buffer[] = []
      for (let bytes = mailboxes.next(channel); bytes !== undefined; bytes = mailboxes.next(channel)) {
        const isHeard = await publish(topics.channel(channel), bytes).catch(() => false)
        if (!isHeard) kept.push(bytes)
      }
      for (const bytes of kept) mailboxes.offer(channel, bytes)
    }
  }

  async #share(channel: string): Promise<void> {
    const { client, topics } = this.#parts
    const connected = await client()
    await Promise.all([
      // What is said there is said again, and is of no use to those who come later.
      connected.subscribe(topics.receivers(channel), { qos: 0 }),
      connected.subscribe(topics.shared(channel), { qos: 1 }),
    ])
    // Others may have what they do not come to.
    if (this.#parts.mailboxes.isAwaited(channel)) this.#say(channel, ANSWER)
  }

  // Who has nothing to give stays: whoever waits now may not for long, and then somebody must be there.
  #isSoonBack(channel: string): boolean {
    return this.#busy.isLingering(channel) && !this.#idle.has(channel)
  }

  #isLeft(channel: string): boolean {
    const { mailboxes } = this.#parts
    return !mailboxes.isAwaited(channel) && mailboxes.unread(channel) > 0
  }

  #ask(channel: string): void {
    if (this.#isLeft(channel)) {
      this.#idle.add(channel)
      this.#say(channel, QUESTION)
      // Whoever is busy too may wait later.
      this.#busy.left(channel)
      return
    }
    this.#idle.delete(channel)
    if (!this.#shared.has(channel)) this.#parts.unsubscribe(this.#parts.topics.receivers(channel))
  }

  // One for each that waits: it may be busy with that for long.
  async #give(channel: string, to: string): Promise<void> {
    const { mailboxes, publish, topics } = this.#parts
    const bytes = mailboxes.next(channel)
    if (bytes === undefined) return
    const isHeard = await publish(topics.given(to, channel), bytes).catch(() => false)
    if (!isHeard) mailboxes.offer(channel, bytes)
    this.#ask(channel)
  }

  #say(channel: string, type: string): void {
    const { publish, topics } = this.#parts
    publish(topics.receivers(channel), encodeEvent({ type })).catch(() => {})
  }
}

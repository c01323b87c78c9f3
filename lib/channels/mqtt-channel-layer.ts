// A channel layer over the MQTT broker itself: events are publications, and its server has one more receiver (long: all operations).
import { randomBytes } from 'node:crypto'
import { decodeEvent, encodeEvent } from '../core/channel-event.ts'
import {
  zeroChannelCounters,
  type ChannelCounters,
  type ChannelEvent,
  type ChannelLayer,
  type ChannelLimits,
} from '../core/channel-layer.ts'
import {
  assertChannel,
  assertGroup,
  assertOwn,
  assertPrefix,
  localChannel,
  processOf,
} from '../core/channel-name.ts'
import type { Clock } from '../core/clock.ts'
import { MqttasgiError, toError } from '../core/errors.ts'
import { silentLog, type Logger } from '../core/log.ts'
import type { HostedReceiver } from '../core/hosted.ts'
import type { Message } from '../core/message.ts'
import type { Client } from '../core/receiver.ts'
import { traceChannelLoss } from '../core/trace.ts'
import { Groups } from './groups.ts'
import {
  assertSignal,
  channelsClosed,
  channelsFull,
  decidedLimits,
  LAST_MS,
  type DecidedLimits,
} from './limits.ts'
import { Mailboxes } from './mailboxes.ts'
import { MqttControl, type GroupChange } from './mqtt-control.ts'
import { decodeEnvelope, encodeEnvelope, SeenEvents, type Envelope } from './mqtt-envelope.ts'
import { MqttLosses } from './mqtt-losses.ts'
import { MqttReceiver } from './mqtt-receiver.ts'
import { MqttSharing } from './mqtt-sharing.ts'
import { MqttTopics, type TopicUse } from './mqtt-topics.ts'
import { systemClock } from '../system-clock.ts'
import { endedWithin, withinTime } from '../time-limit.ts'

/** How much it keeps, and for how long. */
export interface MqttChannelLayerOptions extends ChannelLimits {
  /** The first level of all its topics; layers with another one do not hear each other. Default: asgi. */
  readonly prefix?: string | undefined
  /** Seconds that an operation may take. Default: 5. */
  readonly timeout?: number | undefined
  /** Is told of events that came and found no room. Default: nobody. */
  readonly log?: Logger | undefined
  /** Called at the end of `close()`. */
  readonly ended?: (() => Promise<unknown>) | undefined
  /** For tests: where the time comes from. */
  readonly clock?: Clock | undefined
}

const NO_MATCHING_SUBSCRIBERS = 0x10

// What the layer itself has to say is not the broker's failure.
const ownCodes: ReadonlySet<string> = new Set([
  'ERR_CHANNEL_NAME',
  'ERR_CHANNEL_EVENT',
  'ERR_CHANNEL_FULL',
  'ERR_CHANNEL_CLOSED',
  'ERR_CHANNEL_LAYER',
])

/**
 * A channel layer over the broker that a server is connected to; no further server is needed. Events that came wait in
 * the process that receives them. What finds no room in another process is counted, logged and published there, and in the
 * process of the sender as soon as that has been told; `send()` does not wait for it. When the broker does not answer, operations reject with
 * `ERR_CHANNEL_LAYER` within `timeout`.
 *
 * A server makes it of its settings, and `channelLayer()` makes one with a connection of its own.
 *
 * @example
 * const layer = await channelLayer({ broker: { url: 'mqtt://localhost' }, channels: { layer: 'mqtt' } })
 * await layer.groupSend('alarms', { type: 'alarm.raised', room: 'hall' })
 * await layer.close()
 */
export class MqttChannelLayer implements ChannelLayer {
  readonly name: string
  readonly counters: Readonly<ChannelCounters>
  readonly groupExpiry: number
  readonly #counters: ChannelCounters
  readonly #process = randomBytes(9).toString('base64url')
  readonly #limits: DecidedLimits
  readonly #timeoutMs: number
  readonly #ended: () => Promise<unknown>
  readonly #topics: MqttTopics
  readonly #mailboxes: Mailboxes
  readonly #groups: Groups
  readonly #control: MqttControl
  readonly #receiver: MqttReceiver
  readonly #seen = new SeenEvents()
  readonly #sharing: MqttSharing
  readonly #losses: MqttLosses
  #published = 0
  #isClosed = false
  #isOver = false

  /** Throws `ERR_CONFIG_VALUE` for a limit that is none, `ERR_CHANNEL_NAME` for a prefix. */
  constructor({
    prefix = 'asgi',
    timeout = 5,
    log = silentLog,
    clock = systemClock,
    ended = async () => {},
    ...limits
  }: MqttChannelLayerOptions = {}) {
    assertPrefix(prefix)
    this.name = `mqtt ${prefix}`
    this.counters = this.#counters = zeroChannelCounters()
    this.#timeoutMs = timeout * 1_000
    this.#ended = ended
    this.#limits = decidedLimits(limits)
    this.groupExpiry = this.#limits.groupExpiryMs / 1_000
    this.#topics = new MqttTopics(prefix, this.#process)
    this.#mailboxes = new Mailboxes({ ...this.#limits, layer: this.name, counters: this.#counters, clock })
    this.#groups = new Groups(clock, this.#limits.groupExpiryMs)
    this.#receiver = new MqttReceiver({
      id: `channels ${prefix}`,
      filters: [this.#topics.own, this.#topics.flush],
      answers: this.#topics.control(this.#process),
      isAnswerDue: () => this.#control.isAsking,
      arrived: (message) => this.#arrived(message),
      ending: () => this.#leave(),
    })
    this.#sharing = new MqttSharing({
      topics: this.#topics,
      mailboxes: this.#mailboxes,
      after: (ms, callback) => clock.after(ms, callback),
      client: () => this.#receiver.client,
      publish: (topic, bytes) => this.#publish(topic, bytes),
      unsubscribe: (filter) => this.#unsubscribe(filter),
      refused: (channel, error) => this.#mailboxes.fail(channel, this.#failure(error)),
    })
    this.#control = new MqttControl({
      ask: (process, bytes) => this.#publish(this.#topics.control(process), bytes, 'prompt and sure'),
      tell: (process, bytes) => this.#publish(this.#topics.control(process), bytes),
      answer: (process, bytes) => this.#publish(this.#topics.control(process), bytes, 'prompt'),
      change: (change, group, channel) => this.#changeAsAsked(change, group, channel),
      lost: (lost) => this.#losses.told(lost),
    })
    this.#losses = new MqttLosses({
      layer: this.name,
      ...this.#limits,
      clock,
      counters: this.#counters,
      log,
      tell: (process, lost) => this.#control.tellLost(process, lost),
    })
  }

  /** What a server must have, so that this layer reaches the broker. */
  get receiver(): HostedReceiver {
    return this.#receiver
  }

  async send(channel: string, event: ChannelEvent): Promise<void> {
    this.#assertOpen()
    assertChannel(channel)
    const bytes = encodeEvent(event)
    if (this.#isOwn(channel)) {
      if (!this.#mailboxes.offer(channel, bytes)) throw channelsFull([channel], this.#limits.capacity)
    } else if (!(await this.#within(this.#publish(this.#topics.channel(channel), bytes)))) {
      throw new MqttasgiError('ERR_CHANNEL_LAYER', `Nobody receives from the channel "${channel}".`)
    }
    this.#counters.sent++
  }

  async receive(channel: string, signal?: AbortSignal): Promise<ChannelEvent> {
    this.#assertOpen()
    assertOwn(channel, this.#process)
    assertSignal(signal)
    const coming = this.#mailboxes.take(channel, signal)
    const isShared = processOf(channel) === undefined
    if (isShared && signal?.aborted !== true) this.#sharing.receives(channel)
    try {
      const event = decodeEvent(await coming)
      this.#counters.received++
      return event
    } catch (error) {
      // Others may receive what comes now.
      if (isShared && !this.#mailboxes.isAwaited(channel)) this.#sharing.leave(channel)
      throw error
    } finally {
      if (isShared) this.#sharing.waits(channel)
    }
  }

  async newChannel(prefix = 'specific'): Promise<string> {
    this.#assertOpen()
    return localChannel(prefix, this.#process, randomBytes(9).toString('base64url'))
  }

  /** A group holds channels that `newChannel()` has made, of whatever process; `ERR_CHANNEL_NAME` for others. */
  async groupAdd(group: string, channel: string): Promise<void> {
    await this.#change('group.add', group, channel)
  }

  async groupDiscard(group: string, channel: string): Promise<void> {
    await this.#change('group.discard', group, channel)
  }

  async groupSend(group: string, event: ChannelEvent): Promise<void> {
    this.#assertOpen()
    assertGroup(group)
    const bytes = encodeEvent(event)
    await this.#within(this.#publish(this.#topics.group(group), bytes))
    const channels = this.#groups.members(group)
    const full = channels.filter((channel) => !this.#mailboxes.offer(channel, bytes))
    this.#counters.sent++
    if (full.length > 0) throw channelsFull(full, this.#limits.capacity)
  }

  /** In all processes that the broker reaches. */
  async flush(): Promise<void> {
    this.#assertOpen()
    this.#flush()
    await this.#within(this.#publish(this.#topics.flush, Buffer.alloc(0)))
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#mailboxes.failAll(channelsClosed(this.name))
    await endedWithin(LAST_MS, this.#leave())
    this.#isOver = true
    this.#mailboxes.close()
    this.#receiver.close(channelsClosed(this.name))
    await this.#ended()
  }

  // Nothing is left of it at the broker, and what waits is given to those who go on.
  async #leave(): Promise<void> {
    for (const group of this.#groups.names()) this.#unsubscribe(this.#topics.group(group))
    this.#groups.clear()
    await this.#sharing.end()
  }

  async #change(change: GroupChange, group: string, channel: string): Promise<void> {
    this.#assertOpen()
    assertGroup(group)
    assertChannel(channel)
    const owner = processOf(channel)
    if (owner === undefined) {
      throw new MqttasgiError(
        'ERR_CHANNEL_NAME',
        `Over MQTT a group holds channels of processes, and "${channel}" is none. Use one that newChannel() has made.`,
      )
    }
    if (this.#isOwn(channel)) return await this.#within(this.#changeOwn(change, group, channel))
    const asked = this.#control.ask(owner, change, group, channel)
    await this.#within(asked.done).finally(asked.forget)
  }

  async #changeOwn(change: GroupChange, group: string, channel: string): Promise<void> {
    const topic = this.#topics.group(group)
    if (change === 'group.add') {
      this.#groups.add(group, channel)
      const client = await this.#receiver.client
      await client.subscribe(topic, { qos: 1 })
    } else {
      this.#groups.discard(group, channel)
      this.#leaveEmpty(group)
    }
  }

  async #changeAsAsked(change: GroupChange, group: string, channel: string): Promise<void> {
    assertGroup(group)
    assertOwn(channel, this.#process)
    await this.#changeOwn(change, group, channel)
  }

  #leaveEmpty(group: string): void {
    if (this.#groups.members(group).length === 0) this.#unsubscribe(this.#topics.group(group))
  }

  // Where it fails, something comes that nobody wants, and is passed over.
  #unsubscribe(filter: string): void {
    this.#receiver.client.then((client) => client.unsubscribe(filter)).catch(() => {})
  }

  /**
   * False when the broker says that nobody subscribes to it. What is prompt is sent with QoS 0, which waits for no place
   * where it comes; what is sure too is sent with both, and whichever comes second counts as one that came before.
   */
  async #publish(
    topic: string,
    bytes: Uint8Array,
    how: 'sure' | 'prompt' | 'prompt and sure' = 'sure',
  ): Promise<boolean> {
    const client = await this.#receiver.client
    const payload = encodeEnvelope(this.#process, ++this.#published, bytes)
    const properties = { messageExpiryInterval: Math.ceil(this.#limits.expiryMs / 1_000) }
    const send = (qos: 0 | 1): ReturnType<Client['publish']> =>
      client.publish(topic, payload, { qos, properties })
    if (how === 'prompt and sure') send(0).catch(() => {})
    const { reasonCode } = await send(how === 'prompt' ? 0 : 1)
    return reasonCode !== NO_MATCHING_SUBSCRIBERS
  }

  #arrived({ topic, payload }: Message): void {
    const use = this.#topics.read(topic)
    if (use === undefined || this.#isOver) return
    try {
      const envelope = decodeEnvelope(payload)
      if (this.#seen.isNew(envelope)) this.#came(use, envelope)
    } catch {
      // Whoever may publish there has written something else.
      this.#counters.unreadable++
      traceChannelLoss({
        layer: this.name,
        channel: 'name' in use ? use.name : use.type,
        reason: 'unreadable',
        count: 1,
      })
    }
  }

  #came(use: TopicUse, envelope: Envelope): void {
    if (use.type === 'control') return this.#control.came(envelope)
    const isOwn = envelope.sender === this.#process
    if (use.type === 'flush') return isOwn ? undefined : this.#flush()
    if (use.type === 'receivers') return isOwn ? undefined : this.#sharing.heard(use.name, envelope)
    // An event that can not be read must not take the place of one that can.
    decodeEvent(envelope.bytes)
    if (use.type !== 'group') this.#offer(use.name, envelope)
    if (use.type === 'named') this.#sharing.waits(use.name)
    if (use.type !== 'group') return
    // Its own channels have got it when it was sent.
    if (isOwn) return
    const channels = this.#groups.members(use.name)
    if (channels.length === 0) this.#leaveEmpty(use.name)
    for (const channel of channels) this.#offer(channel, envelope)
  }

  #offer(channel: string, { bytes, sender }: Envelope): void {
    if (this.#mailboxes.offer(channel, bytes)) this.#losses.room(channel)
    else this.#losses.here(sender === this.#process ? undefined : sender, channel)
  }

  #flush(): void {
    for (const group of this.#groups.names()) this.#unsubscribe(this.#topics.group(group))
    this.#mailboxes.clear()
    this.#groups.clear()
  }

  #isOwn(channel: string): boolean {
    return processOf(channel) === this.#process
  }

  async #within<T>(work: Promise<T>): Promise<T> {
    const late = (): Error => new Error(`there is no answer within ${this.#timeoutMs / 1_000} s`)
    try {
      return await withinTime(this.#timeoutMs, work, late)
    } catch (error) {
      throw this.#failure(error)
    }
  }

  #failure(thrown: unknown): MqttasgiError {
    if (this.#isClosed) return channelsClosed(this.name)
    const cause = toError(thrown)
    if (cause instanceof MqttasgiError && ownCodes.has(cause.code)) return cause
    const message = `The broker has not confirmed it: ${cause.message.replace(/\.$/, '')}.`
    return new MqttasgiError('ERR_CHANNEL_LAYER', message, { cause })
  }

  #assertOpen(): void {
    if (this.#isClosed) throw channelsClosed(this.name)
  }
}

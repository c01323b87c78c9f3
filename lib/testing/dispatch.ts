// Runs an application with no broker at all: the same way through the same code, minus the network.
import { InMemoryChannelLayer } from '../channels/memory.ts'
import type { ApplicationReceiver } from '../core/application-receiver.ts'
import { asApplication, type Application } from '../core/application.ts'
import type { ChannelEvent } from '../core/channel-layer.ts'
import { silentLog, type Logger } from '../core/log.ts'
import type {
  MessageProperties,
  Payload,
  PublishOptions,
  PublishResult,
  QoS,
  SubscribeOptions,
  SubscribeResult,
} from '../core/message.ts'
import { encodePayload } from '../core/payload.ts'
import { checkPublishOptions } from '../core/publish-options.ts'
import type { Client } from '../core/receiver.ts'
import type { Mountable } from '../core/router.ts'
import { masterScope, type Scope } from '../core/scope.ts'
import { assertFilter, assertPublishTopic, assertTopic } from '../core/topic.ts'
import { zeroCounters } from '../server/counters.ts'
import { Dispatcher } from '../server/dispatcher.ts'
import { slotOf, type Slot } from '../server/job.ts'
import { Recipients } from '../server/recipients.ts'
import type { Settlement } from '../server/settlement.ts'
import { systemClock } from '../system-clock.ts'
import type { Arrival } from '../transport/transport.ts'
import { memoryArrival } from './memory-arrival.ts'
import { withAttempts } from './with-attempts.ts'

/** How the message came, and to whom. */
export interface DispatchOptions {
  readonly qos?: QoS
  readonly retain?: boolean
  readonly dup?: boolean
  readonly properties?: MessageProperties
  /** Deliver it as a member of this share group would get it. */
  readonly share?: string
  /** The mount the application would have as a worker. */
  readonly mount?: string
  /** Parts of the scope: application id, instance type, params. */
  readonly scope?: Partial<Scope>
  /** How often the chain may be started at most, without waiting between; 1 unless told otherwise. */
  readonly attempts?: number
  readonly log?: Logger
}

/** A publication a handler made. */
export interface Published {
  readonly topic: string
  /** The bytes as they would go to the broker. */
  readonly payload: Buffer
  readonly options: PublishOptions
}

/** A subscription a handler asked for. */
export interface Subscribed {
  readonly filter: string
  readonly options: SubscribeOptions
}

/** An event that a handler sent over the channel layer: to a channel, or to a group. */
export interface SentEvent {
  readonly channel?: string
  readonly group?: string
  readonly event: ChannelEvent
}

/** What happened to the message. */
export interface DispatchResult {
  /** A route's handler was entered, and the chain did not fail. */
  readonly handled: boolean
  /** The patterns of the routes that match, in the order they run. */
  readonly routes: readonly string[]
  readonly published: readonly Published[]
  readonly subscribed: readonly Subscribed[]
  /** What was sent over the channel layer, which is one in memory. */
  readonly sent: readonly SentEvent[]
  /** How the message ended: as the counter of that name counts it. */
  readonly outcome: Settlement['type']
  /** What the chain failed with, after `onError` has seen it. */
  readonly error: Error | undefined
}

/**
 * Dispatches one message to an application as the server would, and says what came of it. It never
 * rejects for what a handler throws: that is `error`. Rejects with `ERR_TOPIC_INVALID` for a topic with
 * wildcards. Publications and subscriptions are recorded and succeed.
 *
 * @example
 * const { handled, published } = await dispatch(app, 'sensors/hall/temp', { celsius: 85 })
 */
export async function dispatch(
  app: Application | Mountable<never>,
  topic: string,
  payload?: Payload,
  options: DispatchOptions = {},
): Promise<DispatchResult> {
  assertTopic(topic)
  const channels = new RecordingChannelLayer()
  const receiver = asApplication(app, 'What dispatch() was given').receiver({
    mount: options.mount ?? '',
    scope: { ...masterScope, ...options.scope },
    log: options.log ?? silentLog,
    channels,
  })
  try {
    const arrival = memoryArrival(topic, encodePayload(payload, topic), options)
    const client = new RecordingClient()
    receiver.useClient(client)
    const settlement = await settlementOf(receiver, arrival, options)
    return {
      handled: settlement.type === 'handled',
      outcome: settlement.type,
      routes: receiver.plan(arrival).routes,
      published: client.published,
      subscribed: client.subscribed,
      sent: channels.sent,
      error: settlement.error,
    }
  } finally {
    receiver.release()
    await channels.close()
  }
}

// The server's own dispatcher, with a port that leads nowhere.
async function settlementOf(
  receiver: ApplicationReceiver,
  arrival: Arrival,
  options: DispatchOptions,
): Promise<Settlement> {
  const slot = slotOf(withAttempts(receiver, options.attempts ?? 1))
  const recipients = new Recipients<Slot>()
  recipients.update([{ recipient: slot, interests: receiver.interests() }])
  let settlement: Settlement = { type: 'unmatched' }
  const dispatcher = new Dispatcher({
    port: { acknowledge: () => true, pause() {}, resume() {}, cut() {}, awaiting: false },
    recipients,
    copies: { judge: () => ({ type: 'run', share: options.share }) },
    counters: zeroCounters(),
    limits: { maxInFlight: 1, maxWaitingBytes: Number.POSITIVE_INFINITY },
    clock: systemClock,
    random: Math.random,
    log: options.log ?? silentLog,
    bury: () => Promise.resolve(''),
    report: (_job, reported) => (settlement = reported),
    defer: (callback) => void setImmediate(callback),
  })
  dispatcher.arrived(arrival)
  await dispatcher.drain('finish')
  // Else the timer of timeoutMs would keep the test's process waiting.
  dispatcher.leave()
  return settlement
}

/** Keeps what handlers send, and sends it. */
class RecordingChannelLayer extends InMemoryChannelLayer {
  readonly sent: SentEvent[] = []

  override async send(channel: string, event: ChannelEvent): Promise<void> {
    await super.send(channel, event)
    this.sent.push({ channel, event })
  }

  override async groupSend(group: string, event: ChannelEvent): Promise<void> {
    await super.groupSend(group, event)
    this.sent.push({ group, event })
  }
}

/** Keeps what handlers ask for, and grants it. */
class RecordingClient implements Client {
  readonly published: Published[] = []
  readonly subscribed: Subscribed[] = []

  async publish(topic: string, payload: Payload, options: PublishOptions = {}): Promise<PublishResult> {
    assertPublishTopic(topic)
    checkPublishOptions(topic, options)
    this.published.push({ topic, payload: encodePayload(payload, topic), options })
    return options.until === 'stored' ? { reasonCode: 0, stored: true } : { reasonCode: 0 }
  }

  async subscribe(filter: string, options: SubscribeOptions = {}): Promise<SubscribeResult> {
    assertFilter(filter)
    this.subscribed.push({ filter, options })
    return { filter, qos: options.qos ?? 1 }
  }

  async unsubscribe(filter: string): Promise<void> {
    assertFilter(filter)
  }
}

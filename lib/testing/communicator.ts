// Talks to one consumer, or whatever else can be run, in the place of the broker: the test asks and looks; long for its docstrings.
import { InMemoryChannelLayer } from '../channels/memory.ts'
import { asHostable } from '../consumer/hostable.ts'
import type { ChannelEvent, ChannelLayer } from '../core/channel-layer.ts'
import type { Clock } from '../core/clock.ts'
import { Deferred } from '../core/deferred.ts'
import { MqttasgiError, toError } from '../core/errors.ts'
import type { HostedReceiver, ReceiverIdentity } from '../core/hosted.ts'
import { silentLog, type Logger } from '../core/log.ts'
import type { Payload } from '../core/message.ts'
import { encodePayload } from '../core/payload.ts'
import type { Outcome, Plan, Receiver } from '../core/receiver.ts'
import type { Scope } from '../core/scope.ts'
import { assertTopic } from '../core/topic.ts'
import { Server } from '../server/server.ts'
import { systemClock } from '../system-clock.ts'
import type { WorkerOrder } from '../workers/orders.ts'
import { checkCommunicatorOptions, type MqttCommunicatorOptions } from './communicator-options.ts'
import { receiverOf } from './instances.ts'
import { MemoryBroker } from './memory-broker.ts'
import type { MemoryDelivery } from './memory-arrival.ts'
import type { MemoryPublication, MemoryTransport } from './memory-transport.ts'
import { nextTurn, Outputs, withinMs, type CommunicatorOutput } from './outputs.ts'
import { recordedClient, recordedWorkforce } from './recorded-client.ts'
import { TestWorkforce } from './test-workforce.ts'
import { withAttempts } from './with-attempts.ts'

/** What a message comes with. */
export type CommunicatorDelivery = Pick<MemoryDelivery, 'qos' | 'retain' | 'dup' | 'properties'>

const TIMEOUT_MS = 1_000
const TURNS = 20

/**
 * Runs a consumer class, an application, a router or a raw application on the server itself, with the test as its
 * broker: `connect()`, `publish()` to it, and `receiveFrom()` what it asks for. A time that is up rejects, and does
 * nothing to the consumer. Times to wait are of the clock on the wall.
 *
 * @example
 * const communicator = new MqttCommunicator(Echo, { appId: 1 })
 * await communicator.connect() // { type: 'mqtt.sub', mqtt: { topic: 'test/topic', qos: 1 } }
 * await communicator.publish('test/topic', 'hello')
 * await communicator.receiveFrom() // { type: 'mqtt.pub', mqtt: { topic: 'test/response', … } }
 * await communicator.disconnect()
 */
export class MqttCommunicator {
  /** The broker that it is connected to. */
  readonly broker: MemoryBroker
  /** The channel layer of the consumer, to send from outside. */
  readonly channels: ChannelLayer
  /** Its connection, for faults on order: `transport.grant = () => 0x87`. */
  readonly transport: MemoryTransport
  /** Resolves when the consumer has ended by itself: with what it failed with, or with undefined. */
  readonly ended: Promise<Error | undefined>
  readonly #receiver: HostedReceiver
  readonly #server: Server
  readonly #outputs = new Outputs()
  readonly #workforce: TestWorkforce<MqttCommunicator>
  #channel: string | undefined = undefined
  #connected = new Deferred()
  #isKilled = false

  /** Throws `ERR_APPLICATION_INVALID`, `ERR_CONFIG_*` for options that are none, and what the consumer's class throws. */
  constructor(application: unknown, options: MqttCommunicatorOptions = {}) {
    checkCommunicatorOptions(options)
    const { appId = 0, instanceType = 'worker', log = silentLog, mount = '', params = {} } = options
    this.broker = options.broker ?? new MemoryBroker()
    this.channels = options.channels ?? new InMemoryChannelLayer()
    this.transport = this.broker.transport()
    const clock = options.clock ?? systemClock
    const scope: Scope = { type: 'mqtt', appId, instanceType, params }
    this.#workforce = new TestWorkforce((order) =>
      workerOf(order, options, { broker: this.broker, channels: this.channels, clock, log }),
    )
    const identity: ReceiverIdentity = {
      id: String(appId),
      mount,
      scope,
      log,
      channels: this.#namedChannels(),
      workforce: recordedWorkforce(this.#workforce, (output) => this.#outputs.push(output)),
      clock,
    }
    this.#receiver = receiverOf(asHostable(application, 'What MqttCommunicator was given'), identity, options)
    this.ended = this.#receiver.ended ?? new Promise(() => {})
    void this.#leaveAtItsEnd()
    this.#server = serverOf(this.#watched(options.attempts ?? 1), this.transport, clock, log)
    void this.#server.closed.then(() => this.#receiver.release())
  }

  /** Everything the consumer has published so far. */
  get published(): readonly MemoryPublication[] {
    return this.transport.published
  }

  /** The communicator of a worker that the consumer has spawned. Throws `ERR_WORKER_UNKNOWN`. */
  worker(id: string | number): MqttCommunicator {
    return this.#workforce.communicator(String(id))
  }

  /**
   * Connects. Resolves with the first thing the consumer asks for, with undefined when its `connect()` has ended
   * without any. Rejects with what `connect()` throws, and with `ERR_COMMUNICATOR_TIMEOUT`.
   */
  async connect(timeoutMs: number = TIMEOUT_MS): Promise<CommunicatorOutput | undefined> {
    return this.#outputs.next('connect()', timeoutMs, this.#tried())
  }

  /**
   * Connects, and resolves when `connect()` of the consumer has ended; what it asks for is kept. Rejects with what
   * `connect()` throws.
   */
  async start(): Promise<void> {
    const error = await this.#started()
    if (error !== undefined) throw error
  }

  /**
   * Gives the consumer a message, whatever it has subscribed to; `broker.publish()` looks at subscriptions. Does not
   * wait for it to be handled. Rejects with `ERR_TOPIC_INVALID`, `ERR_PAYLOAD_TYPE`.
   */
  async publish(topic: string, payload?: Payload, delivery: CommunicatorDelivery = {}): Promise<void> {
    assertTopic(topic)
    this.transport.deliver(topic, encodePayload(payload, topic), delivery)
  }

  /**
   * The next thing the consumer asks for; several calls at once get one each, in their order. Rejects with what it failed
   * with, in its place in the order, and with `ERR_COMMUNICATOR_TIMEOUT`.
   */
  receiveFrom(timeoutMs: number = TIMEOUT_MS): Promise<CommunicatorOutput> {
    return this.#outputs.next('receiveFrom()', timeoutMs)
  }

  /** Whether the consumer asks for nothing within this time, and has not failed; what it asks for is kept. */
  async receiveNothing(timeoutMs: number = 0): Promise<boolean> {
    for (let turn = 0; turn < TURNS && this.#outputs.isEmpty; turn++) await nextTurn()
    const end = performance.now() + timeoutMs
    while (this.#outputs.isEmpty && performance.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, Math.min(10, end - performance.now())))
    }
    return this.#outputs.isEmpty
  }

  /** Sends a channel event to the consumer's own channel. Rejects with `ERR_CHANNEL_LAYER` where it has none. */
  async sendEvent(event: ChannelEvent): Promise<void> {
    if (this.#channel === undefined) {
      throw new MqttasgiError(
        'ERR_CHANNEL_LAYER',
        'This consumer has no channel: it declares no channelHandlers, or has not been connected.',
      )
    }
    await this.channels.send(this.#channel, event)
  }

  /** Breaks the connection, and resolves when the consumer's `connect()` has ended on the next one. */
  async reconnect({
    sessionPresent = true,
    timeoutMs = TIMEOUT_MS,
  }: { readonly sessionPresent?: boolean; readonly timeoutMs?: number } = {}): Promise<void> {
    this.transport.info = { ...this.transport.info, sessionPresent }
    this.#connected = new Deferred()
    this.transport.lose()
    await withinMs(timeoutMs, 'reconnect()', this.#connected.promise)
  }

  /**
   * Ends the consumer as a stop of its server does: what runs ends, then its `disconnect()` runs. Its workers end
   * first. Rejects with `ERR_COMMUNICATOR_TIMEOUT`; what was asked for meanwhile can be received afterwards.
   */
  async disconnect(timeoutMs: number = TIMEOUT_MS): Promise<void> {
    await this.#workforce.stop(timeoutMs)
    await withinMs(timeoutMs, 'disconnect()', this.#server.stop({ drainTimeoutMs: timeoutMs }))
  }

  /** Ends it as `kill()` does. */
  async kill(timeoutMs: number = TIMEOUT_MS): Promise<void> {
    this.#isKilled = true
    await this.disconnect(timeoutMs)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.disconnect()
  }

  /** With what the consumer has failed with, when that comes first. */
  #started(): Promise<Error | undefined> {
    return Promise.race([this.#ready(), this.ended])
  }

  // What it fails with is one of the outputs.
  async #tried(): Promise<undefined> {
    try {
      await this.#started()
    } catch (error) {
      this.#outputs.fail(toError(error))
    }
  }

  async #ready(): Promise<undefined> {
    await this.#server.start()
    await this.#connected.promise
  }

  // As a server whose application has ended: it ends, and its workers with it.
  async #leaveAtItsEnd(): Promise<void> {
    const error = await this.ended
    if (error !== undefined) this.#outputs.fail(error)
    await Promise.allSettled([this.#workforce.stop(TIMEOUT_MS), this.#server.stop()])
  }

  #namedChannels(): ChannelLayer {
    const { channels } = this
    return {
      name: channels.name,
      counters: channels.counters,
      groupExpiry: channels.groupExpiry,
      send: (channel, event) => channels.send(channel, event),
      receive: (channel, signal) => channels.receive(channel, signal),
      newChannel: async (prefix) => (this.#channel = await channels.newChannel(prefix)),
      groupAdd: (group, channel) => channels.groupAdd(group, channel),
      groupDiscard: (group, channel) => channels.groupDiscard(group, channel),
      groupSend: (group, event) => channels.groupSend(group, event),
      flush: () => channels.flush(),
      close: () => channels.close(),
    }
  }

  #watched(attempts: number): Receiver {
    const receiver: Receiver = withAttempts<Plan>(this.#receiver, attempts)
    return {
      ...receiver,
      receive: (message, plan, attempt) => {
        const outcome = receiver.receive(message, plan, attempt)
        if (outcome instanceof Promise) void outcome.then((value) => this.#noteFailure(value))
        else this.#noteFailure(outcome)
        return outcome
      },
      connected: async (client, session) => {
        const noted = recordedClient(client, (output) => this.#outputs.push(output))
        await receiver.connected(noted, session)
        this.#connected.resolve()
      },
      disconnected: (reason) =>
        receiver.disconnected(this.#isKilled && reason.type === 'stopped' ? { type: 'killed' } : reason),
    }
  }

  #noteFailure(outcome: Outcome): void {
    if (outcome.type !== 'done' && outcome.type !== 'dropped') this.#outputs.fail(outcome.error)
  }
}

function workerOf(
  { application, id, instances, mount, params, share }: WorkerOrder,
  { applications, attempts }: MqttCommunicatorOptions,
  surroundings: MqttCommunicatorOptions,
): MqttCommunicator {
  const found = typeof application === 'string' ? standIn(application, applications) : application
  return new MqttCommunicator(found, {
    ...surroundings,
    ...(applications === undefined ? {} : { applications }),
    ...(attempts === undefined ? {} : { attempts }),
    ...(share === undefined ? {} : { share }),
    appId: id,
    instanceType: 'worker',
    instances,
    mount,
    params,
  })
}

function standIn(file: string, applications: MqttCommunicatorOptions['applications'] = {}): object {
  const found = Object.hasOwn(applications, file) ? applications[file] : undefined
  if (found !== undefined) return found
  throw new MqttasgiError(
    'ERR_WORKER_APPLICATION',
    `Nothing stands for "${file}" in this test. Give it with the option applications of MqttCommunicator.`,
  )
}

function serverOf(receiver: Receiver, transport: MemoryTransport, clock: Clock, log: Logger): Server {
  return new Server({
    transport,
    receivers: [receiver],
    policy: { retries: 0, protocolVersion: 5, backoff: () => 0 },
    window: { maxInFlight: 1_000, maxWaitingBytes: 100_000_000 },
    outbox: { maxMessages: 100_000, maxBytes: 100_000_000 },
    // With it the server knows a lost session from a new one.
    sessionLasts: true,
    highestQoS: 2,
    drainTimeoutMs: TIMEOUT_MS,
    clock: {
      now: () => clock.now(),
      // What waits for nothing needs nobody to move the clock.
      after: (ms, callback) => (ms > 0 ? clock.after(ms, callback) : atOnce(callback)),
    },
    log,
  })
}

function atOnce(callback: () => void): () => void {
  const immediate = setImmediate(callback)
  return () => clearImmediate(immediate)
}

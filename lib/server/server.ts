// A server: keeps one connection to a broker up for its receivers, from start to drained stop; long, because all parts meet here.
import type { Clock } from '../core/clock.ts'
import { Deadline, drainTimeoutFault } from '../core/deadline.ts'
import { Deferred } from '../core/deferred.ts'
import { MqttasgiError, toError } from '../core/errors.ts'
import type {
  Payload,
  PublishOptions,
  PublishResult,
  SubscribeOptions,
  SubscribeResult,
} from '../core/message.ts'
import { encodePayload } from '../core/payload.ts'
import { loopError } from '../core/hops.ts'
import { checkPublishOptions } from '../core/publish-options.ts'
import type { DetachOptions, DetachResult, ReceiverHost } from '../core/receiver-host.ts'
import type { Client, DisconnectReason, Receiver } from '../core/receiver.ts'
import { assertPublishTopic } from '../core/topic.ts'
import { tracer } from '../core/trace.ts'
import { assemble } from './assembly.ts'
import { Attachments } from './attachments.ts'
import { ConnectionPolicy, type Retrial } from './connection-policy.ts'
import { zeroCounters, type Counters } from './counters.ts'
import type { DeadLetters } from './dead-letters.ts'
import type { Dispatcher } from './dispatcher.ts'
import { healthOf, type Health } from './health.ts'
import { Introductions } from './introductions.ts'
import type { Slot } from './job.ts'
import type { Outbox } from './outbox.ts'
import { Roster } from './roster.ts'
import type { Closed, ServerParts, StopOptions, StopResult } from './server-parts.ts'
import { Session, sessionLost } from './session.ts'
import type { Subscriber } from './subscriber.ts'
import { systemClock } from '../system-clock.ts'
import type { ConnectionFailure, ConnectionInfo } from '../transport/transport.ts'

const trace = tracer('server')

type State = 'idle' | 'connecting' | 'connected' | 'waiting' | 'stopping' | 'closed'

const DISCONNECT_TIMEOUT_MS = 1_000
const STORE_TIMEOUT_MS = 5_000
// As long as messages that nobody wants yet wait for them.
const CONNECT_PATIENCE_MS = 10_000
// The broker sends nothing more to a group that was left, once it has been silent for so long.
const QUIET_MS = 500
// More than this many publications under way to the broker would only fill its memory instead of ours.
const PUBLICATIONS_UNDER_WAY = 1_000

export class Server implements Client, ReceiverHost {
  readonly counters: Readonly<Counters>
  readonly #counters: Counters
  readonly #parts: ServerParts
  readonly #clock: Clock
  readonly #roster: Roster
  readonly #policy: ConnectionPolicy
  readonly #session: Session
  readonly #dispatcher: Dispatcher
  readonly #subscriber: Subscriber
  readonly #outbox: Outbox
  readonly #deadLetters: DeadLetters | undefined
  readonly #introductions: Introductions
  readonly #attachments: Attachments
  readonly #closed = new Deferred<Closed>()
  #state: State = 'idle'
  #error: MqttasgiError | undefined = undefined
  #stopping: Promise<StopResult> | undefined = undefined
  #hasFinished = false
  #cancelRetry: (() => void) | undefined = undefined
  // It is waited for that the broker is silent.
  #cancelQuiet: (() => void) | undefined = undefined
  #everReady = false
  // A connection is up on which nothing is asked of the broker yet.
  #beginning: { readonly begin: () => void; readonly cancel: () => void } | undefined = undefined
  // Of now, once something is asked on it.
  #connection: ConnectionInfo | undefined = undefined
  #onlyOutboxIsLeft = false

  /** Connects nothing yet. Throws what the receivers' subscriptions contradict each other in. */
  constructor(parts: ServerParts) {
    this.#parts = parts
    this.#clock = parts.clock ?? systemClock
    this.counters = this.#counters = parts.counters ?? zeroCounters()
    this.#roster = new Roster(parts.receivers)
    this.#policy = new ConnectionPolicy({ ...parts.policy, now: () => this.#clock.now() })
    this.#session = new Session({ lasts: parts.sessionLasts, expirySeconds: parts.sessionExpirySeconds })
    const workings = assemble(parts, {
      roster: this.#roster,
      clock: this.#clock,
      counters: this.#counters,
      unanswered: (error) => this.#unanswered(error),
    })
    this.#subscriber = workings.subscriber
    this.#dispatcher = workings.dispatcher
    this.#outbox = workings.outbox
    this.#deadLetters = workings.deadLetters
    this.#introductions = new Introductions({
      slots: () => this.#roster.slots,
      clientOf: (slot) => this.#clientOf(slot),
      answered: () => this.#subscriber.started(),
      expect: (areConnecting) => this.#dispatcher.expect(areConnecting),
      log: parts.log,
    })
    this.#attachments = new Attachments({
      ...workings,
      roster: this.#roster,
      introductions: this.#introductions,
      clock: this.#clock,
      drainTimeoutMs: parts.drainTimeoutMs,
      isClosed: () => this.#state === 'closed',
    })
    this.#survey()
    this.#roster.onChange(() => this.#survey())
  }

  /**
   * Whether this server does what it is there for, and if not, why: told from its connection, its
   * subscriptions, its dead letters and how long messages are in hand, at the moment it is asked.
   *
   * @example
   * const { ready, reasons } = server.health
   */
  get health(): Health {
    return healthOf({
      state: this.#state,
      isSubscribed: this.#subscriber.isSubscribed,
      deadLetterFault: this.#deadLetters?.fault,
      outboxFault: this.#outbox.storeFault,
      exchangeFault: this.#parts.transport.fault,
      overdueMs: this.#dispatcher.overdueMs,
      faults: this.#parts.faults?.(),
    })
  }

  /** The patterns of the routes of the chain that was started last. */
  get lastRoutes(): readonly string[] {
    return this.#dispatcher.lastRoutes
  }

  /** Resolves when the server has ended, for whatever reason. Never rejects. */
  get closed(): Promise<Closed> {
    return this.#closed.promise
  }

  get state(): State {
    return this.#state
  }

  /** Of the connection, or of the next one: 5 until the broker has said that it speaks 3.1.1 only. */
  get protocolVersion(): 4 | 5 {
    return this.#policy.protocolVersion
  }

  /**
   * Connects, subscribes, and resolves when messages can come: also those that consumers ask for in their first
   * `connect()`. Rejects with the coded error that made it give up, `ERR_STOPPED` where that was a stop; the server is
   * closed then.
   */
  async start(): Promise<void> {
    if (this.#state !== 'idle') return this.ready()
    this.#parts.transport.listen({
      connected: (info) => this.#connected(info),
      arrived: (arrival) => this.#dispatcher.arrived(arrival),
      skipped: (packet) => this.#dispatcher.skipped(packet),
      closed: (failure) => this.#disconnected(failure),
    })
    this.#connect()
    try {
      await this.#subscriber.started()
      this.#everReady = true
    } catch (error) {
      // What the broker refuses at start-up it will refuse again.
      this.#fail(
        error instanceof MqttasgiError
          ? error
          : new MqttasgiError('ERR_STOPPED', toError(error).message, { cause: error }),
      )
      throw (await this.closed).error ?? error
    }
    await this.#receiversAreConnected()
  }

  // Whoever publishes behind start() is to be heard by those that subscribe when they hear of the connection.
  async #receiversAreConnected(): Promise<void> {
    const deadline = new Deadline(this.#clock, CONNECT_PATIENCE_MS)
    await deadline.within(Promise.race([this.#introductions.made, this.closed]))
    // Also when they are done by now: nothing comes any more.
    if (this.#stopping !== undefined && !this.#hasFinished) throw (await this.closed).error ?? stopped()
    const names = this.#introductions.asking.map((id) => `"${id}"`).join(', ')
    if (!deadline.isOver || names === '') return
    this.#parts.log.warn(
      `${names} has not been done with the news of its connection for ${CONNECT_PATIENCE_MS / 1_000} s: the server has started, and waits no longer.`,
    )
  }

  /** Resolves when the connection is up and the broker has granted all that is wanted now. */
  ready(): Promise<void> {
    return this.#subscriber.ready()
  }

  async publish(topic: string, payload: Payload, options: PublishOptions = {}): Promise<PublishResult> {
    assertPublishTopic(topic)
    checkPublishOptions(topic, options)
    this.#refuseLoop(topic, options)
    return this.#outbox.publish(topic, encodePayload(payload, topic), { ...options, qos: options.qos ?? 1 })
  }

  /** Subscribes for the application; its messages go through the application's routes. */
  subscribe(filter: string, options: SubscribeOptions = {}): Promise<SubscribeResult> {
    return this.#subscriber.add(this.#application, filter, options)
  }

  unsubscribe(filter: string): Promise<void> {
    return this.#subscriber.remove(this.#application, filter)
  }

  /**
   * Adds a receiver while the server runs. Resolves when its `connected()` has, and the broker has granted all that
   * it wants; waits for a connection where there is none. Where the place of one with its id was kept, it takes that
   * and what waits there. Rejects with `ERR_RECEIVER_DUPLICATE`, `ERR_SUBSCRIBE_REFUSED`,
   * `ERR_SUBSCRIBE_OPTIONS_DIFFER`, `ERR_STOPPED`, or what its `connected()` or `until` rejects with; it is not attached then.
   */
  attach(receiver: Receiver, until?: Promise<never>): Promise<void> {
    return this.#attachments.attach(receiver, until)
  }

  /**
   * Takes a receiver out while the server runs. Nothing new is begun at it; what it has in hand ends, at most within
   * `drainTimeoutMs`; it hears `disconnected()`, and what nobody else wants is unsubscribed. `unsettled` messages had
   * no end by then: they are kept as dead letters (`ERR_RECEIVER_DETACHED`), or wait for a successor with
   * `keepSubscriptions`. One that is not attached is left alone; one whose place was kept gives it up.
   */
  detach(receiver: Receiver, options: DetachOptions = {}): Promise<DetachResult> {
    return this.#attachments.detach(receiver, options)
  }

  /** Messages that were handed to this receiver, or wait for its successor, and have no end. */
  inFlight(receiver: Receiver): number {
    return this.#attachments.inFlight(receiver)
  }

  /**
   * Stops: begins nothing new, waits for the handlers that run and for publications under way, at most
   * `drainTimeoutMs` (`Infinity`: as long as it takes), then disconnects. A second call gives the first one's promise.
   * Rejects with `ERR_CONFIG_VALUE` for a time that is none, and nothing has happened then.
   *
   * @example
   * await server.stop({ leave: true }) // this instance does not come back
   */
  stop({
    drainTimeoutMs = this.#parts.drainTimeoutMs,
    leave = false,
  }: StopOptions = {}): Promise<StopResult> {
    const fault = drainTimeoutFault(drainTimeoutMs)
    if (fault !== undefined) return Promise.reject(fault)
    this.#stopping ??= this.#stop(drainTimeoutMs, leave)
    return this.#stopping
  }

  /** Stops because the application has done its work: a start that is under way has gone well, too. */
  finish(): void {
    this.#hasFinished = true
    void this.stop()
  }

  /** Stops for a reason that nobody asked for: `closed` gives it, and the command line ends with its exit code. */
  fail(error: MqttasgiError): void {
    this.#fail(error)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  get #application(): Slot {
    const [slot] = this.#roster.slots
    if (slot === undefined) throw new MqttasgiError('ERR_NOT_ATTACHED', 'This server has no receiver.')
    return slot
  }

  get #endReason(): DisconnectReason {
    return this.#error === undefined ? { type: 'stopped' } : { type: 'failed', error: this.#error }
  }

  #connect(): void {
    this.#state = 'connecting'
    this.#parts.transport.connect(this.#policy.protocolVersion)
  }

  #connected(info: ConnectionInfo): void {
    this.#state = 'connected'
    this.#counters.connects++
    const { lost, notices } = this.#session.connected(info)
    const quietMs = this.#policy.connected({ lost })
    trace('connected: %o', info)
    for (const { level, text } of notices) this.#parts.log[level](text)
    // Messages of the session may be on their way already.
    this.#dispatcher.connected(info.sessionPresent)
    this.#dispatcher.expect(true)
    if (lost) this.#counters.sessionsLost++
    if (lost && this.#parts.onSessionLoss === 'stop') return this.#fail(sessionLost())
    const begin = (): void => this.#begin(info, lost)
    if (quietMs === 0) return begin()
    this.#beginning = { begin, cancel: this.#clock.after(quietMs, begin) }
  }

  // From here on the broker is asked for something.
  #begin(info: ConnectionInfo, lost: boolean): void {
    this.#beginning?.cancel()
    this.#beginning = undefined
    this.#policy.asking()
    this.#subscriber.connected(info)
    this.#outbox.connected(Math.min(info.receiveMaximum, PUBLICATIONS_UNDER_WAY), {
      maximumPacketSize: info.maximumPacketSize,
      ...info.limits,
      isHeld: true,
    })
    void this.#releaseOutbox(info)
    this.#introductions.connected({ present: info.sessionPresent, lost })
  }

  // What waited for the connection is for our own routes as well: their subscriptions go first.
  async #releaseOutbox(info: ConnectionInfo): Promise<void> {
    this.#connection = info
    await this.#subscriber.told()
    if (this.#connection === info) this.#outbox.goOn()
  }

  #disconnected(failure: ConnectionFailure): void {
    this.#connection = undefined
    this.#beginning?.cancel()
    this.#beginning = undefined
    this.#outbox.disconnected()
    this.#subscriber.disconnected()
    this.#dispatcher.disconnected()
    if (this.#state === 'closed') return
    if (this.#state === 'stopping') return this.#letGo()
    this.#state = 'waiting'
    const verdict = this.#policy.failed(failure)
    trace('closed (%s), verdict %s', failure.type, verdict.type)
    void this.#introductions.disconnected({ type: 'lost', error: new Error(failure.message) })
    if (verdict.type === 'stop') return this.#fail(verdict.error)
    this.#sayRetry(failure, verdict)
    this.#cancelRetry = this.#clock.after(verdict.afterMs, () => this.#connect())
  }

  #sayRetry({ message }: ConnectionFailure, { afterMs, hint = '', isFallback }: Retrial): void {
    const { log } = this.#parts
    if (isFallback) log.info('The broker does not speak MQTT 5; it is asked for MQTT 3.1.1.')
    else log.warn(`${message}${hint} Next try in ${Math.round(afterMs)} ms.`)
  }

  // The end that nobody asked for.
  #fail(error: MqttasgiError): void {
    if (this.#error !== undefined || this.#stopping !== undefined) return
    this.#error = error
    this.#outbox.close(error)
    void this.stop()
  }

  async #stop(drainTimeoutMs: number, leaves: boolean): Promise<StopResult> {
    const error = this.#error ?? stopped()
    const hadConnection = this.#state === 'connected'
    // Whoever waits for the connection to begin is to have it while we drain.
    this.#beginning?.begin()
    this.#state = 'stopping'
    this.#attachments.close(error)
    this.#cancelRetry?.()
    if (!hadConnection) this.#letGo()
    const deadline = new Deadline(this.#clock, drainTimeoutMs)
    await deadline.within(this.#drain(leaves && hadConnection, deadline))
    this.#cancelQuiet?.()
    const onlyOutboxIsLeft = this.#onlyOutboxIsLeft
    if (deadline.isOver) {
      await this.#abort()
      // The application hears of it all the same, while it can still publish; it is not waited for any more.
      void this.#introductions.disconnected(this.#endReason)
    }
    const unsettled = this.#dispatcher.leave()
    this.#deadLetters?.stop()
    this.#subscriber.close(error)
    this.#dispatcher.flush()
    const isLeft = leaves && !deadline.isOver
    // It closes the store of its exchanges as well.
    const { transport } = this.#parts
    const closing = transport.close(DISCONNECT_TIMEOUT_MS, isLeft ? { endsSession: true } : undefined)
    await this.#soon(this.#closing(closing))
    this.#outbox.close(error)
    const isDiskRight = await this.#closeStores()
    const stop = { clean: !deadline.isOver || (onlyOutboxIsLeft && isDiskRight), unsettled }
    this.#roster.close()
    this.#state = 'closed'
    this.#closed.resolve(this.#error === undefined ? { stop } : { error: this.#error, stop })
    return stop
  }

  async #closeStores(): Promise<boolean> {
    let isDiskRight = false
    const outbox = this.#outbox.release().then((isRight) => (isDiskRight = isRight))
    const { deadLetters, release } = this.#parts
    // Beside each other: one that does not answer must not keep the others from being closed well.
    const others = [deadLetters?.close(), release?.()].map((closing) => this.#closing(closing))
    await this.#soon(Promise.all([outbox, ...others]))
    return isDiskRight
  }

  async #closing(closing: Promise<void> | undefined): Promise<void> {
    try {
      await closing
    } catch (error) {
      this.#parts.log.error(`A store could not be closed: ${toError(error).message}`, { error })
    }
  }

  // A disk that does not answer must not hold up the end of the process.
  async #soon(work: Promise<unknown>): Promise<void> {
    const deadline = new Deadline(this.#clock, STORE_TIMEOUT_MS)
    await deadline.within(work)
    if (deadline.isOver)
      this.#parts.log.error(
        `What a store has to write was not written within ${STORE_TIMEOUT_MS / 1_000} s: the server ends without it.`,
      )
  }

  // Nobody will connect again: what waits for the broker waits in vain.
  #letGo(): void {
    const error = this.#error ?? stopped()
    this.#outbox.close(error)
    this.#subscriber.close(error)
    void this.#closing(this.#parts.transport.close(0))
  }

  // A handler that heeds its signal may still settle, and be acknowledged, within this turn.
  async #abort(): Promise<void> {
    this.#dispatcher.abort(new MqttasgiError('ERR_STOPPED', 'The server stops and waits no longer.'))
    await new Promise((resolve) => setImmediate(resolve))
  }

  async #drain(leaves: boolean, deadline: Deadline): Promise<void> {
    if (leaves) await this.#leaveShared(deadline)
    if (deadline.isOver) return
    await this.#dispatcher.drain(this.#parts.sessionLasts && !leaves ? 'drop' : 'finish')
    this.#dispatcher.flush()
    await this.#introductions.disconnected(this.#endReason)
    // Replies of the last handlers must be with the broker before we go, or on disk.
    this.#onlyOutboxIsLeft = true
    await this.#outbox.idle()
  }

  // What the broker has given to us of a group's messages before it knew comes a little later; nobody else gets it.
  async #leaveShared(deadline: Deadline): Promise<void> {
    await this.#subscriber.leaveShared()
    for (let before = -1; before !== this.#counters.received && !deadline.isOver;) {
      before = this.#counters.received
      await new Promise<void>((resolve) => {
        this.#cancelQuiet = this.#clock.after(QUIET_MS, resolve)
      })
    }
  }

  #survey(): void {
    const interests = this.#roster.slots.flatMap(({ isVacant, receiver }) =>
      isVacant ? [] : receiver.interests(),
    )
    this.#dispatcher.survey({
      isStrict: interests.some(({ strict }) => strict === true),
      sheds: interests.some(({ sheds }) => sheds === true),
    })
  }

  #clientOf(slot: Slot): Client {
    return {
      publish: (topic, payload, options) => this.publish(topic, payload, options),
      subscribe: (filter, options = {}) => this.#subscriber.add(slot, filter, options),
      unsubscribe: (filter) => this.#subscriber.remove(slot, filter),
    }
  }

  #refuseLoop(topic: string, options: PublishOptions): void {
    const error = loopError(topic, options, this.#parts.maxHops ?? 0)
    if (error === undefined) return
    this.#counters.loops++
    throw error
  }

  // Another connection may help, but at the start it is to be seen that something is wrong.
  #unanswered(error: MqttasgiError): void {
    if (this.#everReady) this.#parts.transport.cut({ type: 'timeout', message: error.message })
    else this.#fail(error)
  }
}

function stopped(): MqttasgiError {
  return new MqttasgiError('ERR_STOPPED', 'The server has been stopped.')
}

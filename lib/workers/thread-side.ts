// A worker as it runs in its own thread: messages come over the line, and their outcomes go back.
import { MqttasgiError, toError } from '../core/errors.ts'
import type { Hostable, HostedReceiver } from '../core/hosted.ts'
import type { Logger } from '../core/log.ts'
import type { QoS } from '../core/message.ts'
import type { Attempt, DisconnectReason, Outcome, Plan, RunningChain } from '../core/receiver.ts'
import { systemClock } from '../system-clock.ts'
import { forbiddingWorkforce } from '../core/refusing-workforce.ts'
import { Asking } from './asking.ts'
import { routeTable } from './route-table.ts'
import { errorOf, wireError, wireOutcome, type WireError } from './wire-error.ts'
import { messageOf, wireFields, type FromThread, type Line, type ThreadOrder, type ToThread } from './wire.ts'

/** One attempt, whose time is kept in the server's thread. */
class RemoteAttempt implements Attempt {
  readonly number: number
  chain: RunningChain | undefined = undefined
  readonly #job: number
  readonly #line: Line<FromThread>
  readonly #controller = new AbortController()

  constructor(number: number, job: number, line: Line<FromThread>) {
    this.number = number
    this.#job = job
    this.#line = line
  }

  set isWaiting(isSo: boolean) {
    if (isSo) this.#line.post({ type: 'waits', job: this.#job })
  }

  begins(afterMs: number): void {
    this.#line.post({ type: 'begins', job: this.#job, afterMs })
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  extend(ms: number): void {
    this.#line.post({ type: 'extend', job: this.#job, ms })
  }

  abort(error: Error): void {
    this.#controller.abort(error)
  }
}

export class ThreadSide {
  readonly #line: Line<FromThread>
  readonly #bytes: () => number
  readonly #limitBytes: number
  readonly #asking: Asking
  readonly #receiver: HostedReceiver
  readonly #attempts = new Map<number, RemoteAttempt>()
  #hasEnded = false

  /** Says at once what it wants. `bytes`: what this thread has in memory beside its heap. Throws what the application throws. */
  constructor(line: Line<FromThread>, order: ThreadOrder, hostable: Hostable, bytes: () => number) {
    this.#line = line
    this.#bytes = bytes
    this.#limitBytes = order.memoryMb === undefined ? Number.POSITIVE_INFINITY : order.memoryMb * 1_048_576
    this.#asking = new Asking(line)
    const { groupExpiry, id, instances, mount, rules, scope } = order
    this.#receiver = hostable.receiver({
      id,
      mount,
      instances,
      scope,
      rules,
      log: this.#log(),
      countEvent: (counter) => line.post({ type: 'counted', counter }),
      channels: groupExpiry === undefined ? undefined : this.#asking.channels(groupExpiry),
      workforce: forbiddingWorkforce(id),
      ready: this.#asking.ready,
      clock: systemClock,
    })
    this.#sayTable()
    this.#receiver.onInterests(() => this.#sayTable())
    void this.#receiver.ended?.then((error) => {
      this.#hasEnded = true
      line.post({ type: 'ended', error: error === undefined ? undefined : wireError(error) })
    })
  }

  heard(order: ToThread): void {
    switch (order.type) {
      case 'deliver':
        return void this.#deliver(order)
      case 'abort':
        return this.#attempts.get(order.job)?.abort(errorOf(order.error))
      case 'giveUp':
        return void this.#attempts.get(order.job)?.chain?.giveUp(errorOf(order.error))
      case 'connected':
        return void this.#tell(order.call, () => this.#receiver.connected(this.#asking.client, order.session))
      case 'disconnected':
        return void this.#tell(order.call, () => this.#receiver.disconnected(reasonOf(order.reason)))
      case 'answer':
        return this.#asking.answered(order.call, order.value)
      case 'refusal':
        return this.#asking.refused(order.call, order.error)
      case 'ping':
        return this.#line.post({ type: 'pong', ping: order.ping, bytes: this.#bytes() })
    }
  }

  async #deliver({
    attempt: number,
    job,
    message: wire,
  }: Extract<ToThread, { readonly type: 'deliver' }>): Promise<void> {
    const message = messageOf(wire)
    const attempt = new RemoteAttempt(number, job, this.#line)
    this.#attempts.set(job, attempt)
    const plan = this.#receiver.plan(message)
    const outcome = await this.#run(() => this.#receiver.receive(message, plan, attempt))
    this.#attempts.delete(job)
    this.#line.post({
      type: 'outcome',
      job,
      outcome: wireOutcome(outcome, (error) => isFinal(error, plan, routeOf(outcome), message.qos)),
    })
    const bytes = this.#bytes()
    if (bytes > this.#limitBytes) this.#line.post({ type: 'memory', bytes })
  }

  async #run(receive: () => Outcome | Promise<Outcome>): Promise<Outcome> {
    try {
      return await receive()
    } catch (thrown) {
      return { type: 'failed', error: toError(thrown), route: undefined }
    }
  }

  async #tell(call: number, tell: () => Promise<void>): Promise<void> {
    try {
      await tell()
    } finally {
      // Its end says it, once the thread is gone: else a worker that has failed at its first news would seem to run.
      if (!this.#hasEnded) this.#line.post({ type: 'told', call })
    }
  }

  #sayTable(): void {
    const interests = this.#receiver.interests()
    this.#line.post({ type: 'table', interests: [...interests], table: routeTable(this.#receiver) })
  }

  #log(): Logger {
    const at =
      (level: keyof Logger): Logger['debug'] =>
      (message, fields) =>
        this.#line.post({ type: 'log', level, message, fields: wireFields(fields) })
    return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
  }
}

function routeOf(outcome: Outcome): string | undefined {
  return outcome.type === 'done' ? undefined : outcome.route
}

function isFinal(error: Error, plan: Plan, route: string | undefined, qos: QoS): boolean {
  if (error instanceof MqttasgiError && error.isFinal) return true
  return plan.failurePolicy(route, qos).retry.never.some((one) => error instanceof one)
}

function reasonOf({
  error,
  type,
}: {
  readonly type: DisconnectReason['type']
  readonly error?: WireError
}): DisconnectReason {
  return error === undefined ? { type } : { type, error: errorOf(error) }
}

// One worker: its instances, started, started again as its policy says, and given up when they fail too often.
import type { Clock } from '../core/clock.ts'
import { Deadline } from '../core/deadline.ts'
import { Deferred } from '../core/deferred.ts'
import { MqttasgiError, toError } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'
import { FAREWELL_MS } from '../core/receiver.ts'
import type { WorkerEnd, WorkerState } from '../core/workforce.ts'
import type { Charge } from './blame.ts'
import type { Incarnation, WorkerHost } from './host.ts'
import type { Restarts } from './restarts.ts'
import { crashedOutcome, failedOutcome, notTakenOutcome } from './refusals.ts'
import type { Refusal, Seat } from './seat.ts'
import { WorkerReceiver } from './worker-receiver.ts'

/** What a worker is made of. */
export interface WorkerParts {
  readonly id: string
  readonly host: WorkerHost
  readonly instances: number
  readonly share: string | undefined
  readonly restarts: Restarts
  readonly escalation: 'stop-mount' | 'exit'
  readonly clock: Clock
  readonly log: Logger
  /** It has ended, and is not to be started again. */
  readonly over: (worker: Worker, end: WorkerEnd) => void
  /** It has failed too often, and the server is to end with that. */
  readonly exit: (error: MqttasgiError) => void
}

export class Worker {
  readonly id: string
  readonly receiver: WorkerReceiver
  /** Resolves when it has ended for good. */
  readonly ended: Deferred<WorkerEnd> = new Deferred<WorkerEnd>()
  readonly #parts: WorkerParts
  readonly #incarnations = new Map<Seat, Incarnation>()
  readonly #timers = new Map<Seat, () => void>()
  /** Starts of instances that are under way, and ends of those that have left. */
  readonly #underWay = new Set<Promise<void>>()
  /** Aborts when nothing is to be started any more. */
  readonly #life = new AbortController()
  /** Seats whose instance is not started again, and what it has failed with. */
  readonly #done = new Map<Seat, Error | undefined>()
  readonly #startFault = new Deferred<never>()
  /** Seats whose instance has ended before it ran, and with what. */
  readonly #early = new Map<Seat, Error | undefined>()
  #state: WorkerState = 'starting'
  #error: Error | undefined = undefined
  #isGivenUp = false
  /** It was said that it is started again, and not yet that it runs. */
  #isMissed = false
  #closing: Promise<void> | undefined = undefined
  /** What becomes of messages while it is being ended. */
  #refusal: Refusal

  constructor(parts: WorkerParts) {
    const { clock, id, instances, share } = parts
    this.id = id
    this.#parts = parts
    this.receiver = new WorkerReceiver({ id, instances, share, now: () => clock.now() })
    this.receiver.onInterests(() => this.#look())
    this.#refusal = this.#refusalOf('it is being ended')
  }

  get state(): WorkerState {
    return this.#state
  }

  get restarts(): number {
    return this.#parts.restarts.count
  }

  /** What an instance failed with last. */
  get error(): Error | undefined {
    return this.#error
  }

  /** Rejects when an instance ends before the worker runs. */
  get startFault(): Promise<never> {
    return this.#startFault.promise
  }

  /**
   * Starts all instances. Rejects with what one of them failed with, and leaves none behind; of one that is said to run
   * already, with what could not be started.
   */
  async start(): Promise<void> {
    try {
      const seated = this.receiver.seats.map((seat) => this.#track(this.#begin(seat)))
      // One that has ended before the last one has begun is a start that has failed.
      await Promise.race([Promise.all(seated), this.startFault])
    } catch (error) {
      await this.close()
      if (!this.#isGivenUp) throw error
    }
  }

  /** From now on what ends is started again. So is what has ended in the turn in which its start was over. */
  runs(): void {
    if (this.#state !== 'starting') return
    this.#settle()
    for (const [seat, error] of this.#early) if (this.state === 'restarting') this.#lost(seat, error)
  }

  /** Throws why it is not to run any more, if it is not. */
  refuseIfOver(): void {
    // One that has failed too often stays where it is.
    if (!this.#isGivenUp) this.#life.signal.throwIfAborted()
  }

  /**
   * Starts nothing again, and lets no message wait for it. `reason`: what whoever waits for its start is told.
   * `isKept`: what it has not begun is for its successor.
   */
  stopping(reason: Error, isKept: boolean): void {
    this.#state = 'stopping'
    this.#life.abort(reason)
    this.#cancelTimers()
    if (isKept) this.#refusal = notTakenOutcome(this.#takesNone('it is being ended'))
    for (const seat of this.receiver.seats) if (!seat.isTaken) seat.refuse(this.#refusal)
  }

  /** Lets go of all instances, those that are being started included. */
  close(reason?: Error): Promise<void> {
    this.#life.abort(reason)
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#state = 'stopped'
    this.#cancelTimers()
    const incarnations = [...this.#incarnations.values()]
    this.#incarnations.clear()
    for (const seat of this.receiver.seats) seat.vacate()
    await Promise.all(incarnations.map((incarnation) => incarnation.close()))
    await Promise.allSettled(this.#underWay)
  }

  #track(work: Promise<void>): Promise<void> {
    const over = (): void => void this.#underWay.delete(work)
    this.#underWay.add(work)
    work.then(over, over)
    return work
  }

  async #begin(seat: Seat): Promise<void> {
    const { signal } = this.#life
    const incarnation = await this.#parts.host.start(signal)
    const fault = signal.aborted ? toError(signal.reason) : this.receiver.conflictOf(incarnation.receiver)
    if (fault !== undefined) {
      await incarnation.close(fault)
      throw fault
    }
    this.#incarnations.set(seat, incarnation)
    seat.occupy(incarnation.receiver, this.receiver.connection)
    void incarnation.ended.then((error) => this.#left(seat, incarnation, error))
    if (this.#state === 'restarting') this.#settle()
  }

  // Whoever has added a route is not done with that yet: what follows from it comes behind.
  #look(): void {
    for (const [seat, incarnation] of this.#incarnations) {
      const conflict = this.receiver.conflictOf(incarnation.receiver)
      if (conflict !== undefined) queueMicrotask(() => this.#dismiss(seat, incarnation, conflict))
    }
  }

  #dismiss(seat: Seat, incarnation: Incarnation, conflict: Error): void {
    if (this.#incarnations.get(seat) !== incarnation || !seat.isTaken) return
    if (this.#state === 'starting') return this.#left(seat, incarnation, conflict)
    seat.vacate()
    if (this.#state === 'running') this.#settle()
    void this.#track(this.#takeLeave(seat, incarnation, conflict))
  }

  // Unlike one that has ended it is still there, and its successor must not be beside it.
  async #takeLeave(seat: Seat, incarnation: Incarnation, error: Error): Promise<void> {
    const told = incarnation.receiver.disconnected({ type: 'failed', error })
    await new Deadline(this.#parts.clock, FAREWELL_MS).within(Promise.allSettled([told]))
    this.#left(seat, incarnation, error)
  }

  #left(seat: Seat, incarnation: Incarnation, error: Error | undefined): void {
    if (this.#incarnations.get(seat) !== incarnation) return
    this.#incarnations.delete(seat)
    seat.vacate()
    void this.#track(incarnation.close(error))
    if (this.#state === 'stopping' || this.receiver.isDismissed) return seat.refuse(this.#refusal)
    if (this.#state === 'starting') {
      this.#early.set(seat, error)
      return this.#startFault.reject(error ?? new Error('It ended before it was ready.'))
    }
    this.#lost(seat, error)
  }

  #lost(seat: Seat, error: Error | undefined): void {
    this.#decide(seat, error, error === undefined ? undefined : this.receiver.charge(seat))
  }

  #decide(seat: Seat, error: Error | undefined, charge?: Charge): void {
    const { clock, log, restarts } = this.#parts
    if (error !== undefined) this.#error = error
    const verdict = restarts.after(error !== undefined, charge)
    const what = sentence(error === undefined ? 'has ended' : `has failed: ${error.message}`)
    if (verdict.type === 'giveUp') return this.#giveUp(error ?? new Error('it ended again and again'))
    if (verdict.type === 'end') return this.#end(seat, error)
    log.warn(`Worker "${this.id}" ${what} It is started again in ${Math.round(verdict.afterMs)} ms.`, {
      worker: this.id,
      ...(error === undefined ? {} : { error }),
    })
    this.#isMissed = true
    this.#state = 'restarting'
    this.#timers.set(
      seat,
      clock.after(verdict.afterMs, () => void this.#restart(seat)),
    )
  }

  async #restart(seat: Seat): Promise<void> {
    this.#timers.delete(seat)
    try {
      await this.#track(this.#begin(seat))
    } catch (error) {
      if (this.#state === 'restarting' || this.#state === 'running') this.#decide(seat, toError(error))
    }
  }

  #settle(): void {
    const isWhole = this.receiver.seats.every((seat) => seat.isTaken || this.#done.has(seat))
    this.#state = isWhole ? 'running' : 'restarting'
    if (!isWhole || !this.#isMissed) return
    this.#isMissed = false
    this.#parts.log.info(`Worker "${this.id}" runs again.`, { worker: this.id })
  }

  #end(seat: Seat, error: Error | undefined): void {
    const { log, over } = this.#parts
    this.#done.set(seat, error)
    const why = this.#takesNone(error === undefined ? 'it has ended' : `it has failed: ${error.message}`)
    const isLast = this.#done.size === this.receiver.seats.length
    if (isLast) seat.refuse(failedOutcome(why))
    else this.receiver.retire(seat, failedOutcome(why), notTakenOutcome(why))
    if (error !== undefined) {
      const who = isLast ? 'Worker' : 'An instance of worker'
      log.error(`${who} "${this.id}" has failed, and is not started again: ${error.message}`, {
        worker: this.id,
        error,
      })
    }
    if (!isLast) return this.#settle()
    this.#state = 'stopped'
    const failure = [...this.#done.values()].findLast((one) => one !== undefined)
    over(this, failure === undefined ? { type: 'finished' } : { type: 'failed', error: failure })
  }

  #giveUp(cause: Error): void {
    const { escalation, exit, log, over } = this.#parts
    const error = new MqttasgiError(
      'ERR_WORKER_STOPPED',
      `Worker "${this.id}" has failed too often and is not started again. The last time: ${cause.message}`,
      { cause, receiver: this.id },
    )
    this.#error = error
    this.#isGivenUp = true
    this.#state = 'stopped'
    log.error(error.message, { worker: this.id, error: cause })
    if (escalation === 'exit') {
      // First the server, which from then on waits for no attempt: it leaves its messages to a kept session, or keeps them.
      exit(error)
      this.receiver.refuse(crashedOutcome(this.id, cause))
    } else this.receiver.refuse(failedOutcome(error))
    void this.close()
    over(this, { type: 'failed', error })
  }

  #cancelTimers(): void {
    for (const cancel of this.#timers.values()) cancel()
    this.#timers.clear()
  }

  #refusalOf(why: string): Refusal {
    return failedOutcome(this.#takesNone(why))
  }

  #takesNone(why: string): MqttasgiError {
    const message = sentence(`Worker "${this.id}" takes no messages any more: ${why}`)
    return new MqttasgiError('ERR_WORKER_STOPPED', message, { receiver: this.id })
  }
}

// What others say may have an end of its own.
function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`
}

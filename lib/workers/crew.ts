// The workers of one server: spawned, ended and looked at by the application, and by nobody else.
import type { Random } from '../core/backoff.ts'
import type { Clock } from '../core/clock.ts'
import { MqttasgiError, toError } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'
import type { ReceiverHost } from '../core/receiver-host.ts'
import type { Receiver } from '../core/receiver.ts'
import type {
  KillOptions,
  WorkerApplication,
  WorkerEnd,
  WorkerHandle,
  WorkerInfo,
  WorkerOptions,
  Workforce,
} from '../core/workforce.ts'
import type { WorkerHost } from './host.ts'
import { Restarts } from './restarts.ts'
import { startFailure } from './in-process.ts'
import { checkKill, duplicate, isMasterId, orderOf, unknown, type WorkerOrder } from './orders.ts'
import { untilAborted } from './until-aborted.ts'
import { Worker, type WorkerParts } from './worker.ts'

/** What a crew works with. */
export interface CrewParts {
  /** Where its workers take messages: there once the first of them have been prepared. */
  readonly place: Promise<ReceiverHost>
  /** Loads what is to run, and says where. */
  readonly hostFor: (order: WorkerOrder) => Promise<WorkerHost>
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  /** A worker has failed too often, and everything is to end with that. */
  readonly exit: (error: MqttasgiError) => void
}

export class Crew implements Workforce {
  readonly #parts: CrewParts
  readonly #workers = new Map<string, Worker>()
  readonly #kills = new Map<Worker, Promise<void>>()
  #closing: Promise<void> | undefined = undefined
  #place: ReceiverHost | undefined = undefined

  constructor(parts: CrewParts) {
    this.#parts = parts
    void parts.place.then((place) => (this.#place = place))
  }

  /** A sentence for each worker that is not started again. */
  get faults(): readonly string[] {
    return [...this.#workers.values()].flatMap(({ error, id, state }) =>
      state === 'stopped' && error !== undefined ? `Worker "${id}" is stopped: ${error.message}` : [],
    )
  }

  /**
   * Starts workers for a server that is about to be made, and gives their receivers to it. Rejects with what
   * one of them failed with; none is left then.
   */
  async prepare(orders: readonly WorkerOrder[]): Promise<readonly Receiver[]> {
    try {
      return await Promise.all(orders.map((order) => this.#prepared(order)))
    } catch (error) {
      await this.close()
      throw error
    }
  }

  async spawn(
    id: string,
    application: WorkerApplication,
    options: WorkerOptions = {},
  ): Promise<WorkerHandle> {
    const order = orderOf(id, application, options)
    const worker = await this.#started(order)
    try {
      const place = await this.#parts.place
      worker.refuseIfOver()
      await place.attach(worker.receiver, worker.startFault)
      worker.refuseIfOver()
    } catch (error) {
      // A kill that is under way has its own terms.
      await (this.#kills.get(worker) ?? this.#takeBack(worker, toError(error)))
      throw startFailure(order, error)
    }
    this.#parts.log.info(`Worker "${id}" was spawned.`, { worker: id })
    worker.runs()
    return { id, ended: worker.ended.promise }
  }

  async kill(id: string, options: KillOptions = {}): Promise<void> {
    checkKill(options)
    const worker = this.#workers.get(id)
    if (worker === undefined) throw unknown(id, [...this.#workers.keys()])
    let kill = this.#kills.get(worker)
    if (kill === undefined) this.#kills.set(worker, (kill = this.#kill(worker, options)))
    return kill
  }

  workers(): readonly WorkerInfo[] {
    return [...this.#workers.values()].map((worker) => this.#infoOf(worker))
  }

  /** Lets go of all workers: the server that they were attached to has ended. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const workers = [...this.#workers.values()]
    this.#workers.clear()
    await Promise.all(workers.map((worker) => worker.close(stopped(worker.id))))
    for (const worker of workers) worker.ended.resolve({ type: 'stopped' })
  }

  async #prepared(order: WorkerOrder): Promise<Receiver> {
    const { receiver } = await this.#started(order, true)
    return receiver
  }

  async #started(order: WorkerOrder, isDeclared = false): Promise<Worker> {
    const { id } = order
    if (this.#closing !== undefined) throw stopped(id)
    if (isMasterId(id) || this.#workers.has(id)) throw duplicate(id)
    // The id is taken before anything is waited for.
    const worker = new Worker(this.#workerParts(order))
    this.#workers.set(id, worker)
    // What was loaded is started again when it ends, connected or not, whatever the others are at.
    if (isDeclared) worker.runs()
    try {
      await worker.start()
      worker.refuseIfOver()
      return worker
    } catch (error) {
      this.#forget(worker)
      throw startFailure(order, error)
    }
  }

  #infoOf({ error, id, receiver, restarts, state }: Worker): WorkerInfo {
    const inFlight = this.#place?.inFlight(receiver) ?? 0
    return error === undefined ? { id, state, restarts, inFlight } : { id, state, restarts, inFlight, error }
  }

  #workerParts(order: WorkerOrder): WorkerParts {
    const { clock, exit, hostFor, log, random } = this.#parts
    let host: Promise<WorkerHost> | undefined
    return {
      ...order,
      // Loaded once, started as often as it has to be.
      host: {
        start: async (signal) => {
          host ??= hostFor(order)
          return (await untilAborted(host, signal)).start(signal)
        },
      },
      restarts: new Restarts(order, () => clock.now(), random),
      clock,
      log,
      exit,
      over: (worker, end) => void this.#over(worker, end),
    }
  }

  // One that has failed too often stays, so that its messages do and everybody can see it.
  async #over(worker: Worker, end: WorkerEnd): Promise<void> {
    const isGivenUp = end.error instanceof MqttasgiError && end.error.code === 'ERR_WORKER_STOPPED'
    if (!isGivenUp) {
      await this.#detach(worker, {})
      await worker.close()
      this.#forget(worker)
    }
    worker.ended.resolve(end)
  }

  async #kill(worker: Worker, options: KillOptions): Promise<void> {
    worker.stopping(killed(worker.id), options.subscriptions === 'keep')
    await this.#detach(worker, options)
    await worker.close()
    this.#forget(worker)
    worker.ended.resolve({ type: 'killed' })
  }

  async #detach(worker: Worker, { drainTimeoutMs, subscriptions }: KillOptions): Promise<void> {
    try {
      const place = await this.#parts.place
      await place.detach(worker.receiver, {
        reason: { type: 'killed' },
        ...(drainTimeoutMs === undefined ? {} : { drainTimeoutMs }),
        keepSubscriptions: subscriptions === 'keep',
      })
    } catch (error) {
      this.#parts.log.error(`Worker "${worker.id}" was not let go of as it should: ${toError(error).message}`)
    }
  }

  async #takeBack(worker: Worker, reason: Error): Promise<void> {
    worker.stopping(reason, true)
    // It is not attached, unless the server stops. What waits in the place of its predecessor is not its own to give up.
    await this.#detach(worker, { drainTimeoutMs: 0, subscriptions: 'keep' })
    await worker.close()
    this.#forget(worker)
  }

  #forget(worker: Worker): void {
    this.#kills.delete(worker)
    if (this.#workers.get(worker.id) === worker) this.#workers.delete(worker.id)
  }
}

function killed(id: string): MqttasgiError {
  return new MqttasgiError(
    'ERR_RECEIVER_DETACHED',
    `Worker "${id}" was not started: it was ended again by kill().`,
    {
      receiver: id,
    },
  )
}

function stopped(id: string): MqttasgiError {
  return new MqttasgiError('ERR_STOPPED', `Worker "${id}" was not started: the server stops.`)
}

// Spawn and kill in a test: each worker has a communicator of its own, on the same broker and channel layer.
import { Deferred } from '../core/deferred.ts'
import { MqttasgiError } from '../core/errors.ts'
import type {
  KillOptions,
  WorkerApplication,
  WorkerEnd,
  WorkerHandle,
  WorkerInfo,
  WorkerOptions,
  Workforce,
} from '../core/workforce.ts'
import { startFailure } from '../workers/in-process.ts'
import {
  checkApplication,
  checkKill,
  duplicate,
  isMasterId,
  orderOf,
  unknown,
  type WorkerOrder,
} from '../workers/orders.ts'

/** What a communicator is to whoever has spawned its consumer. */
export interface Spawned {
  readonly ended: Promise<Error | undefined>
  start(): Promise<void>
  kill(): Promise<void>
  disconnect(timeoutMs: number): Promise<void>
}

interface Worker<C> {
  readonly id: string
  readonly communicator: C
  readonly ended: Deferred<WorkerEnd>
}

const LEAVE_MS = 1_000

export class TestWorkforce<C extends Spawned> implements Workforce {
  readonly #make: (order: WorkerOrder) => C
  readonly #workers = new Map<string, Worker<C>>()

  constructor(make: (order: WorkerOrder) => C) {
    this.#make = make
  }

  communicator(id: string): C {
    const worker = this.#workers.get(id)
    if (worker !== undefined) return worker.communicator
    throw new MqttasgiError('ERR_WORKER_UNKNOWN', `There is no worker with the id "${id}".`)
  }

  async spawn(
    id: string,
    application: WorkerApplication,
    options: WorkerOptions = {},
  ): Promise<WorkerHandle> {
    const order = orderOf(id, application, options)
    if (isMasterId(id) || this.#workers.has(id)) throw duplicate(id)
    let worker: Worker<C> | undefined
    try {
      checkApplication(order)
      worker = this.#made(order)
      const { communicator, ended } = worker
      await Promise.race([communicator.start(), endsEarly(communicator)])
      return { id, ended: ended.promise }
    } catch (cause) {
      const error = startFailure(order, cause)
      if (worker !== undefined) await this.#leave(worker, { type: 'failed', error })
      throw error
    }
  }

  async kill(id: string, options: KillOptions = {}): Promise<void> {
    checkKill(options)
    const worker = this.#workers.get(id)
    if (worker === undefined) throw unknown(id, [...this.#workers.keys()])
    await worker.communicator.kill()
    this.#over(worker, { type: 'killed' })
  }

  workers(): readonly WorkerInfo[] {
    return [...this.#workers.keys()].map((id) => ({ id, state: 'running', restarts: 0, inFlight: 0 }))
  }

  async stop(timeoutMs: number): Promise<void> {
    for (const worker of this.#workers.values()) {
      await worker.communicator.disconnect(timeoutMs)
      this.#over(worker, { type: 'stopped' })
    }
  }

  #made(order: WorkerOrder): Worker<C> {
    const { id, params, thread } = order
    // A thread has a copy of them.
    const communicator = this.#make(thread ? { ...order, params: structuredClone(params) } : order)
    const worker: Worker<C> = { id, communicator, ended: new Deferred<WorkerEnd>() }
    this.#workers.set(id, worker)
    void communicator.ended.then((error) =>
      this.#leave(worker, error === undefined ? { type: 'finished' } : { type: 'failed', error }),
    )
    return worker
  }

  // Whoever hears of its end is to find nothing of it on the broker any more.
  async #leave(worker: Worker<C>, end: WorkerEnd): Promise<void> {
    // What does not heed that it is to end is not waited for any longer.
    await worker.communicator.disconnect(LEAVE_MS).catch(() => {})
    this.#over(worker, end)
  }

  #over(worker: Worker<C>, end: WorkerEnd): void {
    worker.ended.resolve(end)
    if (this.#workers.get(worker.id) === worker) this.#workers.delete(worker.id)
  }
}

async function endsEarly({ ended }: Spawned): Promise<never> {
  throw (await ended) ?? new Error('It ended before it was ready.')
}

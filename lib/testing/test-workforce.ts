// Spawn and kill in a test: each worker has a communicator of its own, on the same broker and channel layer.
import { Deferred } from '../core/deferred.ts'
import { MqttasgiError, toError } from '../core/errors.ts'
import type {
  KillOptions,
  WorkerApplication,
  WorkerEnd,
  WorkerHandle,
  WorkerInfo,
  WorkerOptions,
  Workforce,
} from '../core/workforce.ts'

/** What a communicator is to whoever has spawned its consumer. */
export interface Spawned {
  readonly ended: Promise<Error | undefined>
  start(): Promise<void>
  kill(): Promise<void>
  disconnect(timeoutMs: number): Promise<void>
}

interface Worker<C> {
  readonly communicator: C
  readonly ended: Deferred<WorkerEnd>
}

type Make<C> = (id: string, application: WorkerApplication, how: Pick<WorkerOptions, 'params' | 'mount'>) => C

export class TestWorkforce<C extends Spawned> implements Workforce {
  readonly #master: string
  readonly #make: Make<C>
  readonly #workers = new Map<string, Worker<C>>()

  constructor(master: string, make: Make<C>) {
    this.#master = master
    this.#make = make
  }

  communicator(id: string): C {
    return this.#known(id).communicator
  }

  async spawn(
    id: string,
    application: WorkerApplication,
    { mount, params }: WorkerOptions = {},
  ): Promise<WorkerHandle> {
    if (id === this.#master || this.#workers.has(id)) {
      throw new MqttasgiError('ERR_RECEIVER_DUPLICATE', `There is a receiver with the id "${id}" already.`)
    }
    const communicator = this.#make(id, application, {
      ...(mount === undefined ? {} : { mount }),
      ...(params === undefined ? {} : { params }),
    })
    const worker: Worker<C> = { communicator, ended: new Deferred<WorkerEnd>() }
    this.#workers.set(id, worker)
    void communicator.ended.then((error) =>
      this.#over(id, error === undefined ? { type: 'finished' } : { type: 'failed', error }),
    )
    try {
      await communicator.start()
    } catch (cause) {
      const error = toError(cause)
      this.#over(id, { type: 'failed', error })
      throw new MqttasgiError('ERR_WORKER_START', `Worker "${id}" could not be started: ${error.message}`, {
        cause,
      })
    }
    return { id, ended: worker.ended.promise }
  }

  async kill(id: string, _options?: KillOptions): Promise<void> {
    if (id === this.#master) {
      throw new MqttasgiError('ERR_WORKER_MASTER', `"${id}" is the application itself. Stop it instead.`)
    }
    const { communicator } = this.#known(id)
    await communicator.kill()
    this.#over(id, { type: 'killed' })
  }

  workers(): readonly WorkerInfo[] {
    return [...this.#workers.keys()].map((id) => ({ id, state: 'running', restarts: 0, inFlight: 0 }))
  }

  async stop(timeoutMs: number): Promise<void> {
    for (const [id, { communicator }] of this.#workers) {
      await communicator.disconnect(timeoutMs)
      this.#over(id, { type: 'stopped' })
    }
  }

  #known(id: string): Worker<C> {
    const worker = this.#workers.get(id)
    if (worker !== undefined) return worker
    throw new MqttasgiError('ERR_WORKER_UNKNOWN', `There is no worker with the id "${id}".`)
  }

  #over(id: string, end: WorkerEnd): void {
    this.#workers.get(id)?.ended.resolve(end)
    this.#workers.delete(id)
  }
}

// A server with its workers, as serve() gives it: what runs on it can be spawned, ended and looked at.
import type { ChannelLayer } from './core/channel-layer.ts'
import type {
  KillOptions,
  WorkerApplication,
  WorkerHandle,
  WorkerInfo,
  WorkerOptions,
  Workforce,
} from './core/workforce.ts'
import { Server } from './server/server.ts'
import type { ServerParts } from './server/server-parts.ts'
import type { Crew } from './workers/crew.ts'

export class Workplace extends Server implements Workforce {
  /** The channel layer of this server, which its handlers have as `ctx.channels`. It is closed with the server. */
  readonly channels: ChannelLayer
  readonly #crew: Crew

  constructor(parts: ServerParts, crew: Crew, channels: ChannelLayer) {
    super(parts)
    this.channels = channels
    this.#crew = crew
  }

  /**
   * Starts a worker on this server's connection. Resolves when it runs and its subscriptions are granted;
   * `ended` of what it gives says when and how it has ended. Codes: `ERR_RECEIVER_DUPLICATE`,
   * `ERR_WORKER_OPTION`, `ERR_WORKER_APPLICATION`, `ERR_WORKER_START`, `ERR_APPLICATION_*`, `ERR_SUBSCRIBE_REFUSED`.
   *
   * @example
   * await server.spawn('pump-7', './pump.ts#pump', { mount: 'pumps/7', params: { litres: 40 } })
   */
  spawn(id: string, application: WorkerApplication, options?: WorkerOptions): Promise<WorkerHandle> {
    return this.#crew.spawn(id, application, options)
  }

  /**
   * Ends a worker: its handlers end, it hears `disconnect`, and what nobody else wants is unsubscribed.
   * Codes: `ERR_WORKER_UNKNOWN`, `ERR_WORKER_MASTER`, `ERR_WORKER_OPTION`, `ERR_CONFIG_VALUE` for a time that is none.
   *
   * @example
   * await server.kill('pump-7', { drainTimeoutMs: 5_000 })
   */
  kill(id: string, options?: KillOptions): Promise<void> {
    return this.#crew.kill(id, options)
  }

  /** All workers as they are now: id, state, restarts, messages in flight, and what they failed with last. */
  workers(): readonly WorkerInfo[] {
    return this.#crew.workers()
  }
}

// The port between what runs on a server and the workers beside it: spawning, ending, and looking at them.
import type { Client } from './receiver.ts'
import type { ScopeParams } from './scope.ts'

/** When a worker that has ended is started again: always, only after a failure, never. */
export type RestartPolicy = 'permanent' | 'transient' | 'temporary'

/** How a worker is run. */
export interface WorkerOptions {
  /** The pattern under which its routes and subscriptions lie. */
  readonly mount?: string
  readonly params?: ScopeParams
  /** In a thread of its own, with its own event loop; the application must then be a file. */
  readonly thread?: boolean
  /** Megabytes of memory that a thread may take; then it ends with `ERR_WORKER_MEMORY`. */
  readonly memoryMb?: number
  /** How many run side by side: each key's messages go to one of them. Default: 1. */
  readonly instances?: number
  /** Its subscriptions are shared with those of other processes that name the same group. */
  readonly share?: string
  /** Default: `permanent`. */
  readonly restart?: RestartPolicy
  /** What follows more than `maxRestarts` in `withinSeconds`. Default: `stop-mount`. */
  readonly escalation?: 'stop-mount' | 'exit'
  /** Default: 5. */
  readonly maxRestarts?: number
  /** Default: 60. */
  readonly withinSeconds?: number
}

/** What is run: a file such as `./pump.ts#Pump`, a consumer class, an application, a router, or a raw application. */
export type WorkerApplication = string | object

/** How a worker came to its end. `error` where it failed. */
export interface WorkerEnd {
  readonly type: 'killed' | 'finished' | 'failed' | 'stopped'
  readonly error?: Error
}

/** A worker as whoever has spawned it sees it. */
export interface WorkerHandle {
  readonly id: string
  /** Resolves when it has ended for good, for whatever reason. Never rejects. */
  readonly ended: Promise<WorkerEnd>
}

/** Where a worker is on its way. */
export type WorkerState = 'starting' | 'running' | 'restarting' | 'stopping' | 'stopped'

/** A worker as it is now. */
export interface WorkerInfo {
  readonly id: string
  readonly state: WorkerState
  readonly restarts: number
  /** Messages that were handed to it and have no end. */
  readonly inFlight: number
  readonly error?: Error
}

/** How a worker is ended. */
export interface KillOptions {
  /** Milliseconds to wait for its handlers. */
  readonly drainTimeoutMs?: number
  /** What becomes of messages for it from now on. `unsubscribe` (default) or `keep` its subscriptions for a successor. */
  readonly subscriptions?: 'unsubscribe' | 'keep'
}

/** The workers of one server, as its master sees them. */
export interface Workforce {
  /**
   * Resolves when it runs and its subscriptions are granted. Codes: `ERR_RECEIVER_DUPLICATE`, `ERR_WORKER_FORBIDDEN`
   * from a worker, `ERR_WORKER_OPTION`, `ERR_WORKER_APPLICATION`, `ERR_WORKER_START`, `ERR_APPLICATION_*`.
   */
  spawn(id: string, application: WorkerApplication, options?: WorkerOptions): Promise<WorkerHandle>
  /**
   * Drains, disconnects, unsubscribes. Codes: `ERR_WORKER_UNKNOWN`, `ERR_WORKER_FORBIDDEN`, `ERR_WORKER_MASTER`,
   * `ERR_WORKER_OPTION`, `ERR_CONFIG_VALUE` for a time that is none.
   */
  kill(id: string, options?: KillOptions): Promise<void>
  workers(): readonly WorkerInfo[]
}

/** What `onConnect` is given: to publish and subscribe with, and, in the application itself, to spawn workers. */
export type ConnectClient = Client & Workforce

/** One object for both. */
export function withWorkforce(client: Client, workforce: Workforce): ConnectClient {
  return {
    publish: (topic, payload, options) => client.publish(topic, payload, options),
    subscribe: (filter, options) => client.subscribe(filter, options),
    unsubscribe: (filter) => client.unsubscribe(filter),
    spawn: (id, application, options) => workforce.spawn(id, application, options),
    kill: (id, options) => workforce.kill(id, options),
    workers: () => workforce.workers(),
  }
}

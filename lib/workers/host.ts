// The port of where a worker runs: what can start one instance of it after the other.
import type { Receiver } from '../core/receiver.ts'

/** One start of a worker: it takes messages until it has ended, or is let go of. */
export interface Incarnation {
  readonly receiver: Receiver
  /** Resolves when it has ended by itself: with what it failed with, or with undefined. Never rejects. */
  readonly ended: Promise<Error | undefined>
  /** Lets go of it; what still runs at it is heard no more. `cause`: what it is to blame for, where it is to blame. */
  close(cause?: Error): Promise<void>
}

/** Starts instances of one worker. */
export interface WorkerHost {
  /**
   * Resolves when its routes are known. Rejects with what it failed with, or soon after the signal aborts with its
   * reason, and leaves nothing behind.
   */
  start(signal: AbortSignal): Promise<Incarnation>
}

// The port to where receivers come and go while it runs: a server, as the workers see it.
import type { DisconnectReason, Receiver } from './receiver.ts'

/** How a receiver leaves. */
export interface DetachOptions {
  readonly reason?: DisconnectReason
  /** Milliseconds to wait for what it has in hand. Default: the server's own. */
  readonly drainTimeoutMs?: number
  /** Its filters stay subscribed, and their messages wait unacknowledged for whoever attaches with the same id. */
  readonly keepSubscriptions?: boolean
}

/** How it went. */
export interface DetachResult {
  /**
   * Messages that had no end when it was let go: they are kept as dead letters (`ERR_RECEIVER_DETACHED`), or wait for
   * its successor where its subscriptions are kept.
   */
  readonly unsettled: number
}

/** Receivers come and go here. */
export interface ReceiverHost {
  /**
   * Resolves when the receiver has been told of the connection and all it wants is granted; waits for a connection
   * where there is none. Rejects with `ERR_RECEIVER_DUPLICATE`, `ERR_SUBSCRIBE_REFUSED`, `ERR_SUBSCRIBE_OPTIONS_DIFFER`,
   * `ERR_RECEIVER_DETACHED`, `ERR_STOPPED`, or what its `connected()` rejects with; the receiver is not attached then.
   * One with the id of a receiver whose subscriptions were kept takes its place, and what waits there; where it is not
   * attached, that goes on waiting. `until`: what rejects when it has ended before; then this does, with the same.
   */
  attach(receiver: Receiver, until?: Promise<never>): Promise<void>
  /**
   * Nothing new is begun at it; what it has in hand ends; it hears `disconnected`; what nobody else holds is
   * unsubscribed. One whose place was kept gives it up; one that is not attached is left alone. Never rejects.
   */
  detach(receiver: Receiver, options?: DetachOptions): Promise<DetachResult>
  /** Messages that were handed to it, or wait for its successor, and have no end. */
  inFlight(receiver: Receiver): number
}

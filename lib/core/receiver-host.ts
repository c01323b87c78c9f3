// The port to where receivers come and go while it runs: a server, as the workers see it.
import type { DisconnectReason, Receiver } from './receiver.ts'

/** How a receiver leaves. */
export interface DetachOptions {
  readonly reason?: DisconnectReason
  /** Milliseconds to wait for what runs at it. Default: the server's own. */
  readonly drainTimeoutMs?: number
  /** Its filters stay subscribed, and their messages wait unacknowledged for whoever attaches with the same id. */
  readonly keepSubscriptions?: boolean
}

/** How it went. */
export interface DetachResult {
  /** Messages that had no end at this receiver when it was let go; they are not acknowledged for its sake. */
  readonly unsettled: number
}

/** Receivers come and go here. */
export interface ReceiverHost {
  /**
   * Resolves when the receiver has been told of the connection and all it wants is granted; waits for a connection
   * where there is none. Rejects with `ERR_RECEIVER_DUPLICATE`, `ERR_SUBSCRIBE_REFUSED`, `ERR_STOPPED`, and the
   * receiver is not attached then.
   */
  attach(receiver: Receiver): Promise<void>
  /** Nothing new is begun at it; what runs ends; it hears `disconnected`; what nobody else holds is unsubscribed. */
  detach(receiver: Receiver, options?: DetachOptions): Promise<DetachResult>
  /** Messages that were handed to it and have no end. */
  inFlight(receiver: Receiver): number
}

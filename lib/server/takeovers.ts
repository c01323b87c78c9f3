// Finds out, from how connections end, whether another client uses our client id, also where the broker does not say.
import type { ConnectionFailure } from '../transport/transport.ts'

/** A connection that ends sooner was not let live. Whoever is thrown off after that was here first, and comes back. */
const SHORT_MS = 5_000
/** The proof costs the broker connections without a wait before them. */
const PROOF_EVERY_MS = 5_000
/** Who has been connected for long at some time was here first as far as it knows, and gives way to stronger proof only. */
const ENDS_OF_THE_FIRST = 3

/** What the end of a connection means: nothing for the client id, or more. */
export type TakeoverVerdict = 'none' | 'suspected' | 'taken over'

/**
 * A takeover looks like this: our connection is closed right after it began, though the broker is well and we have
 * done nothing. Each part of it is looked at:
 *
 * - *right after it began*: who was connected for long and is thrown off was first; it takes its session back, and the
 *   later one sees that it does not get to live;
 * - *the broker is well*: after such an end the next connection is made soon, when a broker that restarts does not
 *   listen yet, and in a session that it has not lost;
 * - *we have done nothing*: on that connection nothing is asked for a moment, so that a broker that dislikes what we
 *   subscribe or publish has no reason to end it, and no bad network has anything to break off: only where nothing but
 *   CONNECT and CONNACK went over it, and it was closed and not broken off, is the end a proof;
 * - *the moment* is as long as somebody of our own kind, who comes back at once as well, takes for it.
 *
 * So of two that begin to fight the later one is sure at its second end, after four takeovers. Where the broker gives
 * the reason (0x8e) one end is enough. Of somebody who comes back slower nothing is proved, and where messages come
 * right behind each CONNACK it takes until one proof finds a moment without.
 */
export class Takeovers {
  readonly #now: () => number
  readonly #proves: boolean
  #connectedAt: number | undefined = undefined
  #endedAt = 0
  /** A connection has lasted. */
  #wasFirst = false
  /** The next connection is a proof, or the one that is up is, as long as nothing is asked on it. */
  #proof: 'none' | 'next' | 'quiet' = 'none'
  #provedAt: number | undefined = undefined
  /** Quiet connections of this proof that were closed. */
  #ends = 0

  /** Without `proves` only the broker's own word counts. */
  constructor(now: () => number, proves: boolean) {
    this.#now = now
    this.#proves = proves
  }

  /** CONNACK. Returns for how many milliseconds nothing is to be asked of the broker. */
  connected(session: { readonly lost: boolean }): number {
    this.#connectedAt = this.#now()
    // A broker that has lost the session has been away: that explains the end before.
    this.#proof = this.#proof === 'next' && !session.lost ? 'quiet' : 'none'
    return this.#proof === 'quiet' ? returnMs(this.#connectedAt - this.#endedAt) : 0
  }

  /** From now on something is asked of the broker. */
  asking(): void {
    this.#proof = 'none'
  }

  /** The connection, or the attempt to make one, has ended. When it is suspected, the next one is to be made soon. */
  failed(failure: ConnectionFailure): TakeoverVerdict {
    this.#endedAt = this.#now()
    const hadConnection = this.#connectedAt !== undefined
    const lastedMs = this.#endedAt - (this.#connectedAt ?? this.#endedAt)
    const wasQuiet = this.#proof === 'quiet'
    this.#connectedAt = undefined
    this.#proof = 'none'
    if (lastedMs >= SHORT_MS) this.#wasFirst = true
    if (!hadConnection || lastedMs >= SHORT_MS) return 'none'
    if (failure.type === 'takeover') return 'taken over'
    if (!this.#proves || !isWithoutReason(failure)) return 'none'
    if (wasQuiet && failure.idle === true && failure.type === 'closed') return this.#quietEnd()
    if (this.#provedAt !== undefined && this.#endedAt - this.#provedAt < PROOF_EVERY_MS) return 'none'
    this.#provedAt = this.#endedAt
    this.#ends = 0
    this.#proof = 'next'
    return 'suspected'
  }

  #quietEnd(): TakeoverVerdict {
    this.#ends++
    if (this.#ends >= (this.#wasFirst ? ENDS_OF_THE_FIRST : 1)) return 'taken over'
    this.#proof = 'next'
    return 'suspected'
  }
}

/** Within that time somebody as far from the broker as we are is back, on a machine that does other things too. */
function returnMs(ours: number): number {
  return 50 + 1.5 * ours
}

/** The other side closed it: mosquitto 2.0 says no more, and on 3.1.1 nobody can. */
function isWithoutReason({ reasonCode, type }: ConnectionFailure): boolean {
  return (type === 'closed' || type === 'network') && reasonCode === undefined
}

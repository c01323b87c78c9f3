// What follows when a connection fails: try again, and when, or give up, and with which error.
import type { Backoff } from '../core/backoff.ts'
import { MqttasgiError, type ErrorCode } from '../core/errors.ts'
import { quote } from '../core/topic.ts'
import { connackRefusal, dismissalOf, type RefusalClass } from '../transport/refusals.ts'
import type { ConnectionFailure } from '../transport/transport.ts'
import { Takeovers } from './takeovers.ts'

/** What to do next. */
export type Verdict = Retrial | { readonly type: 'stop'; readonly error: MqttasgiError }

export interface Retrial {
  readonly type: 'retry'
  readonly afterMs: number
  readonly protocolVersion: 4 | 5
  /** What people should think of, with a space in front. */
  readonly hint?: string
  /** Nothing is wrong: the broker does not speak MQTT 5, and was to be asked. */
  readonly isFallback?: true
}

/** How the policy is set up. */
export interface ConnectionPolicyOptions {
  /** Tries after the one that failed, counted for each outage; 0 for no limit. */
  readonly retries: number
  readonly protocolVersion: 'auto' | 4 | 5
  readonly backoff: Backoff
  /** With it, another client that uses it is found out; without, only where the broker says so. */
  readonly clientId?: string
  /** A monotonic clock in milliseconds. */
  readonly now: () => number
}

const SAME_ID_HINT =
  ' Connections keep ending soon after they have begun: is another process using the same client id?'

const codeOf: Record<ConnectionFailure['type'], ErrorCode> = {
  version: 'ERR_CONNECT_VERSION',
  refused: 'ERR_CONNECT_REFUSED',
  credentials: 'ERR_CONNECT_CREDENTIALS',
  tls: 'ERR_CONNECT_TLS',
  network: 'ERR_CONNECT_NETWORK',
  timeout: 'ERR_CONNECT_TIMEOUT',
  takeover: 'ERR_CLIENT_ID_TAKEN_OVER',
  protocol: 'ERR_CONNECT_PROTOCOL',
  overflow: 'ERR_INBOUND_OVERFLOW',
  closed: 'ERR_CONNECT_CLOSED',
}

// A connection that does not last is part of the outage: a broker that ends each one at once, for what we
// subscribe perhaps, would be asked several times a second for ever.
const LASTING_MS = 5_000
// The wait goes on growing for longer: a broker that just holds for a moment is not to be met by all at once.
const STABLE_MS = 30_000

// The broker is to have read our last acknowledgements on the connection before: a new one with our client id would
// make it drop them, and all of those messages would come again.
const PROOF_WAIT_MS = 150

/** Decides; connects nothing. One for the life of a server. */
export class ConnectionPolicy {
  readonly #options: ConnectionPolicyOptions
  readonly #takeovers: Takeovers
  #version: 4 | 5
  // What the first CONNACK settled stays: a broker that once spoke MQTT 5 is not asked for less.
  #settled: boolean
  #everConnected = false
  #connectedAt: number | undefined = undefined
  // Of the outage, against `retries`.
  #tries = 0
  // Since the last stable connection, for the wait; the time with a connection is no part of it.
  #waits = 0
  #apartMs = 0
  #apartSince = 0
  #isApart = false
  // Connections in a row that the other side ended soon after they had begun.
  #shortLived = 0

  constructor(options: ConnectionPolicyOptions) {
    this.#options = options
    this.#takeovers = new Takeovers(options.now, options.clientId !== undefined)
    this.#version = options.protocolVersion === 4 ? 4 : 5
    this.#settled = options.protocolVersion !== 'auto'
  }

  /** The version to connect with. */
  get protocolVersion(): 4 | 5 {
    return this.#version
  }

  /**
   * CONNACK said yes. Returns for how many milliseconds nothing is to be asked of the broker; then comes `asking()`.
   * `lost`: the broker does not know a session that it should know.
   */
  connected(session: { readonly lost: boolean } = { lost: false }): number {
    this.#settled = true
    this.#connectedAt = this.#options.now()
    if (this.#isApart) this.#apartMs += this.#connectedAt - this.#apartSince
    this.#isApart = false
    return this.#takeovers.connected(session)
  }

  /** The broker is asked for something on this connection. */
  asking(): void {
    this.#takeovers.asking()
  }

  failed(failure: ConnectionFailure): Verdict {
    const takeover = this.#takeovers.failed(failure)
    this.#disconnected(failure)
    if (failure.type === 'version' && !this.#settled) {
      this.#version = 4
      this.#settled = true
      return { type: 'retry', afterMs: 0, protocolVersion: 4, isFallback: true }
    }
    if (takeover === 'taken over') return { type: 'stop', error: this.#takenOver(failure) }
    if (this.#isFinal(failure)) return { type: 'stop', error: connectionError(failure) }
    this.#tries++
    const { retries } = this.#options
    const hint = this.#shortLived < 2 ? undefined : SAME_ID_HINT
    if (retries > 0 && this.#tries > retries) {
      return {
        type: 'stop',
        error: connectionError(
          failure,
          `${hint ?? ''} Gave up after ${retries} ${retries === 1 ? 'retry' : 'retries'}.`,
        ),
      }
    }
    const afterMs = takeover === 'suspected' ? PROOF_WAIT_MS : this.#wait(failure)
    const verdict = { type: 'retry', afterMs, protocolVersion: this.#version } as const
    return hint === undefined ? verdict : { ...verdict, hint }
  }

  #wait(failure: ConnectionFailure): number {
    this.#waits++
    const sinceMs = this.#options.now() - this.#apartSince
    // A broker may lock out who tries wrong credentials often, and people do not replace them within seconds.
    const patient = failure.type === 'credentials'
    return this.#options.backoff({ tries: this.#waits, elapsedMs: this.#apartMs + sinceMs, patient })
  }

  #disconnected({ type }: ConnectionFailure): void {
    const now = this.#options.now()
    if (!this.#isApart) this.#apartSince = now
    this.#isApart = true
    if (this.#connectedAt === undefined) return
    const lastedMs = now - this.#connectedAt
    this.#connectedAt = undefined
    this.#everConnected = true
    this.#shortLived = lastedMs < STABLE_MS && type === 'closed' ? this.#shortLived + 1 : 0
    if (lastedMs >= LASTING_MS) this.#tries = 0
    if (lastedMs < STABLE_MS) return
    this.#waits = 0
    this.#apartMs = 0
  }

  // Credentials and certificates are final only at start-up; later a broker may just not be wholly up again.
  #isFinal(failure: ConnectionFailure): boolean {
    const { type } = failure
    if (type === 'version' || classOf(failure) === 'final') return true
    return !this.#everConnected && (type === 'credentials' || type === 'tls')
  }

  #takenOver(failure: ConnectionFailure): MqttasgiError {
    if (failure.type === 'takeover') return connectionError(failure)
    const { clientId = '' } = this.#options
    const message = `Another client seems to use the client id ${quote(clientId)}: the broker closes each connection soon after it has begun, also one on which nothing was asked of it. Give each instance a client id of its own.`
    return new MqttasgiError('ERR_CLIENT_ID_TAKEN_OVER', message, { cause: failure.cause })
  }
}

function classOf({ reasonCode, type }: ConnectionFailure): RefusalClass | undefined {
  if (reasonCode === undefined) return undefined
  const isDismissal = type === 'closed' || type === 'timeout' || type === 'takeover'
  return (isDismissal ? dismissalOf(reasonCode) : connackRefusal(reasonCode)).class
}

function connectionError(failure: ConnectionFailure, more = ''): MqttasgiError {
  return new MqttasgiError(codeOf[failure.type], failure.message + more, { cause: failure.cause })
}

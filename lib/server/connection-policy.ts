// What follows when a connection fails: try again, and when, or give up, and with which error.
import type { Backoff } from '../core/backoff.ts'
import { MqttasgiError, type ErrorCode } from '../core/errors.ts'
import { connackRefusal, dismissalOf, type RefusalClass } from '../transport/refusals.ts'
import type { ConnectionFailure } from '../transport/transport.ts'

/** What to do next. */
export type Verdict =
  | {
      readonly type: 'retry'
      readonly afterMs: number
      readonly protocolVersion: 4 | 5
      /** What people should think of, with a space in front. */
      readonly hint?: string
    }
  | { readonly type: 'stop'; readonly error: MqttasgiError }

/** How the policy is set up. */
export interface ConnectionPolicyOptions {
  /** Tries after the one that failed, counted for each outage; 0 for no limit. */
  readonly retries: number
  readonly protocolVersion: 'auto' | 4 | 5
  readonly backoff: Backoff
  /** A monotonic clock in milliseconds. */
  readonly now: () => number
}

// Some brokers say nothing when a client id is taken over, mosquitto 2.0 among them: they only close.
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
const STABLE_MS = 5_000

/** Decides; connects nothing. One for the life of a server. */
export class ConnectionPolicy {
  readonly #options: ConnectionPolicyOptions
  #version: 4 | 5
  // What the first CONNACK settled stays: a broker that once spoke MQTT 5 is not asked for less.
  #settled: boolean
  #everConnected = false
  #connectedAt: number | undefined = undefined
  #tries = 0
  // Connections in a row that the other side ended soon after they had begun.
  #shortLived = 0
  #outageSince: number | undefined = undefined

  constructor(options: ConnectionPolicyOptions) {
    this.#options = options
    this.#version = options.protocolVersion === 4 ? 4 : 5
    this.#settled = options.protocolVersion !== 'auto'
  }

  /** The version to connect with. */
  get protocolVersion(): 4 | 5 {
    return this.#version
  }

  connected(): void {
    this.#settled = true
    this.#connectedAt = this.#options.now()
  }

  failed(failure: ConnectionFailure): Verdict {
    this.#disconnected(failure)
    if (failure.type === 'version' && !this.#settled) {
      this.#version = 4
      this.#settled = true
      return { type: 'retry', afterMs: 0, protocolVersion: 4 }
    }
    if (this.#isFinal(failure)) return { type: 'stop', error: connectionError(failure) }
    this.#outageSince ??= this.#options.now()
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
    const elapsedMs = this.#options.now() - this.#outageSince
    // A broker may lock out who tries wrong credentials often, and people do not replace them within seconds.
    const patient = failure.type === 'credentials'
    const afterMs = this.#options.backoff({ tries: this.#tries, elapsedMs, patient })
    const verdict = { type: 'retry', afterMs, protocolVersion: this.#version } as const
    return hint === undefined ? verdict : { ...verdict, hint }
  }

  #disconnected({ type }: ConnectionFailure): void {
    if (this.#connectedAt === undefined) return
    const lastedMs = this.#options.now() - this.#connectedAt
    this.#connectedAt = undefined
    this.#everConnected = true
    this.#shortLived = lastedMs < STABLE_MS && type === 'closed' ? this.#shortLived + 1 : 0
    if (lastedMs < STABLE_MS) return
    this.#tries = 0
    this.#outageSince = undefined
  }

  // Credentials and certificates are final only at start-up; later a broker may just not be wholly up again.
  #isFinal(failure: ConnectionFailure): boolean {
    const { type } = failure
    if (type === 'takeover' || type === 'version' || classOf(failure) === 'final') return true
    return !this.#everConnected && (type === 'credentials' || type === 'tls')
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

// What a server is made of, how it is stopped, and how that went.
import type { Clock } from '../core/clock.ts'
import type { CrashLedger } from '../core/crash-ledger.ts'
import type { DeadLetterStore } from '../core/dead-letter.ts'
import type { MqttasgiError } from '../core/errors.ts'
import type { RecalledFilters } from '../core/filter-memory.ts'
import type { Logger } from '../core/log.ts'
import type { Receiver } from '../core/receiver.ts'
import type { Transport } from '../transport/transport.ts'
import type { ConnectionPolicyOptions } from './connection-policy.ts'
import type { Counters } from './counters.ts'
import type { DurableOutbox } from './letter-keeper.ts'
import type { OutboxPolicy } from './outbox-policy.ts'
import type { Overlap } from './overlaps.ts'
import type { OwnPublications } from './own-publications.ts'
import type { WindowLimits } from './window.ts'

/** What a server is made of. */
export interface ServerParts {
  readonly transport: Transport
  /** The first one also hears of messages that nobody wants. */
  readonly receivers: readonly Receiver[]
  readonly policy: Omit<ConnectionPolicyOptions, 'now'>
  readonly window: WindowLimits
  /** Messages on topics with more levels are only acknowledged; undefined for no limit. */
  readonly maxTopicLevels?: number | undefined
  /** How many publications may lead to one, each made by the handler of the one before; 0 for no limit. */
  readonly maxHops?: number | undefined
  readonly outbox: OutboxPolicy
  /** Where publications survive this process; in memory only when left out. */
  readonly durableOutbox?: DurableOutbox | undefined
  /** Where filters overlap and copies can not be told apart; undefined where nobody said. */
  readonly overlap?: Overlap | undefined
  /** The best QoS that is asked for; 1 unless told otherwise. */
  readonly highestQoS?: 1 | 2 | undefined
  /** What it publishes by itself; nothing when left out. */
  readonly own?: readonly OwnPublications[] | undefined
  /** The topic on which shared subscriptions are tried over MQTT 3.1.1; undefined to believe the broker. */
  readonly shareProbeTopic?: string | undefined
  /** Where it is remembered which filters the session holds; left out where it does not last. */
  readonly filterMemory?: RecalledFilters | undefined
  /** The broker keeps the session while we are away (clean: false), and with it what is unacknowledged. */
  readonly sessionLasts: boolean
  /** Seconds it is asked to keep it. */
  readonly sessionExpirySeconds?: number | undefined
  /** What follows when it does not; `continue` unless told otherwise. */
  readonly onSessionLoss?: 'continue' | 'stop' | undefined
  /** Where messages go that can not be handled. Left out: they are logged, counted and acknowledged. */
  readonly deadLetters?: DeadLetterStore | undefined
  readonly clientId?: string | undefined
  /** By which a message that kills the process is found out. Left out: it comes again each time. */
  readonly crashLedger?: CrashLedger | undefined
  /** Further reasons why the server is not ready, a sentence each; asked for each time its health is. */
  readonly faults?: (() => readonly string[]) | undefined
  /** Where it counts; left out where nobody else counts there. */
  readonly counters?: Counters | undefined
  /** Called last, when nothing is asked of the stores any more. */
  readonly release?: (() => Promise<void>) | undefined
  /** Milliseconds that a stop waits for handlers and publications. */
  readonly drainTimeoutMs: number
  readonly log: Logger
  readonly clock?: Clock
}

/** How to stop. */
export interface StopOptions {
  /** Milliseconds to wait for handlers and publications. */
  readonly drainTimeoutMs?: number
  /**
   * This instance does not come back: it gives up its shared subscriptions first, handles what the broker has
   * already given it, and ends its session with the broker.
   */
  readonly leave?: boolean
}

/** How a stop went. */
export interface StopResult {
  /** Every handler had settled, and every publication had its answer or was on disk, when the connection was closed. */
  readonly clean: boolean
  /** Messages that had no end: their handlers ran, they waited to be tried again, or their dead letters were not kept. */
  readonly unsettled: number
}

/** How a server ended; `error` when it was not asked to. */
export interface Closed {
  readonly error?: MqttasgiError
  readonly stop: StopResult
}

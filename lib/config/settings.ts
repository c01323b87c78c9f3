// The resolved configuration: everything decided, nothing left to read, and where each value came from.
import type { TextSource } from './value.ts'
import type { Secret } from './secret.ts'
import type { ResolvedWorkerOptions } from './worker.ts'

/** TLS as `tls.connect` wants it: PEM texts, already read and checked. */
export interface TlsSettings {
  /** The CAs to trust instead of the system's. */
  readonly ca: string | undefined
  readonly cert: string | undefined
  readonly key: Secret | undefined
  /** The name in the broker's certificate, when it is not the host. */
  readonly servername: string | undefined
  readonly alpn: readonly string[] | undefined
  /** Where `ca`, `cert` and `key` were read, for people. */
  readonly files: { readonly [name in 'ca' | 'cert' | 'key']: string | undefined }
}

/** The last will. */
export interface WillSettings {
  readonly topic: string
  readonly payload: string
  readonly qos: 0 | 1 | 2
  readonly retain: boolean
  readonly delaySeconds: number
}

/** The broker, and how to speak with it. */
export interface BrokerSettings {
  readonly transport: 'tcp' | 'websockets' | 'unix'
  /** Undefined: no encryption. */
  readonly tls: TlsSettings | undefined
  /** Without brackets, for IPv6 too. Of no use with `unix`. */
  readonly host: string
  readonly port: number
  /** The unix socket; only with `unix`. */
  readonly socketPath: string | undefined
  /** With its query; only with `websockets`. */
  readonly wsPath: string
  /** The address for people, without credentials and query: `mqtts://example.org:8883`. */
  readonly address: string
  readonly clientId: string
  readonly clean: boolean
  readonly sessionExpirySeconds: number
  readonly onSessionLoss: 'continue' | 'stop'
  readonly will: WillSettings | undefined
  readonly username: string | TextSource | undefined
  readonly password: Secret | TextSource | undefined
  /** Read again before each attempt; then there is no `password`. */
  readonly passwordFile: string | undefined
  readonly protocolVersion: 'auto' | 5 | 4
  /** 0 switches the keepalive off. */
  readonly keepaliveSeconds: number
  readonly connectTimeoutMs: number
  /** The topic below which shared subscriptions are tried on MQTT 3.1.1; undefined: they are not. */
  readonly shareProbe: string | undefined
  /** Further attempts in one outage; 0 for no limit. */
  readonly retries: number
}

/** Where messages go that nobody could handle. */
export interface DeadLetterSettings {
  readonly store: 'journal' | 'topic' | 'redis' | 'none'
  /** Only with `topic`. */
  readonly topic: string | undefined
  /** Only with `redis`: its URL, and the same for people, without credentials. */
  readonly redis: { readonly url: Secret; readonly address: string } | undefined
  readonly unverified: boolean
  readonly maxMessages: number
  readonly maxBytes: number
}

/** What may wait for the broker. */
export interface OutboxSettings {
  readonly maxMessages: number
  readonly maxBytes: number
  /** Undefined for no limit. */
  readonly maxAgeMs: number | undefined
  readonly whenFull: 'reject' | 'drop-oldest'
  /** Filters of topics of which only the newest waiting publication counts. */
  readonly latest: readonly string[]
  readonly qos0: 'reject' | 'keep'
  readonly durable: boolean
}

/** One worker: a second receiver with an id. */
export interface WorkerSettings extends ResolvedWorkerOptions {
  readonly id: string
  /** Whatever can be run, or `/absolute/file.ts#export` to be loaded. */
  readonly application: object | string
}

/** Everything decided. */
export interface Settings {
  readonly broker: BrokerSettings
  /** An application, `/absolute/file.ts#export` to be loaded, or undefined when nobody named one. */
  readonly application: object | string | undefined
  readonly workers: readonly WorkerSettings[]
  /** Undefined: nobody said, see docs/overlaps.md. */
  readonly overlap: 'accept' | 'superset' | undefined
  readonly drainTimeoutMs: number
  /** A stop gives up shared subscriptions and the session. */
  readonly leaveOnStop: boolean
  readonly maxInFlight: number
  readonly maxInFlightBytes: number
  readonly maxPacketBytes: number
  /** Undefined: no limit. */
  readonly maxTopicLevels: number | undefined
  /** 0: not counted. */
  readonly maxHops: number
  /** Undefined: all topics that do not begin with `$`. */
  readonly replyTopics: readonly string[] | undefined
  readonly qos2: 'downgrade' | 'durable'
  /** Absolute; it may not be there yet. */
  readonly stateDir: string
  readonly deadLetter: DeadLetterSettings
  readonly outbox: OutboxSettings
  readonly verbosity: 0 | 1 | 2
  /** The configuration file that was read. */
  readonly file: string | undefined
  /** Where each value came from, by its path in the configuration: `flag --host`, `default` … */
  readonly sources: Readonly<Record<string, string>>
  /** What should not stay as it is. Each one line, without secrets. */
  readonly warnings: readonly string[]
  /** What one should know at start-up. Each one line, without secrets. */
  readonly notices: readonly string[]
}

// What users write: the shape of mqttasgi.config.ts and of the options of serve().

/** Whatever has routes: an application, as far as the configuration needs to know. */
export interface ApplicationLike {
  use(...layers: never[]): unknown
  topic(...layers: never[]): unknown
}

/** TLS files: a path, relative to the configuration file, or the PEM text itself. */
export interface TlsInput {
  /** The CA that signed the broker's certificate, instead of the system's CAs. */
  ca?: string | undefined
  /** Our own certificate; needs `key`. */
  cert?: string | undefined
  /** The private key of `cert`, unencrypted. */
  key?: string | undefined
  /** The name the broker's certificate must carry, when it is not the host. */
  servername?: string | undefined
  /** Protocol names to offer (ALPN). */
  alpn?: string[] | undefined
}

/** The last will: what the broker publishes when the connection ends without our DISCONNECT. */
export interface WillInput {
  topic?: string | undefined
  /** Default: empty. */
  payload?: string | undefined
  /** Default: 1. */
  qos?: 0 | 1 | 2 | undefined
  /** Default: false. */
  retain?: boolean | undefined
  /** Seconds the broker waits with it; not published when the session goes on before (MQTT 5). Default: 0. */
  delay?: number | undefined
}

/** The broker. Durations are in seconds. */
export interface BrokerInput {
  /** `mqtt://`, `mqtts://`, `ws://`, `wss://` with host, and `unix:///path`; the port follows the scheme. */
  url?: string | undefined
  /** Default: localhost. */
  host?: string | undefined
  /** Default: 1883, with TLS 8883; websockets 80, with TLS 443. */
  port?: number | undefined
  /** A unix socket of the broker, instead of host and port. */
  socketPath?: string | undefined
  /** Default: tcp. */
  transport?: 'tcp' | 'websockets' | undefined
  /** Path of the websocket. Default: /mqtt. */
  wsPath?: string | undefined
  /** Default: `mqttasgi-` and eight random hex digits. */
  clientId?: string | undefined
  /** Default: true. `false` keeps the session, and needs a `clientId`. */
  clean?: boolean | undefined
  /** Seconds the broker keeps the session (MQTT 5). Default: 0; 3600 when `clean` is false. */
  sessionExpiry?: number | undefined
  /** What follows when the broker has lost a session that it should have kept. Default: continue. */
  onSessionLoss?: 'continue' | 'stop' | undefined
  /** A graceful stop takes it back: publish there what is to be known then. */
  will?: WillInput | undefined
  /** A function is asked before each attempt to connect. */
  username?: string | (() => string | Promise<string>) | undefined
  /** A function is asked before each attempt to connect: for tokens that run out. */
  password?: string | (() => string | Promise<string>) | undefined
  /** A file with the password, read again before each attempt to connect. */
  passwordFile?: string | undefined
  /** `true`: encrypt, and trust the system's CAs. */
  tls?: boolean | TlsInput | undefined
  /** Default: auto, which tries MQTT 5 and falls back to 3.1.1 (4). */
  protocolVersion?: 'auto' | 5 | 4 | undefined
  /** Seconds of silence until the broker is asked for a sign of life; 0 never asks. Default: 60. */
  keepalive?: number | undefined
  /** Seconds one attempt to connect may take. Default: 10. */
  connectTimeout?: number | undefined
  /** Topic below which shared subscriptions are tried on MQTT 3.1.1; `off` believes the broker. Default: mqttasgi/probe. */
  shareProbe?: string | undefined
  /** Further attempts to connect in one outage; 0 never gives up. Default: 3. */
  retries?: number | undefined
}

/** Where messages go that nobody could handle. */
export interface DeadLetterInput {
  /** Default: journal, in `stateDir`. With `none` such messages are acknowledged and gone. */
  store?: 'journal' | 'topic' | 'redis' | 'none' | undefined
  /** The topic of `store: 'topic'`. What is too large for it goes into the journal. */
  topic?: string | undefined
  /** The address of `store: 'redis'`: `redis://` or `rediss://`, with user name and password. */
  redis?: string | undefined
  /** Trust a dead-letter topic also where the broker can not tell whether anybody subscribes (3.1.1). Default: false. */
  unverified?: boolean | undefined
  /** Most letters that are kept. Default: 10,000. */
  maxMessages?: number | undefined
  /** Most bytes of all letters that are kept. Default: 256 MiB. */
  maxBytes?: number | undefined
}

/** What may wait for the broker. Durations are in seconds. */
export interface OutboxInput {
  /** Publications without an answer; more are refused, or the oldest dropped. Default: 1,000. */
  maxMessages?: number | undefined
  /** Bytes of all of them. Default: 16 MiB. */
  maxBytes?: number | undefined
  /** Seconds a publication may wait. Default: no limit. */
  maxAge?: number | undefined
  /** What gives way when it is full: the new publication, or those that have waited longest. Default: reject. */
  whenFull?: 'reject' | 'drop-oldest' | undefined
  /** Filters of topics of which only the newest waiting publication is sent: states, not events. */
  latest?: string[] | undefined
  /** QoS 0 without a connection: refused, or kept until there is one. Default: reject. */
  qos0?: 'reject' | 'keep' | undefined
  /** Keep publications of QoS 1 and 2 on disk, in `stateDir`, until the broker has answered. Default: false. */
  durable?: boolean | undefined
}

/** A consumer class or a raw application, as far as the configuration needs to know. */
export type ConsumerLike = (abstract new (...args: never[]) => object) | ((...args: never[]) => unknown)

/** A second application on the same connection, with an id and a place of its own. */
export interface WorkerInput {
  /** Unique. */
  id: string
  /** The pattern under which its routes lie, as in `app.use(pattern, router)`. */
  mount?: string | undefined
  /** An application or a consumer, or the file that exports one: `./file.ts#export`. */
  application: string | ApplicationLike | ConsumerLike
  /** Given to its handlers as `ctx.scope.params`. */
  params?: Readonly<Record<string, unknown>> | undefined
  /** In a thread of its own, with its own event loop; `application` must be a file then. Default: false. */
  thread?: boolean | undefined
  /** Megabytes of memory that a thread may take. Default: no limit but that of the runtime. */
  memoryMb?: number | undefined
  /** How many run side by side: the messages of each key go to one of them. Default: 1. */
  instances?: number | undefined
  /** Its subscriptions are shared with those of other processes that name the same group. Default: not. */
  share?: string | undefined
  /** When it is started again: always, only after a failure, or never. Default: permanent. */
  restart?: 'permanent' | 'transient' | 'temporary' | undefined
  /** What follows more restarts than `maxRestarts` in `withinSeconds`. Default: stop-mount. */
  escalation?: 'stop-mount' | 'exit' | undefined
  /** Default: 5. */
  maxRestarts?: number | undefined
  /** Default: 60. */
  withinSeconds?: number | undefined
}

/** The options of `serve()`: the configuration without the application. */
export interface ServeInput {
  broker?: BrokerInput | undefined
  workers?: WorkerInput[] | undefined
  /**
   * Where filters overlap and the broker can not say which copy is which (MQTT 3.1.1): `accept` runs each
   * copy, `superset` asks for the least filter that covers them and drops what it brings too much. Default:
   * accept, except that a shared and a plain route that overlap are refused until `accept` is stated.
   */
  overlap?: 'accept' | 'superset' | undefined
  /** Seconds the running handlers are given at a stop. Default: 25. */
  drainTimeout?: number | undefined
  /** At a stop, give up shared subscriptions and the session: this instance does not come back. Default: false. */
  leaveOnStop?: boolean | undefined
  /** Messages that may be unacknowledged at one time. Default: 32. */
  maxInFlight?: number | undefined
  /** Bytes that may wait in memory before reading pauses. Default: 16 MiB. */
  maxInFlightBytes?: number | undefined
  /** The largest packet that is accepted. Default: 16 MiB. */
  maxPacketBytes?: number | undefined
  /** The most levels of a topic; deeper ones are not routed. Default: no limit. */
  maxTopicLevels?: number | undefined
  /** Publications that may follow from each other through handlers (MQTT 5); 0 does not count. Default: 8. */
  maxHops?: number | undefined
  /** Filters of the topics that `ctx.reply()` may publish to. Default: all that do not begin with `$`. */
  replyTopics?: string[] | undefined
  /**
   * Default: downgrade, which asks the broker for QoS 1 where a route has QoS 2. `durable` asks for 2, and keeps in
   * `stateDir` which messages were done with, so that none of them is run again after a crash.
   */
  qos2?: 'downgrade' | 'durable' | undefined
  /** The folder of what must survive a crash; made when it is needed. Default: .mqttasgi in the working directory. */
  stateDir?: string | undefined
  deadLetter?: DeadLetterInput | undefined
  outbox?: OutboxInput | undefined
  /** 0 warnings and changes of state, 1 also information, 2 everything. Default: 0. */
  verbosity?: 0 | 1 | 2 | undefined
}

/** The configuration. Every key may be left out. */
export interface ConfigInput extends ServeInput {
  /** An application or a consumer, or the file that exports one: `./file.ts#export`, `app` when nothing follows. */
  application?: string | ApplicationLike | ConsumerLike | undefined
}

/** What a command hands to a configuration that is a function. */
export interface ConfigContext {
  /** `run`, `dev`, `routes`, `match`, `config` or `dlq`. */
  readonly command: string
  /** The environment, with what `.env` adds to it. */
  readonly env: Readonly<Record<string, string | undefined>>
}

/** A configuration, or a function that makes one. */
export type ConfigExport = ConfigInput | ((context: ConfigContext) => ConfigInput | Promise<ConfigInput>)

/**
 * Gives a configuration its types; at run time it returns what it was given.
 *
 * @example
 * // mqttasgi.config.ts
 * export default defineConfig({ broker: { url: 'mqtt://localhost' }, application: './app.ts' })
 *
 * @example
 * export default defineConfig(({ command }) => ({ verbosity: command === 'dev' ? 2 : 0 }))
 */
export function defineConfig<C extends ConfigExport>(config: C & ConfigExport): C {
  return config
}

// The one table of options (long for its rows): flags, --help, environment, file and README's table are made of it.
import type {
  BrokerInput,
  ChannelsInput,
  DeadLetterInput,
  OutboxInput,
  ServeInput,
  TlsInput,
  WillInput,
} from './input.ts'

/** Where an option stands in the configuration file; `config` is no part of it. */
export type OptionPath =
  | 'broker.tls'
  | `broker.${Exclude<keyof BrokerInput, 'tls' | 'will'>}`
  | `broker.tls.${keyof TlsInput}`
  | `broker.will.${keyof WillInput}`
  | `deadLetter.${keyof DeadLetterInput}`
  | `outbox.${keyof OutboxInput}`
  | `channels.${keyof ChannelsInput}`
  | Exclude<keyof ServeInput, 'broker' | 'workers' | 'deadLetter' | 'outbox' | 'channels'>
  | 'config'

/** What a value must look like; `value.ts` reads and checks it. */
export type ValueType =
  /** `orFunction`: in a program or a file it may be a function that says it. */
  | { readonly kind: 'text'; readonly orFunction?: true }
  | { readonly kind: 'host' }
  | { readonly kind: 'url' }
  | { readonly kind: 'file' }
  | { readonly kind: 'folder' }
  | { readonly kind: 'list' }
  | { readonly kind: 'switch' }
  | { readonly kind: 'integer'; readonly min: number; readonly max: number }
  | { readonly kind: 'seconds'; readonly min: number; readonly max: number }
  | {
      readonly kind: 'choice'
      readonly choices: readonly (string | number)[]
      /** Other spellings people know, and what they stand for. */
      readonly also?: Readonly<Record<string, string | number>>
    }

/** How an option is written on the command line. */
export interface Flag {
  readonly short?: string
  readonly long: string
  /** The name of its value in --help. */
  readonly value: string
  /** What the flag alone stands for, when its value may be left out. */
  readonly alone?: string
}

/** One option, and all its names. */
export interface OptionEntry {
  readonly path: OptionPath
  readonly type: ValueType
  /** The value when nobody gives one; undefined when there is none or it follows from others. */
  readonly default?: string | number | boolean
  /** For people: the default in words, where it follows from others. */
  readonly defaultText?: string
  readonly flag: Flag
  readonly env: string
  readonly sentence: string
  /** Its value is never shown. */
  readonly secret?: true
  /** Names that people try, from the original server and from MQTT clients. */
  readonly aliases?: readonly string[]
}

/** All options, in the order of --help. */
export const options: readonly OptionEntry[] = [
  {
    path: 'broker.url',
    type: { kind: 'url' },
    flag: { long: '--url', value: 'URL' },
    env: 'MQTT_URL',
    sentence: 'The broker as one address: mqtt, mqtts, ws or wss, or unix:///path/to/socket.',
    aliases: ['uri', 'address', 'brokerUrl'],
  },
  {
    path: 'broker.host',
    type: { kind: 'host' },
    default: 'localhost',
    flag: { short: '-H', long: '--host', value: 'HOST' },
    env: 'MQTT_HOSTNAME',
    sentence: "The broker's host name or address.",
    aliases: ['hostname', 'server'],
  },
  {
    path: 'broker.port',
    type: { kind: 'integer', min: 1, max: 65_535 },
    defaultText: '1883; 8883 with TLS; websockets 80, 443 with TLS',
    flag: { short: '-p', long: '--port', value: 'PORT' },
    env: 'MQTT_PORT',
    sentence: "The broker's port.",
  },
  {
    path: 'broker.socketPath',
    type: { kind: 'file' },
    flag: { long: '--socket-path', value: 'FILE' },
    env: 'MQTT_SOCKET_PATH',
    sentence: 'A unix socket of the broker, instead of host and port.',
    aliases: ['socket', 'unixSocket'],
  },
  {
    path: 'broker.transport',
    type: {
      kind: 'choice',
      choices: ['tcp', 'websockets'],
      also: { websocket: 'websockets', ws: 'websockets' },
    },
    default: 'tcp',
    flag: { short: '-T', long: '--transport', value: 'NAME' },
    env: 'MQTT_TRANSPORT',
    sentence: 'How to reach the broker: tcp or websockets.',
    aliases: ['protocol'],
  },
  {
    path: 'broker.wsPath',
    type: { kind: 'text' },
    defaultText: '/mqtt',
    flag: { long: '--ws-path', value: 'PATH' },
    env: 'MQTT_WS_PATH',
    sentence: 'The path of the websocket, with its query if it needs one.',
    aliases: ['path'],
  },
  {
    path: 'broker.clientId',
    type: { kind: 'text' },
    defaultText: 'mqttasgi- and eight random hex digits',
    flag: { short: '-i', long: '--id', value: 'ID' },
    env: 'MQTT_CLIENT_ID',
    sentence: 'The client id; each running process needs its own.',
    aliases: ['id', 'clientID', 'client_id'],
  },
  {
    path: 'broker.clean',
    type: { kind: 'switch' },
    default: true,
    flag: { short: '-c', long: '--cleansession', value: 'true|false', alone: 'true' },
    env: 'MQTT_CLEAN',
    sentence:
      'Start without an old session; false keeps what arrives while the process is away, and needs a client id.',
    aliases: ['cleansession', 'cleanSession', 'cleanStart'],
  },
  {
    path: 'broker.sessionExpiry',
    type: { kind: 'integer', min: 0, max: 4_294_967_295 },
    defaultText: '0; 3600 when clean is false',
    flag: { long: '--session-expiry', value: 'SECONDS' },
    env: 'MQTT_SESSION_EXPIRY',
    sentence: 'Seconds the broker keeps the session after the connection has ended (MQTT 5).',
    aliases: ['sessionExpiryInterval'],
  },
  {
    path: 'broker.onSessionLoss',
    type: { kind: 'choice', choices: ['continue', 'stop'] },
    default: 'continue',
    flag: { long: '--on-session-loss', value: 'NAME' },
    env: 'MQTT_ON_SESSION_LOSS',
    sentence:
      'What follows when the broker has lost the session: continue subscribes again, stop ends with exit code 1.',
  },
  {
    path: 'broker.will.topic',
    type: { kind: 'text' },
    flag: { long: '--will-topic', value: 'TOPIC' },
    env: 'MQTT_WILL_TOPIC',
    sentence: 'The last will: the topic on which the broker says that this process is gone without a word.',
    aliases: ['lastWill', 'willTopic'],
  },
  {
    path: 'broker.will.payload',
    type: { kind: 'text' },
    flag: { long: '--will-payload', value: 'TEXT' },
    env: 'MQTT_WILL_PAYLOAD',
    sentence: 'What the broker publishes there.',
    aliases: ['willPayload', 'message'],
  },
  {
    path: 'broker.will.qos',
    type: { kind: 'choice', choices: [0, 1, 2] },
    defaultText: '1',
    flag: { long: '--will-qos', value: 'QOS' },
    env: 'MQTT_WILL_QOS',
    sentence: 'With which QoS.',
    aliases: ['willQos'],
  },
  {
    path: 'broker.will.retain',
    type: { kind: 'switch' },
    defaultText: 'false',
    flag: { long: '--will-retain', value: 'true|false', alone: 'true' },
    env: 'MQTT_WILL_RETAIN',
    sentence: 'Retained, so that those who subscribe later hear of it too.',
    aliases: ['willRetain'],
  },
  {
    path: 'broker.will.delay',
    type: { kind: 'integer', min: 0, max: 4_294_967_295 },
    defaultText: '0',
    flag: { long: '--will-delay', value: 'SECONDS' },
    env: 'MQTT_WILL_DELAY',
    sentence: 'Seconds the broker waits with it; not published when the session goes on before (MQTT 5).',
    aliases: ['willDelay', 'willDelayInterval', 'delayInterval'],
  },
  {
    path: 'broker.username',
    type: { kind: 'text', orFunction: true },
    flag: { short: '-U', long: '--username', value: 'NAME' },
    env: 'MQTT_USERNAME',
    sentence: 'The user name for the broker.',
    aliases: ['user', 'userName'],
  },
  {
    path: 'broker.password',
    type: { kind: 'text', orFunction: true },
    flag: { short: '-P', long: '--password', value: 'PASSWORD' },
    env: 'MQTT_PASSWORD',
    sentence: 'The password for the broker; give it in the environment, for flags can be seen by others.',
    secret: true,
    aliases: ['pass'],
  },
  {
    path: 'broker.passwordFile',
    type: { kind: 'file' },
    flag: { long: '--password-file', value: 'FILE' },
    env: 'MQTT_PASSWORD_FILE',
    sentence: 'A file with the password, read again before each attempt to connect.',
  },
  {
    path: 'broker.tls',
    type: { kind: 'switch' },
    defaultText: 'true when the URL or a TLS option says so',
    flag: { short: '-SSL', long: '--use-ssl', value: 'true|false', alone: 'true' },
    env: 'MQTT_USE_SSL',
    sentence: "Encrypt the connection; with no CA given, the system's are trusted.",
    aliases: ['ssl', 'useSsl', 'useSSL', 'use_ssl'],
  },
  {
    path: 'broker.tls.ca',
    type: { kind: 'file' },
    flag: { short: '-S', long: '--cacert', value: 'FILE' },
    env: 'TLS_CA',
    sentence: 'PEM file of the CA that signed the broker; turns TLS on.',
    aliases: ['cacert', 'caFile', 'cafile'],
  },
  {
    path: 'broker.tls.cert',
    type: { kind: 'file' },
    flag: { short: '-C', long: '--cert', value: 'FILE' },
    env: 'TLS_CERT',
    sentence: 'PEM file of our own certificate; needs the key.',
    aliases: ['certFile', 'certfile'],
  },
  {
    path: 'broker.tls.key',
    type: { kind: 'file' },
    flag: { short: '-K', long: '--key', value: 'FILE' },
    env: 'TLS_KEY',
    sentence: 'PEM file of the private key of our certificate.',
    aliases: ['keyFile', 'keyfile'],
  },
  {
    path: 'broker.tls.servername',
    type: { kind: 'text' },
    defaultText: 'the host',
    flag: { long: '--tls-servername', value: 'NAME' },
    env: 'TLS_SERVERNAME',
    sentence: "The name the broker's certificate must carry, when it is not the host.",
    aliases: ['sni', 'serverName'],
  },
  {
    path: 'broker.tls.alpn',
    type: { kind: 'list' },
    flag: { long: '--tls-alpn', value: 'NAMES' },
    env: 'TLS_ALPN',
    sentence: 'Protocol names to offer (ALPN), separated by commas.',
    aliases: ['ALPNProtocols'],
  },
  {
    path: 'broker.protocolVersion',
    type: { kind: 'choice', choices: ['auto', 5, 4], also: { '5.0': 5, '3.1.1': 4, '311': 4 } },
    default: 'auto',
    flag: { long: '--protocol-version', value: 'VERSION' },
    env: 'MQTT_PROTOCOL_VERSION',
    sentence: 'auto tries MQTT 5 and falls back to 3.1.1; 5 or 4 (3.1.1) fixes it.',
    aliases: ['version'],
  },
  {
    path: 'broker.keepalive',
    type: { kind: 'integer', min: 0, max: 65_535 },
    default: 60,
    flag: { long: '--keepalive', value: 'SECONDS' },
    env: 'MQTT_KEEPALIVE',
    sentence: 'Seconds of silence after which the broker is asked for a sign of life; 0 never asks.',
    aliases: ['keepAlive'],
  },
  {
    path: 'broker.connectTimeout',
    type: { kind: 'seconds', min: 0.1, max: 3_600 },
    default: 10,
    flag: { long: '--connect-timeout', value: 'SECONDS' },
    env: 'MQTT_CONNECT_TIMEOUT',
    sentence: 'Seconds one attempt to connect may take.',
    aliases: ['connectTimeoutMs'],
  },
  {
    path: 'broker.retries',
    type: { kind: 'integer', min: 0, max: 1_000_000 },
    default: 3,
    flag: { short: '-r', long: '--retries', value: 'COUNT' },
    env: 'MQTT_RETRIES',
    sentence:
      'Further attempts to connect in one outage before giving up with exit code 1; 0 never gives up.',
  },
  {
    path: 'broker.shareProbe',
    type: { kind: 'text' },
    default: 'mqttasgi/probe',
    flag: { long: '--share-probe', value: 'TOPIC' },
    env: 'MQTT_SHARE_PROBE',
    sentence:
      'The topic below which shared subscriptions are tried on MQTT 3.1.1, where brokers may only pretend; off believes them.',
  },
  {
    path: 'overlap',
    type: { kind: 'choice', choices: ['accept', 'superset'] },
    defaultText: 'accept, but not for shared and plain routes together',
    flag: { long: '--overlap', value: 'HOW' },
    env: 'MQTTASGI_OVERLAP',
    sentence:
      'On MQTT 3.1.1, where routes overlap: accept runs each copy that comes, superset asks for one wider filter.',
    aliases: ['overlaps', 'overlapping'],
  },
  {
    path: 'drainTimeout',
    type: { kind: 'seconds', min: 0, max: 86_400 },
    default: 25,
    flag: { long: '--drain-timeout', value: 'SECONDS' },
    env: 'MQTTASGI_DRAIN_TIMEOUT',
    sentence: 'Seconds the running handlers are given at a stop; after that the exit code is 3.',
    aliases: ['drainTimeoutMs', 'drain'],
  },
  {
    path: 'leaveOnStop',
    type: { kind: 'switch' },
    default: false,
    flag: { long: '--leave-on-stop', value: 'true|false', alone: 'true' },
    env: 'MQTTASGI_LEAVE_ON_STOP',
    sentence:
      'This instance does not come back: at a stop it gives up what it shares with others, and its session.',
    aliases: ['leave'],
  },
  {
    path: 'maxInFlight',
    type: { kind: 'integer', min: 1, max: 65_535 },
    default: 32,
    flag: { long: '--max-in-flight', value: 'COUNT' },
    env: 'MQTTASGI_MAX_IN_FLIGHT',
    sentence: 'Messages that may be unacknowledged at one time; the broker is told (Receive Maximum).',
    aliases: ['receiveMaximum', 'concurrency', 'window'],
  },
  {
    path: 'maxInFlightBytes',
    type: { kind: 'integer', min: 1_024, max: 4_294_967_296 },
    default: 16_777_216,
    flag: { long: '--max-in-flight-bytes', value: 'BYTES' },
    env: 'MQTTASGI_MAX_IN_FLIGHT_BYTES',
    sentence: 'Bytes that may wait in memory before reading from the broker pauses.',
  },
  {
    path: 'maxPacketBytes',
    type: { kind: 'integer', min: 128, max: 268_435_460 },
    default: 16_777_216,
    flag: { long: '--max-packet-bytes', value: 'BYTES' },
    env: 'MQTTASGI_MAX_PACKET_BYTES',
    sentence: 'The largest packet that is handled; of larger messages a dead letter without payload is kept.',
    aliases: ['maximumPacketSize', 'maxPacketSize'],
  },
  {
    path: 'maxTopicLevels',
    type: { kind: 'integer', min: 1, max: 65_535 },
    flag: { long: '--max-topic-levels', value: 'COUNT' },
    env: 'MQTTASGI_MAX_TOPIC_LEVELS',
    sentence: 'The most levels of a topic; messages on deeper ones are acknowledged and counted, not routed.',
  },
  {
    path: 'maxHops',
    type: { kind: 'integer', min: 0, max: 65_535 },
    default: 8,
    flag: { long: '--max-hops', value: 'COUNT' },
    env: 'MQTTASGI_MAX_HOPS',
    sentence:
      'Publications that may follow from each other through handlers before one is refused as a loop (MQTT 5); 0 does not count.',
  },
  {
    path: 'replyTopics',
    type: { kind: 'list' },
    defaultText: 'all that do not begin with $',
    flag: { long: '--reply-topics', value: 'FILTERS' },
    env: 'MQTTASGI_REPLY_TOPICS',
    sentence: 'Filters of the topics that ctx.reply() may publish to, separated by commas.',
    aliases: ['responseTopics'],
  },
  {
    path: 'qos2',
    type: { kind: 'choice', choices: ['downgrade', 'durable'] },
    default: 'downgrade',
    flag: { long: '--qos2', value: 'MODE' },
    env: 'MQTTASGI_QOS2',
    sentence:
      'QoS 2: downgrade asks the broker for QoS 1; durable asks for 2 and keeps in stateDir what was done with.',
    aliases: ['exactlyOnce'],
  },
  {
    path: 'stateDir',
    type: { kind: 'folder' },
    default: '.mqttasgi',
    flag: { long: '--state-dir', value: 'FOLDER' },
    env: 'MQTTASGI_STATE_DIR',
    sentence: 'The folder of what must survive a crash; made when it is needed.',
    aliases: ['stateDirectory', 'dataDir'],
  },
  {
    path: 'deadLetter.store',
    type: { kind: 'choice', choices: ['journal', 'topic', 'redis', 'none'] },
    default: 'journal',
    flag: { long: '--dead-letter-store', value: 'NAME' },
    env: 'MQTTASGI_DEAD_LETTER_STORE',
    sentence: 'Where messages go that nobody could handle: journal (in stateDir), topic, redis or none.',
  },
  {
    path: 'deadLetter.topic',
    type: { kind: 'text' },
    flag: { long: '--dead-letter-topic', value: 'TOPIC' },
    env: 'MQTTASGI_DEAD_LETTER_TOPIC',
    sentence: 'The topic of the store topic; somebody must subscribe to it, or nothing is acknowledged.',
    aliases: ['deadLetterTopic'],
  },
  {
    path: 'deadLetter.redis',
    type: { kind: 'text' },
    flag: { long: '--dead-letter-redis', value: 'URL' },
    env: 'MQTTASGI_DEAD_LETTER_REDIS',
    sentence: 'The address of the store redis: redis:// or rediss://; give it in the environment.',
    secret: true,
  },
  {
    path: 'deadLetter.unverified',
    type: { kind: 'switch' },
    default: false,
    flag: { long: '--dead-letter-unverified', value: 'true|false', alone: 'true' },
    env: 'MQTTASGI_DEAD_LETTER_UNVERIFIED',
    sentence: 'Trust a dead-letter topic also on MQTT 3.1.1, which can not tell whether anybody subscribes.',
  },
  {
    path: 'deadLetter.maxMessages',
    type: { kind: 'integer', min: 1, max: 10_000_000 },
    default: 10_000,
    flag: { long: '--dead-letter-max-messages', value: 'COUNT' },
    env: 'MQTTASGI_DEAD_LETTER_MAX_MESSAGES',
    sentence: 'Dead letters that are kept at most; then nothing more that fails is acknowledged.',
  },
  {
    path: 'deadLetter.maxBytes',
    type: { kind: 'integer', min: 1_024, max: 1_099_511_627_776 },
    default: 268_435_456,
    flag: { long: '--dead-letter-max-bytes', value: 'BYTES' },
    env: 'MQTTASGI_DEAD_LETTER_MAX_BYTES',
    sentence: 'Bytes of dead letters that are kept at most.',
  },
  {
    path: 'outbox.maxMessages',
    type: { kind: 'integer', min: 1, max: 10_000_000 },
    default: 1_000,
    flag: { long: '--outbox-max-messages', value: 'COUNT' },
    env: 'MQTTASGI_OUTBOX_MAX_MESSAGES',
    sentence: 'Publications that may wait for the broker.',
  },
  {
    path: 'outbox.maxBytes',
    type: { kind: 'integer', min: 1_024, max: 1_099_511_627_776 },
    default: 16_777_216,
    flag: { long: '--outbox-max-bytes', value: 'BYTES' },
    env: 'MQTTASGI_OUTBOX_MAX_BYTES',
    sentence: 'Bytes of publications that may wait for the broker.',
  },
  {
    path: 'outbox.maxAge',
    type: { kind: 'seconds', min: 0.001, max: 4_294_967_295 },
    flag: { long: '--outbox-max-age', value: 'SECONDS' },
    env: 'MQTTASGI_OUTBOX_MAX_AGE',
    sentence: 'Seconds a publication may wait for the broker; then it is given up.',
    aliases: ['maxAgeMs'],
  },
  {
    path: 'outbox.whenFull',
    type: { kind: 'choice', choices: ['reject', 'drop-oldest'] },
    default: 'reject',
    flag: { long: '--outbox-when-full', value: 'NAME' },
    env: 'MQTTASGI_OUTBOX_WHEN_FULL',
    sentence: 'What gives way when too much waits: reject refuses the new publication, or drop-oldest.',
    aliases: ['overflow'],
  },
  {
    path: 'outbox.latest',
    type: { kind: 'list' },
    flag: { long: '--outbox-latest', value: 'FILTERS' },
    env: 'MQTTASGI_OUTBOX_LATEST',
    sentence: 'Filters of topics of which only the newest waiting publication is sent, separated by commas.',
  },
  {
    path: 'outbox.qos0',
    type: { kind: 'choice', choices: ['reject', 'keep'] },
    default: 'reject',
    flag: { long: '--outbox-qos0', value: 'NAME' },
    env: 'MQTTASGI_OUTBOX_QOS0',
    sentence: 'What becomes of QoS 0 without a connection: reject, or keep it until there is one.',
    aliases: ['queueQoSZero'],
  },
  {
    path: 'outbox.durable',
    type: { kind: 'switch' },
    default: false,
    flag: { long: '--outbox-durable', value: 'true|false', alone: 'true' },
    env: 'MQTTASGI_OUTBOX_DURABLE',
    sentence: 'Keep publications of QoS 1 and 2 on disk, in stateDir, until the broker has answered.',
    aliases: ['persistent'],
  },
  {
    path: 'channels.layer',
    type: { kind: 'choice', choices: ['memory', 'redis', 'mqtt'] },
    default: 'memory',
    flag: { long: '--channel-layer', value: 'NAME' },
    env: 'MQTTASGI_CHANNEL_LAYER',
    sentence: 'What carries channel events: memory (within one process), redis, or mqtt (the broker itself).',
  },
  {
    path: 'channels.redis',
    type: { kind: 'text' },
    flag: { long: '--channel-redis', value: 'URL' },
    env: 'MQTTASGI_CHANNEL_REDIS',
    sentence: 'The address of the layer redis: redis:// or rediss://; give it in the environment.',
    secret: true,
  },
  {
    path: 'channels.prefix',
    type: { kind: 'text' },
    default: 'asgi',
    flag: { long: '--channel-prefix', value: 'NAME' },
    env: 'MQTTASGI_CHANNEL_PREFIX',
    sentence: 'Begins the keys or topics of the channel layer; others with another prefix do not hear them.',
  },
  {
    path: 'channels.capacity',
    type: { kind: 'integer', min: 1, max: 1_000_000 },
    default: 100,
    flag: { long: '--channel-capacity', value: 'COUNT' },
    env: 'MQTTASGI_CHANNEL_CAPACITY',
    sentence: 'Unread events in one channel; one more is an error.',
  },
  {
    path: 'channels.expiry',
    type: { kind: 'seconds', min: 0.001, max: 4_294_967 },
    default: 60,
    flag: { long: '--channel-expiry', value: 'SECONDS' },
    env: 'MQTTASGI_CHANNEL_EXPIRY',
    sentence: 'Seconds an event waits to be received.',
  },
  {
    path: 'channels.groupExpiry',
    type: { kind: 'seconds', min: 0.001, max: 4_294_967 },
    default: 86_400,
    flag: { long: '--channel-group-expiry', value: 'SECONDS' },
    env: 'MQTTASGI_CHANNEL_GROUP_EXPIRY',
    sentence: 'Seconds a channel stays in a group it was added to.',
  },
  {
    path: 'channels.timeout',
    type: { kind: 'seconds', min: 0.001, max: 3_600 },
    default: 5,
    flag: { long: '--channel-timeout', value: 'SECONDS' },
    env: 'MQTTASGI_CHANNEL_TIMEOUT',
    sentence: 'Seconds Redis or the broker may take to confirm what is done with a channel.',
  },
  {
    path: 'verbosity',
    type: { kind: 'integer', min: 0, max: 2 },
    default: 0,
    flag: { short: '-v', long: '--verbosity', value: '0|1|2', alone: '1' },
    env: 'VERBOSITY',
    sentence: 'How much is said: 0 warnings and changes of state, 1 also information, 2 everything.',
    aliases: ['logLevel', 'verbose'],
  },
  {
    path: 'config',
    type: { kind: 'file' },
    defaultText: 'mqttasgi.config.* in the working directory',
    flag: { long: '--config', value: 'FILE' },
    env: 'MQTTASGI_CONFIG',
    sentence: 'The configuration file.',
  },
]

/** The option at a path, if there is one. */
export function optionAt(path: string): OptionEntry | undefined {
  return options.find((option) => option.path === path)
}

/** All the places to give an option, for a message that asks for it. */
export function placesInWords(path: OptionPath): string {
  const option = optionAt(path)
  return option === undefined ? path : `${path}, ${option.flag.long} or ${option.env}`
}

/** Whether an option can stand in a configuration file or in the options of `serve()`. */
export function isInFile(option: OptionEntry): boolean {
  return option.path !== 'config'
}

/** The default as --help, README and `mqttasgi config` say it. */
export function defaultInWords(option: OptionEntry): string {
  if (option.defaultText !== undefined) return option.defaultText
  return option.default === undefined ? 'none' : String(option.default)
}

/** The flag as it is written: `-H, --host HOST`. */
export function flagInWords({ short, long, value, alone }: Flag): string {
  const names = short === undefined ? long : `${short}, ${long}`
  return `${names} ${alone === undefined ? value : `[${value}]`}`
}

/** README's table of options, as Markdown. */
export function renderOptionsTable(): string {
  const rows = options.map((option) => [
    isInFile(option) ? `\`${option.path}\`` : '–',
    `\`${flagInWords(option.flag).replaceAll('|', '\\|')}\``,
    `\`${option.env}\``,
    defaultInWords(option),
    option.sentence,
  ])
  const head = ['in the file', 'flag', 'environment', 'default', 'what it is']
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

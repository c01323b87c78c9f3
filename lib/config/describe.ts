// Settings for people: each option with its value and where it came from, secrets unseen.
import { redactUrl } from './broker-url.ts'
import { isInFile, type OptionPath, options } from './options.ts'
import { redacted } from './secret.ts'
import type { Settings, WorkerSettings } from './settings.ts'

/** One option as it stands. */
export interface DescribedOption {
  readonly path: string
  /** Empty when it has no value. */
  readonly value: string
  readonly source: string
}

/** Every option, in the order of the table, then application and workers. */
export function describeSettings(settings: Settings): readonly DescribedOption[] {
  const values = valuesOf(settings)
  const paths = options.filter((option) => isInFile(option) && option.path !== 'broker.url')
  const { application, sources, workers } = settings
  const isGiven = (path: string): boolean => (sources[path] ?? 'default') !== 'default'
  const rows = paths.map(({ path }) => ({ path, value: values[path] || (isGiven(path) ? NOT_USED : '') }))
  const more = [
    { path: 'application', value: application === undefined ? '' : inWords(application) },
    { path: 'workers', value: workers.map(workerInWords).join('; ') },
  ]
  return [...rows, ...more].map(({ path, value }) => ({
    path,
    value,
    source: sources[path] ?? 'default',
  }))
}

// Something else was chosen than what it belongs to: without a word it would look as if nobody had given it.
const NOT_USED = 'not used'

// Its answer is nobody's to see, and may be another next time.
const A_FUNCTION = 'a function'

function valuesOf(settings: Settings): Readonly<Partial<Record<OptionPath, string | undefined>>> {
  const { broker, channels, deadLetter, outbox } = settings
  const { tls, will } = broker
  const isNetwork = broker.transport !== 'unix'
  return {
    'broker.host': isNetwork ? broker.host : '',
    'broker.port': isNetwork ? String(broker.port) : '',
    'broker.socketPath': broker.socketPath,
    'broker.transport': broker.transport,
    'broker.wsPath': broker.transport === 'websockets' ? redactUrl(broker.wsPath) : '',
    'broker.clientId': broker.clientId,
    'broker.clean': String(broker.clean),
    'broker.sessionExpiry': String(broker.sessionExpirySeconds),
    'broker.onSessionLoss': broker.onSessionLoss,
    'broker.will.topic': will?.topic,
    'broker.will.payload': will?.payload,
    'broker.will.qos': will === undefined ? '' : String(will.qos),
    'broker.will.retain': will === undefined ? '' : String(will.retain),
    'broker.will.delay': will === undefined ? '' : String(will.delaySeconds),
    'broker.username': typeof broker.username === 'function' ? A_FUNCTION : broker.username,
    'broker.password':
      broker.password === undefined ? '' : typeof broker.password === 'function' ? A_FUNCTION : redacted,
    'broker.passwordFile': broker.passwordFile,
    'broker.tls': String(tls !== undefined),
    'broker.tls.ca': tls?.files.ca,
    'broker.tls.cert': tls?.files.cert,
    'broker.tls.key': tls?.files.key,
    'broker.tls.servername': tls?.servername,
    'broker.tls.alpn': tls?.alpn?.join(', '),
    'broker.protocolVersion': String(broker.protocolVersion),
    'broker.keepalive': String(broker.keepaliveSeconds),
    'broker.connectTimeout': String(broker.connectTimeoutMs / 1_000),
    'broker.retries': String(broker.retries),
    'broker.shareProbe': broker.shareProbe ?? 'off',
    overlap: settings.overlap,
    drainTimeout: String(settings.drainTimeoutMs / 1_000),
    leaveOnStop: String(settings.leaveOnStop),
    maxInFlight: String(settings.maxInFlight),
    maxInFlightBytes: String(settings.maxInFlightBytes),
    maxPacketBytes: String(settings.maxPacketBytes),
    maxTopicLevels: settings.maxTopicLevels === undefined ? '' : String(settings.maxTopicLevels),
    maxHops: String(settings.maxHops),
    replyTopics: settings.replyTopics?.join(', '),
    qos2: settings.qos2,
    stateDir: settings.stateDir,
    'deadLetter.store': deadLetter.store,
    'deadLetter.topic': deadLetter.topic,
    'deadLetter.redis': deadLetter.redis?.address,
    'deadLetter.unverified': String(deadLetter.unverified),
    'deadLetter.maxMessages': String(deadLetter.maxMessages),
    'deadLetter.maxBytes': String(deadLetter.maxBytes),
    'outbox.maxMessages': String(outbox.maxMessages),
    'outbox.maxBytes': String(outbox.maxBytes),
    'outbox.maxAge': outbox.maxAgeMs === undefined ? '' : String(outbox.maxAgeMs / 1_000),
    'outbox.whenFull': outbox.whenFull,
    'outbox.latest': outbox.latest.join(', '),
    'outbox.qos0': outbox.qos0,
    'outbox.durable': String(outbox.durable),
    'channels.layer': channels.layer,
    'channels.redis': channels.redis?.address,
    'channels.prefix': channels.prefix,
    'channels.capacity': String(channels.capacity),
    'channels.expiry': String(channels.expiry),
    'channels.groupExpiry': String(channels.groupExpiry),
    'channels.timeout': String(channels.timeout),
    verbosity: String(settings.verbosity),
  }
}

function workerInWords({ id, mount, application, ...options }: WorkerSettings): string {
  const about = [...placeWords(options), ...restartWords(options)]
  const details = about.length === 0 ? '' : ` (${about.join(', ')})`
  return `${id}${mount === '' ? '' : ` at ${mount}`}: ${inWords(application)}${details}`
}

type WorkerOptionSettings = Omit<WorkerSettings, 'id' | 'mount' | 'application'>

function placeWords({ instances, memoryMb, share, thread }: WorkerOptionSettings): string[] {
  const many = thread ? `in ${instances} threads` : `${instances} instances`
  return [
    ...(instances > 1 ? [many] : thread ? ['in a thread'] : []),
    ...(memoryMb === undefined ? [] : [`${memoryMb} MB`]),
    ...(share === undefined ? [] : [`shared as ${share}`]),
  ]
}

// What is not as it is unless told otherwise.
function restartWords({ escalation, maxRestarts, restart, withinSeconds }: WorkerOptionSettings): string[] {
  const isUsual = maxRestarts === 5 && withinSeconds === 60
  return [
    ...(restart === 'permanent' ? [] : [restart]),
    ...(isUsual ? [] : [`${maxRestarts} restarts in ${withinSeconds} s`]),
    ...(escalation === 'exit' ? ['then exit'] : []),
  ]
}

function inWords(application: object | string): string {
  return typeof application === 'string' ? application : 'an application (given as an object)'
}

// Puts a server together: introduces settings, transport, application and workers to each other.
import { pathToFileURL } from 'node:url'
import { asApplication, type Application, type ApplicationNode } from './core/application.ts'
import type { ApplicationReceiver } from './core/application-receiver.ts'
import type { ReceiverIdentity } from './core/hosted.ts'
import { reconnectBackoff } from './core/backoff.ts'
import type { DeadLetterStore } from './core/dead-letter.ts'
import { MqttasgiError, toError } from './core/errors.ts'
import { unfailing, type Logger } from './core/log.ts'
import type { Router } from './core/router.ts'
import type { Scope } from './core/scope.ts'
import { librariesTrace } from './core/trace.ts'
import { loadApplication } from './config/application-file.ts'
import type { ServeInput } from './config/input.ts'
import { resolveOptions } from './config/load.ts'
import type { ModuleLoader } from './config/modules.ts'
import type { OutboxSettings, Settings } from './config/settings.ts'
import { connectionTo } from './connection.ts'
import { openDeadLetters } from './durable/open-dead-letters.ts'
import { lineLog } from './observe/line-log.ts'
import { watchLoop } from './observe/loop-watch.ts'
import type { OutboxPolicy } from './server/outbox-policy.ts'
import { Server } from './server/server.ts'
import type { ServerParts } from './server/server-parts.ts'
import { probeTopic } from './server/share-probe.ts'
import { deadLetterPlan, filterMemoryOf, openStores, type Stores } from './stores.ts'
import type { Transport } from './transport/transport.ts'

/** The configuration of a server in a program, and where its words go. */
export interface ServeOptions extends ServeInput {
  /** Default: warnings and errors as lines on stderr, more with `verbosity`. */
  readonly log?: Logger
  /** Default: MQTT.js, connected as `broker` says. For tests: `new MemoryTransport()` of `mqttasgi/testing`. */
  readonly transport?: Transport
}

const TRACE_WARNING =
  'DEBUG lets MQTT.js write what it sends and gets, which is not for a log that others read: DEBUG=mqttasgi:* is ours alone'
// What a message takes in memory while it waits. Messages of a few bytes would take forty times the limit without it.
const BYTES_BESIDE_FRAME = 256

/**
 * Runs an application: connects to the broker, subscribes to all of its routes and hands it each message,
 * which is acknowledged when its handlers are done.
 *
 * Resolves when messages can come. Rejects with `ERR_CONFIG_*` for wrong options, with `ERR_CONNECT_*`
 * when the broker can not be reached within the retries, with `ERR_SUBSCRIBE_REFUSED` when it refuses a
 * route. Nothing is read from files, flags or the environment.
 *
 * @example
 * const server = await serve(app, { broker: { url: 'mqtt://localhost:1883' } })
 * await server.publish('status/greenhouse', 'online', { retain: true })
 * await server.stop()
 */
export async function serve(app: Application | Router, options: ServeOptions = {}): Promise<Server> {
  const { log, transport, ...input } = options
  const settings = resolveOptions(input)
  const server = await createServer(app, settings, {
    log: log ?? lineLog({ verbosity: settings.verbosity }),
    loader: nativeLoader,
    transport,
  })
  await server.start()
  return server
}

/** What a server is put together with besides its settings. */
export interface ServerSurroundings {
  readonly log: Logger
  /** Loads the application files of workers. */
  readonly loader: ModuleLoader
  /** Is told each password that was read from a file or a function, so that nothing prints it. */
  readonly secret?: ((password: string) => void) | undefined
  readonly transport?: Transport | undefined
  /** Where dead letters go instead of where the settings say; it is closed with the server. */
  readonly deadLetters?: DeadLetterStore | undefined
}

function storeOf(settings: Settings, log: Logger, server: () => Server): DeadLetterStore | undefined {
  return openDeadLetters(deadLetterPlan(settings), {
    publish: (topic, payload, options) => server().publish(topic, payload, options),
    protocolVersion: () => server().protocolVersion,
    warn: (message) => log.warn(message),
  })
}

/** A server that has not been started: the command line watches it from the first moment on. */
export async function createServer(
  app: unknown,
  settings: Settings,
  { log: given, loader, secret, transport, deadLetters }: ServerSurroundings,
): Promise<Server> {
  const log = unfailing(given)
  const workers = await Promise.all(settings.workers.map((worker) => loadWorker(worker, loader)))
  const hosted: HostedApplication[] = [
    { application: asApplication(app, 'The application'), identity: { id: 'application' } },
    ...workers,
  ]
  const receivers: ApplicationReceiver[] = []
  const release = (): void => {
    for (const receiver of receivers) receiver.release()
  }
  let stores: Stores | undefined
  let server: Server
  try {
    const rules = { replyTopics: settings.replyTopics, countHops: settings.maxHops > 0 }
    for (const { application, identity } of hosted) {
      receivers.push(receiverOf({ application, identity: { log, rules, ...identity } }))
    }
    refuseDuplicates(receivers)
    const opened = (stores = await openStores(settings, { log, ownsConnection: transport === undefined }))
    const { crashLedger, durableOutbox, exchanges } = opened
    const isStrict = receivers.some((receiver) => receiver.interests().some(({ strict }) => strict === true))
    const connection =
      transport ?? connectionTo(settings, { secret, exchanges, isStrict, will: settings.broker.will })
    server = new Server({
      ...partsOf(receivers, settings, log, connection),
      durableOutbox,
      crashLedger,
      filterMemory: transport === undefined ? filterMemoryOf(settings) : undefined,
      deadLetters: deadLetters ?? storeOf(settings, log, () => server),
      release: () => opened.close(),
    })
  } catch (error) {
    release()
    await stores?.exchanges?.close()
    await stores?.durableOutbox?.store.close()
    await stores?.close()
    throw error
  }
  for (const warning of settings.warnings) log.warn(warning)
  if (librariesTrace()) log.warn(TRACE_WARNING)
  for (const notice of settings.notices) log.warn(notice)
  const stopWatching = watchLoop({ log, lastRoutes: () => server.lastRoutes })
  const detachments = hosted.map(({ application }) => application.attach(server))
  void server.closed.then(() => {
    stopWatching()
    for (const detach of detachments) detach()
    release()
  })
  return server
}

function receiverOf({ application, identity }: HostedApplication): ApplicationReceiver {
  try {
    return application.receiver(identity)
  } catch (cause) {
    throw new MqttasgiError(
      'ERR_CONFIG_VALUE',
      `Worker "${identity.id}" can not be mounted under "${identity.mount ?? ''}": ${toError(cause).message}`,
      { cause },
    )
  }
}

function partsOf(
  receivers: readonly ApplicationReceiver[],
  settings: Settings,
  log: Logger,
  transport: Transport,
): ServerParts {
  const { broker } = settings
  return {
    transport,
    receivers,
    clientId: broker.clientId,
    policy: {
      retries: broker.retries,
      protocolVersion: broker.protocolVersion,
      backoff: reconnectBackoff(Math.random),
      clientId: broker.clientId,
    },
    window: {
      maxInFlight: settings.maxInFlight,
      maxWaitingBytes: settings.maxInFlightBytes,
      bytesBesideFrame: BYTES_BESIDE_FRAME,
    },
    maxTopicLevels: settings.maxTopicLevels,
    maxHops: settings.maxHops,
    outbox: outboxPolicy(settings.outbox),
    overlap: settings.overlap,
    highestQoS: settings.qos2 === 'durable' ? 2 : 1,
    shareProbeTopic: broker.shareProbe && probeTopic(broker.shareProbe, broker.clientId),
    sessionLasts: !broker.clean,
    sessionExpirySeconds: broker.sessionExpirySeconds,
    onSessionLoss: broker.onSessionLoss,
    drainTimeoutMs: settings.drainTimeoutMs,
    log,
  }
}

function outboxPolicy({
  latest,
  maxAgeMs,
  maxBytes,
  maxMessages,
  qos0,
  whenFull,
}: OutboxSettings): OutboxPolicy {
  const limits = { maxMessages, maxBytes, bytesBesideFrame: BYTES_BESIDE_FRAME }
  return { ...limits, latest, qos0, whenFull, ...(maxAgeMs === undefined ? {} : { maxAgeMs }) }
}

interface HostedApplication {
  readonly application: ApplicationNode
  readonly identity: Partial<ReceiverIdentity>
}

async function loadWorker(
  worker: Settings['workers'][number],
  loader: ModuleLoader,
): Promise<HostedApplication> {
  const { id, mount, params } = worker
  const loaded =
    typeof worker.application === 'string'
      ? await loadApplication(worker.application, process.cwd(), loader)
      : worker.application
  const scope: Scope = { type: 'mqtt', appId: id, instanceType: 'worker', params }
  return {
    application: asApplication(loaded, `The application of worker "${id}"`),
    identity: { id, mount, scope },
  }
}

function refuseDuplicates(receivers: readonly ApplicationReceiver[]): void {
  const ids = receivers.map(({ id }) => id)
  const twice = ids.find((id, i) => ids.indexOf(id) !== i)
  if (twice === undefined) return
  throw new MqttasgiError(
    'ERR_RECEIVER_DUPLICATE',
    `Two receivers have the id "${twice}". Give each worker an id of its own.`,
  )
}

// In a program, files are loaded as the program itself was: TypeScript where the runtime reads it.
const nativeLoader: ModuleLoader = {
  load: (file) => import(pathToFileURL(file).href) as Promise<unknown>,
  files: () => [],
}

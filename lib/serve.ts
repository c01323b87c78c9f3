// Puts a server together: introduces settings, transport, application and workers to each other.
import { extname } from 'node:path'
import type { Application } from './core/application.ts'
import type { DeadLetterStore } from './core/dead-letter.ts'
import { Deferred } from './core/deferred.ts'
import { MqttasgiError } from './core/errors.ts'
import type { Hostable, HostedReceiver, ReceiverCounter } from './core/hosted.ts'
import { unfailing, type Logger } from './core/log.ts'
import type { Receiver } from './core/receiver.ts'
import type { Router } from './core/router.ts'
import { masterScope } from './core/scope.ts'
import { librariesTrace } from './core/trace.ts'
import type { ServeInput } from './config/input.ts'
import { layerFor } from './channel-layer.ts'
import { resolveOptions } from './config/load.ts'
import type { ModuleLoader } from './config/modules.ts'
import type { OutboxSettings, Settings } from './config/settings.ts'
import { connectionTo } from './connection.ts'
import type { ConsumerClass } from './consumer/consumer.ts'
import type { RawApplication } from './consumer/events.ts'
import { asHostable } from './consumer/hostable.ts'
import { openDeadLetters } from './durable/open-dead-letters.ts'
import { nativeLoader } from './native-loader.ts'
import { lineLog } from './observe/line-log.ts'
import { watchLoop } from './observe/loop-watch.ts'
import { zeroCounters } from './server/counters.ts'
import type { OutboxPolicy } from './server/outbox-policy.ts'
import type { ServerParts } from './server/server-parts.ts'
import { outboxLimits, ownPublications, serverTerms } from './server-terms.ts'
import { systemClock } from './system-clock.ts'
import { deadLetterPlan, openStores, recallFilters, type Stores } from './stores.ts'
import type { Transport } from './transport/transport.ts'
import { Crew } from './workers/crew.ts'
import { workerHost } from './workers/worker-hosts.ts'
import { Workplace } from './workplace.ts'

/** The configuration of a server in a program, and where its words go. */
export interface ServeOptions extends ServeInput {
  /** Default: warnings and errors as lines on stderr, more with `verbosity`. */
  readonly log?: Logger
  /** Default: MQTT.js, connected as `broker` says. For tests: `new MemoryTransport()` of `mqttasgi/testing`. */
  readonly transport?: Transport
}

/** A running server: its connection, its health, and its workers. */
export type Server = Workplace

const TRACE_WARNING =
  'DEBUG lets MQTT.js write what it sends and gets, which is not for a log that others read: DEBUG=mqttasgi:* is ours alone'

/**
 * Runs an application, a router, a consumer class or a raw application: connects to the broker, subscribes to
 * all it wants and hands it each message, which is acknowledged when its handlers are done.
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
export async function serve(
  app: Application | Router | ConsumerClass | RawApplication,
  options: ServeOptions = {},
): Promise<Server> {
  refuseNoOptions(options)
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

// As a program in JavaScript may give them.
function refuseNoOptions(options: unknown): void {
  if (typeof options !== 'object' || options === null) {
    const what = `serve() got ${options === null ? 'null' : typeof options} as options`
    throw new MqttasgiError('ERR_CONFIG_VALUE', `${what}, expected an object such as { broker: { url } }.`)
  }
  if (!('application' in options)) return
  throw new MqttasgiError(
    'ERR_CONFIG_KEY',
    'serve() has no option "application": the application is its first argument.',
  )
}

/** What a server is put together with besides its settings. */
export interface ServerSurroundings {
  readonly log: Logger
  /** Loads the application files of workers. */
  readonly loader: ModuleLoader
  /** The file that runs in the threads of workers, where `loader` is not the runtime itself. */
  readonly threadEntry?: URL | undefined
  /** Makes what can be run of the application and of those of its workers, but for those in threads. */
  readonly hostable?: ((value: unknown, what: string) => Hostable) | undefined
  /** Is told each password that was read from a file or a function, so that nothing prints it. */
  readonly secret?: ((password: string) => void) | undefined
  readonly transport?: Transport | undefined
  /** Where dead letters go instead of where the settings say; it is closed with the server. */
  readonly deadLetters?: DeadLetterStore | undefined
}

function storeOf(settings: Settings, log: Logger, server: () => Workplace): DeadLetterStore | undefined {
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
  {
    log: given,
    loader,
    threadEntry = nativeThread,
    hostable = asHostable,
    secret,
    transport,
    deadLetters,
  }: ServerSurroundings,
): Promise<Workplace> {
  const log = unfailing(given)
  let server: Workplace
  let master: HostedReceiver | undefined
  const application = hostable(app, 'The application')
  const channels = layerFor(settings, log)
  const counters = zeroCounters()
  const identity = {
    log,
    channels: channels.layer,
    countEvent: (counter: ReceiverCounter): void => void counters[counter]++,
    clock: systemClock,
    rules: { replyTopics: settings.replyTopics, countHops: settings.maxHops > 0 },
    ready: () => server.ready(),
  }
  const hosting = { identity, loader, asHostable: hostable, threadEntry }
  const place = new Deferred<Workplace>()
  // Its workers run before there is a server.
  const fail = async (error: MqttasgiError): Promise<void> => (await place.promise).fail(error)
  const crew = new Crew({
    place: place.promise,
    hostFor: (order) => workerHost(order, hosting),
    clock: systemClock,
    random: Math.random,
    log,
    exit: (error) => void fail(error),
  })
  let stores: Stores | undefined
  try {
    const who = { id: 'application', mount: '', scope: masterScope }
    master = application.receiver({ ...identity, ...who, workforce: crew })
    const workers = await crew.prepare(settings.workers)
    const receivers: readonly Receiver[] = [master, ...workers, ...channels.receivers]
    const opened = (stores = await openStores(settings, { log, ownsConnection: transport === undefined }))
    const { crashLedger, durableOutbox, exchanges } = opened
    const isStrict = receivers.some((receiver) => receiver.interests().some(({ strict }) => strict === true))
    const connection =
      transport ?? connectionTo(settings, { secret, exchanges, isStrict, will: settings.broker.will })
    const parts: ServerParts = {
      ...partsOf(receivers, settings, log, connection),
      durableOutbox,
      crashLedger,
      filterMemory: transport === undefined ? await recallFilters(settings, log) : undefined,
      deadLetters: deadLetters ?? storeOf(settings, log, () => server),
      faults: () => crew.faults,
      counters,
      release: async () => {
        await crew.close()
        await channels.layer.close()
        await opened.close()
      },
    }
    server = new Workplace(parts, crew, channels.layer)
    place.resolve(server)
  } catch (error) {
    master?.release()
    await crew.close()
    await channels.layer.close()
    await stores?.exchanges?.close()
    await stores?.durableOutbox?.store.close()
    await stores?.close()
    throw error
  }
  for (const warning of settings.warnings) log.warn(warning)
  if (librariesTrace()) log.warn(TRACE_WARNING)
  for (const notice of settings.notices) log.warn(notice)
  const stopWatching = watchLoop({ log, lastRoutes: () => server.lastRoutes })
  void master.ended?.then((error) => {
    if (error === undefined) server.finish()
    else server.fail(failed(error))
  })
  void server.closed.then(() => {
    stopWatching()
    master.release()
  })
  return server
}

// A consumer whose connect() threw, or a raw application that rejected: nobody is left to run.
function failed(cause: Error): MqttasgiError {
  return new MqttasgiError('ERR_APPLICATION_FAILED', `The application has failed: ${cause.message}`, {
    cause,
  })
}

function partsOf(
  receivers: readonly Receiver[],
  settings: Settings,
  log: Logger,
  transport: Transport,
): ServerParts {
  const { broker, maxHops, maxTopicLevels, overlap, qos2 } = settings
  return {
    ...serverTerms(settings),
    transport,
    receivers,
    maxTopicLevels,
    maxHops,
    outbox: outboxPolicy(settings.outbox),
    overlap,
    own: ownPublications(settings),
    highestQoS: qos2 === 'durable' ? 2 : 1,
    sessionExpirySeconds: broker.sessionExpirySeconds,
    onSessionLoss: broker.onSessionLoss,
    log,
  }
}

function outboxPolicy(outbox: OutboxSettings): OutboxPolicy {
  const { latest, maxAgeMs, qos0, whenFull } = outbox
  return { ...outboxLimits(outbox), latest, qos0, whenFull, ...(maxAgeMs === undefined ? {} : { maxAgeMs }) }
}

// Beside this file, under whichever name that has: TypeScript in a checkout, JavaScript in the package.
const nativeThread = new URL(`./native-thread${extname(import.meta.url)}`, import.meta.url)

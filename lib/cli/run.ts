// mqttasgi run: connects the application, keeps it running, and ends it as the signals and the broker say.
import type { Settings } from '../config/settings.ts'
import { isLoopback } from '../config/warnings.ts'
import { MqttasgiError } from '../core/errors.ts'
import { createServer } from '../serve.ts'
import type { Server } from '../server/server.ts'
import type { Closed } from '../server/server-parts.ts'
import {
  applicationOf,
  type Command,
  type CommandContext,
  type Configured,
  configure,
  nodeOf,
  workerThread,
} from './command.ts'
import { exitCodeOf, exitCodes } from './exit-codes.ts'
import type { StopSignal } from './signals.ts'
import { version } from './version.ts'

/** Runs until it is stopped. */
export const run: Command = async (context) => {
  const preparing = prepare(context)
  // What comes of it after a signal is of no interest.
  preparing.catch(() => {})
  const prepared = await Promise.race([preparing, context.signals.first])
  // Nothing is connected yet, so there is nothing to drain.
  if (typeof prepared === 'string') return exitCodes.clean
  return serveUntilStopped(context, prepared)
}

/** A server that has not been started, and what it was made of. */
export interface Prepared extends Configured {
  readonly application: object
  readonly server: Server
}

/** Reads the configuration, loads the application and makes the server. */
export async function prepare(context: CommandContext): Promise<Prepared> {
  const configured = await configure(context)
  return prepareServer(context, configured)
}

/** The same with the configuration given. */
export async function prepareServer({ terminal }: CommandContext, configured: Configured): Promise<Prepared> {
  const { settings, loader } = configured
  const application = await applicationOf(configured)
  const server = await createServer(application, settings, {
    log: terminal.log(settings.verbosity),
    loader,
    threadEntry: workerThread,
    secret: (password) => terminal.hide(password),
  })
  return { ...configured, application, server }
}

/** Starts a server that was prepared, and resolves with the exit code when it has ended. */
export async function serveUntilStopped(
  { terminal, signals }: Pick<CommandContext, 'terminal' | 'signals'>,
  { server, settings, application }: Prepared,
): Promise<number> {
  const { address, clientId } = settings.broker
  terminal.say(`mqttasgi ${version()} connects to ${address} as ${clientId}`)
  let asked: StopSignal | undefined
  void signals.first.then((signal) => {
    asked = signal
    terminal.say(stopping(signal, settings))
    return server.stop({ leave: settings.leaveOnStop })
  })
  let hasRun = false
  server.start().then(
    () => {
      hasRun = true
      if (asked === undefined) terminal.say(runningLine(settings, application))
    },
    // `closed` says it too.
    () => {},
  )
  const closed = await server.closed
  const { error } = closed
  const hinted = error === undefined || hasRun ? closed : { ...closed, error: withDevHint(error, settings) }
  return ended(hinted, { terminal, settings })
}

function ended(
  { error, stop }: Closed,
  { terminal, settings }: { terminal: CommandContext['terminal']; settings: Settings },
): number {
  if (error !== undefined) {
    terminal.fail(error)
    return exitCodeOf(error)
  }
  if (stop.clean) {
    terminal.say('stopped')
    return exitCodes.clean
  }
  const seconds = settings.drainTimeoutMs / 1_000
  terminal.say(`stopped at the drain limit of ${seconds} s: ${leftInHand(stop.unsettled)}`)
  return exitCodes.drainLimit
}

/** What a stop has left behind. */
export function leftInHand(messages: number): string {
  const were = messages === 1 ? '1 message was' : `${messages} messages were`
  return `${were} still in hand, not acknowledged`
}

// Where nothing listens on one's own machine, most likely no broker was started yet.
function withDevHint(error: MqttasgiError, { broker }: Settings): MqttasgiError {
  const isRefused = /ECONNREFUSED/.test(error.message) && isLoopback(broker.host)
  if (error.code !== 'ERR_CONNECT_NETWORK' || !isRefused) return error
  const hint = 'Without a broker, mqttasgi dev runs the application on one of its own.'
  return new MqttasgiError(error.code, `${error.message} ${hint}`, { cause: error })
}

function stopping(signal: StopSignal, { drainTimeoutMs }: Settings): string {
  return `${signal}: stopping, waits up to ${drainTimeoutMs / 1_000} s for running handlers; a second signal ends at once`
}

/** Said when messages can come. */
export function runningLine({ workers }: Settings, application: object): string {
  const routes = nodeOf(application)?.routes('').length
  const count = routes === undefined ? 'a consumer' : routes === 1 ? '1 route' : `${routes} routes`
  const more =
    workers.length === 0 ? '' : workers.length === 1 ? ' and 1 worker' : ` and ${workers.length} workers`
  return `running: ${count}${more} subscribed; Ctrl-C stops`
}

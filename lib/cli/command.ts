// What every command is given, and the first steps they share: settings, then the application.
import { extname } from 'node:path'
import { Secret } from '../config/secret.ts'
import { loadApplication } from '../config/application-file.ts'
import type { Texts } from '../config/levels.ts'
import { loadConfig } from '../config/load.ts'
import { createLoader, type ModuleLoader } from '../config/modules.ts'
import type { Settings } from '../config/settings.ts'
import { ApplicationNode, asApplication, mqttasgi } from '../core/application.ts'
import { asHostable } from '../consumer/hostable.ts'
import { MqttasgiError } from '../core/errors.ts'
import { ownModules } from '../own-modules.ts'
import type { Invocation } from './program.ts'
import type { StopSignals } from './signals.ts'
import type { Terminal } from './terminal.ts'

/** What a command works with. */
export interface CommandContext {
  readonly invocation: Invocation
  readonly terminal: Terminal
  readonly signals: StopSignals
  readonly cwd: string
  readonly env: Texts
  /** The file that was started, for `dev` to start it again. */
  readonly bin: string
}

/** A command: resolves with the exit code. What it throws is printed, and its kind is the exit code. */
export type Command = (context: CommandContext) => Promise<number>

/** Settings, and the loader that has read their file. */
export interface Configured {
  readonly settings: Settings
  readonly loader: ModuleLoader
}

/** Reads the configuration for this command line. */
export async function configure({ invocation, terminal, cwd, env }: CommandContext): Promise<Configured> {
  const loader = createLoader(ownModules, cwd)
  const { flags, application } = invocation
  const command = invocation.command === 'dev-server' ? 'dev' : invocation.command
  const settings = await loadConfig({ cwd, flags, env, command, application, loader })
  const { password } = settings.broker
  if (password instanceof Secret) terminal.hide(password.reveal())
  hideRedis(terminal, settings.deadLetter.redis?.url.reveal())
  hideRedis(terminal, settings.channels.redis?.url.reveal())
  terminal.isDetailed ||= settings.verbosity === 2
  return { settings, loader }
}

// The URL as it is, and its password, which a message of the client may hold alone.
function hideRedis(terminal: Terminal, url: string | undefined): void {
  if (url === undefined || !url.includes('@')) return
  terminal.hide(url)
  terminal.hide(decodeURIComponent(new URL(url).password))
}

/** What runs in the threads of workers here, and at a replay of dead letters. */
export const workerThread: URL = new URL(`./worker-thread${extname(import.meta.url)}`, import.meta.url)
export const replayThread: URL = new URL(`./replay-thread${extname(import.meta.url)}`, import.meta.url)

/** The application of these settings; an empty one when there are only workers. Code: `ERR_APPLICATION_MISSING`. */
export async function applicationOf({ settings, loader }: Configured): Promise<object> {
  const { application, workers } = settings
  if (application !== undefined) return loadedOf(application, 'The application', loader)
  if (workers.length > 0) return asApplication(mqttasgi(), 'The application')
  const message = 'there is no application to run. Name its file, as in mqttasgi ./app.ts,'
  const config = settings.file ?? 'mqttasgi.config.ts'
  throw new MqttasgiError(
    'ERR_APPLICATION_MISSING',
    `${message} or write application: './app.ts' into ${config}.`,
  )
}

/** The application, if it is one that says beforehand what it wants. */
export function nodeOf(application: object): ApplicationNode | undefined {
  return application instanceof ApplicationNode ? application : undefined
}

/** What was given, or what its file exports, when it can be run. Code: `ERR_APPLICATION_INVALID`. */
export async function loadedOf(given: object | string, what: string, loader: ModuleLoader): Promise<object> {
  const value = typeof given === 'string' ? await loadApplication(given, process.cwd(), loader) : given
  const hostable = asHostable(value, typeof given === 'string' ? given : what)
  return hostable instanceof ApplicationNode ? hostable : Object(value)
}

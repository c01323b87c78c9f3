// The command line from its words to its exit code.
import type { Texts } from '../config/levels.ts'
import { optionAt } from '../config/options.ts'
import { MqttasgiError } from '../core/errors.ts'
import type { Command } from './command.ts'
import { type CrashSource, endOnCrash } from './crash.ts'
import { exitCodeOf, exitCodes } from './exit-codes.ts'
import { type CommandName, commandNames, parseCommandLine } from './program.ts'
import { type SignalSource, StopSignals } from './signals.ts'
import { type Streams, Terminal } from './terminal.ts'
import { version } from './version.ts'

/** What a process is to the command line. */
export interface Surroundings extends Streams {
  readonly cwd: string
  readonly env: Texts
  /** Its title is what other users of the machine see of the command line. */
  readonly process: SignalSource & CrashSource & { title: string }
  /** Ends the process at once. */
  readonly exit: (code: number) => void
  /** The file that was started. */
  readonly bin: string
}

// Each is loaded when it is asked for: --help and --version wait for nothing.
const commands: Readonly<Record<CommandName, () => Promise<Command>>> = {
  run: async () => (await import('./run.ts')).run,
  dev: async () => (await import('./dev.ts')).dev,
  'dev-server': async () => (await import('./dev-server.ts')).devServer,
  routes: async () => (await import('./routes.ts')).routes,
  match: async () => (await import('./match.ts')).match,
  config: async () => (await import('./config.ts')).config,
  plan: async () => (await import('./plan.ts')).plan,
  doctor: async () => (await import('./doctor.ts')).doctor,
  dlq: async () => (await import('./dlq.ts')).dlq,
  channel: async () => (await import('./channel.ts')).channel,
}

/** Does what the words behind `mqttasgi` say; resolves with the exit code and never rejects. */
export async function main(argv: readonly string[], surroundings: Surroundings): Promise<number> {
  const { env, cwd, bin, process, exit } = surroundings
  const terminal = new Terminal(surroundings)
  terminal.isDetailed = Boolean(env['DEBUG'])
  terminal.hide(env[optionAt('broker.password')?.env ?? ''])
  const signals = new StopSignals(process, exit)
  const stopWatching = endOnCrash(process, terminal, exit)
  let word: string | undefined
  try {
    const parsed = parseCommandLine(argv, version())
    if ('text' in parsed) {
      terminal.print(parsed.text.trimEnd())
      return exitCodes.clean
    }
    const { invocation } = parsed
    word = invocation.word
    terminal.hide(invocation.flags['password'])
    // Other users had a moment to read it, and a warning says so; they need not have for ever.
    if (isSecretIn(invocation.flags)) process.title = `mqttasgi ${invocation.command}`
    terminal.isDetailed ||= invocation.flags['verbosity'] === '2'
    const command = await commands[invocation.command]()
    return await command({ invocation, terminal, signals, cwd, env, bin })
  } catch (error) {
    terminal.fail(word === undefined ? error : withCommands(error, word))
    return exitCodeOf(error)
  } finally {
    stopWatching()
    signals.dispose()
  }
}

// The query of a websocket may be a signature.
function isSecretIn({ password, url, 'ws-path': path, ...flags }: Texts): boolean {
  const texts = [url, path, flags['dead-letter-redis'], flags['channel-redis']]
  return password !== undefined || texts.some((text) => text !== undefined && /[@?]/.test(text))
}

// A word that was taken for a file, for no command is like it.
function withCommands(error: unknown, word: string): unknown {
  if (!(error instanceof MqttasgiError) || error.code !== 'ERR_APPLICATION_FILE') return error
  const more = `"${word}" is no command either: there are ${commandNames.join(', ')}.`
  return new MqttasgiError(error.code, `${error.message} ${more}`, { cause: error })
}

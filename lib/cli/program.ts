// The command line, read by commander: its flags, its help and its mistakes all come from the table of options.
import { Argument, Command, CommanderError, Option } from 'commander'
import { defaultInWords, flagInWords, type OptionEntry, options } from '../config/options.ts'
import { flagKey, type Texts } from '../config/levels.ts'
import { nearest } from '../config/near.ts'
import { MqttasgiError } from '../core/errors.ts'
import { arrange } from './arguments.ts'
import { dlqFlags, type DlqFlags, type OwnFlag } from './dlq-question.ts'

/** The commands there are. `dev-server` is what `dev` starts and starts again; it is not in the help. */
export type CommandName =
  | 'run'
  | 'dev'
  | 'routes'
  | 'match'
  | 'config'
  | 'plan'
  | 'doctor'
  | 'dlq'
  | 'channel'
  | 'dev-server'

/** What the command line asks for. */
export interface Invocation {
  readonly command: CommandName
  /** The application as it was named, `./file.ts#export`. */
  readonly application: string | undefined
  /** The same where no command was named and it is one bare word, which may have been meant as one. */
  readonly word?: string
  /** Of `match`. */
  readonly topic: string | undefined
  /** Of `dlq`: what to do, with which letters, and its own flags. */
  readonly dlq?: {
    readonly action: string | undefined
    readonly ids: readonly string[]
    readonly flags: DlqFlags
  }
  /** Of `channel`: the words behind it. */
  readonly channel?: readonly string[]
  /** Of `plan` and `doctor`: the answer as JSON. */
  readonly json?: boolean
  /** The flags that were given, by their long names without dashes. */
  readonly flags: Texts
}

/** What was asked for, or the text that answers it: help or the version. */
export type Parsed = { readonly invocation: Invocation } | { readonly text: string }

interface CommandEntry {
  readonly name: CommandName
  readonly summary: string
  readonly takesTopic?: true
  /** What stands behind it, before the application. */
  readonly operands?: string
  readonly flags?: readonly OwnFlag[]
  /** It can answer as JSON. */
  readonly hasJson?: true
  readonly hidden?: true
}

const commands: readonly CommandEntry[] = [
  { name: 'run', summary: 'connect the application to the broker; without a command, this one' },
  {
    name: 'dev',
    summary: 'run the application on a broker of its own, unless one is given, and again on each change',
  },
  { name: 'routes', summary: 'show the routes and the filters that will be subscribed' },
  { name: 'match', summary: 'show which layers run for a topic, with their parameters', takesTopic: true },
  { name: 'config', summary: 'show each option, its value and where it came from' },
  {
    name: 'plan',
    summary: 'show what the broker will be told, for which routes and why, and which filters overlap',
    hasJson: true,
  },
  {
    name: 'doctor',
    summary: 'connect, and report what the broker grants, limits and misses, and what that means here',
    hasJson: true,
  },
  {
    name: 'dlq',
    summary: 'look at dead letters (ls, show <id>), replay them, or purge them',
    operands: '<action>',
    flags: dlqFlags,
  },
  {
    name: 'channel',
    summary: 'send an event over the channel layer: send <channel> or group-send <group>, then the event',
    operands: '<action>',
  },
  { name: 'dev-server', summary: 'one start of the application for dev', hidden: true },
]

const brackets = `
In brackets: the default, and the environment variable of the option. A flag counts before the variable,
that before .env in this folder, that before the configuration file, that before the default.`

const examples = `
  mqttasgi ./app.ts                           run app.ts on localhost:1883
  mqttasgi dev ./app.ts                       the same, with a broker inside and restarts on change
  mqttasgi --url mqtts://broker.example.org   run what mqttasgi.config.ts names, on that broker
  mqttasgi match sensors/hall/temp            say which handlers would run
`

/** Reads the words behind `mqttasgi`. Codes: `ERR_USAGE`. */
export function parseCommandLine(argv: readonly string[], version: string): Parsed {
  const names = [...commands.map(({ name }) => name), 'help']
  const { command, words } = arrange(argv, names)
  const isQuestion = words.some((word) => ['-h', '--help', '-V', '--version'].includes(word))
  const front = command ?? (isQuestion ? undefined : 'run')
  const output: string[] = []
  let invocation: Invocation | undefined
  const program = makeProgram(
    version,
    (text) => output.push(text),
    (found) => (invocation = found),
  )
  try {
    program.parse(front === undefined ? words : [front, ...words], { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.exitCode === 0) return { text: output.join('') }
    throw usageError(error)
  }
  if (invocation === undefined) return { text: output.join('') }
  const { application } = invocation
  const isWord = command === undefined && application !== undefined && isBare(application)
  return { invocation: isWord ? { ...invocation, word: application } : invocation }
}

function makeProgram(
  version: string,
  write: (text: string) => void,
  found: (invocation: Invocation) => void,
): Command {
  const program = new Command('mqttasgi')
    .description(description())
    .usage('[command] [options] [./file.ts#export]')
    .version(version, '-V, --version', 'show the version')
    .helpOption('-h, --help', 'show this help')
    .exitOverride()
    .configureOutput({ writeOut: write, writeErr: () => {} })
    .configureHelp({ optionTerm: termOf, visibleOptions, visibleCommands: () => [], helpWidth: 110 })
    .addHelpText('after', brackets)
    .addHelpText('after', ownFlags())
    .addHelpText('after', examples)
  for (const entry of commands) addCommand(program, entry, found)
  return program
}

// Here, for commander lists the commands below all options, where nobody looks.
function description(): string {
  const rows = commands
    .filter(({ hidden }) => !hidden)
    .map(
      ({ name, takesTopic, operands, summary }) =>
        `  ${[name, takesTopic ? '<topic>' : operands].filter(Boolean).join(' ').padEnd(15)} ${summary}`,
    )
  return ['Runs MQTT applications.', '', 'Commands:', ...rows].join('\n')
}

function ownFlags(): string {
  const names = commands
    .filter(({ flags, hasJson }) => flags !== undefined || hasJson)
    .map(({ name }) => name)
  const list = `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`
  return `\nFlags of their own have ${list}: ${names.map((name) => `mqttasgi ${name} --help`).join(', ')}.`
}

function addCommand(program: Command, entry: CommandEntry, found: (invocation: Invocation) => void): void {
  const command = program.command(entry.name, { hidden: entry.hidden ?? false }).summary(entry.summary)
  command.description(`${entry.summary.charAt(0).toUpperCase()}${entry.summary.slice(1)}.`)
  command.helpOption('-h, --help', 'show this help').allowExcessArguments()
  command.addHelpText('after', brackets)
  if (entry.takesTopic) command.addArgument(new Argument('<topic>', 'a topic, as it would be published to'))
  if (entry.name === 'channel') addChannelArguments(command)
  else if (entry.flags === undefined) command.addArgument(new Argument('[application]', applicationInWords))
  else addDlqArguments(command, entry.flags)
  if (entry.hasJson) command.addOption(new Option('--json', 'the answer as JSON'))
  for (const option of options) command.addOption(commanderOption(option))
  command.action(() => {
    if (entry.name === 'dlq') return found(dlqInvocation(command))
    if (entry.name === 'channel') return found(channelInvocation(command))
    const [topic, ...operands] = entry.takesTopic ? command.args : [undefined, ...command.args]
    const [application] = operands
    // What stands behind another command is meant for that.
    if (entry.name === 'run') refuseMistypedCommand(operands)
    refuseOthers(entry.name, operands)
    if (topic !== undefined && application === undefined) refuseMissingTopic(topic)
    const json = entry.hasJson && command.opts()['json'] === true
    found({ command: entry.name, topic, application, ...(json ? { json } : {}), flags: flagsOf(command) })
  })
}

const applicationInWords = 'its file and export: ./file.ts#export; without # the default export, else app'

function addDlqArguments(command: Command, flags: readonly OwnFlag[]): void {
  command.addArgument(new Argument('[action]', 'ls, show, replay or purge'))
  const ids = 'ids of letters, or how they begin, none for all; for replay --to application also'
  command.addArgument(new Argument('[ids and application...]', `${ids} ${applicationInWords}`))
  for (const { long, value, sentence } of flags)
    command.addOption(new Option(value === undefined ? long : `${long} <${value}>`, sentence))
}

function addChannelArguments(command: Command): void {
  command.addArgument(new Argument('[action]', 'send or group-send'))
  command.addArgument(new Argument('[name]', 'the name of the channel or group'))
  const event = 'JSON in quotes, or its type and fields: alarm.raised room=hall celsius=85'
  command.addArgument(new Argument('[event...]', event))
}

function channelInvocation(command: Command): Invocation {
  const flags = flagsOf(command)
  return { command: 'channel', topic: undefined, application: undefined, channel: command.args, flags }
}

// An id has none of the signs that the path of a file has.
function dlqInvocation(command: Command): Invocation {
  const [action, ...operands] = command.args
  const files = operands.filter((word) => /[./#\\]/.test(word))
  refuseOthers('dlq', files)
  const dlq = { action, ids: operands.filter((word) => !files.includes(word)), flags: command.opts() }
  return { command: 'dlq', topic: undefined, application: files[0], dlq, flags: flagsOf(command) }
}

function commanderOption(entry: OptionEntry): Option {
  const { long, short, value, alone } = entry.flag
  // commander takes short flags of one letter only: -SSL has been written as --use-ssl before.
  const names = short?.length === 2 ? `${short}, ${long}` : long
  const written = alone === undefined ? `<${value}>` : `[${value}]`
  return new Option(`${names} ${written}`, `${entry.sentence} [${defaultInWords(entry)}] [${entry.env}]`)
}

function flagsOf(command: Command): Texts {
  const flags: Record<string, string> = {}
  const given: Readonly<Record<string, unknown>> = command.opts()
  for (const entry of options) {
    const value = given[commanderOption(entry).attributeName()]
    if (typeof value === 'string') flags[flagKey(entry.flag)] = value
  }
  return flags
}

function termOf(option: Option): string {
  const entry = options.find(({ flag }) => flag.long === option.long)
  return entry === undefined ? option.flags : flagInWords(entry.flag)
}

// The program itself has no options but these: those it lists are the options of `run`.
function visibleOptions(command: Command): Option[] {
  const of = command.parent === null ? command.commands.find((sub) => sub.name() === 'run') : command
  const own = command.parent === null ? [new Option('-V, --version', 'show the version')] : []
  return [...(of?.options ?? []), ...own, new Option('-h, --help', 'show this help')]
}

/** All that can be asked for. */
export const commandNames: readonly string[] = commands.flatMap(({ name, hidden }) => (hidden ? [] : [name]))

// The path of a file has at least one of these.
function isBare(word: string): boolean {
  return !/[./#\\]/.test(word)
}

// `mqttasgi rutes` would look for an application of that name.
function refuseMistypedCommand([first, ...others]: readonly (string | undefined)[]): void {
  if (first === undefined || !isBare(first)) return
  const near = nearest(first, commandNames)
  if (near === undefined && others.length === 0) return
  const hint = near === undefined ? `There are ${commandNames.join(', ')}.` : `Did you mean ${near}?`
  throw new MqttasgiError(
    'ERR_USAGE',
    `there is no command ${first}. ${hint} A file is written as ./${first}.`,
  )
}

function refuseOthers(command: CommandName, operands: readonly unknown[]): void {
  if (operands.length <= 1) return
  const message = `too many arguments for ${command}: expected one application, got ${operands.length}.`
  throw new MqttasgiError('ERR_USAGE', `${message} See mqttasgi --help.`)
}

function refuseMissingTopic(first: string): void {
  if (!/^\.{0,2}\/.*\.[cm]?[jt]s(#|$)/.test(first)) return
  throw new MqttasgiError(
    'ERR_USAGE',
    `match takes the topic first, as in mqttasgi match sensors/hall/temp ${first}.`,
  )
}

// Of a flag that nobody knows the value is not repeated: a misspelt password is a password.
function usageError(error: CommanderError): MqttasgiError {
  const message = error.message
    .replace(/^error: /, '')
    .replaceAll(/(--?[\w-]+)=[^']*/g, '$1=…')
    .replaceAll(/\s*\n\s*/g, ' ')
  return new MqttasgiError('ERR_USAGE', `${message.replace(/\.$/, '')}. See mqttasgi --help.`)
}

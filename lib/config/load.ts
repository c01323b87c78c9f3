// Puts the configuration together: flags over environment over .env over the file over the defaults.
import { basename, dirname } from 'node:path'
import { absoluteSpec } from './application-file.ts'
import { decide } from './decide.ts'
import { readDotenv } from './dotenv.ts'
import { type ConfigFile, readConfigFile } from './file.ts'
import type { ConfigContext, ConfigInput } from './input.ts'
import { flagKey, type Texts, textLevels, valueLevel } from './levels.ts'
import { loadFailure, type ModuleLoader } from './modules.ts'
import { options } from './options.ts'
import type { Settings, WorkerSettings } from './settings.ts'
import { type GivenConfig, validateConfig, type WorkerGiven } from './validate.ts'

/** Where and how a command was started. */
export interface LoadOptions {
  /** The working directory: its configuration file and its `.env` are read, no other's. */
  readonly cwd: string
  /** Texts by the name of the flag, without dashes: `{ host: 'localhost', 'drain-timeout': '5' }`. */
  readonly flags: Texts
  readonly env: Texts
  /** Handed to a configuration that is a function. */
  readonly command: string
  /** The application as the command line names it, `./file.ts#export`. */
  readonly application?: string | undefined
  readonly loader: ModuleLoader
}

const nothing: GivenConfig = { values: new Map(), application: undefined, workers: undefined }

/**
 * Reads everything there is to read and decides. Nothing is connected to, and nothing is written.
 *
 * Codes: `ERR_USAGE` for a flag; `ERR_CONFIG_KEY`, `ERR_CONFIG_VALUE`, `ERR_CONFIG_CONFLICT`,
 * `ERR_CONFIG_INCOMPLETE`, `ERR_CONFIG_FILE`, `ERR_CONFIG_UNSAFE`, `ERR_CONFIG_TLS`.
 *
 * @example
 * const loader = createLoader(async () => ({}), process.cwd())
 * const settings = await loadConfig({ cwd: process.cwd(), flags: {}, env: process.env, command: 'run', loader })
 */
export async function loadConfig(given: LoadOptions): Promise<Settings> {
  const { cwd, flags, env } = given
  const dotenv = readDotenv(cwd)
  const found = await readConfigFile(cwd, namedFile(flags, env, dotenv), given.loader)
  const source = found === undefined ? '' : `file ${basename(found.file)}`
  const context = { command: given.command, env: { ...dotenv, ...withoutEmpty(env) } }
  const config = found === undefined ? nothing : validateConfig(await evaluate(found, context), source)
  const directory = found === undefined ? cwd : dirname(found.file)
  const fromFile = locate(config, directory)
  const named = given.application === undefined ? undefined : absoluteSpec(given.application, cwd)
  const levels = [...textLevels(flags, env, dotenv, cwd), valueLevel(config.values, source, directory)]
  return decide(levels, {
    ...fromFile,
    directory: cwd,
    application: named ?? fromFile.application,
    file: found?.file,
    warnings: (found?.others ?? []).map(
      (other) => `${other} is not read: ${basename(found?.file ?? '')} comes first`,
    ),
    sources: {
      application:
        named !== undefined ? 'command line' : config.application === undefined ? 'default' : source,
      workers: config.workers === undefined ? 'default' : source,
    },
  })
}

/**
 * Settings from the options of a program: no file, no environment and no flag is read. Paths are
 * relative to `directory`. Codes as those of `loadConfig`.
 *
 * @example
 * resolveOptions({ broker: { url: 'mqtt://localhost' } }).broker.port // 1883
 */
export function resolveOptions(input: ConfigInput = {}, directory: string = process.cwd()): Settings {
  const source = 'options'
  const config = validateConfig(input, source)
  return decide([valueLevel(config.values, source, directory)], {
    ...locate(config, directory),
    directory,
    file: undefined,
    warnings: [],
    sources: {
      application: config.application === undefined ? 'default' : source,
      workers: config.workers === undefined ? 'default' : source,
    },
  })
}

function namedFile(flags: Texts, env: Texts, dotenv: Texts): { file: string; source: string } | undefined {
  const option = options.find(({ path }) => path === 'config')
  if (option === undefined) return undefined
  const places = [
    { file: flags[flagKey(option.flag)], source: `flag ${option.flag.long}` },
    { file: env[option.env], source: `environment ${option.env}` },
    { file: dotenv[option.env], source: `.env ${option.env}` },
  ]
  for (const { file, source } of places) if (file !== undefined && file !== '') return { file, source }
  return undefined
}

async function evaluate({ file, exported }: ConfigFile, context: ConfigContext): Promise<unknown> {
  if (typeof exported !== 'function') return exported
  try {
    return await exported(context)
  } catch (error) {
    throw loadFailure(file, error, 'ERR_CONFIG_FILE')
  }
}

function withoutEmpty(texts: Texts): Texts {
  return Object.fromEntries(Object.entries(texts).filter(([, text]) => text !== undefined && text !== ''))
}

function locate(
  { application, workers }: GivenConfig,
  directory: string,
): Pick<Settings, 'application' | 'workers'> {
  const toWorker = (worker: WorkerGiven): WorkerSettings => ({
    ...worker,
    application: located(worker.application, directory),
  })
  return {
    application: application === undefined ? undefined : located(application, directory),
    workers: (workers ?? []).map(toWorker),
  }
}

function located(application: object | string, directory: string): object | string {
  return typeof application === 'string' ? absoluteSpec(application, directory) : application
}

// Finds and reads the configuration file, in the working directory only, through cosmiconfig with our own loaders.
import { accessSync, constants, readdirSync, statSync } from 'node:fs'
import { basename, extname, join, resolve } from 'node:path'
import type { CosmiconfigResult, Loader, PublicExplorer } from 'cosmiconfig'
import { MqttasgiError, toError } from '../core/errors.ts'
import { defaultOf, hasDefault, loadAs, type ModuleLoader } from './modules.ts'
import { reasonOf } from './tls.ts'

/** A configuration file as it was read, not yet checked. */
export interface ConfigFile {
  readonly file: string
  /** What it exports: an object, or a function that makes one. */
  readonly exported: unknown
  /** Other configuration files beside it, which are not read. */
  readonly others: readonly string[]
}

const moduleTypes = ['ts', 'mts', 'cts', 'js', 'mjs', 'cjs']
const dataTypes = ['json', 'yaml', 'yml']

/** The configuration files of a working directory; the first that is there is read. */
export const configFileNames: readonly string[] = [
  ...[...moduleTypes, ...dataTypes].map((type) => `mqttasgi.config.${type}`),
  'package.json',
]

/**
 * The configuration file of `directory`, or the one that was named. Undefined when there is none. Codes:
 * `ERR_CONFIG_FILE`, also for a file that throws, `ERR_CONFIG_UNSAFE`.
 *
 * cosmiconfig reads the file; its search is not used, for it passes over files it may not read, and takes
 * other places from a `cosmiconfig` key that it finds.
 */
export async function readConfigFile(
  directory: string,
  named: { readonly file: string; readonly source: string } | undefined,
  loader: ModuleLoader,
): Promise<ConfigFile | undefined> {
  if (named !== undefined) {
    const file = resolve(directory, named.file)
    return (await read(file, named.source, [], loader)) ?? refuseEmpty(file)
  }
  const names = new Set(readdirSync(directory))
  const [first, ...others] = configFileNames.filter((place) => names.has(place))
  if (first === undefined) return undefined
  return read(
    join(directory, first),
    'working directory',
    others.filter((other) => other !== 'package.json'),
    loader,
  )
}

async function read(
  file: string,
  source: string,
  others: readonly string[],
  loader: ModuleLoader,
): Promise<ConfigFile | undefined> {
  requireReadable(file, source)
  const isKnown = [...moduleTypes, ...dataTypes].includes(extname(file).slice(1))
  if (!isKnown) refuseType(file)
  const explorer = await makeExplorer(loader)
  const result = await asked(explorer.load(file))
  if (result === null) return undefined
  refuseUnsafe(file)
  const exported: unknown = result.config
  if (exported === undefined) refuseEmpty(file)
  return { file, exported, others }
}

// cosmiconfig is loaded when there is a file to read: a program without one does not wait for it.
async function makeExplorer(loader: ModuleLoader): Promise<PublicExplorer> {
  const { cosmiconfig, defaultLoaders } = await import('cosmiconfig')
  const asModule = (file: string): Promise<unknown> => loadModule(file, loader)
  const loaders = {
    ...Object.fromEntries(moduleTypes.map((type) => [`.${type}`, guarded(asModule)])),
    '.json': guarded(parseJson),
    '.yaml': guarded(parseYamlWith(defaultLoaders['.yaml'])),
    '.yml': guarded(parseYamlWith(defaultLoaders['.yaml'])),
  }
  try {
    const searchPlaces = [...configFileNames]
    return cosmiconfig('mqttasgi', {
      searchPlaces,
      searchStrategy: 'none',
      loaders,
      cache: false,
      ignoreEmptySearchPlaces: false,
    })
  } catch (error) {
    // It looks for settings of its own in the working directory's package.json and .config folder.
    const message = `package.json or .config/config.* of the working directory can not be read${positionOf(error)}.`
    throw new MqttasgiError('ERR_CONFIG_FILE', message, { cause: error })
  }
}

type Load = (file: string, content: string) => unknown

function guarded(load: Load): (file: string, content: string) => Promise<unknown> {
  return async (file, content) => {
    // Every folder of a project has a package.json: whether it is ours is known when it has been read.
    if (basename(file) !== 'package.json') refuseUnsafe(file)
    return load(file, content)
  }
}

// What is loaded is run, or names what is: nobody but its owner and group may have written it.
function refuseUnsafe(file: string): void {
  if (process.platform === 'win32' || (statSync(file).mode & 0o002) === 0) return
  const message = `${file} may be written by every user of this machine, and it decides what is run.`
  throw new MqttasgiError('ERR_CONFIG_UNSAFE', `${message} Run: chmod o-w ${file}`)
}

async function loadModule(file: string, loader: ModuleLoader): Promise<unknown> {
  const exports = await loadAs(loader, file, 'ERR_CONFIG_FILE')
  if (hasDefault(exports)) return defaultOf(exports)
  throw new MqttasgiError(
    'ERR_CONFIG_FILE',
    `${file} has no default export. Write: export default defineConfig({ … })`,
  )
}

function refuseType(file: string): never {
  const message = `the type of ${file} is not known: name it *.${[...moduleTypes, ...dataTypes].join(', *.')}`
  throw new MqttasgiError('ERR_CONFIG_FILE', message)
}

// The parsers quote the text around a mistake in their messages, and there may be a password in it.
function parseJson(file: string, content: string): unknown {
  try {
    return JSON.parse(content.replace(/^\uFEFF/, ''))
  } catch (error) {
    const offset = /position (\d+)/.exec(toError(error).message)?.[1]
    const place =
      offset === undefined ? '' : ` at line ${content.slice(0, Number(offset)).split('\n').length}`
    throw new MqttasgiError('ERR_CONFIG_FILE', `${file} is not JSON: it can not be read on${place}.`)
  }
}

function parseYamlWith(loader: Loader): Load {
  return (file, content) => {
    try {
      return loader(file, content)
    } catch (error) {
      throw new MqttasgiError(
        'ERR_CONFIG_FILE',
        `${file} is not YAML: it can not be read on${positionOf(error, content)}.`,
      )
    }
  }
}

function positionOf(error: unknown, content?: string): string {
  const mark: unknown = error instanceof Error && 'mark' in error ? error.mark : undefined
  if (typeof mark !== 'object' || mark === null || !('line' in mark)) return ''
  // What is missed at the end is missed behind the last line.
  const last = content === undefined ? Infinity : content.trimEnd().split('\n').length
  return ` at line ${Math.min(Number(mark.line) + 1, last)}`
}

async function asked(result: Promise<CosmiconfigResult>): Promise<CosmiconfigResult> {
  try {
    return await result
  } catch (error) {
    if (error instanceof MqttasgiError) throw error
    const message = `the configuration can not be read: ${toError(error).message}`
    throw new MqttasgiError('ERR_CONFIG_FILE', message, { cause: error })
  }
}

function refuseEmpty(file: string): never {
  const isPackage = basename(file) === 'package.json'
  const message = isPackage ? 'has no key mqttasgi' : 'is empty. Write: export default defineConfig({ … })'
  throw new MqttasgiError('ERR_CONFIG_FILE', `${file} ${message}`)
}

function requireReadable(file: string, source: string): void {
  try {
    if (statSync(file).isFile()) {
      accessSync(file, constants.R_OK)
      return
    }
  } catch (error) {
    const message = `the configuration file ${file} (${source}) can not be read: ${reasonOf(error)}.`
    throw new MqttasgiError('ERR_CONFIG_FILE', message, { cause: error })
  }
  throw new MqttasgiError('ERR_CONFIG_FILE', `the configuration file ${file} (${source}) is not a file.`)
}

// Loads users' modules through jiti, TypeScript included, with this process's own copy of mqttasgi in them.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { EvalModuleOptions } from 'jiti'
import { MqttasgiError, toError } from '../core/errors.ts'

/** What `import 'mqttasgi'` and the other public entries are to the modules that are loaded. */
export type OwnModules = Readonly<Record<string, object>>

/** Loads modules; what two of them import is loaded once, and so is a file that is asked for twice. */
export interface ModuleLoader {
  /** All exports of a file. Throws what the module throws, and may be asked again then. */
  load(file: string): Promise<unknown>
  /** The files loaded so far, those that were imported by others and those that threw included. */
  files(): readonly string[]
}

/**
 * A loader for the modules of one run. Without `ownModules`, an import of `mqttasgi` in a loaded file
 * could make a second copy, whose applications are none to the first.
 */
export function createLoader(ownModules: () => Promise<OwnModules>, directory: string): ModuleLoader {
  const cache: ModuleCache = Object.create(null)
  const loads = new Map<string, Promise<unknown>>()
  const failed = new Set<string>()
  let evaluate: Promise<Evaluate> | undefined
  let last: Promise<unknown> = Promise.resolve()
  const begin = async (file: string): Promise<unknown> => {
    const imported = cache[file]
    if (imported !== undefined) return imported.exports
    const before = new Set(Object.keys(cache))
    try {
      evaluate ??= ownModules().then((modules) => makeEvaluate(modules, directory, cache))
      return await (
        await evaluate
      )(file)
    } catch (error) {
      loads.delete(file)
      // What it has left is half done, and the next file would import it as it is.
      for (const left of Object.keys(cache).filter((name) => !before.has(name))) {
        failed.add(left)
        delete cache[left]
      }
      throw error
    }
  }
  return {
    load(file) {
      const known = loads.get(file)
      if (known !== undefined) return known
      // A module is in the cache from its first line on: only one after the other finds whole ones there.
      const loading = last.then(() => begin(file))
      last = loading.catch(() => {})
      loads.set(file, loading)
      return loading
    },
    files: () => [...new Set([...Object.keys(cache), ...failed])],
  }
}

type Evaluate = (file: string) => Promise<unknown>
type ModuleCache = NonNullable<EvalModuleOptions['cache']>

// The file cache would be a predictable shared folder, whose contents are run; the module cache would be
// Node's, for ever. With a cache of our own, what two files import is loaded once. Plain JavaScript would
// be left to Node, which finds another mqttasgi than ours, and run a second time when it throws: so all
// is transpiled, and evalModule(), not import(), is what can be told to.
async function makeEvaluate(
  ownModules: OwnModules,
  directory: string,
  cache: ModuleCache,
): Promise<Evaluate> {
  const { createJiti } = await import('jiti')
  const virtualModules: Record<string, unknown> = Object.assign(Object.create(null), ownModules)
  const jiti = createJiti(join(directory, 'mqttasgi'), { fsCache: false, moduleCache: false, virtualModules })
  return async (file) => {
    const source = readFileSync(file, 'utf8')
    return await jiti.evalModule(source, { filename: file, async: true, forceTranspile: true, cache })
  }
}

/** Whose file it is. */
type LoadCode = 'ERR_APPLICATION_LOAD' | 'ERR_CONFIG_FILE'

/** Loads `file`. Whatever it throws comes with `code`. */
export async function loadAs(loader: ModuleLoader, file: string, code: LoadCode): Promise<unknown> {
  try {
    return await loader.load(file)
  } catch (error) {
    throw loadFailure(file, error, code)
  }
}

/** One line for a file that threw: what, and where as far as it is known. */
export function loadFailure(file: string, error: unknown, code: LoadCode): MqttasgiError {
  const message = toError(error).message.replaceAll(/\s+/g, ' ').trim()
  // The code that says more: that of a file which can not be loaded is behind all of it.
  const own = error instanceof MqttasgiError ? ` (${error.code})` : ''
  const text = `${file} can not be loaded: ${message}${own}${placeIn(file, error)}`
  return new MqttasgiError(code, text, { cause: error })
}

// The first line of the stack that lies in the file, unless the message names it already.
function placeIn(file: string, error: unknown): string {
  if (!(error instanceof Error) || error.message.includes(file)) return ''
  const line = error.stack?.split('\n').find((entry) => entry.includes(`${file}:`))
  // The column is that of the transpiled line.
  const place = line === undefined ? undefined : /:(\d+):\d+\)?$/.exec(line)?.[1]
  return place === undefined ? '' : ` (${file}:${place})`
}

/** Whether a loaded module has a default export, as CommonJS always has. */
export function hasDefault(exports: unknown): boolean {
  if (typeof exports !== 'object' || exports === null) return true
  return Object.hasOwn(exports, 'default') || !Object.hasOwn(exports, '__esModule')
}

/** The default export of a loaded module; for CommonJS that is `module.exports` itself. */
export function defaultOf(exports: unknown): unknown {
  if ((typeof exports !== 'object' && typeof exports !== 'function') || exports === null) return exports
  // jiti wraps what it loads, and answers `default` with what is inside.
  return Object.hasOwn(exports, 'default')
    ? Reflect.get(exports, 'default')
    : (Reflect.get(exports, 'default') ?? exports)
}

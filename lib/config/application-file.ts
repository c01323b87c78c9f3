// Finds the application a spec such as `./file.ts#export` means: loads the file, picks the export.
import { existsSync, readdirSync, statSync } from 'node:fs'
import { basename, dirname, extname, join, relative, resolve } from 'node:path'
import { MqttasgiError } from '../core/errors.ts'
import { defaultOf, hasDefault, loadAs, type ModuleLoader } from './modules.ts'
import { nearest } from './near.ts'
import { reasonOf } from './tls.ts'

const endings = ['.ts', '.mts', '.cts', '.js', '.mjs', '.cjs']

/** A spec, taken apart. */
export interface ApplicationSpec {
  readonly file: string
  /** Undefined: the default export, else `app`. */
  readonly name: string | undefined
}

/** Takes `./file.ts#export` apart; the file becomes absolute, seen from `directory`. */
export function parseSpec(spec: string, directory: string): ApplicationSpec {
  const hash = spec.lastIndexOf('#')
  if (hash === -1) return { file: resolve(directory, spec), name: undefined }
  const name = spec.slice(hash + 1)
  return { file: resolve(directory, spec.slice(0, hash)), name: name === '' ? undefined : name }
}

/** The spec with an absolute file: it means the same from everywhere. */
export function absoluteSpec(spec: string, directory: string): string {
  const { file, name } = parseSpec(spec, directory)
  return name === undefined ? file : `${file}#${name}`
}

/**
 * Loads what `spec` means, seen from the directory `from`. Whether it is an application is for the caller
 * to check. Codes: `ERR_APPLICATION_FILE`, `ERR_APPLICATION_EXPORT`, `ERR_APPLICATION_LOAD`.
 *
 * @example
 * await loadApplication('./app.ts#app', process.cwd(), loader)
 */
export async function loadApplication(spec: string, from: string, loader: ModuleLoader): Promise<unknown> {
  const { file, name } = parseSpec(spec, from)
  requireFile(spec, file, from)
  return pickExport(await loadAs(loader, file, 'ERR_APPLICATION_LOAD'), name, file)
}

function pickExport(exports: unknown, name: string | undefined, file: string): unknown {
  // `module.exports = app` or `export = app`: the file is its export.
  const whole = hasDefault(exports) ? defaultOf(exports) : undefined
  if (name === undefined) {
    if (isWhole(whole)) return whole
    const named = exportNamed(exports, 'default') ?? exportNamed(exports, 'app')
    if (named !== undefined) return named
    throw missing(
      `${file} has no default export and none named app.`,
      exports,
      './file.ts#name says which one to take.',
    )
  }
  const found = exportNamed(exports, name)
  if (found !== undefined) return found
  const near = nearest(name, namesOf(exports))
  throw missing(
    `${file} has no export named ${name}.`,
    exports,
    near === undefined ? '' : `Did you mean #${near}?`,
  )
}

function missing(what: string, exports: unknown, mend: string): MqttasgiError {
  const names = namesOf(exports)
  const there = names.length === 0 ? 'It exports nothing.' : `It exports ${names.join(', ')}.`
  return new MqttasgiError('ERR_APPLICATION_EXPORT', `${what} ${there} ${mend}`.trim())
}

function exportNamed(exports: unknown, name: string): unknown {
  return namesOf(exports).includes(name) ? Reflect.get(Object(exports), name) : undefined
}

function namesOf(exports: unknown): readonly string[] {
  const isHolder = typeof exports === 'function' || (typeof exports === 'object' && exports !== null)
  return isHolder ? Object.keys(exports) : []
}

// A plain object is what holds the exports, not one of them.
function isWhole(value: unknown): boolean {
  if (typeof value === 'function') return true
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype !== null && prototype !== Object.prototype
}

function requireFile(spec: string, file: string, from: string): void {
  const what = `the application ${spec.startsWith(file) ? file : `${spec} (${file})`}`
  try {
    if (statSync(file).isFile()) return
  } catch (error) {
    const message = `${what} can not be read: ${reasonOf(error)}.${suggestion(file, from)}`
    throw new MqttasgiError('ERR_APPLICATION_FILE', message, { cause: error })
  }
  throw new MqttasgiError('ERR_APPLICATION_FILE', `${what} is not a file.${suggestion(file, from)}`)
}

function suggestion(file: string, from: string): string {
  const other = [file, withoutEnding(file)]
    .flatMap((start) => endings.map((ending) => start + ending))
    .find((candidate) => existsSync(candidate))
  const near = other ?? nearFile(file)
  if (near !== undefined) return ` Did you mean ${asWritten(near, from)}?`
  return endings.includes(extname(file)) ? '' : ' An application is written as ./file.ts#export.'
}

function withoutEnding(file: string): string {
  return file.replace(/\.[cm]?[jt]s$/, '')
}

function nearFile(file: string): string | undefined {
  const name = nearest(basename(file), codeIn(dirname(file)))
  return name === undefined ? undefined : join(dirname(file), name)
}

function asWritten(file: string, from: string): string {
  const path = relative(from, file)
  return path.startsWith('..') ? file : `./${path}`
}

function codeIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder).filter((name) => endings.includes(extname(name)))
  } catch {
    return []
  }
}

// The loader's two hooks: names become files of the checkout, and TypeScript becomes JavaScript, once for each content.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

const require = createRequire(import.meta.url)
const root = new URL('../../', import.meta.url)
const cache = new URL('build/loader/', root)
// As in tsconfig.json.
const options = [
  '--loader=ts',
  '--format=esm',
  '--target=es2022',
  '--sourcemap=inline',
  '--sources-content=false',
]
const entries = new Map([
  ['mqttasgi', 'lib/index.ts'],
  ['mqttasgi/broker', 'lib/broker/index.ts'],
  ['mqttasgi/channels/mqtt', 'lib/channels/mqtt.ts'],
  ['mqttasgi/config', 'lib/config/index.ts'],
  ['mqttasgi/redis', 'lib/channels/redis.ts'],
  ['mqttasgi/testing', 'lib/testing/index.ts'],
])

/** @type {import('node:module').ResolveHook} */
export function resolve(specifier, context, next) {
  const own = entries.get(specifier)
  if (own !== undefined) return found(new URL(own, root))
  if (/^\.\.?\/.*\.m?ts$/.test(specifier) && context.parentURL?.startsWith('file:'))
    return found(new URL(specifier, context.parentURL))
  return next(specifier, context)
}

/** @type {import('node:module').LoadHook} */
export function load(url, context, next) {
  if (!url.startsWith('file:') || !/\.m?ts(?:$|[?#])/.test(url)) return next(url, context)
  return { format: 'module', source: javascript(url), shortCircuit: true }
}

function found(url) {
  return { url: url.href, format: 'module', shortCircuit: true }
}

function javascript(url) {
  const path = fileURLToPath(url)
  const source = readFileSync(path, 'utf8')
  // What a test writes for itself is gone in a moment.
  if (!url.startsWith(root.href)) return transformed(path, source)
  const name = createHash('sha256').update(path).update('\0').update(source).digest('hex')
  const file = new URL(`${name}.js`, cache)
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return kept(file, transformed(path, source))
  }
}

// Renamed into place, for others read and write it at the same time.
function kept(file, text) {
  const draft = new URL(`${file.href}.${process.pid}`)
  mkdirSync(cache, { recursive: true })
  writeFileSync(draft, text)
  renameSync(draft, file)
  return text
}

// A process for each file, and only for one that has changed: what esbuild starts to be asked again and again does not
// always end with a thread of hooks.
function transformed(sourcefile, source) {
  const esbuild = require.resolve('esbuild/bin/esbuild')
  return execFileSync(esbuild, [...options, `--sourcefile=${sourcefile}`], {
    input: source,
    encoding: 'utf8',
  })
}

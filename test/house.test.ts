// The house rules: which part may know which, where packages enter, and how files begin. docs/architecture.md explains them.
import test from 'ava'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join, posix } from 'node:path'

/** The floors from the ground up: a file imports from its own folder and from lower floors only. */
const floors: readonly (readonly string[])[] = [
  ['lib/core'],
  ['lib/redis', 'lib/system-clock.ts', 'lib/time-limit.ts'],
  ['lib/transport', 'lib/config', 'lib/broker', 'lib/observe', 'lib/durable', 'lib/channels', 'lib/consumer'],
  ['lib/server', 'lib/workers'],
  ['lib/testing'],
  ['lib/connection.ts', 'lib/stores.ts', 'lib/workplace.ts', 'lib/native-loader.ts', 'lib/server-terms.ts'],
  ['lib/channel-layer.ts'],
  ['lib/serve.ts'],
  ['lib/index.ts'],
  ['lib/own-modules.ts'],
  ['lib/cli', 'lib/native-thread.ts'],
  ['bin'],
]

/** The one file through which each package enters. */
const doors: Readonly<Record<string, string>> = {
  'mqtt-pattern': 'lib/core/pattern.ts',
  debug: 'lib/core/trace.ts',
  mqtt: 'lib/transport/mqtt-transport.ts',
  ws: 'lib/transport/socket.ts',
  cosmiconfig: 'lib/config/file.ts',
  jiti: 'lib/config/modules.ts',
  aedes: 'lib/broker/embedded-broker.ts',
  ioredis: 'lib/redis/open.ts',
  commander: 'lib/cli/program.ts',
}

/** What the ground floor may take from Node. */
const coreModules = new Set(['node:diagnostics_channel'])

/** Files that load what a user names, so that no rule can know it beforehand. */
const loaders = ['lib/native-loader.ts']

const LONGEST_FILE = 300

// --- reading ------------------------------------------------------------------------------------

interface Import {
  readonly from: string
  readonly to: string
}

const patterns = [
  // A statement begins its line, and between its first word and `from` there are only names.
  /^(?:import|export)\s[\w\s{},*$]*?\bfrom\s+['"]([^'"]+)['"]/gm,
  /^import\s+['"]([^'"]+)['"]/gm,
  /\bimport\(\s*['"]([^'"]+)['"]/g,
  /\brequire\(\s*['"]([^'"]+)['"]/g,
]

/** What a source imports: statically, as a type, and dynamically. */
function specifiers(source: string): string[] {
  const code = source.replaceAll(/^\s*(?:\/\/|\/?\*).*$/gm, '')
  return patterns.flatMap((pattern) => [...code.matchAll(pattern)].map((match) => match[1] ?? ''))
}

type House = ReadonlyMap<string, string>

function importsOf(house: House): Import[] {
  return [...house].flatMap(([from, source]) =>
    specifiers(source).map((text) => ({
      from,
      to: text.startsWith('.') ? posix.join(posix.dirname(from), text) : text,
    })),
  )
}

function isOwn(path: string): boolean {
  return path.startsWith('lib/') || path.startsWith('bin/')
}

/** `ws` of `ws/lib/x`, `@a/b` of `@a/b/c`. */
function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
}

// --- rules --------------------------------------------------------------------------------------

/** The floor and the part of it that a file belongs to; floor -1 when it has no place. */
function placeOf(file: string): { readonly floor: number; readonly part: string } {
  for (const [floor, parts] of floors.entries()) {
    const part = parts.find((candidate) => file === candidate || file.startsWith(`${candidate}/`))
    if (part !== undefined) return { floor, part }
  }
  return { floor: -1, part: file }
}

function floorFaults(house: House): string[] {
  const homeless = [...house.keys()].filter((file) => placeOf(file).floor === -1)
  return [
    ...homeless.map((file) => `${file} is on no floor`),
    ...importsOf(house).flatMap(({ from, to }) => {
      if (!isOwn(to)) return []
      if (!house.has(to)) return [`${from} imports ${to}, which is not there`]
      const [here, there] = [placeOf(from), placeOf(to)]
      return here.part === there.part || there.floor < here.floor ? [] : [`${from} must not know ${to}`]
    }),
  ]
}

function doorFaults(house: House): string[] {
  const used = importsOf(house).filter(({ to }) => !isOwn(to) && !to.startsWith('node:'))
  return used.flatMap(({ from, to }) => {
    const door = doors[packageOf(to)]
    if (door === undefined) return [`${packageOf(to)} has no door, and ${from} imports it`]
    return door === from ? [] : [`${packageOf(to)} enters through ${door}, and ${from} imports it`]
  })
}

function cycle(house: House): string[] {
  const next = new Map<string, string[]>()
  for (const { from, to } of importsOf(house)) next.set(from, [...(next.get(from) ?? []), to])
  const done = new Set<string>()
  const visit = (file: string, path: readonly string[]): string[] => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file]
    if (done.has(file)) return []
    for (const to of next.get(file) ?? []) {
      const found = visit(to, [...path, file])
      if (found.length > 0) return found
    }
    done.add(file)
    return []
  }
  for (const file of house.keys()) {
    const found = visit(file, [])
    if (found.length > 0) return found
  }
  return []
}

function beginningFault(file: string, source: string): string | undefined {
  const lines = source.split('\n')
  const first = lines[0]?.startsWith('#!') ? lines[1] : lines[0]
  if (!/^\/\/ \S.*\.$/.test(first ?? '')) return `${file}: the first line is not a sentence behind //`
  const isLong = lines.length - 1 > LONGEST_FILE
  if (isLong && !/\blong\b/i.test(first ?? '')) {
    return `${file}: ${lines.length - 1} lines, and its first one does not say why it is long`
  }
  return undefined
}

function nameFault(file: string): string | undefined {
  const banned = /^(?:types?|utils?|helpers?|common|shared|misc)$/
  const words = file.split('/').map((word) => word.replace(/(?:\.d)?\.[cm]?ts$/, ''))
  return words.some((word) => banned.test(word)) ? `${file} is named after nothing` : undefined
}

// --- the house as it stands ---------------------------------------------------------------------

const root = join(import.meta.dirname, '..')

function sources(folder: string): string[] {
  if (!existsSync(join(root, folder))) return []
  return readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && /\.[cm]?[jt]s$/.test(entry.name))
    .map((entry) => posix.join(entry.parentPath.slice(root.length + 1).replaceAll('\\', '/'), entry.name))
}

const house: House = new Map(
  [...sources('lib'), ...sources('bin')].map((file) => [file, readFileSync(join(root, file), 'utf8')]),
)

test('a file imports from its own folder or from a lower floor', (t) => {
  t.deepEqual(floorFaults(house), [])
})

test('a package enters through one file', (t) => {
  t.deepEqual(doorFaults(house), [])
})

test('what package.json promises to need has a door, and every door leads to a package', (t) => {
  const { dependencies, peerDependencies } = JSON.parse(
    readFileSync(join(root, 'package.json'), 'utf8'),
  ) as Record<string, Record<string, string>>
  t.deepEqual(Object.keys(doors).sort(), Object.keys({ ...dependencies, ...peerDependencies }).sort())
  const used = new Set(importsOf(house).map(({ to }) => packageOf(to)))
  t.deepEqual(
    Object.keys(doors).filter((name) => !used.has(name)),
    [],
  )
})

test('there is no cycle, with type imports counted', (t) => {
  t.deepEqual(cycle(house), [])
})

test('the ground floor does no input and output', (t) => {
  const faults = importsOf(house).filter(
    ({ from, to }) => from.startsWith('lib/core/') && to.startsWith('node:') && !coreModules.has(to),
  )
  t.deepEqual(faults, [])
})

test('what is imported is written as text', (t) => {
  const hidden = [...house].filter(([, source]) =>
    /\b(?:import|require)\((?!\s*['"])/.test(source.replaceAll(/^\s*(?:\/\/|\/?\*).*$/gm, '')),
  )
  t.deepEqual(
    hidden.map(([file]) => file),
    loaders,
  )
})

test('a file begins with what it is for, and a long one with why', (t) => {
  t.deepEqual(
    [...house].flatMap(([file, source]) => beginningFault(file, source) ?? []),
    [],
  )
})

test('a file is named for what is in it', (t) => {
  t.deepEqual(
    [...house.keys()].flatMap((file) => nameFault(file) ?? []),
    [],
  )
})

test('each folder of lib has its page, its place in the architecture and its tests', (t) => {
  const architecture = readFileSync(join(root, 'docs/architecture.md'), 'utf8')
  const folders = new Set([...house.keys()].filter((file) => file.startsWith('lib/')).map(dirname))
  for (const folder of folders) {
    if (folder === 'lib') continue
    const name = basename(folder)
    t.true(existsSync(join(root, `docs/${name}.md`)), `docs/${name}.md`)
    t.true(existsSync(join(root, `test/${name}`)), `test/${name}`)
    t.regex(architecture, new RegExp(`\`${name}/\``), `docs/architecture.md says nothing of ${name}/`)
  }
})

// --- the rules find what they are for -----------------------------------------------------------

test('imports of every form are seen, and those in comments are not', (t) => {
  const source = [
    "import { a } from './a.ts'",
    "import type { B } from './b.ts'",
    "import c, {\n  type D,\n  e as f,\n} from './c.ts'",
    "import * as g from 'g'",
    "import './side-effect.ts'",
    "export { h } from './h.ts'",
    "export * from './i.ts'",
    "const j = await import('j/k')",
    "type L = typeof import('./l.ts')",
    "export const text = 1 // from 'nowhere'",
    "// import { x } from './x.ts'",
    " * import { y } from './y.ts'",
  ].join('\n')
  t.deepEqual(specifiers(source).sort(), [
    './a.ts',
    './b.ts',
    './c.ts',
    './h.ts',
    './i.ts',
    './l.ts',
    './side-effect.ts',
    'g',
    'j/k',
  ])
})

test('a way upwards, sideways or into nowhere is a fault', (t) => {
  const bad: House = new Map([
    ['lib/core/a.ts', "import type { S } from '../server/s.ts'"],
    ['lib/server/s.ts', "import { a } from '../core/a.ts'"],
    ['lib/config/c.ts', "export { b } from '../broker/b.ts'"],
    ['lib/broker/b.ts', "import { gone } from './gone.ts'"],
    ['lib/attic/x.ts', ''],
  ])
  t.deepEqual(floorFaults(bad), [
    'lib/attic/x.ts is on no floor',
    'lib/core/a.ts must not know lib/server/s.ts',
    'lib/config/c.ts must not know lib/broker/b.ts',
    'lib/broker/b.ts imports lib/broker/gone.ts, which is not there',
  ])
})

test('a second door and a package without one are faults', (t) => {
  const bad: House = new Map([
    ['lib/core/pattern.ts', "import { clean } from 'mqtt-pattern'"],
    ['lib/core/topic.ts', "import { clean } from 'mqtt-pattern/deep'\nimport x from '@some/one/else'"],
  ])
  t.deepEqual(doorFaults(bad), [
    'mqtt-pattern enters through lib/core/pattern.ts, and lib/core/topic.ts imports it',
    '@some/one has no door, and lib/core/topic.ts imports it',
  ])
})

test('a circle is found, however long', (t) => {
  const circle: House = new Map([
    ['lib/a.ts', "import './b.ts'"],
    ['lib/b.ts', "import type { C } from './c.ts'"],
    ['lib/c.ts', "type B = import('./b.ts').B"],
  ])
  t.deepEqual(cycle(circle), ['lib/b.ts', 'lib/c.ts', 'lib/b.ts'])
})

test('a file without a sentence, a long one without a reason and a name without a meaning are faults', (t) => {
  const long = '\n'.repeat(LONGEST_FILE + 1)
  t.truthy(beginningFault('a.ts', "import x from 'x'\n"))
  t.truthy(beginningFault('a.ts', '// no sentence\n'))
  t.truthy(beginningFault('a.ts', `// A sentence.${long}`))
  t.is(beginningFault('a.ts', `// A sentence, long for its table.${long}`), undefined)
  t.is(beginningFault('a.ts', '#!/usr/bin/env node\n// A sentence.\n'), undefined)
  t.truthy(nameFault('lib/core/types.ts'))
  t.truthy(nameFault('lib/utils/x.ts'))
  t.is(nameFault('lib/core/topic.ts'), undefined)
})

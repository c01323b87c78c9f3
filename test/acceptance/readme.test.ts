// README and docs keep their word: the code in them is type-checked and run, the commands exist, the links lead somewhere.
import test from 'ava'
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { startBroker, type EmbeddedBroker } from '../../lib/broker/index.ts'
import { parseCommandLine } from '../../lib/cli/program.ts'
import { validateConfig } from '../../lib/config/validate.ts'
import type { ConsumerClass } from '../../lib/consumer/consumer.ts'
import { silentLog } from '../../lib/core/log.ts'
import { serve } from '../../lib/index.ts'
import { MemoryTransport } from '../../lib/testing/index.ts'
import { turns } from '../helpers/memory-server.ts'
import {
  codeBlocks,
  filesBefore,
  folderName,
  moduleOf,
  root,
  withAssertions,
  type CodeBlock,
} from './code-blocks.ts'
import { startWatchedProxy, type WatchedProxy } from '../helpers/wire-watch.ts'

const docs = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'))
const skill = 'skills/mqttasgi/SKILL.md'
const pages = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', skill, ...docs.map((name) => `docs/${name}`)]
const blocks = pages.flatMap(codeBlocks)
const programs = blocks.filter(({ language }) => language === 'ts')

const folder = mkdtempSync(join(tmpdir(), 'mqttasgi-docs-'))
let broker: EmbeddedBroker
let proxy: WatchedProxy

test.before(async () => {
  // What programs keep where they run is gone with the folder.
  process.chdir(folder)
  broker = await startBroker({ port: 0 })
  proxy = await startWatchedProxy(broker.port)
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  // What the blocks print, and what a server says at its start, is of no interest here.
  console.log = () => {}
  process.stderr.write = () => true
})

test.after.always(async (t) => {
  rmSync(folder, { recursive: true })
  await proxy.close()
  await broker.close()
  t.deepEqual(proxy.watch.violations, [])
})

test('there is code to run on the pages that are about code', (t) => {
  const withCode = new Set(programs.map(({ page }) => page))
  for (const page of [
    'README.md',
    'docs/routing.md',
    'docs/testing.md',
    'docs/server.md',
    'docs/config.md',
    skill,
  ]) {
    t.true(withCode.has(page), page)
  }
  // An assistant copies it as it stands.
  t.true(programs.every(({ isRun, page }) => isRun || page !== skill))
})

test('the first screen of the README is one sentence, twelve lines, two commands, eight entries', (t) => {
  const text = readFileSync(join(root, 'README.md'), 'utf8')
  const [program, commands] = codeBlocks('README.md')
  t.true((program?.code.trimEnd().split('\n').length ?? 99) <= 12)
  t.is(commands?.code.trimEnd().split('\n').length, 2)
  t.regex(text.split('\n')[2] ?? '', /^[A-Z][^.]*\.$/)
  const [contents = ''] = /^- \[.*?(?=\n\n)/ms.exec(text) ?? []
  t.true(contents.split('](').length - 1 <= 8)
})

// --- types --------------------------------------------------------------------------------------

test('every program type-checks', async (t) => {
  const checked = join(folder, 'types')
  for (const block of programs) {
    const place = join(checked, folderName(block))
    const files = new Map([...filesBefore(programsOf(block.page), block), [block.fileName, moduleOf(block)]])
    write(place, files)
  }
  // The files of other people's applications that the configurations name.
  const entries = ['', '/config', '/testing', '/broker'].map((entry) => [
    `mqttasgi${entry}`,
    [join(root, `lib${entry}/index.ts`)],
  ])
  const compilerOptions = {
    noEmit: true,
    rootDir: '/',
    typeRoots: [join(root, 'node_modules/@types')],
    paths: Object.fromEntries(entries) as Record<string, string[]>,
  }
  const settings = { extends: join(root, 'tsconfig.json'), compilerOptions, include: ['**/*.ts'] }
  writeFileSync(join(checked, 'tsconfig.json'), JSON.stringify(settings))
  const { code, output } = await run(join(root, 'node_modules/.bin/tsc'), ['-p', checked])
  t.is(code, 0, output)
})

// --- running ------------------------------------------------------------------------------------

for (const block of programs.filter(({ isRun }) => isRun)) {
  test(`${block.place} runs`, async (t) => {
    const place = join(folder, 'run', folderName(block))
    const before = filesBefore(programsOf(block.page), block)
    const main = runnable(withAssertions(moduleOf(block)))
    write(
      place,
      new Map([
        ...[...before].map(([name, code]) => [name, runnable(code)] as const),
        [block.fileName, main],
      ]),
    )
    const file = join(place, block.fileName)
    if (block.fileName.endsWith('.test.ts')) {
      const { code, output } = await run(process.execPath, ['--import', 'tsx', '--test', file])
      return t.is(code, 0, output)
    }
    const loaded = (await import(file)) as { readonly default?: unknown }
    if (block.fileName === 'mqttasgi.config.ts') {
      const { default: exported } = loaded
      const make =
        typeof exported === 'function' ? (exported as (context: object) => unknown) : () => exported
      return t.notThrows(() => validateConfig(make({ command: 'run', env: {} }), block.place))
    }
    return t.pass()
  })
}

// The embedded broker acknowledges before it hands on: who stops right after publish() has not heard it yet.
for (const page of ['README.md', 'docs/server.md']) {
  test.serial(`${page}: the program that publishes to itself prints what it hears`, async (t) => {
    const block = programsOf(page).find(({ code }) => code.includes(`publish('greetings/Ada', 'hello'`))!
    const place = join(folder, 'heard', folderName(block))
    write(place, new Map([[block.fileName, runnable(moduleOf(block))]]))
    const { log } = console
    const lines: unknown[] = []
    console.log = (line) => lines.push(line)
    try {
      await import(join(place, block.fileName))
    } finally {
      console.log = log
    }
    t.true(lines.includes('Ada says hello'))
  })
}

for (const page of ['docs/consumer.md', skill]) {
  test(`${page}: the meter has a unit as the application too, which has no params`, async (t) => {
    const block = programsOf(page).find(({ fileName }) => fileName === 'meter.ts')!
    const place = join(folder, 'meter', folderName(block))
    write(place, new Map([[block.fileName, runnable(moduleOf(block))]]))
    const { Meter } = (await import(join(place, block.fileName))) as { readonly Meter: ConsumerClass }
    const transport = new MemoryTransport()
    const server = await serve(Meter, { transport, log: silentLog })
    t.teardown(() => server.stop())
    transport.deliver('meters/7', '5')
    await turns()
    t.deepEqual(
      transport.published.map(({ topic, payload }) => `${topic} ${payload.toString()}`),
      ['totals/7 5 kWh'],
    )
  })
}

/** The same with this copy of the package, and with a broker that is there. */
function runnable(code: string): string {
  return code
    .replaceAll(/from 'mqttasgi(\/\w+)?'/g, (_text, entry: string | undefined = '') => {
      return `from '${join(root, `lib${entry}/index.ts`)}'`
    })
    .replaceAll('mqtt://localhost:1883', proxy.url)
}

function programsOf(page: string): CodeBlock[] {
  return programs.filter((block) => block.page === page)
}

function write(place: string, files: ReadonlyMap<string, string>): void {
  for (const [name, code] of files) {
    mkdirSync(dirname(join(place, name)), { recursive: true })
    writeFileSync(join(place, name), code)
  }
}

function run(
  file: string,
  args: readonly string[],
): Promise<{ readonly code: number; readonly output: string }> {
  return new Promise((resolve) => {
    const child = execFile(file, args, { cwd: root }, (_error, stdout, stderr) => {
      resolve({ code: child.exitCode ?? 1, output: stdout + stderr })
    })
  })
}

// --- commands and links -------------------------------------------------------------------------

const commandLines = blocks
  .filter(({ language }) => language === 'sh')
  .flatMap(({ place, code }) =>
    code
      .trim()
      .split('\n')
      .map((line) => ({ place, line: line.replace(/\s+#.*$/, '') })),
  )

test('every command of ours is one, with flags that exist', (t) => {
  const ours = commandLines.filter(({ line }) => line.startsWith('npx mqttasgi'))
  t.true(ours.length > 5)
  for (const { place, line } of ours) {
    const words = line.split(' ').slice(2)
    t.notThrows(() => parseCommandLine(words, '0.0.0'), `${place}: ${line}`)
  }
})

test('every file and script of the project that a command names is there', (t) => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>
  }
  for (const { place, line } of commandLines) {
    const script = /^npm (?:run )?(start|test|format|[\w:-]+)$/.exec(line)?.[1]
    if (script !== undefined && !['ci', 'pack'].includes(script))
      t.true(script in scripts, `${place}: ${line}`)
    for (const [file] of line.matchAll(/\b(?:test|benchmarks|examples)\/[\w./-]+/g)) {
      t.true(existsSync(join(root, file)), `${place}: ${file}`)
    }
  }
})

test('every link leads somewhere', (t) => {
  for (const page of pages) {
    const text = withoutCode(page)
    for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue
      const [path = '', anchor] = target.split('#')
      const file = path === '' ? page : join(dirname(page), path)
      t.true(existsSync(join(root, file)), `${page}: ${target}`)
      if (anchor !== undefined && file.endsWith('.md'))
        t.true(anchors(file).has(anchor), `${page}: ${target}`)
    }
  }
})

function withoutCode(page: string): string {
  return readFileSync(join(root, page), 'utf8').replaceAll(/^```.*?^```$/gms, '')
}

/** The places of a page that can be linked to, as GitHub names them. */
function anchors(page: string): ReadonlySet<string> {
  const headings = [...withoutCode(page).matchAll(/^#+ (.+)$/gm)].map(([, text = '']) =>
    text
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  )
  return new Set(headings)
}

import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { loadApplication } from '../../lib/config/application-file.ts'
import { type LoadOptions, loadConfig } from '../../lib/config/load.ts'
import * as config from '../../lib/config/index.ts'
import { createLoader } from '../../lib/config/modules.ts'
import { Secret } from '../../lib/config/secret.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const own = { 'mqttasgi/config': config }

function load(cwd: string, given: Partial<LoadOptions> = {}) {
  return loadConfig({
    cwd,
    flags: {},
    env: {},
    command: 'run',
    loader: createLoader(async () => own, cwd),
    ...given,
  })
}

test('flag over environment over .env over file over default, each with where it came from', async (t) => {
  const folder = temporaryFolder(t, {
    'mqttasgi.config.json': JSON.stringify({ broker: { keepalive: 4, retries: 4, port: 4, host: 'four' } }),
    '.env': 'MQTT_KEEPALIVE=3\nMQTT_RETRIES=3\nMQTT_PORT=3\n',
  })
  const { broker, sources, file } = await load(folder, {
    env: { MQTT_KEEPALIVE: '2', MQTT_RETRIES: '2', MQTT_PORT: '' },
    flags: { keepalive: '1' },
  })
  t.deepEqual(
    [broker.keepaliveSeconds, broker.retries, broker.port, broker.host, broker.clean],
    [1, 2, 3, 'four', true],
  )
  t.is(sources['broker.keepalive'], 'flag --keepalive')
  t.is(sources['broker.retries'], 'environment MQTT_RETRIES')
  t.is(sources['broker.port'], '.env MQTT_PORT')
  t.is(sources['broker.host'], 'file mqttasgi.config.json')
  t.is(sources['broker.clean'], 'default')
  t.is(file, join(folder, 'mqttasgi.config.json'))
})

test('.env is read and never written into the environment of the process', async (t) => {
  const folder = temporaryFolder(t, { '.env': 'MQTT_HOSTNAME=from-dotenv\nMQTTASGI_TEST_LEAK=1\n' })
  t.is((await load(folder)).broker.host, 'from-dotenv')
  t.is(process.env['MQTTASGI_TEST_LEAK'], undefined)
})

test('a directory named .env is none of ours', async (t) => {
  const folder = temporaryFolder(t)
  mkdirSync(join(folder, '.env'))
  t.is((await load(folder)).broker.host, 'localhost')
})

test('neither the configuration nor the .env of a parent folder is read', async (t) => {
  const folder = temporaryFolder(t, {
    'mqttasgi.config.json': '{"broker":{"host":"parent"}}',
    '.env': 'MQTT_PORT=99',
  })
  mkdirSync(join(folder, 'child'))
  const settings = await load(join(folder, 'child'))
  t.deepEqual([settings.broker.host, settings.broker.port, settings.file], ['localhost', 1883, undefined])
})

test('a configuration is named by flag, environment and .env, in this order', async (t) => {
  const files = ['flag', 'environment', 'dotenv'].map((name) => [
    `conf/${name}.json`,
    `{"broker":{"host":"${name}"}}`,
  ])
  const folder = temporaryFolder(t, {
    ...Object.fromEntries(files),
    '.env': 'MQTTASGI_CONFIG=conf/dotenv.json',
  })
  const env = { MQTTASGI_CONFIG: 'conf/environment.json' }
  t.is((await load(folder)).broker.host, 'dotenv')
  t.is((await load(folder, { env })).broker.host, 'environment')
  t.is((await load(folder, { env, flags: { config: 'conf/flag.json' } })).broker.host, 'flag')
})

test('paths in a file are seen from the file, those on the command line from the working directory', async (t) => {
  const content = { application: './app.ts#a', workers: [{ id: 'w', application: '../w.ts' }] }
  const folder = temporaryFolder(t, { 'conf/c.json': JSON.stringify(content) })
  const flags = { config: 'conf/c.json' }
  const settings = await load(folder, { flags })
  t.is(settings.application, join(folder, 'conf/app.ts#a'))
  t.like(settings.workers[0], { id: 'w', mount: '', params: {}, application: join(folder, 'w.ts') })
  t.is(settings.sources['application'], 'file c.json')
  const named = await load(folder, { flags, application: './other.ts' })
  t.is(named.application, join(folder, 'other.ts'))
  t.is(named.sources['application'], 'command line')
})

test('a configuration that is a function gets the command and the environment with .env', async (t) => {
  const source = `import { defineConfig } from 'mqttasgi/config'
    export default defineConfig(({ command, env }) => ({ broker: { clientId: command + env.A + env.B + env.C } }))`
  const folder = temporaryFolder(t, { 'mqttasgi.config.ts': source, '.env': 'A=a\nB=dotenv\nC=c' })
  t.is((await load(folder, { command: 'dev', env: { B: 'b', C: '' } })).broker.clientId, 'devabc')
})

test('of several configurations the first is read, and a warning names the others', async (t) => {
  const folder = temporaryFolder(t, {
    'mqttasgi.config.json': '{}',
    'mqttasgi.config.mjs': 'export default { verbosity: 1 }',
  })
  const { verbosity, warnings } = await load(folder)
  t.is(verbosity, 1)
  t.deepEqual(warnings, ['mqttasgi.config.json is not read: mqttasgi.config.mjs comes first'])
})

const refused = test.macro({
  async exec(t, files: Record<string, string>, code: string, message: RegExp) {
    const folder = temporaryFolder(t, files)
    const error = await t.throwsAsync(load(folder), { code })
    t.regex(error?.message ?? '', message)
    t.notRegex(error?.message ?? '', /canary|\n/)
  },
  title: (title) => `refused: ${title}`,
})
test(
  'JSON with a mistake, whose text is not shown',
  refused,
  { 'mqttasgi.config.json': '{\n"broker": { "password": "canary"\n"x": 1 } }' },
  'ERR_CONFIG_FILE',
  /mqttasgi\.config\.json is not JSON: it can not be read on at line 3/,
)
test(
  'JSON that ends too early',
  refused,
  { 'mqttasgi.config.json': '{"broker": {"password": "canary' },
  'ERR_CONFIG_FILE',
  /is not JSON/,
)
test(
  'YAML with a mistake, whose text is not shown',
  refused,
  { 'mqttasgi.config.yaml': 'broker:\n  password: *canary\n' },
  'ERR_CONFIG_FILE',
  /mqttasgi\.config\.yaml is not YAML: it can not be read on at line 2/,
)
test(
  'TypeScript with a mistake',
  refused,
  { 'mqttasgi.config.ts': 'export default {\n  a: 1\n  b: "canary"\n}' },
  'ERR_CONFIG_FILE',
  /mqttasgi\.config\.ts can not be loaded: ParseError: .*:3:2$/,
)
test(
  'a configuration that throws, with the place',
  refused,
  { 'mqttasgi.config.ts': '\n\nthrow new Error("boom")' },
  'ERR_CONFIG_FILE',
  /can not be loaded: boom \(\S+mqttasgi\.config\.ts:3\)$/,
)
test(
  'a function that throws',
  refused,
  { 'mqttasgi.config.mjs': 'export default async () => { throw new Error("boom") }' },
  'ERR_CONFIG_FILE',
  /can not be loaded: boom/,
)
test(
  'an import that is not there',
  refused,
  { 'mqttasgi.config.ts': 'import "./missing.ts"' },
  'ERR_CONFIG_FILE',
  /can not be loaded: .*missing/,
)
test(
  'an empty file',
  refused,
  { 'mqttasgi.config.ts': ' \n' },
  'ERR_CONFIG_FILE',
  /is empty\. Write: export default defineConfig/,
)
test('an empty JSON file', refused, { 'mqttasgi.config.json': '' }, 'ERR_CONFIG_FILE', /is empty/)
test(
  'no default export',
  refused,
  { 'mqttasgi.config.ts': 'export const config = {}' },
  'ERR_CONFIG_FILE',
  /has no default export/,
)
test(
  'a default export that is no object',
  refused,
  { 'mqttasgi.config.ts': 'export default 5' },
  'ERR_CONFIG_VALUE',
  /expected an object, got a number/,
)
test(
  'a function that returns nothing',
  refused,
  { 'mqttasgi.config.ts': 'export default () => {}' },
  'ERR_CONFIG_VALUE',
  /expected an object, got nothing/,
)
test(
  'an unknown key, with the file',
  refused,
  { 'mqttasgi.config.ts': 'export default { broker: { pasword: "canary" } }' },
  'ERR_CONFIG_KEY',
  /^broker\.pasword \(file mqttasgi\.config\.ts\): .*Did you mean broker\.password\?$/,
)
test(
  'an import of itself',
  refused,
  { 'mqttasgi.config.json': '{"$import": "./mqttasgi.config.json"}' },
  'ERR_CONFIG_FILE',
  /Self-import/,
)

test('a directory where the configuration should be is refused, not passed over', async (t) => {
  const folder = temporaryFolder(t, { 'mqttasgi.config.json': '{}' })
  mkdirSync(join(folder, 'mqttasgi.config.ts'))
  await t.throwsAsync(load(folder), {
    code: 'ERR_CONFIG_FILE',
    message: /mqttasgi\.config\.ts \(working directory\) is not a file/,
  })
})

const named = test.macro({
  async exec(t, file: string, message: RegExp) {
    const folder = temporaryFolder(t, {
      'a.toml': '',
      noending: '{}',
      'package.json': '{}',
      'folder.ts/x': '',
    })
    const error = await t.throwsAsync(load(folder, { flags: { config: file } }), { code: 'ERR_CONFIG_FILE' })
    t.regex(error?.message ?? '', message)
  },
  title: (title) => `a named configuration is refused: ${title}`,
})
test(
  'not there',
  named,
  'missing.ts',
  /missing\.ts \(flag --config\) can not be read: there is no such file \(ENOENT\)/,
)
test('of another type', named, 'a.toml', /the type of .*a\.toml is not known: name it \*\.ts/)
test('without an ending', named, 'noending', /is not known/)
test('a directory', named, 'folder.ts', /is not a file/)
test('a package.json without the key', named, 'package.json', /package\.json has no key mqttasgi/)

test('a package.json that everybody may write is refused when it is the configuration', async (t) => {
  const folder = temporaryFolder(t, { 'package.json': '{}' })
  const file = join(folder, 'package.json')
  chmodSync(file, 0o666)
  await t.notThrowsAsync(load(folder))
  writeFileSync(file, '{ "mqttasgi": {} }')
  await t.throwsAsync(load(folder), { code: 'ERR_CONFIG_UNSAFE' })
})

test('a .env that can not be read is refused, not passed over', async (t) => {
  const folder = temporaryFolder(t)
  symlinkSync('.env', join(folder, '.env'))
  await t.throwsAsync(load(folder), { code: 'ERR_CONFIG_FILE', message: /\.env can not be read: .*ELOOP/ })
})

test('a configuration that everybody may write is not run', async (t) => {
  const folder = temporaryFolder(t, {
    'mqttasgi.config.mjs': 'globalThis.mqttasgiTestRan = true\nexport default {}',
  })
  const file = join(folder, 'mqttasgi.config.mjs')
  chmodSync(file, 0o666)
  const error = await t.throwsAsync(load(folder), { code: 'ERR_CONFIG_UNSAFE' })
  t.regex(error?.message ?? '', /chmod o-w/)
  t.false('mqttasgiTestRan' in globalThis)
  chmodSync(file, 0o664)
  await t.notThrowsAsync(load(folder))
  t.true('mqttasgiTestRan' in globalThis)
})

// cosmiconfig looks for settings of its own in the working directory of the process. Serial, for it is changed.
test.serial('what cosmiconfig reads for itself can not send us elsewhere', async (t) => {
  const meta = { 'package.json': JSON.stringify({ cosmiconfig: { searchPlaces: ['other.json'] } }) }
  const folder = temporaryFolder(t, {
    'mqttasgi.config.json': '{"verbosity":1}',
    'other.json': '{"verbosity":2}',
    ...meta,
  })
  const before = process.cwd()
  process.chdir(folder)
  t.teardown(() => process.chdir(before))
  t.is((await load(folder)).verbosity, 1)
})

test.serial(
  'a package.json of the working directory that can not be read is named, its text is not shown',
  async (t) => {
    const folder = temporaryFolder(t, { 'package.json': '{ "password": "canary" x' })
    const before = process.cwd()
    process.chdir(folder)
    t.teardown(() => process.chdir(before))
    const error = await t.throwsAsync(load(folder), { code: 'ERR_CONFIG_FILE', message: /package\.json/ })
    t.notRegex(error?.message ?? '', /canary/)
  },
)

test('a module of CommonJS that the configuration imports is the one that is loaded later', async (t) => {
  const folder = temporaryFolder(t, {
    'mqttasgi.config.mjs': `import app from './app.cts'\nexport default { application: app }`,
    'app.cts': 'export = new (class { use(): void {} topic(): void {} })()',
  })
  const loader = createLoader(async () => own, folder)
  const { application } = await load(folder, { loader })
  t.is(await loadApplication('./app.cts', folder, loader), application)
})

test('what two loaded files import is loaded once, and the loader can name all files', async (t) => {
  const folder = temporaryFolder(t, {
    'a.ts': `import { state } from './state.ts'\nexport const app: number = ++state.count`,
    'b.mjs': `import { state } from './state.ts'\nexport const app = ++state.count`,
    'state.ts': `export const state: { count: number } = { count: 0 }`,
  })
  const loader = createLoader(async () => own, folder)
  const values = [await loader.load(join(folder, 'a.ts')), await loader.load(join(folder, 'b.mjs'))]
  t.deepEqual(
    values.map((value) => Reflect.get(Object(value), 'app')),
    [1, 2],
  )
  t.deepEqual(
    [...loader.files()].sort(),
    ['a.ts', 'b.mjs', 'state.ts'].map((name) => join(folder, name)),
  )
})

const openQuotes: readonly (readonly [text: string, line: number])[] = [
  ['MQTT_PORT=1\nMQTT_PASSWORD="canary\n', 2],
  ["export MQTT_PASSWORD='canary", 1],
  // It would reach to the next quote that there is, and swallow what lies between.
  ['A=1\n\n MQTT_PASSWORD = "canary\nMQTT_PORT="1884"\n', 3],
  ["MQTT_PASSWORD='canary\n# don't\n", 1],
]
for (const [text, line] of openQuotes) {
  test(`a quote in .env that is not closed is refused with its line: ${JSON.stringify(text)}`, async (t) => {
    const folder = temporaryFolder(t, { '.env': text })
    const error = await t.throwsAsync(load(folder), { code: 'ERR_CONFIG_FILE' })
    t.is(
      error?.message,
      `${join(folder, '.env')} can not be read: the value at line ${line} begins with a quote that is not closed. Close it, or put the value into other quotes.`,
    )
  })
}

test('quotes in .env that are closed, or that no value begins with, are none of that', async (t) => {
  const folder = temporaryFolder(t, {
    '.env': `# don't\nMQTT_USERNAME="'u'" # it's\nMQTT_PASSWORD='two\nA=lines'\nMQTT_CLIENT_ID=it's\nA=\nB=""\n`,
  })
  const { broker } = await load(folder)
  t.is(broker.username, "'u'")
  t.is(broker.clientId, "it's")
  t.is(broker.password instanceof Secret ? broker.password.reveal() : '', 'two\nA=lines')
})

for (const text of ['a:\n  b: "c\n  d: 1\n', 'a: [1\nb\nc\n\n\n', 'a: {\nb: 1\nc: "2']) {
  test(`a mistake in YAML is in one of its lines: ${JSON.stringify(text)}`, async (t) => {
    const folder = temporaryFolder(t, { 'mqttasgi.config.yaml': text })
    const error = await t.throwsAsync(load(folder), { code: 'ERR_CONFIG_FILE' })
    t.regex(error?.message ?? '', /at line [1-3]\.$/)
  })
}

test('where the address of a Redis is missing, all places to give it are named', async (t) => {
  const folder = temporaryFolder(t)
  await t.throwsAsync(load(folder, { flags: { 'channel-layer': 'redis' } }), {
    code: 'ERR_CONFIG_INCOMPLETE',
    message: /as channels\.redis, --channel-redis or MQTTASGI_CHANNEL_REDIS\.$/,
  })
  await t.throwsAsync(load(folder, { flags: { 'dead-letter-store': 'redis' } }), {
    code: 'ERR_CONFIG_INCOMPLETE',
    message: /, as deadLetter\.redis, --dead-letter-redis or MQTTASGI_DEAD_LETTER_REDIS\.$/,
  })
})

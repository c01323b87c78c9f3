import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { drawTree } from '../../lib/cli/tree.ts'
import { runHere } from '../helpers/command-line.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const app = `
  import { mqttasgi, Router } from 'mqttasgi'
  export const app = mqttasgi()
  app.use(function logger(ctx, next) { return next() })
  app.topic('sensors/+room/temp', { description: 'in degrees' }, function alert(ctx, next) { return next() }, function store() {})
  app.topic('sensors/+room/temp', { timeoutMs: 50 }, function second() {})
  app.topic('sensors/+room', { qos: 0 }, () => {})
  const floors = Router<{ floor: string }>()
  floors.topic('door/#rest', { share: 'group', noLocal: false, retainHandling: 2 }, function door() {})
  app.use('building/+floor', function guard(ctx, next) { return next() }, floors)
  app.onUnmatched(() => {})
  throw0()
  function throw0(): void {}
`
const files = {
  'app.ts': app,
  'climate.ts': `import { mqttasgi } from 'mqttasgi'\nexport default mqttasgi().topic('fan/+id', function fan() {})`,
  'mqttasgi.config.ts': `export default { application: './app.ts', workers: [{ id: 'climate', mount: 'house/+name', application: './climate.ts' }] }`,
}

test('help and version are answers: on stdout, with 0', async (t) => {
  const cwd = temporaryFolder(t)
  const help = runHere(['--help'], { cwd })
  t.is(await help.ended, 0)
  t.regex(help.stdout(), /^Usage: mqttasgi \[command\] \[options\]/)
  const version = runHere(['--version'], { cwd })
  t.is(await version.ended, 0)
  const { version: expected } = JSON.parse(
    readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8'),
  )
  t.is(version.stdout(), `${expected}\n`)
})

test('of a consumer is said that what it subscribes to is known later, of a thread what its file says', async (t) => {
  const cwd = temporaryFolder(t, {
    ...files,
    'meter.ts': `import { MqttConsumer } from 'mqttasgi'\nexport class Meter extends MqttConsumer {}`,
    'mqttasgi.config.ts': `export default { application: './meter.ts#Meter', workers: [{ id: 'climate', application: './climate.ts', thread: true }] }`,
  })
  const later = 'application\n   a consumer: what it subscribes to is known once it runs\n'
  const routes = runHere(['routes'], { cwd })
  t.is(await routes.ended, 0)
  t.is(
    routes.output(),
    `${later}
worker climate
└─ fan/+id  qos 1  fan

subscribed at the broker
   fan/+  qos 1
`,
  )
  for (const argv of [['plan'], ['match', 'fan/1']]) {
    const command = runHere(argv, { cwd })
    t.is(await command.ended, 0)
    t.true(command.output().includes(later))
  }
  const config = runHere(['config'], { cwd })
  t.is(await config.ended, 0)
  t.true(config.output().includes(`climate: ${cwd}/climate.ts (in a thread)`))
})

test('routes draws the tree of the application and of each worker, and the filters', async (t) => {
  const command = runHere(['routes'], { cwd: temporaryFolder(t, files) })
  t.is(await command.ended, 0)
  t.is(
    command.output(),
    `application
├─ sensors/+room               qos 0                                 (anonymous)
│  └─ temp                     qos 1                                 alert, store  in degrees
│                              qos 1, timeout 50 ms                  second
└─ building/+floor/door/#rest  qos 1, share group, retainHandling 2  door

worker climate at house/+name
└─ house/+name/fan/+id  qos 1  fan

subscribed at the broker
   sensors/+/temp                  qos 1
   sensors/+                       qos 0
   $share/group/building/+/door/#  qos 1, retainHandling 2
   house/+/fan/+                   qos 1
`,
  )
})

test('routes says what to do when there are none', async (t) => {
  const cwd = temporaryFolder(t, {
    'app.ts': `import { mqttasgi } from 'mqttasgi'\nexport const app = mqttasgi()`,
  })
  const command = runHere(['routes', './app.ts'], { cwd })
  t.is(await command.ended, 0)
  t.regex(
    command.output(),
    /no routes: app\.topic\(pattern, handler\) adds one[^]*subscribed at the broker\n   nothing\n/,
  )
})

test('match shows the layers in order, with their parameters, for every receiver', async (t) => {
  const command = runHere(['match', 'sensors/hall/temp'], { cwd: temporaryFolder(t, files) })
  t.is(await command.ended, 0)
  t.is(
    command.output(),
    `application
  1  middleware  (every topic)       logger
  2  route       sensors/+room/temp  alert   room = "hall"
  3  route       sensors/+room/temp  store   room = "hall"
  4  route       sensors/+room/temp  second  room = "hall"

worker climate at house/+name
  no route matches, so nothing here subscribes to it

`,
  )
})

test('match shows middleware under its prefix, shared routes, and what happens when nothing matches', async (t) => {
  const cwd = temporaryFolder(t, files)
  const shared = runHere(['match', 'building/3/door/a/b'], { cwd })
  t.is(await shared.ended, 0)
  t.regex(shared.output(), /2 {2}middleware +building\/\+floor\/# +guard +floor = "3"/)
  t.regex(
    shared.output(),
    /3 {2}route, share group +building\/\+floor\/door\/#rest +door +floor = "3", rest = \["a","b"\]/,
  )
  const none = runHere(['match', 'nothing/here'], { cwd })
  t.is(await none.ended, 0)
  t.regex(
    none.output(),
    /no route matches, so nothing here subscribes to it; a message that comes all the same goes to onUnmatched/,
  )
})

test('match refuses what is no topic', async (t) => {
  const command = runHere(['match', 'a/+'], { cwd: temporaryFolder(t, files) })
  t.is(await command.ended, 2)
  t.regex(command.output(), /a topic has no wildcards.*\(ERR_USAGE\)/)
})

test('config prints each option with its value and where it came from, and warnings', async (t) => {
  const cwd = temporaryFolder(t, { ...files, '.env': 'MQTT_KEEPALIVE=30\n' })
  const env = {
    MQTT_URL: 'mqtts://u:canary@example.org/',
    TLS_CA: join(import.meta.dirname, '../fixtures/tls/pump.crt'),
  }
  const command = runHere(['config', '-r', '7', '-P', 'canary'], { cwd, env })
  t.is(await command.ended, 0)
  const row = (path: string) =>
    command
      .stdout()
      .split('\n')
      .find((line) => line.startsWith(`${path} `))
      ?.replaceAll(/ {2,}/g, ' | ')
  t.is(row('broker.host'), 'broker.host | example.org | environment MQTT_URL')
  t.is(row('broker.port'), 'broker.port | 8883 | environment MQTT_URL')
  t.is(row('broker.password'), 'broker.password | [redacted] | flag --password')
  t.is(row('broker.tls'), 'broker.tls | true | environment MQTT_URL')
  t.is(row('broker.tls.ca'), `broker.tls.ca | ${env.TLS_CA} | environment TLS_CA`)
  t.is(row('broker.keepalive'), 'broker.keepalive | 30 | .env MQTT_KEEPALIVE')
  t.is(row('broker.retries'), 'broker.retries | 7 | flag --retries')
  t.is(row('broker.clean'), 'broker.clean | true | default')
  t.is(row('broker.wsPath'), 'broker.wsPath | - | default')
  t.is(row('application'), `application | ${cwd}/app.ts | file mqttasgi.config.ts`)
  t.is(row('workers'), `workers | climate at house/+name: ${cwd}/climate.ts | file mqttasgi.config.ts`)
  t.regex(command.output(), /warn {2}the password was given on the command line \(flag --password\)/)
  t.notRegex(command.output(), /canary/)
})

test('config shows the socket, and no host, for a unix socket; and no query of a websocket', async (t) => {
  const cwd = temporaryFolder(t)
  const socket = runHere(['config', '--url', 'unix:///run/m.sock'], { cwd })
  await socket.ended
  t.regex(socket.stdout(), /broker\.host +- /)
  t.regex(socket.stdout(), /broker\.socketPath +\/run\/m\.sock +flag --url/)
  const websocket = runHere(['config', '--url', 'wss://h/mqtt?sign=canary'], { cwd })
  await websocket.ended
  t.regex(websocket.stdout(), /broker\.wsPath +\/mqtt\?\[redacted\] +flag --url/)
})

test('config says of a value that was given that nothing uses it', async (t) => {
  const env = {
    MQTTASGI_CHANNEL_REDIS: 'redis://u:canary@127.0.0.1',
    MQTTASGI_DEAD_LETTER_TOPIC: 'dead',
    MQTT_PASSWORD: 'canary',
    MQTT_USERNAME: 'u',
  }
  const files = { 'mqttasgi.config.mjs': 'export default { workers: [] }', secret: 'canary' }
  const argv = ['config', '--password-file', 'secret', '--url', 'mqtt://h']
  const command = runHere(argv, { cwd: temporaryFolder(t, files), env })
  t.is(await command.ended, 0)
  for (const path of ['channels\\.redis', 'deadLetter\\.topic', 'broker\\.password']) {
    t.regex(command.stdout(), new RegExp(`^${path} +not used +environment `, 'm'))
  }
  t.regex(command.stdout(), /^deadLetter\.redis +- +default$/m)
  t.regex(command.stdout(), /^workers +- +file /m)
  t.notRegex(command.output(), /canary/)
  const redis = runHere(['config'], {
    cwd: temporaryFolder(t),
    env: { ...env, MQTTASGI_CHANNEL_LAYER: 'redis' },
  })
  await redis.ended
  t.regex(redis.stdout(), /^channels\.redis +redis:\/\/\[redacted\]@127\.0\.0\.1 +environment/m)
})

const failing = test.macro<[string[], Record<string, string>, number, RegExp]>({
  async exec(t, argv, more, code, message) {
    const command = runHere(argv, { cwd: temporaryFolder(t, more) })
    t.is(await command.ended, code)
    t.regex(command.output(), message)
    // One line, and no stack.
    t.is(command.output().trimEnd().split('\n').length, 1, command.output())
  },
  title: (title = '', argv, _more, code) =>
    `mqttasgi ${argv.join(' ')} ends with ${code} and one line ${title}`.trim(),
})
test(
  failing,
  ['routes'],
  {},
  78,
  /^mqttasgi: there is no application to run\. Name its file, as in mqttasgi \.\/app\.ts, or write application: '\.\/app\.ts' into mqttasgi\.config\.ts\. \(ERR_APPLICATION_MISSING\)\n$/,
)
test(failing, [], {}, 78, /ERR_APPLICATION_MISSING/)
test(failing, ['./missing.ts'], {}, 78, /ENOENT\)\. \(ERR_APPLICATION_FILE\)/)
test(
  failing,
  ['foo'],
  {},
  78,
  /foo can not be read: .* "foo" is no command either: there are run, dev, routes, match, config, plan, doctor, dlq, channel\. \(ERR_APPLICATION_FILE\)/,
)
test(
  failing,
  ['./app.ts#ap'],
  { 'app.ts': 'export const app = 1' },
  78,
  /Did you mean #app\?.*ERR_APPLICATION_EXPORT/,
)
test(failing, ['./app.ts#app'], { 'app.ts': 'export const app = 1' }, 78, /ERR_APPLICATION_INVALID/)
const refusedWorkers = {
  'mount: "x/#"': /^mqttasgi: Worker "climate" can not be mounted under "x\/#": .*ERR_WORKER_OPTION\)\n$/,
  'id: "application"':
    /^mqttasgi: No second receiver can have the id "application".*ERR_RECEIVER_DUPLICATE\)\n$/,
}
for (const [option, message] of Object.entries(refusedWorkers)) {
  for (const command of ['run', 'plan', 'routes', 'match', 'doctor']) {
    test(
      `: a worker with ${option}`,
      failing,
      command === 'match' ? [command, 'a'] : [command],
      {
        'app.mjs': "export { MqttConsumer as default } from 'mqttasgi'",
        'mqttasgi.config.mjs': `export default { workers: [{ id: 'climate', application: './app.mjs', ${option} }], application: './app.mjs' }`,
      },
      78,
      message,
    )
  }
}
for (const [flag, ...values] of [
  ['--dead-letter-redis', 'http://127.0.0.1', '--dead-letter-store', 'redis'],
  ['--dead-letter-topic', 'a/#', '--dead-letter-store', 'topic'],
  ['--channel-redis', 'http://127.0.0.1', '--channel-layer', 'redis'],
  ['--channel-prefix', 'a/b'],
  ['--share-probe', 'a/#'],
  ['--will-topic', 'a/#'],
  ['--reply-topics', 'a/#/b'],
  ['--outbox-latest', 'a#b'],
  ['--ws-path', 'mqtt', '--transport', 'websockets'],
] as const) {
  test(failing, ['config', flag, ...values], {}, 2, new RegExp(`flag ${flag}.*ERR_USAGE`))
}
test(
  failing,
  ['routes', './a.ts', './b.ts'],
  {},
  2,
  /too many arguments for routes: expected one application, got 2/,
)
test(failing, ['routes', 'a', 'b'], {}, 2, /too many arguments for routes: expected one application, got 2/)
for (const command of ['run', 'plan', 'routes']) {
  test(
    ': the file of a worker',
    failing,
    [command],
    {
      'mqttasgi.config.ts': `export default { workers: [{ id: 'climate', application: './nowhere.ts' }] }`,
    },
    78,
    /^mqttasgi: Worker "climate": the application .*nowhere\.ts can not be read: .*ERR_APPLICATION_FILE\)\n$/,
  )
}
test(
  failing,
  ['routes', './app.ts'],
  { 'app.ts': 'throw new TypeError("boom")' },
  1,
  /app\.ts can not be loaded: boom .*app\.ts:1\).*ERR_APPLICATION_LOAD/,
)
test(
  ': a configuration that throws',
  failing,
  ['routes', './app.ts'],
  { 'mqttasgi.config.ts': 'throw new TypeError("boom")' },
  78,
  /mqttasgi\.config\.ts can not be loaded: boom .*ERR_CONFIG_FILE/,
)
test(
  ': a pattern that is none',
  failing,
  ['routes', './app.ts'],
  { 'app.ts': 'import { mqttasgi } from "mqttasgi"\nmqttasgi().topic("a+", () => {})' },
  1,
  /a\+.* \(ERR_PATTERN_INVALID\) \(.*app\.ts:\d+\) \(ERR_APPLICATION_LOAD\)/,
)
// What a flag says is right by itself: it is only that something else is missing, or says otherwise.
test(failing, ['-c', 'false', './app.ts'], {}, 78, /ERR_CONFIG_INCOMPLETE/)
test(failing, ['-P', 'secret', './app.ts'], {}, 78, /ERR_CONFIG_INCOMPLETE/)
test(failing, ['--channel-layer', 'redis', './app.ts'], {}, 78, /ERR_CONFIG_INCOMPLETE/)
test(failing, ['-p', '21883', '--url', 'mqtt://localhost:1', './app.ts'], {}, 78, /ERR_CONFIG_CONFLICT/)
test(failing, ['-p', 'x', './app.ts'], {}, 2, /broker\.port \(flag --port\): expected .*ERR_USAGE/)
test(failing, ['-v', '7', './app.ts'], {}, 2, /verbosity \(flag --verbosity\)/)
test(
  failing,
  ['config'],
  { 'mqttasgi.config.yaml': 'brokr: {}' },
  78,
  /brokr \(file mqttasgi\.config\.yaml\).*Did you mean broker\?/,
)

test('with verbosity 2, and with DEBUG set, an error comes with its stack and its causes', async (t) => {
  const cwd = temporaryFolder(t, { 'app.ts': 'throw new TypeError("boom")' })
  for (const [argv, env] of [
    [['-vv', 'routes', './app.ts'], {}],
    [['routes', './app.ts'], { DEBUG: 'x' }],
  ] as const) {
    const command = runHere(argv, { cwd, env })
    t.is(await command.ended, 1)
    t.regex(command.output(), /\n  +TypeError: boom\n +at .*app\.ts:1:/)
  }
})

test('control characters of what comes from outside do not reach the terminal', async (t) => {
  const cwd = temporaryFolder(t, { '.env': 'MQTT_HOSTNAME="a\u001b[2Jb"\n' })
  const command = runHere(['config'], { cwd })
  t.is(await command.ended, 78)
  // eslint-disable-next-line no-control-regex
  t.notRegex(command.output().trimEnd(), /[\u0000-\u001f\u007f-\u009f]/)
})

test('a pattern twice in the tree stands below itself, and levels that only lead on are joined', (t) => {
  const leaf = (pattern: string, ...cells: string[]) => ({ pattern, cells })
  t.deepEqual(
    drawTree([leaf('a/b/c', '1'), leaf('a/b/c', '2'), leaf('a/d', '3'), leaf('', '4'), leaf('e//f', '5')]),
    ['├─ a', '│  ├─ b/c  1', '│  │       2', '│  └─ d    3', '├─         4', '└─ e//f    5'],
  )
})

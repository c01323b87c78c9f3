import test from 'ava'
import { describeSettings } from '../../lib/config/describe.ts'
import { resolveOptions } from '../../lib/config/load.ts'
import { editDistance, nearest } from '../../lib/config/near.ts'
import { isInFile, options } from '../../lib/config/options.ts'
import { validateConfig } from '../../lib/config/validate.ts'

const validate = (input: unknown) => validateConfig(input, 'file x.ts')
const application = { use() {}, topic() {} }

test('a configuration is laid flat by path, and undefined is not written', (t) => {
  const { values } = validate({
    broker: { port: 1884, host: undefined, tls: { ca: './ca.pem' } },
    verbosity: 2,
  })
  t.deepEqual(Object.fromEntries(values), {
    'broker.port': 1884,
    'broker.tls': true,
    'broker.tls.ca': './ca.pem',
    verbosity: 2,
  })
  t.is(validate({}).values.size, 0)
  t.is(validate({ broker: undefined }).values.size, 0)
})

test('tls with nothing in it still says TLS', (t) => {
  t.is(validate({ broker: { tls: { ca: undefined } } }).values.get('broker.tls'), true)
  t.is(validate({ broker: { tls: false } }).values.get('broker.tls'), false)
})

const unknown = test.macro({
  exec(t, input: unknown, message: string) {
    const error = t.throws(() => validate(input), { code: 'ERR_CONFIG_KEY' })
    t.is(error.message, message)
  },
  title: (title) => `an unknown key is refused: ${title}`,
})
test(
  'a typing mistake',
  unknown,
  { broker: { hots: 'x' } },
  'broker.hots (file x.ts): there is no such option. Did you mean broker.host?',
)
test(
  'another one',
  unknown,
  { brokre: {} },
  'brokre (file x.ts): there is no such option. Did you mean broker?',
)
test(
  'at the wrong place',
  unknown,
  { host: 'x' },
  'host (file x.ts): there is no such option. Did you mean broker.host?',
)
test(
  'a misspelt secret, which is not shown',
  unknown,
  { broker: { pasword: 'canary' } },
  'broker.pasword (file x.ts): there is no such option. Did you mean broker.password?',
)
test(
  'a word of another client',
  unknown,
  { broker: { cleansession: true } },
  'broker.cleansession (file x.ts): there is no such option. Did you mean broker.clean?',
)
test(
  'another unit',
  unknown,
  { drainTimeoutMs: 1 },
  'drainTimeoutMs (file x.ts): there is no such option. Did you mean drainTimeout (in seconds)?',
)
test(
  'nothing near',
  unknown,
  { broker: { tls: { zzzzzzzz: 1 } } },
  'broker.tls.zzzzzzzz (file x.ts): there is no such option. There are, in broker.tls, ca, cert, key, servername, alpn.',
)
test(
  'nothing near at the top',
  unknown,
  { zzzzzzzzzzz: 1 },
  'zzzzzzzzzzz (file x.ts): there is no such option. There are overlap, drainTimeout, leaveOnStop, maxInFlight, maxInFlightBytes, maxPacketBytes, maxTopicLevels, maxHops, replyTopics, qos2, stateDir, verbosity, broker, deadLetter, outbox, channels, application, workers.',
)
test(
  'verification switched off',
  unknown,
  { broker: { tls: { rejectUnauthorized: false } } },
  'broker.tls.rejectUnauthorized (file x.ts): there is no such option. Certificates are always checked: give the CA that signed the broker as broker.tls.ca.',
)
test(
  'the file of the configuration in itself',
  unknown,
  { config: 'x' },
  'config (file x.ts): there is no such option. There are overlap, drainTimeout, leaveOnStop, maxInFlight, maxInFlightBytes, maxPacketBytes, maxTopicLevels, maxHops, replyTopics, qos2, stateDir, verbosity, broker, deadLetter, outbox, channels, application, workers.',
)
test(
  'a prototype',
  unknown,
  JSON.parse('{ "__proto__": { "x": 1 } }'),
  '__proto__ (file x.ts): there is no such option. There are overlap, drainTimeout, leaveOnStop, maxInFlight, maxInFlightBytes, maxPacketBytes, maxTopicLevels, maxHops, replyTopics, qos2, stateDir, verbosity, broker, deadLetter, outbox, channels, application, workers.',
)
test(
  'of a worker',
  unknown,
  { workers: [{ id: 'a', aplication: './a.ts' }] },
  'workers[0].aplication (file x.ts): there is no such key. Did you mean application?',
)
test(
  'of a worker, with nothing near',
  unknown,
  { workers: [{ id: 'a', zzzzzzzz: './a.ts' }] },
  'workers[0].zzzzzzzz (file x.ts): there is no such key. A worker has id, application, mount, params, thread, memoryMb, instances, share, restart, escalation, maxRestarts, withinSeconds.',
)

const refused = test.macro({
  exec(t, input: unknown, message: string) {
    const error = t.throws(() => validate(input), { code: 'ERR_CONFIG_VALUE' })
    t.is(error.message, message)
  },
  title: (title) => `a wrong value is refused: ${title}`,
})
test(
  'no object',
  refused,
  'text',
  'the configuration (file x.ts): expected an object, got a string. Export defineConfig({ … }).',
)
test(
  'a list',
  refused,
  [],
  'the configuration (file x.ts): expected an object, got a list. Export defineConfig({ … }).',
)
test(
  'null',
  refused,
  null,
  'the configuration (file x.ts): expected an object, got null. Export defineConfig({ … }).',
)
test(
  'a class',
  refused,
  new Map(),
  'the configuration (file x.ts): expected an object, got an object. Export defineConfig({ … }).',
)
test(
  'a group that is none',
  refused,
  { broker: 'mqtt://x' },
  'broker (file x.ts): expected an object, got "mqtt://x".',
)
test(
  'a number in quotes',
  refused,
  { broker: { port: '1883' } },
  'broker.port (file x.ts): expected a whole number from 1 to 65535, got "1883". Write it without quotes.',
)
test(
  'a switch in quotes',
  refused,
  { broker: { clean: 'true' } },
  'broker.clean (file x.ts): expected true or false, got "true". Write it without quotes.',
)
test(
  'a version in quotes',
  refused,
  { broker: { protocolVersion: '5' } },
  'broker.protocolVersion (file x.ts): expected one of auto, 5, 4, got "5". Write it without quotes.',
)
test(
  'out of range',
  refused,
  { broker: { port: 0 } },
  'broker.port (file x.ts): expected a whole number from 1 to 65535, got 0.',
)
test(
  'not whole',
  refused,
  { broker: { keepalive: 1.5 } },
  'broker.keepalive (file x.ts): expected a whole number from 0 to 65535, got 1.5.',
)
test(
  'no number',
  refused,
  { drainTimeout: Number.NaN },
  'drainTimeout (file x.ts): expected seconds, a number from 0 to 86400, got NaN.',
)
test(
  'null for a value',
  refused,
  { verbosity: null },
  'verbosity (file x.ts): expected a whole number from 0 to 2, got null.',
)
test(
  'an object for a value',
  refused,
  { verbosity: {} },
  'verbosity (file x.ts): expected a whole number from 0 to 2, got an object.',
)
test(
  'an empty text',
  refused,
  { broker: { host: '' } },
  'broker.host (file x.ts): expected a host name or address, got "".',
)
test(
  'a URL as host',
  refused,
  { broker: { host: 'mqtt://u:canary@x' } },
  'broker.host (file x.ts): expected a host name or address, got "mqtt://[redacted]@x". Give a URL as broker.url, MQTT_URL or --url.',
)
test(
  'a host with its port',
  refused,
  { broker: { host: 'x:1883' } },
  'broker.host (file x.ts): expected a host name or address, got "x:1883". Give the port apart from the host, as broker.port.',
)
test(
  'a secret of the wrong type',
  refused,
  { broker: { password: 31_337 } },
  'broker.password (file x.ts): expected a text of at most 65535 bytes that is not empty, or a function that returns one, got [redacted] (a number).',
)
test(
  'NUL in a text',
  refused,
  { broker: { clientId: 'a\0b' } },
  'broker.clientId (file x.ts): expected a text of at most 65535 bytes that is not empty, got "a\\u0000b".',
)
test(
  'half a character',
  refused,
  { broker: { clientId: '\uD800' } },
  'broker.clientId (file x.ts): expected a text of at most 65535 bytes that is not empty, got "\\ud800".',
)
test(
  'a text for a list',
  refused,
  { broker: { tls: { alpn: 'mqtt' } } },
  'broker.tls.alpn (file x.ts): expected a list of texts, got "mqtt". Write ["mqtt"].',
)
test(
  'an empty list',
  refused,
  { broker: { tls: { alpn: [] } } },
  'broker.tls.alpn (file x.ts): expected a list of texts, got a list.',
)
test(
  'a path that is none',
  refused,
  { broker: { tls: { ca: 5 } } },
  'broker.tls.ca (file x.ts): expected the path of a file, got 5.',
)
test(
  'a number for an application',
  refused,
  { application: 1 },
  "application (file x.ts): expected an application or the file of one, such as './app.ts', got 1.",
)
test(
  'an empty application',
  refused,
  { application: '' },
  'application (file x.ts): expected an application or the file of one, such as \'./app.ts\', got "".',
)
test(
  'workers that are no list',
  refused,
  { workers: {} },
  'workers (file x.ts): expected a list of workers, got an object.',
)
test(
  'a worker that is no object',
  refused,
  { workers: ['./a.ts'] },
  'workers[0] (file x.ts): expected an object { id, application }, got "./a.ts".',
)
test(
  'a worker without id',
  refused,
  { workers: [{ application: './a.ts' }] },
  'workers[0].id (file x.ts): expected a text that is not empty, got nothing.',
)
test(
  'a worker without application',
  refused,
  { workers: [{ id: 'a' }] },
  "workers[0].application (file x.ts): expected an application or the file of one, such as './app.ts', got nothing.",
)
test(
  'a mount that is no text',
  refused,
  { workers: [{ id: 'a', mount: 1, application }] },
  'workers[0].mount (file x.ts): expected a pattern such as building/+floor, got 1.',
)
test(
  'parameters that are no object',
  refused,
  { workers: [{ id: 'a', params: 1, application }] },
  'workers[0].params (file x.ts): expected an object, got 1.',
)
test(
  'an id twice',
  refused,
  {
    workers: [
      { id: 'a', application },
      { id: 'a', application },
    ],
  },
  'workers[1].id (file x.ts): another worker has the id "a" already. Each needs its own.',
)

test('a text of 65,535 bytes is taken, one of more is not and is cut in the message', (t) => {
  t.notThrows(() => validate({ broker: { username: 'x'.repeat(65_535) } }))
  const error = t.throws(() => validate({ broker: { username: 'ä'.repeat(32_768) } }), {
    code: 'ERR_CONFIG_VALUE',
  })
  t.true(error.message.length < 300)
})

test('hosts are names and addresses, IPv6 with or without brackets', (t) => {
  const host = (value: string) => validate({ broker: { host: value } }).values.get('broker.host')
  t.is(host('example.org'), 'example.org')
  t.is(host('::1'), '::1')
  t.is(host('[fe80::1]'), 'fe80::1')
  for (const wrong of ['a b', 'a/b', 'a@b', '[x]:1', '::g', 'a\u001bb'])
    t.throws(() => host(wrong), { code: 'ERR_CONFIG_VALUE' }, wrong)
})

test(
  'more than there can be instances',
  refused,
  { workers: [{ id: 'a', application: './a.ts', instances: 5_000 }] },
  'workers[0].instances (file x.ts): expected a whole number from 1 to 1,024, got 5000.',
)
test(
  'a policy that is none',
  refused,
  { workers: [{ id: 'a', application: './a.ts', restart: 'always' }] },
  "workers[0].restart (file x.ts): expected 'permanent', 'transient' or 'temporary', got \"always\".",
)
test(
  'memory for a worker that has none of its own',
  refused,
  { workers: [{ id: 'a', application: './a.ts', memoryMb: 64 }] },
  'workers[0].memoryMb (file x.ts): only a thread has memory of its own. Give thread: true as well, or leave memoryMb out.',
)
test(
  'params that can not be copied to a thread',
  refused,
  { workers: [{ id: 'a', application: './a.ts', thread: true, params: { log: () => {} } }] },
  'workers[0].params (file x.ts): expected plain data, for a thread has a copy of them, got a function as params.log. Let the file of the application make it.',
)
test(
  'an object for a thread',
  refused,
  { workers: [{ id: 'a', application, thread: true }] },
  'workers[0].application (file x.ts): expected the file of an application, for a thread loads it itself, got an object.',
)

test('a consumer class and a raw application may be given as they are', (t) => {
  class Meter {
    readonly total = 0
  }
  const raw = async (): Promise<void> => {}
  t.is(validate({ application: Meter }).application, Meter)
  t.is(validate({ workers: [{ id: 'a', application: raw }] }).workers?.[0]?.application, raw)
})

test('applications and workers are kept as they were given', (t) => {
  const params = { unit: 'C' }
  const config = validate({
    application,
    workers: [{ id: 'a', mount: 'b/+c', application: './a.ts', params }],
  })
  t.is(config.application, application)
  t.deepEqual(config.workers, [
    {
      id: 'a',
      mount: 'b/+c',
      application: './a.ts',
      params,
      thread: false,
      memoryMb: undefined,
      instances: 1,
      share: undefined,
      restart: 'permanent',
      escalation: 'stop-mount',
      maxRestarts: 5,
      withinSeconds: 60,
    },
  ])
  t.is(validate({}).workers, undefined)
})

test('every option of the table can be written in the file, at its path', (t) => {
  for (const option of options.filter(isInFile)) {
    const nested = option.path
      .split('.')
      .reduceRight<unknown>((inner, key) => ({ [key]: inner }), Symbol('wrong'))
    // The path was found and its value looked at.
    t.throws(() => validate(nested), { code: 'ERR_CONFIG_VALUE' }, option.path)
  }
})

test('the nearest name is a few mistakes away, or there is none', (t) => {
  t.is(nearest('hots', ['port', 'host']), 'host')
  t.is(nearest('HOST', ['port', 'host']), 'host')
  t.is(nearest('xyz', ['port', 'host']), undefined)
  t.is(editDistance('', 'abc'), 3)
  t.is(editDistance('kitten', 'sitting'), 3)
  t.is(editDistance('ab', 'ba'), 1)
  t.is(editDistance('a', 'x'.repeat(50)), 50)
})

test('a worker is described with what is not as usual', (t) => {
  const described = (worker: object): string | undefined =>
    describeSettings(resolveOptions({ workers: [{ id: 'a', application: '/a.ts', ...worker }] })).find(
      ({ path }) => path === 'workers',
    )?.value
  t.is(described({}), 'a: /a.ts')
  t.is(
    described({
      mount: 'b',
      thread: true,
      memoryMb: 64,
      share: 'g',
      restart: 'transient',
      escalation: 'exit',
    }),
    'a at b: /a.ts (in a thread, 64 MB, shared as g, transient, then exit)',
  )
  t.is(
    described({ instances: 3, maxRestarts: 9, withinSeconds: 10 }),
    'a: /a.ts (3 instances, 9 restarts in 10 s)',
  )
  t.is(described({ instances: 3, thread: true }), 'a: /a.ts (in 3 threads)')
})

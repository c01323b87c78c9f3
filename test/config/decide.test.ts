import { join } from 'node:path'
import { inspect } from 'node:util'
import test from 'ava'
import type { ConfigInput } from '../../lib/config/input.ts'
import { decide } from '../../lib/config/decide.ts'
import { type Texts, textLevels, valueLevel } from '../../lib/config/levels.ts'
import { resolveOptions } from '../../lib/config/load.ts'
import type { Settings } from '../../lib/config/settings.ts'
import { validateConfig } from '../../lib/config/validate.ts'
import { Secret } from '../../lib/config/secret.ts'

function revealed({ password }: Settings['broker']): string | undefined {
  return password instanceof Secret ? password.reveal() : undefined
}

const tls = join(import.meta.dirname, '../fixtures/tls')
const [cert, key] = [join(tls, 'pump.crt'), join(tls, 'pump.key')]

interface Levels {
  flags?: Texts
  env?: Texts
  dotenv?: Texts
  file?: ConfigInput
}

function settle({ flags = {}, env = {}, dotenv = {}, file = {} }: Levels): Settings {
  const { values } = validateConfig(file, 'file x')
  const levels = [...textLevels(flags, env, dotenv, '/'), valueLevel(values, 'file x', '/')]
  return decide(levels, {
    application: undefined,
    workers: [],
    file: undefined,
    warnings: [],
    sources: {},
    directory: '/',
  })
}

const place = ({ broker }: Settings) => broker.address
const given = (path: string, settings: Settings) => settings.sources[path]

test('with nothing given, a clean session on localhost, and start-up says what that loses', (t) => {
  const settings = settle({})
  t.is(place(settings), 'mqtt://localhost:1883')
  t.regex(settings.broker.clientId, /^mqttasgi-[0-9a-f]{8}$/)
  t.not(settle({}).broker.clientId, settings.broker.clientId)
  const { clean, sessionExpirySeconds, keepaliveSeconds, protocolVersion, connectTimeoutMs, retries } =
    settings.broker
  t.deepEqual(
    { clean, sessionExpirySeconds, keepaliveSeconds, protocolVersion, connectTimeoutMs, retries },
    {
      clean: true,
      sessionExpirySeconds: 0,
      keepaliveSeconds: 60,
      protocolVersion: 'auto',
      connectTimeoutMs: 10_000,
      retries: 3,
    },
  )
  t.is(settings.drainTimeoutMs, 25_000)
  t.deepEqual(settings.warnings, [])
  t.is(settings.notices.length, 1)
  t.regex(settings.notices[0] ?? '', /published while this process is away is lost.*clean: false/)
})

const address = test.macro({
  exec(t, levels: Levels, expected: string) {
    t.is(place(settle(levels)), expected)
  },
  title: (title) => `the address: ${title}`,
})
test('a URL alone', address, { file: { broker: { url: 'mqtts://example.org' } } }, 'mqtts://example.org:8883')
test('IPv6', address, { file: { broker: { host: '::1' } } }, 'mqtt://[::1]:1883')
test('the port follows TLS', address, { flags: { 'use-ssl': 'true' } }, 'mqtts://localhost:8883')
test(
  'the port follows the transport',
  address,
  { flags: { transport: 'websockets' } },
  'ws://localhost:80/mqtt',
)
test(
  'the port follows both',
  address,
  { flags: { transport: 'websockets', 'use-ssl': 'true' } },
  'wss://localhost:443/mqtt',
)
test(
  'a URL by flag replaces the host of the environment',
  address,
  { flags: { url: 'mqtt://a' }, env: { MQTT_HOSTNAME: 'b' } },
  'mqtt://a:1883',
)
test(
  'and its port, for the scheme says one',
  address,
  { flags: { url: 'mqtt://a' }, env: { MQTT_PORT: '1884' } },
  'mqtt://a:1883',
)
test(
  'a host by flag replaces that of the URL, and leaves its scheme',
  address,
  { flags: { host: 'b' }, env: { MQTT_URL: 'mqtts://a' } },
  'mqtts://b:8883',
)
test(
  'a port beside a URL without one',
  address,
  { file: { broker: { url: 'mqtt://a', port: 1884 } } },
  'mqtt://a:1884',
)
test(
  'a port by flag replaces that of the URL',
  address,
  { flags: { port: '1885' }, env: { MQTT_URL: 'mqtt://a:1884' } },
  'mqtt://a:1885',
)
test(
  'the same said twice',
  address,
  { file: { broker: { url: 'mqtts://a:1884', host: 'a', port: 1884, tls: true } } },
  'mqtts://a:1884',
)
test(
  'a port that was said stays with TLS',
  address,
  { flags: { 'use-ssl': 'true' }, file: { broker: { port: 1883 } } },
  'mqtts://localhost:1883',
)
test(
  'one that only followed from a weaker URL does not',
  address,
  { flags: { 'use-ssl': 'true' }, file: { broker: { url: 'mqtt://a' } } },
  'mqtts://a:8883',
)
test(
  'a path by flag for the websocket of the file',
  address,
  { flags: { 'ws-path': '/x' }, file: { broker: { url: 'ws://a' } } },
  'ws://a:80/x',
)
test(
  'a path in the URL, without its query',
  address,
  { env: { MQTT_URL: 'wss://a/x?secret=1' } },
  'wss://a:443/x',
)
test(
  'the path of a weaker level waits for its transport',
  address,
  { flags: { url: 'mqtt://a' }, file: { broker: { transport: 'websockets', wsPath: '/x' } } },
  'mqtt://a:1883',
)
test('a unix socket', address, { file: { broker: { socketPath: '/run/m.sock' } } }, 'unix:///run/m.sock')
test(
  'a unix socket as URL',
  address,
  { file: { broker: { url: 'unix:///run/m.sock' } } },
  'unix:///run/m.sock',
)
test(
  'a unix socket by flag replaces host and TLS of the file',
  address,
  { flags: { 'socket-path': '/m' }, file: { broker: { url: 'mqtts://a' } } },
  'unix:///m',
)
test(
  'a host by flag replaces the unix socket of the file',
  address,
  { flags: { host: 'a' }, file: { broker: { socketPath: '/m' } } },
  'mqtt://a:1883',
)
test(
  'a URL by flag replaces it too',
  address,
  { flags: { url: 'ws://a' }, file: { broker: { url: 'unix:///m' } } },
  'ws://a:80/mqtt',
)
test('a CA alone means TLS', address, { env: { TLS_CA: cert } }, 'mqtts://localhost:8883')
test(
  'a certificate with its key means TLS',
  address,
  { env: { TLS_CERT: cert, TLS_KEY: key } },
  'mqtts://localhost:8883',
)
test(
  'a CA by flag is stronger than a no in the file',
  address,
  { flags: { cacert: cert }, file: { broker: { tls: false } } },
  'mqtts://localhost:8883',
)

const refused = test.macro({
  exec(t, levels: Levels, code: string, message: RegExp) {
    const error = t.throws(() => settle(levels), { code })
    t.regex(error.message, message)
    t.notRegex(error.message, /canary/)
  },
  title: (title) => `refused: ${title}`,
})
const conflict = 'ERR_CONFIG_CONFLICT'
const incomplete = 'ERR_CONFIG_INCOMPLETE'
test(
  'another port than the URL says',
  refused,
  { file: { broker: { url: 'mqtt://a:1883', port: 1884 } } },
  conflict,
  /^broker\.port 1884 \(file x\) contradicts the URL "mqtt:\/\/a:1883" \(file x\)\. Keep one of the two\.$/,
)
test(
  'another host',
  refused,
  { flags: { url: 'mqtt://a', host: 'b' } },
  conflict,
  /broker\.host "b" \(flag --host\) contradicts the URL "mqtt:\/\/a" \(flag --url\)/,
)
test(
  'another password, unseen',
  refused,
  { env: { MQTT_URL: 'mqtt://u:canary1@a', MQTT_PASSWORD: 'canary2' } },
  conflict,
  /broker\.password \(environment MQTT_PASSWORD\) contradicts the URL "mqtt:\/\/\[redacted\]@a"/,
)
test(
  'another transport',
  refused,
  { dotenv: { MQTT_URL: 'mqtt://a', MQTT_TRANSPORT: 'websockets' } },
  conflict,
  /whose scheme is mqtt\. Keep one/,
)
test(
  'TLS and a scheme without',
  refused,
  { flags: { url: 'mqtt://a', 'use-ssl': 'true' } },
  conflict,
  /broker\.tls true \(flag --use-ssl\) contradicts the URL "mqtt:\/\/a" \(flag --url\), whose scheme is mqtt/,
)
test(
  'a CA and a scheme without TLS',
  refused,
  { flags: { url: 'mqtt://a', cacert: cert } },
  conflict,
  /broker\.tls is false \(flag --url\), and broker\.tls\.ca was given \(flag --cacert\).*mqtts:\/\//,
)
test(
  'a CA and no TLS',
  refused,
  { env: { MQTT_USE_SSL: 'false', TLS_CA: cert } },
  conflict,
  /broker\.tls is false \(environment MQTT_USE_SSL\), and broker\.tls\.ca/,
)
test(
  'no TLS in the file, with a key there',
  refused,
  { file: { broker: { url: 'ws://a', tls: { key } } } },
  conflict,
  /broker\.tls true \(file x\) contradicts the URL "ws:\/\/a"/,
)
test(
  'a unix socket and a host',
  refused,
  { file: { broker: { socketPath: '/m', host: 'a' } } },
  conflict,
  /broker\.socketPath \(file x\) and broker\.host \(file x\) were both given/,
)
test(
  'a unix socket and TLS',
  refused,
  { file: { broker: { socketPath: '/m', tls: true } } },
  conflict,
  /no TLS/,
)
test(
  'a unix socket and websockets',
  refused,
  { file: { broker: { socketPath: '/m', transport: 'websockets' } } },
  conflict,
  /broker\.transport/,
)
test(
  'TLS by flag for the unix socket of the file',
  refused,
  { flags: { cacert: cert }, file: { broker: { socketPath: '/m' } } },
  conflict,
  /broker\.tls \(flag --cacert\) does not go together with broker\.socketPath \(file x\)/,
)
test(
  'a path without websockets',
  refused,
  { flags: { 'ws-path': '/x' } },
  conflict,
  /Only websockets have a path/,
)
test(
  'a path that is none',
  refused,
  { flags: { 'ws-path': 'x', transport: 'websockets' } },
  'ERR_USAGE',
  /begins with \//,
)
test(
  'a certificate without key',
  refused,
  { env: { TLS_CERT: cert } },
  incomplete,
  /broker\.tls\.cert \(environment TLS_CERT\) was given without its partner.*--key or TLS_KEY/,
)
test(
  'a key without certificate',
  refused,
  { env: { TLS_KEY: key } },
  incomplete,
  /broker\.tls\.key \(environment TLS_KEY\).*TLS_CERT/,
)
test(
  'a session to keep without client id',
  refused,
  { env: { MQTT_CLEAN: 'false' } },
  incomplete,
  /broker\.clean is false \(environment MQTT_CLEAN\).*MQTT_CLIENT_ID/,
)
test(
  'a password without user name',
  refused,
  { env: { MQTT_PASSWORD: 'canary' } },
  incomplete,
  /broker\.password \(environment MQTT_PASSWORD\) was given without a user name/,
)
test(
  'a CA that is not there',
  refused,
  { env: { TLS_CA: '/does/not/exist.pem' } },
  'ERR_CONFIG_TLS',
  /^broker\.tls\.ca \(environment TLS_CA\): \/does\/not\/exist\.pem can not be read: there is no such file \(ENOENT\)\.$/,
)
test(
  'a CA that is a directory',
  refused,
  { env: { TLS_CA: tls } },
  'ERR_CONFIG_TLS',
  /it is a directory \(EISDIR\)/,
)
test(
  'a CA that is a key',
  refused,
  { env: { TLS_CA: key } },
  'ERR_CONFIG_TLS',
  /pump\.key is not what it should be\. Expected a certificate in PEM/,
)
test(
  'a key that is a certificate',
  refused,
  { env: { TLS_CERT: cert, TLS_KEY: cert } },
  'ERR_CONFIG_TLS',
  /Expected a private key in PEM/,
)
test(
  'a key that is encrypted',
  refused,
  { env: { TLS_CERT: cert, TLS_KEY: join(tls, 'pump.encrypted.key') } },
  'ERR_CONFIG_TLS',
  /The key is encrypted: decrypt it/,
)
test(
  'a key that fits another certificate',
  refused,
  { env: { TLS_CERT: cert, TLS_KEY: join(tls, 'fan.key') } },
  'ERR_CONFIG_TLS',
  /broker\.tls\.key \(environment TLS_KEY\) is not the key of broker\.tls\.cert/,
)
test(
  'a PEM text that is none, unseen',
  refused,
  { env: { TLS_CA: '-----BEGIN CERTIFICATE-----\ncanary' } },
  'ERR_CONFIG_TLS',
  /\(environment TLS_CA\): the text is not what it should be/,
)

test('the parts of a URL by flag replace those of the environment, and its password too', (t) => {
  const env = { MQTT_USERNAME: 'env-user', MQTT_PASSWORD: 'env-password' }
  const full = settle({ flags: { url: 'mqtt://url-user:url-password@127.0.0.1' }, env })
  t.is(full.broker.username, 'url-user')
  t.is(revealed(full.broker), 'url-password')
  t.is(given('broker.password', full), 'flag --url')
  // The usual way to keep the password apart.
  const half = settle({ flags: { url: 'mqtt://url-user@127.0.0.1' }, env })
  t.is(half.broker.username, 'url-user')
  t.is(revealed(half.broker), 'env-password')
  t.is(given('broker.password', half), 'environment MQTT_PASSWORD')
})

test('clean: false keeps the session for an hour, unless another time is said', (t) => {
  const kept = settle({ file: { broker: { clean: false, clientId: 'pump' } } })
  t.is(kept.broker.sessionExpirySeconds, 3_600)
  t.deepEqual(kept.notices, [])
  t.is(
    settle({ flags: { 'session-expiry': '5', id: 'a', cleansession: 'false' } }).broker.sessionExpirySeconds,
    5,
  )
})

test('clean: false with a session expiry of 0 keeps nothing, and says so', (t) => {
  const broker = { clean: false, clientId: 'pump', sessionExpiry: 0 }
  const [warning] = settle({ file: { broker } }).warnings
  t.regex(warning ?? '', /^broker\.sessionExpiry \(.*\) is 0, and on MQTT 5 the broker forgets the session/)
  t.regex(warning ?? '', /published while this process is away is lost/)
  t.is(settle({ file: { broker: { ...broker, protocolVersion: 5 } } }).warnings.length, 1)
  t.deepEqual(settle({ file: { broker: { ...broker, sessionExpiry: 1 } } }).warnings, [])
  t.deepEqual(settle({ file: { broker: { clean: true, sessionExpiry: 0 } } }).warnings, [])
  // There it has no effect, which is said.
  const older = settle({ file: { broker: { ...broker, protocolVersion: 4 } } }).warnings
  t.is(older.length, 1)
  t.regex(older[0] ?? '', /has no effect/)
})

test('certificates and keys are read, from files and from the texts themselves, and the key is not shown', (t) => {
  const fromFiles = settle({ env: { TLS_CA: cert, TLS_CERT: cert, TLS_KEY: key } }).broker.tls
  t.regex(fromFiles?.ca ?? '', /^-----BEGIN CERTIFICATE-----/)
  t.regex(fromFiles?.key?.reveal() ?? '', /^-----BEGIN PRIVATE KEY-----/)
  const texts = { TLS_CERT: fromFiles?.cert, TLS_KEY: fromFiles?.key?.reveal() }
  const fromTexts = settle({ env: { ...texts, TLS_SERVERNAME: 'pump.test', TLS_ALPN: 'mqtt' } }).broker.tls
  t.is(fromTexts?.key?.reveal(), fromFiles?.key?.reveal())
  t.is(fromTexts?.servername, 'pump.test')
  t.deepEqual(fromTexts?.alpn, ['mqtt'])
  t.notRegex(inspect(fromTexts, { depth: 9 }) + JSON.stringify(fromTexts), /PRIVATE KEY/)
})

test('topics of replies are filters, and none are shared', (t) => {
  t.is(settle({}).replyTopics, undefined)
  t.deepEqual(settle({ env: { MQTTASGI_REPLY_TOPICS: 'a/+, b/#' } }).replyTopics, ['a/+', 'b/#'])
  for (const filter of ['a/b+', '$share/g/a', '']) {
    const error = t.throws(() => settle({ file: { replyTopics: ['ok', filter] } }))
    t.regex(error?.message ?? '', /^replyTopics \(.*\): expected/, filter)
  }
})

test('levels of a topic are not limited unless it is asked for', (t) => {
  t.is(settle({}).maxTopicLevels, undefined)
  t.is(settle({ flags: { 'max-topic-levels': '64' } }).maxTopicLevels, 64)
})

const warned = test.macro({
  exec(t, levels: Levels, ...messages: RegExp[]) {
    const { warnings } = settle(levels)
    t.is(warnings.length, messages.length, warnings.join('\n'))
    for (const [index, message] of messages.entries()) t.regex(warnings[index] ?? '', message)
    t.false(warnings.join().includes('canary'))
  },
  title: (title) => `warned: ${title}`,
})
const credentials = { MQTT_USERNAME: 'u', MQTT_PASSWORD: 'canary' }
test(
  'a password as a flag',
  warned,
  { flags: { username: 'u', password: 'canary' } },
  /\(flag --password\).*set MQTT_PASSWORD/,
)
test(
  'a password in a URL as a flag',
  warned,
  { flags: { url: 'mqtt://u:canary@localhost' } },
  /\(flag --url\).*set MQTT_PASSWORD/,
)
test(
  'a password unencrypted to another machine',
  warned,
  { env: { ...credentials, MQTT_HOSTNAME: 'example.org' } },
  /goes to mqtt:\/\/example\.org:1883 unencrypted/,
)
test('not to this machine', warned, { env: { ...credentials, MQTT_HOSTNAME: '127.0.0.5' } })
test('not with TLS', warned, { env: { ...credentials, MQTT_URL: 'mqtts://example.org' } })
test('not to a unix socket', warned, { env: { ...credentials, MQTT_SOCKET_PATH: '/m' } })
test(
  'a CA that a stronger URL makes useless',
  warned,
  { flags: { url: 'mqtt://localhost' }, env: { TLS_CA: cert } },
  /^TLS is off \(flag --url\), and broker\.tls\.ca \(environment TLS_CA\) is not used$/,
)
test(
  'a CA that a unix socket makes useless',
  warned,
  { flags: { 'socket-path': '/m' }, env: { TLS_CA: cert } },
  /not used$/,
)
test(
  'an expiry that MQTT 3.1.1 does not know',
  warned,
  { flags: { 'session-expiry': '5', 'protocol-version': '4' } },
  /has no effect/,
)

test('a password file takes the place of a password of a weaker level, and not of one beside it', (t) => {
  const env = { MQTT_USERNAME: 'u', MQTT_PASSWORD: 'canary' }
  const { broker } = settle({ flags: { 'password-file': './secret' }, env })
  t.is(broker.password, undefined)
  t.regex(broker.passwordFile ?? '', /^\/(.+\/)?secret$/)
  const other = settle({
    flags: { password: 'new' },
    env: { ...env, MQTT_PASSWORD: '', MQTT_PASSWORD_FILE: './f' },
  })
  t.is(revealed(other.broker), 'new')
  t.is(other.broker.passwordFile, undefined)
  const both = { ...env, MQTT_PASSWORD_FILE: './secret' }
  const error = t.throws(() => settle({ env: both }), { code: 'ERR_CONFIG_CONFLICT' })
  t.regex(String(error), /broker\.password \(environment MQTT_PASSWORD\).*broker\.passwordFile/)
  t.notRegex(String(error), /canary/)
  const nameless = { MQTT_PASSWORD_FILE: './secret' }
  t.throws(() => settle({ env: nameless }), {
    code: 'ERR_CONFIG_INCOMPLETE',
    message: /passwordFile.*without a user name/,
  })
})

test('user name and password may be functions in a program, and are not shown', (t) => {
  const password = (): string => 'canary'
  const { broker } = resolveOptions({ broker: { username: () => 'u', password } })
  t.is(broker.password, password)
  t.is(typeof broker.username, 'function')
  t.throws(() => resolveOptions({ broker: { clientId: (() => 'a') as unknown as string } }), {
    code: 'ERR_CONFIG_VALUE',
  })
  t.throws(() => resolveOptions({ broker: { password: 5 as unknown as string } }), {
    code: 'ERR_CONFIG_VALUE',
    message: /or a function that returns one, got \[redacted\]/,
  })
})

test('a password without a user name goes with MQTT 5', (t) => {
  const { broker } = settle({ env: { MQTT_PASSWORD: 'token', MQTT_PROTOCOL_VERSION: '5' } })
  t.is(broker.username, undefined)
  t.is(revealed(broker), 'token')
})

test('the options of a program are checked like a file, and say so', (t) => {
  const settings = resolveOptions({ broker: { url: 'mqtt://127.0.0.1:1999' }, drainTimeout: 0.5 })
  t.is(place(settings), 'mqtt://127.0.0.1:1999')
  t.is(settings.drainTimeoutMs, 500)
  t.is(given('broker.port', settings), 'options')
  t.is(given('broker.clean', settings), 'default')
  t.is(resolveOptions().broker.host, 'localhost')
  const wrong: object = { broker: { prot: 1 } }
  t.throws(() => resolveOptions(wrong), {
    code: 'ERR_CONFIG_KEY',
    message: /broker\.prot \(options\).*broker\.port/,
  })
})

test('every option but the URL has a source', (t) => {
  const { sources } = settle({})
  t.true(Object.values(sources).every((source) => source === 'default'))
  t.false('broker.url' in sources)
  t.true('broker.tls.ca' in sources)
})

test('printing settings shows no secret', (t) => {
  const settings = settle({ env: { MQTT_URL: 'mqtts://u:canary@h', TLS_CERT: cert, TLS_KEY: key } })
  const shown =
    inspect(settings, { depth: 9, showHidden: true }) +
    JSON.stringify(settings) +
    String(settings.broker.password)
  t.notRegex(shown, /canary|PRIVATE KEY/)
  t.regex(shown, /\[redacted\]/)
})

test('the outbox has limits from the start, and nothing of it is on disk', (t) => {
  t.deepEqual(settle({}).outbox, {
    maxMessages: 1_000,
    maxBytes: 16_777_216,
    maxAgeMs: undefined,
    whenFull: 'reject',
    latest: [],
    qos0: 'reject',
    durable: false,
  })
})

test('the outbox as it is asked for', (t) => {
  const file: ConfigInput = {
    outbox: { maxMessages: 5, maxAge: 1.5, whenFull: 'drop-oldest', latest: ['status/#'], durable: true },
  }
  const settings = settle({ file, env: { MQTTASGI_OUTBOX_QOS0: 'keep', MQTTASGI_OUTBOX_LATEST: 'a/+, b' } })
  t.deepEqual(settings.outbox, {
    maxMessages: 5,
    maxBytes: 16_777_216,
    maxAgeMs: 1_500,
    whenFull: 'drop-oldest',
    latest: ['a/+', 'b'],
    qos0: 'keep',
    durable: true,
  })
  for (const filter of ['a/#/b', '', '$share/group/a']) {
    const error = t.throws(() => settle({ file: { outbox: { latest: ['ok', filter] } } }))
    t.regex(error?.message ?? '', /^outbox\.latest \(.*\): expected/, filter)
  }
})

test('qos2: durable with a clean session keeps nothing, and says so', (t) => {
  t.is(settle({}).qos2, 'downgrade')
  const kept = settle({ flags: { qos2: 'durable', cleansession: 'false', id: 'hall' } })
  t.is(kept.qos2, 'durable')
  t.deepEqual(kept.warnings, [])
  const [warning] = settle({ env: { MQTTASGI_QOS2: 'durable' } }).warnings
  t.regex(warning ?? '', /^qos2 is durable \(environment MQTTASGI_QOS2\), and the session is clean/)
})

test('dead letters are no states: they never give way to each other', (t) => {
  const deadLetter = { store: 'topic', topic: 'dead/letters' } as const
  const error = t.throws(() => settle({ file: { deadLetter, outbox: { latest: ['status/#', 'dead/+'] } } }))
  t.regex(error?.message ?? '', /^outbox\.latest \(file x\) has "dead\/\+", and deadLetter\.topic \(file x\)/)
  t.deepEqual(settle({ file: { deadLetter, outbox: { latest: ['status/#'] } } }).outbox.latest, ['status/#'])
})

test('channel events stay in the process unless told otherwise', (t) => {
  t.deepEqual(settle({}).channels, {
    layer: 'memory',
    redis: undefined,
    prefix: 'asgi',
    capacity: 100,
    expiry: 60,
    groupExpiry: 86_400,
    timeout: 5,
  })
})

test('a channel layer in Redis has an address, which is a secret', (t) => {
  const env = { MQTTASGI_CHANNEL_LAYER: 'redis', MQTTASGI_CHANNEL_REDIS: 'redis://:canary@host:6380/1' }
  const { channels } = settle({ env, file: { channels: { capacity: 5, expiry: 0.5, prefix: 'house.1' } } })
  t.is(channels.redis?.url.reveal(), 'redis://:canary@host:6380/1')
  t.false(JSON.stringify(channels).includes('canary'))
  t.like(channels, { capacity: 5, expiry: 0.5, prefix: 'house.1' })
  const missing = t.throws(() => settle({ file: { channels: { layer: 'redis' } } }))
  t.regex(missing?.message ?? '', /^channels\.layer is redis \(file x\), and there is no channels\.redis/)
  const wrong = t.throws(() => settle({ file: { channels: { layer: 'redis', redis: 'http://canary' } } }))
  t.regex(wrong?.message ?? '', /^channels\.redis \(file x\): expected a URL such as redis:/)
  t.notRegex(wrong?.message ?? '', /canary/)
  t.is(settle({ env: { ...env, MQTTASGI_CHANNEL_LAYER: 'mqtt' } }).channels.redis, undefined)
})

test('a prefix of channels that is none is refused', (t) => {
  for (const prefix of ['a/b', '', '#', 'x'.repeat(100)]) {
    const error = t.throws(() => settle({ file: { channels: { prefix } } }))
    t.regex(error?.message ?? '', /^channels\.prefix/, prefix)
  }
})

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { createLoader } from '../../lib/config/modules.ts'
import * as config from '../../lib/config/index.ts'
import {
  flagInWords,
  isInFile,
  type OptionPath,
  options,
  renderOptionsTable,
} from '../../lib/config/options.ts'
import { readConfigFile } from '../../lib/config/file.ts'
import { validateConfig } from '../../lib/config/validate.ts'

const root = join(import.meta.dirname, '../..')
const example = readFileSync(join(root, 'mqttasgi.config.example.ts'), 'utf8')

test('no two options share a path, a flag, a variable or an alias', (t) => {
  const names = [
    options.map((option) => option.path),
    options.flatMap(({ flag }) => [flag.long, ...(flag.short === undefined ? [] : [flag.short])]),
    options.map((option) => option.env),
    options.flatMap((option) => option.aliases ?? []),
  ]
  for (const list of names) t.deepEqual([...new Set(list)], [...list])
})

// The compiler asks for every path that the types of a configuration allow, and for no other.
const paths: Readonly<Record<OptionPath, true>> = {
  'broker.url': true,
  'broker.host': true,
  'broker.port': true,
  'broker.socketPath': true,
  'broker.transport': true,
  'broker.wsPath': true,
  'broker.clientId': true,
  'broker.clean': true,
  'broker.sessionExpiry': true,
  'broker.onSessionLoss': true,
  'broker.will.topic': true,
  'broker.will.payload': true,
  'broker.will.qos': true,
  'broker.will.retain': true,
  'broker.will.delay': true,
  'broker.username': true,
  'broker.password': true,
  'broker.passwordFile': true,
  'broker.tls': true,
  'broker.tls.ca': true,
  'broker.tls.cert': true,
  'broker.tls.key': true,
  'broker.tls.servername': true,
  'broker.tls.alpn': true,
  'broker.protocolVersion': true,
  'broker.keepalive': true,
  'broker.connectTimeout': true,
  'broker.retries': true,
  'broker.shareProbe': true,
  overlap: true,
  drainTimeout: true,
  leaveOnStop: true,
  maxInFlight: true,
  maxInFlightBytes: true,
  maxPacketBytes: true,
  maxTopicLevels: true,
  maxHops: true,
  replyTopics: true,
  qos2: true,
  stateDir: true,
  'deadLetter.store': true,
  'deadLetter.topic': true,
  'deadLetter.redis': true,
  'deadLetter.unverified': true,
  'deadLetter.maxMessages': true,
  'deadLetter.maxBytes': true,
  'outbox.maxMessages': true,
  'outbox.maxBytes': true,
  'outbox.maxAge': true,
  'outbox.whenFull': true,
  'outbox.latest': true,
  'outbox.qos0': true,
  'outbox.durable': true,
  verbosity: true,
  config: true,
}

test('the table has a row for every key that the types of a configuration allow', (t) => {
  t.deepEqual(options.map(({ path }) => path).sort(), Object.keys(paths).sort())
})

test('every flag and variable of the original server has its name and its short form', (t) => {
  const original = [
    '-H --host MQTT_HOSTNAME',
    '-p --port MQTT_PORT',
    '-c --cleansession MQTT_CLEAN',
    '-v --verbosity VERBOSITY',
    '-U --username MQTT_USERNAME',
    '-P --password MQTT_PASSWORD',
    '-i --id MQTT_CLIENT_ID',
    '-C --cert TLS_CERT',
    '-K --key TLS_KEY',
    '-S --cacert TLS_CA',
    '-SSL --use-ssl MQTT_USE_SSL',
    '-T --transport MQTT_TRANSPORT',
    '-r --retries MQTT_RETRIES',
  ]
  const ours = new Set(options.map(({ flag, env }) => `${flag.short} ${flag.long} ${env}`))
  for (const line of original) t.true(ours.has(line), line)
})

test('the options that are new have the names that were agreed', (t) => {
  const agreed = [
    '--url MQTT_URL',
    '--keepalive MQTT_KEEPALIVE',
    '--protocol-version MQTT_PROTOCOL_VERSION',
    '--ws-path MQTT_WS_PATH',
    '--session-expiry MQTT_SESSION_EXPIRY',
    '--config MQTTASGI_CONFIG',
    '--drain-timeout MQTTASGI_DRAIN_TIMEOUT',
  ]
  const ours = new Set(options.map(({ flag, env }) => `${flag.long} ${env}`))
  for (const line of agreed) t.true(ours.has(line), line)
})

for (const option of options.filter(isInFile)) {
  test(`the example configuration explains ${option.path} in the words of the table`, (t) => {
    const key = option.path.slice(option.path.lastIndexOf('.') + 1)
    const lines = example.split('\n').map((line) => line.trim().replace(/^\/\/\s*/, ''))
    const at = lines.indexOf(option.sentence)
    t.not(at, -1)
    t.true(lines[at + 1]?.startsWith(`${key}: `), lines[at + 1])
  })
}

test('the example configuration can be loaded, and gives every option that has a default that default', async (t) => {
  const loader = createLoader(async () => ({ 'mqttasgi/config': config }), root)
  const named = { file: 'mqttasgi.config.example.ts', source: 'test' }
  const found = await readConfigFile(root, named, loader)
  const { values, application } = validateConfig(found?.exported, 'test')
  const defaults = options.filter((option) => option.default !== undefined && option.path !== 'broker.tls')
  t.deepEqual(
    Object.fromEntries(values),
    Object.fromEntries(defaults.map((option) => [option.path, option.default])),
  )
  t.is(application, './app.ts')
})

test('the table for the README has one row an option, with its names and its sentence', (t) => {
  const rows = renderOptionsTable().split('\n')
  t.is(rows.length, options.length + 2)
  t.true(rows.every((row) => row.split(/(?<!\\)\|/).length === 7))
  for (const [index, option] of options.entries()) {
    const row = rows[index + 2] ?? ''
    t.true(
      row.includes(`\`${option.env}\``) && row.includes(option.flag.long) && row.includes(option.sentence),
      row,
    )
  }
})

test('a flag is written with its short form first, and in brackets what may be left out', (t) => {
  t.is(flagInWords({ short: '-H', long: '--host', value: 'HOST' }), '-H, --host HOST')
  t.is(flagInWords({ long: '--use-ssl', value: 'true|false', alone: 'true' }), '--use-ssl [true|false]')
})

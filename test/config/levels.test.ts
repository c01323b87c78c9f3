import { resolve } from 'node:path'
import test from 'ava'
import { Choice } from '../../lib/config/choice.ts'
import { flagKey, textLevels, valueLevel } from '../../lib/config/levels.ts'
import { isInFile, type OptionEntry, options } from '../../lib/config/options.ts'
import { readText } from '../../lib/config/value.ts'

// One text for each option at each level, all different where the type has enough values.
function textFor({ path, type }: OptionEntry, level: number): string {
  if (path === 'broker.url') return `mqtt://host${level}:${1900 + level}`
  if (type.kind === 'switch') return level % 2 === 0 ? 'true' : 'false'
  if (type.kind === 'choice') return String(type.choices[level % type.choices.length])
  if (path === 'verbosity') return String(level % 3)
  if (path === 'broker.wsPath') return `/level${level}`
  return type.kind === 'integer' || type.kind === 'seconds' ? String(2_000 + level) : `level${level}`
}

function sourceOf(option: OptionEntry, level: number): string {
  return (
    [`flag ${option.flag.long}`, `environment ${option.env}`, `.env ${option.env}`, 'file x'][level] ??
    'default'
  )
}

const directory = '/project'

for (const option of options.filter(isInFile)) {
  test(`${option.path}: flag over environment over .env over file over default, in all sixteen cases`, (t) => {
    for (let given = 0; given < 16; given++) {
      const text = (level: number) => (given & (1 << level) ? textFor(option, level) : '')
      const value = readText(option, textFor(option, 3), 'test', 'ERR_CONFIG_VALUE')
      const file = new Map(given & 8 ? [[option.path, value] as const] : [])
      const levels = [
        ...textLevels(
          { [flagKey(option.flag)]: text(0) },
          { [option.env]: text(1) },
          { [option.env]: text(2) },
          directory,
        ),
        valueLevel(file, 'file x', directory),
      ]
      const strongest = [0, 1, 2, 3].find((level) => given & (1 << level)) ?? 4
      const choice = new Choice(levels)
      const path = option.path === 'broker.url' ? 'broker.host' : option.path
      t.is(choice.source(path), sourceOf(option, strongest), `${given}`)
      const expected = strongest === 4 ? option.default : textFor(option, strongest)
      if (option.path === 'broker.url')
        t.is(choice.text(path), strongest === 4 ? 'localhost' : `host${strongest}`)
      else if (['file', 'folder'].includes(option.type.kind) && expected !== undefined && strongest < 4)
        t.is(choice.text(path), resolve(directory, String(expected)))
      else t.is(choice.text(path), expected === undefined ? undefined : String(expected))
    }
  })
}

test('a value that a flag replaces is not looked at, one that counts is', (t) => {
  t.is(textLevels({ port: '1884' }, { MQTT_PORT: 'nonsense' }, {}, directory)[1]?.size, 0)
  t.throws(() => textLevels({}, { MQTT_PORT: 'nonsense' }, {}, directory), {
    code: 'ERR_CONFIG_VALUE',
    message: 'broker.port (environment MQTT_PORT): expected a whole number from 1 to 65535, got "nonsense".',
  })
  t.throws(() => textLevels({}, {}, { MQTT_PORT: '1e3' }, directory), {
    code: 'ERR_CONFIG_VALUE',
    message: /\.env MQTT_PORT/,
  })
  t.throws(() => textLevels({ port: 'x' }, {}, {}, directory), { code: 'ERR_USAGE', message: /flag --port/ })
})

test('what a container platform writes into MQTT_PORT is explained', (t) => {
  const error = t.throws(() => textLevels({}, { MQTT_PORT: 'tcp://10.0.0.1:1883' }, {}, directory))
  t.regex(error.message, /enableServiceLinks: false, or give --port/)
})

const read = test.macro<[string, string, unknown]>({
  exec(t, variable: string, text: string, value: unknown) {
    const level = textLevels({}, { [variable]: text }, {}, directory)[1]
    t.deepEqual(level?.get(options.find(({ env }) => env === variable)?.path ?? '')?.value, value)
  },
  title: (_, variable, text) => `${variable}=${JSON.stringify(text)} can be read`,
})
test(read, 'MQTT_PORT', ' 1884 ', 1884)
test(read, 'MQTT_CLEAN', 'FALSE', false)
test(read, 'MQTT_CLEAN', 'True', true)
test(read, 'MQTT_TRANSPORT', 'WebSockets', 'websockets')
test(read, 'MQTT_PROTOCOL_VERSION', '3.1.1', 4)
test(read, 'MQTT_PROTOCOL_VERSION', '5', 5)
test(read, 'MQTT_PROTOCOL_VERSION', 'auto', 'auto')
test(read, 'MQTTASGI_DRAIN_TIMEOUT', '2.5', 2.5)
test(read, 'TLS_ALPN', 'mqtt, x-amzn-mqtt-ca', ['mqtt', 'x-amzn-mqtt-ca'])
test(read, 'TLS_CA', 'ca.pem', resolve(directory, 'ca.pem'))
test(read, 'TLS_CA', '-----BEGIN CERTIFICATE-----', '-----BEGIN CERTIFICATE-----')
test(read, 'MQTT_PASSWORD', ' kept as it is ', ' kept as it is ')

for (const text of ['yes', '1', 'nonsense']) {
  test(`MQTT_CLEAN=${text} is refused, for only true and false are taken`, (t) => {
    const error = t.throws(() => textLevels({}, { MQTT_CLEAN: text }, {}, directory), {
      code: 'ERR_CONFIG_VALUE',
    })
    t.is(error.message, `broker.clean (environment MQTT_CLEAN): expected true or false, got "${text}".`)
  })
}

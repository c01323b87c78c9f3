import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { startBroker } from '../../lib/broker/index.ts'
import { runHere } from '../helpers/command-line.ts'
import { recordedUrl } from '../helpers/recording.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const canary = 'CANARY-3f9a'
const tls = join(import.meta.dirname, '../fixtures/tls')
const key = readFileSync(join(tls, 'pump.key'), 'utf8')
// One line of the key is as bad as all of it.
const leak = new RegExp(`${canary}|${key.split('\n')[1]?.slice(0, 20).replaceAll(/[+/]/g, '.')}`)

const app = `
  import { mqttasgi } from 'mqttasgi'
  export const app = mqttasgi()
  app.topic('fail', () => { throw new Error('the password was ${canary}') })
  app.topic('ok', () => {})
`

interface Place {
  readonly argv?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly files?: Readonly<Record<string, string>>
}

/** Everywhere a password can be given; `url` is a broker's address. */
const places: Readonly<Record<string, (url: string) => Place>> = {
  'the flag': (url) => ({ argv: ['--url', url, '-U', 'u', '-P', canary] }),
  'the long flag': (url) => ({ argv: ['--url', url, '-U', 'u', `--password=${canary}`] }),
  'the URL as a flag': (url) => ({ argv: ['--url', url.replace('//', `//u:${canary}@`)] }),
  'the environment': (url) => ({ env: { MQTT_URL: url, MQTT_USERNAME: 'u', MQTT_PASSWORD: canary } }),
  'the URL in the environment': (url) => ({ env: { MQTT_URL: url.replace('//', `//u:${canary}@`) } }),
  '.env': (url) => ({ files: { '.env': `MQTT_URL=${url}\nMQTT_USERNAME=u\nMQTT_PASSWORD=${canary}\n` } }),
  JSON: (url) => ({
    files: { 'mqttasgi.config.json': JSON.stringify({ broker: { url, username: 'u', password: canary } }) },
  }),
  'the URL in YAML': (url) => ({
    files: { 'mqttasgi.config.yaml': `broker:\n  url: ${url.replace('//', `//u:${canary}@`)}\n` },
  }),
  'the address of Redis': (url) => ({
    argv: [
      '--url',
      url,
      '--dead-letter-store',
      'redis',
      '--dead-letter-redis',
      `redis://:${canary}@localhost`,
    ],
  }),
  'the address of Redis in the environment': (url) => ({
    env: {
      MQTT_URL: url,
      MQTTASGI_DEAD_LETTER_STORE: 'redis',
      MQTTASGI_DEAD_LETTER_REDIS: `rediss://u:${canary}@localhost`,
    },
  }),
  'a file': (url) => ({
    env: { MQTT_URL: url, MQTT_USERNAME: 'u', MQTT_PASSWORD_FILE: 'secret' },
    files: { secret: `${canary}\n` },
  }),
  'a function': (url) => ({
    files: {
      'mqttasgi.config.ts': `export default { broker: { url: '${url}', username: 'u', password: () => '${canary}' } }`,
    },
  }),
  TypeScript: (url) => ({
    files: {
      'mqttasgi.config.ts': `export default { broker: { url: '${url}', username: 'u', password: '${canary}' } }`,
    },
  }),
}

for (const [name, placeFor] of Object.entries(places)) {
  test(`no command prints a password that comes from ${name}`, async (t) => {
    const broker = await startBroker({ port: 0 })
    t.teardown(() => broker.close())
    const { argv = [], env = {}, files = {} } = placeFor(await recordedUrl(t, broker.url))
    const cwd = temporaryFolder(t, { 'app.ts': app, ...files })
    for (const words of [['config'], ['match', 'a/b', './app.ts#no']]) {
      const command = runHere([...words, '-vv', ...argv], { cwd, env: { ...env, DEBUG: '*' } })
      await command.ended
      t.not(command.output(), '')
      t.notRegex(command.output(), leak)
    }
    // Where no Redis is, the dead letter can not be kept, and the stop waits for it in vain.
    const [drain, code] = name.includes('Redis') ? ['1', 3] : ['60', 0]
    const run = runHere(['./app.ts', '-vv', '--drain-timeout', drain, ...argv], { cwd, env })
    await run.seen(/running/)
    await broker.publish('fail', '')
    await run.seen(/the password was \[redacted\]/)
    run.signal('SIGTERM')
    t.is(await run.ended, code)
    t.notRegex(run.output(), leak)
  })
}

test('the commands that show the application print no password', async (t) => {
  const cwd = temporaryFolder(t, { 'app.ts': app })
  const env = { MQTT_URL: `mqtt://u:${canary}@h`, DEBUG: '*' }
  for (const words of [
    ['routes', './app.ts'],
    ['match', 'ok', './app.ts'],
    ['plan', './app.ts'],
  ]) {
    const command = runHere([...words, '-vv'], { cwd, env })
    t.is(await command.ended, 0)
    t.notRegex(command.output(), leak)
  }
  // Nothing listens there.
  const nowhere = { ...env, MQTT_URL: `mqtt://u:${canary}@127.0.0.1:1` }
  const doctor = runHere(['doctor', './app.ts', '-vv'], { cwd, env: nowhere })
  t.is(await doctor.ended, 1)
  t.notRegex(doctor.output(), leak)
})

test('no mistake beside a password prints it', async (t) => {
  const mistakes: readonly (readonly [Place, number])[] = [
    [{ argv: ['--pasword', canary] }, 2],
    [{ argv: [`--pasword=${canary}`] }, 2],
    [{ argv: [`-P${canary}`] }, 78],
    [{ argv: ['-P', canary, '-p', 'x'] }, 2],
    [{ argv: ['--url', `mqtt://u:${canary}/x@h`] }, 2],
    [{ argv: ['--url', `mqtt://u:x#${canary}@h`] }, 2],
    [{ argv: ['-H', `mqtt://u:${canary}@h`] }, 2],
    [{ argv: ['--url', `mqtt://u:${canary}@h`, '-P', 'other'] }, 78],
    [{ env: { MQTT_PASSWORD: canary } }, 78],
    [{ files: { '.env': `MQTT_PASSWORD=${canary}` } }, 78],
    [{ files: { 'mqttasgi.config.json': `{"broker":{"password":"${canary}",}}` } }, 78],
    [{ files: { 'mqttasgi.config.yaml': `broker:\n  password: *${canary}` } }, 78],
    [{ files: { 'mqttasgi.config.json': JSON.stringify({ broker: { pass: canary } }) } }, 78],
    [{ files: { 'mqttasgi.config.json': JSON.stringify({ broker: { password: [canary] } }) } }, 78],
    [{ env: { TLS_KEY: key } }, 78],
    [{ argv: ['--dead-letter-store', 'redis', '--dead-letter-redis', canary] }, 2],
    [{ argv: ['--dead-letter-store', 'redis', '--dead-letter-redis', `redis://:${canary}/x@h`] }, 2],
    [{ env: { TLS_KEY: key, TLS_CERT: key } }, 78],
  ]
  for (const [{ argv = [], env = {}, files = {} }, code] of mistakes) {
    const command = runHere(['config', ...argv], {
      cwd: temporaryFolder(t, files),
      env: { ...env, DEBUG: 'x' },
    })
    t.is(await command.ended, code, command.output())
    t.notRegex(command.output(), leak)
  }
})

test('the text of a key is not printed', async (t) => {
  const env = { TLS_KEY: key, TLS_CERT: readFileSync(join(tls, 'pump.crt'), 'utf8') }
  const command = runHere(['config'], { cwd: temporaryFolder(t), env })
  t.is(await command.ended, 0)
  t.regex(command.output(), /broker\.tls\.key +the PEM text itself/)
  t.notRegex(command.output(), leak)
})

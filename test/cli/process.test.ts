// The command as a process of its own: how it ends at signals, and at an error that nobody caught.
import test from 'ava'
import { startBroker } from '../../lib/broker/index.ts'
import { startStrictBroker } from '../brokers/strict/broker.ts'
import { runProcess } from '../helpers/command-line.ts'
import { recordedUrl } from '../helpers/recording.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

// A timer that nobody stops, as applications have them: it must not keep the process.
const app = `
  import { mqttasgi } from 'mqttasgi'
  export const app = mqttasgi()
  setInterval(() => {}, 1000)
  app.topic('stuck', (ctx) => { ctx.log.warn('stuck begins'); return new Promise(() => {}) })
  app.topic('crash', () => { setImmediate(() => { throw new TypeError('boom') }); return new Promise(() => {}) })
`

/** Twice what is promised, for a machine that does other things as well. */
const SECOND_SIGNAL_MS = 2 * 500
const UNCAUGHT_MS = 2 * 1_000

test('a process ends with 0 at the first signal, and with DEBUG=* no library has printed the password', async (t) => {
  const broker = await startBroker({ port: 0 })
  t.teardown(() => broker.close())
  const cwd = temporaryFolder(t, { 'app.ts': app })
  const env = {
    MQTT_URL: await recordedUrl(t, broker.url, {}),
    MQTT_USERNAME: 'u',
    MQTT_PASSWORD: 'CANARY-3f9a',
    DEBUG: '*',
  }
  const command = runProcess(t, ['-vv', './app.ts'], { cwd, env })
  await command.seen(/running/)
  command.signal('SIGINT')
  t.is(await command.ended, 0)
  // They do print something.
  t.regex(command.output(), /mqtt-packet|mqttjs|mqttasgi:/)
  t.notRegex(command.output(), /CANARY/)
})

test('a process ends with 143 at once at the second signal', async (t) => {
  const broker = await startBroker({ port: 0 })
  t.teardown(() => broker.close())
  const cwd = temporaryFolder(t, { 'app.ts': app })
  const env = { MQTT_URL: await recordedUrl(t, broker.url, {}) }
  const command = runProcess(t, ['./app.ts'], { cwd, env })
  await command.seen(/running/)
  await broker.publish('stuck', '')
  await command.seen(/stuck begins/)
  command.signal('SIGTERM')
  await command.seen(/SIGTERM: stopping/)
  const before = performance.now()
  command.signal('SIGTERM')
  t.is(await command.ended, 143)
  const ms = performance.now() - before
  t.log(`ended after ${Math.round(ms)} ms`)
  t.true(ms < SECOND_SIGNAL_MS, `${ms} ms`)
})

test('a process in which something is thrown that nobody catches ends at once with 1 and one line, and what ran comes again', async (t) => {
  const broker = await startStrictBroker()
  t.teardown(() => broker.stop())
  const cwd = temporaryFolder(t, { 'app.ts': app })
  const argv = ['-c', 'false', '-i', 'mortal', './app.ts']
  const env = { MQTT_URL: broker.url }
  const command = runProcess(t, argv, { cwd, env })
  await command.seen(/running/)
  broker.publish('stuck', '')
  await command.seen(/stuck begins/)
  const before = performance.now()
  broker.publish('crash', '')
  t.is(await command.ended, 1)
  const ms = performance.now() - before
  t.log(`ended after ${Math.round(ms)} ms`)
  t.true(ms < UNCAUGHT_MS, `${ms} ms`)
  t.regex(command.output(), /mqttasgi: nobody caught TypeError: boom at .*app\.ts:6:\d+\)?\n$/)
  t.is(broker.unsettled('mortal'), 2)
  t.deepEqual(broker.violations, [])
  const next = runProcess(t, argv, { cwd, env })
  await next.seen(/stuck begins/)
})

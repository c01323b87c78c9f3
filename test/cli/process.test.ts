import test from 'ava'
import { startBroker } from '../../lib/broker/index.ts'
import { runProcess } from '../helpers/command-line.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

// A timer that nobody stops, as applications have them: it must not keep the process.
const app = `
  import { mqttasgi } from 'mqttasgi'
  export const app = mqttasgi()
  setInterval(() => {}, 1000)
  app.topic('stuck', (ctx) => { ctx.log.warn('stuck begins'); return new Promise(() => {}) })
  app.topic('crash', () => { setImmediate(() => { throw new TypeError('boom') }) })
`

test('a process ends with 0 at the first signal, and with 143 at once at the second', async (t) => {
  const broker = await startBroker({ port: 0 })
  t.teardown(() => broker.close())
  const cwd = temporaryFolder(t, { 'app.ts': app })
  const [calm, stuck] = ['calm', 'stuck'].map((id) =>
    runProcess(t, ['-i', id, './app.ts'], { cwd, env: { MQTT_URL: broker.url } }),
  )
  await Promise.all([calm?.seen(/running/), stuck?.seen(/running/)])
  calm?.signal('SIGINT')
  t.is(await calm?.ended, 0)
  await broker.publish('stuck', '')
  await stuck?.seen(/stuck begins/)
  stuck?.signal('SIGTERM')
  await stuck?.seen(/SIGTERM: stopping/)
  stuck?.signal('SIGTERM')
  t.is(await stuck?.ended, 143)
})

test('a process in which something is thrown that nobody catches ends with 1 and one line', async (t) => {
  const broker = await startBroker({ port: 0 })
  t.teardown(() => broker.close())
  const cwd = temporaryFolder(t, { 'app.ts': app })
  const command = runProcess(t, ['./app.ts'], { cwd, env: { MQTT_URL: broker.url } })
  await command.seen(/running/)
  await broker.publish('crash', '')
  t.is(await command.ended, 1)
  t.regex(command.output(), /mqttasgi: nobody caught TypeError: boom at .*app\.ts:6:\d+\)?\n$/)
})

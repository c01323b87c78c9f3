// What broke in the original server's command line, each with a process of ours. The numbers are those of docs/parity.md.
import test, { type ExecutionContext } from 'ava'
import { startBroker, type EmbeddedBroker } from '../../lib/broker/index.ts'
import { runProcess, type RunningCommand } from '../helpers/command-line.ts'
import { freePort } from '../helpers/free-port.ts'
import { startMosquitto } from '../helpers/mosquitto.ts'
import { recordedUrl, recording } from '../helpers/recording.ts'
import { serverTest } from '../helpers/server-test.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { within } from '../integration/tally.ts'

const withMosquitto = serverTest('mosquitto')

const app = `
  import { mqttasgi } from 'mqttasgi'
  export const app = mqttasgi()
  app.topic('fails', { retry: { attempts: 1 } }, () => { throw new Error('the meter is broken') })
  app.topic('stuck', (ctx) => { ctx.log.warn('stuck begins'); return new Promise(() => {}) })
`

/** A process of the command line; it must end soon when it is to end. */
function start(
  t: ExecutionContext,
  argv: readonly string[],
  files: Record<string, string> = {},
): RunningCommand {
  const command = runProcess(t, [...argv, './app.ts'], {
    cwd: temporaryFolder(t, { 'app.ts': app, ...files }),
  })
  return { ...command, ended: within(60_000, () => `the end:\n${command.output()}`, command.ended) }
}

/** The address is that of the proxy that watches. */
async function embedded(
  t: ExecutionContext,
): Promise<{ readonly broker: EmbeddedBroker; readonly url: string }> {
  const broker = await startBroker({ port: 0 })
  t.teardown(() => broker.close())
  return { broker, url: await recordedUrl(t, broker.url, {}) }
}

test('5. after an error in a handler SIGTERM ends the process, with 0', async (t) => {
  const { broker, url } = await embedded(t)
  const command = start(t, ['--url', url])
  await command.seen(/running/)
  await broker.publish('fails', '')
  await command.seen(/the meter is broken/)
  command.signal('SIGTERM')
  t.is(await command.ended, 0)
})

test('5. with a handler that never returns SIGTERM ends the process at the drain limit, with 3', async (t) => {
  const { broker, url } = await embedded(t)
  const command = start(t, ['--url', url, '--drain-timeout', '0.2'])
  await command.seen(/running/)
  await broker.publish('stuck', '')
  await command.seen(/stuck begins/)
  command.signal('SIGTERM')
  t.is(await command.ended, 3)
})

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`6. ${signal} ends a process whose broker is not there, with 0`, async (t) => {
    const command = start(t, ['-H', '127.0.0.1', '-p', String(await freePort()), '-r', '0'])
    await command.seen(/Next try in/)
    command.signal(signal)
    t.is(await command.ended, 0)
  })
}

test('6. SIGTERM ends a process that has lost its broker, with 0', async (t) => {
  const { broker, url } = await embedded(t)
  const command = start(t, ['--url', url, '-r', '0'])
  await command.seen(/running/)
  await broker.close()
  await command.seen(/Next try in/)
  command.signal('SIGTERM')
  t.is(await command.ended, 0)
})

test('7. giving up on a broker that was never there ends with 1 and the reason', async (t) => {
  const port = await freePort()
  const command = start(t, ['-H', '127.0.0.1', '-p', String(port), '-r', '1'])
  t.is(await command.ended, 1)
  t.regex(command.output(), new RegExp(`127\\.0\\.0\\.1:${port}.*Gave up after 1 retry`))
})

test('7. giving up on a broker that has gone away ends with 1 and the reason', async (t) => {
  const { broker, url } = await embedded(t)
  const command = start(t, ['--url', url, '-r', '1'])
  await command.seen(/running/)
  await broker.close()
  t.is(await command.ended, 1)
  t.regex(command.output(), /Gave up after 1 retry/)
})

withMosquitto(
  '8. bad credentials end the process with 1, after one attempt, and it never says that it runs',
  async (t) => {
    const broker = await startMosquitto({ passwords: { hall: 'right' } })
    t.teardown(() => broker.stop())
    const proxy = await recording(t, broker.port)
    const env = '\nMQTT_PASSWORD=wrong\n'
    const command = start(t, ['--url', proxy.url, '-U', 'hall', '-r', '0'], { '.env': env })
    t.is(await command.ended, 1)
    t.regex(command.output(), /ERR_CONNECT_CREDENTIALS/)
    t.notRegex(command.output(), /running|wrong/)
    t.is(proxy.connections, 1)
  },
)

test('19. .env is read in the working directory, where the application is', async (t) => {
  const { url } = await embedded(t)
  const command = start(t, [], { '.env': `MQTT_HOSTNAME=127.0.0.1\nMQTT_PORT=${new URL(url).port}\n` })
  await command.seen(/running/)
  command.signal('SIGTERM')
  t.is(await command.ended, 0)
})

test('24. the working directory is not put in front of installed packages', async (t) => {
  // Their names are those of what the server and the application import.
  const shadow = `throw new Error('taken from the working directory')`
  const files = { 'mqtt.js': shadow, 'commander.js': shadow, 'mqttasgi.js': shadow, 'ws.js': shadow }
  const { url } = await embedded(t)
  const command = start(t, ['--url', url], files)
  await command.seen(/running/)
  command.signal('SIGTERM')
  t.is(await command.ended, 0)
  t.notRegex(command.output(), /taken from/)
})

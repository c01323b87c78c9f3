import { createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import test, { type ExecutionContext } from 'ava'
import { startBroker } from '../../lib/broker/index.ts'
import { runHere } from '../helpers/command-line.ts'
import { recordedUrl } from '../helpers/recording.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

// A handler that waits for the topic `release`, one that never ends, and one that only says what came.
const app = `
  import { mqttasgi } from 'mqttasgi'
  export const app = mqttasgi()
  app.topic('say/+word', (ctx) => ctx.log.warn('said ' + ctx.params.word + ' ' + ctx.scope.appId))
  app.topic('slow', async (ctx) => {
    const released = new Promise((resolve) => Object.assign(globalThis, { mqttasgiTestRelease: resolve }))
    ctx.log.warn('slow begins')
    await released
    ctx.log.warn('slow ends')
  })
  app.topic('stuck', (ctx) => { ctx.log.warn('stuck begins'); return new Promise(() => {}) })
`

async function start(t: ExecutionContext, argv: readonly string[] = [], files: Record<string, string> = {}) {
  const broker = await startBroker({ port: 0 })
  t.teardown(() => broker.close())
  const cwd = temporaryFolder(t, { 'app.ts': app, ...files })
  const url = await recordedUrl(t, broker.url)
  const command = runHere(['--url', url, ...argv, './app.ts'], { cwd })
  // Ends what a failed test has left.
  t.teardown(async () => {
    command.signal('SIGTERM')
    await command.ended
  })
  return { broker, url, command }
}

test('the application runs until the first signal, drains, and ends with 0', async (t) => {
  const { broker, command } = await start(t)
  await command.seen(/running: 3 routes subscribed; Ctrl-C stops/)
  await broker.publish('say/hello', '')
  await command.seen(/warn {2}said hello 0/)
  await broker.publish('slow', '')
  await command.seen(/slow begins/)
  command.signal('SIGTERM')
  await command.seen(/SIGTERM: stopping, waits up to 25 s for running handlers; a second signal ends at once/)
  Reflect.get(globalThis, 'mqttasgiTestRelease')()
  t.is(await command.ended, 0)
  t.regex(command.output(), /slow ends[^]*stopped\n$/)
  t.deepEqual(command.exits, [])
  t.is(broker.clients, 0)
})

test('start-up says where it connects to, and what a clean session loses', async (t) => {
  const { url, command } = await start(t, ['-i', 'pump'])
  await command.seen(/running/)
  t.regex(command.output(), new RegExp(`mqttasgi \\d.\\d.\\d connects to ${url} as pump\n`))
  t.regex(command.output(), /clean session: what is published while this process is away is lost/)
  command.signal('SIGINT')
  t.is(await command.ended, 0)
  t.regex(command.output(), /SIGINT: stopping/)
})

test('the second signal ends at once, with 130 for SIGINT', async (t) => {
  const { broker, command } = await start(t, ['--drain-timeout', '0.2'])
  await command.seen(/running/)
  await broker.publish('stuck', '')
  await command.seen(/stuck begins/)
  command.signal('SIGTERM')
  t.deepEqual(command.exits, [])
  command.signal('SIGINT')
  t.deepEqual(command.exits, [130])
  command.signal('SIGTERM')
  t.deepEqual(command.exits, [130, 143])
  // In a process that would have been all; here the drain goes on to its limit.
  t.is(await command.ended, 3)
})

test('a handler that never ends is left at the drain limit, with 3', async (t) => {
  const { broker, command } = await start(t, ['--drain-timeout', '0.05'])
  await command.seen(/running/)
  await broker.publish('stuck', '')
  await command.seen(/stuck begins/)
  command.signal('SIGTERM')
  t.is(await command.ended, 3)
  t.regex(
    command.output(),
    /stopped at the drain limit of 0\.05 s: 1 message was still in hand, not acknowledged\n$/,
  )
})

test('workers of the configuration run under their mounts, with their scope', async (t) => {
  const config = `export default { workers: [{ id: 'climate', mount: 'house/+name', application: './app.ts' }] }`
  const { broker, command } = await start(t, [], { 'mqttasgi.config.mjs': config })
  await command.seen(/running: 3 routes and 1 worker subscribed/)
  await broker.publish('house/a/say/b', '')
  await command.seen(/said b climate/)
  command.signal('SIGTERM')
  t.is(await command.ended, 0)
})

test('a worker in a thread is loaded as the command line loads files, and speaks through its log', async (t) => {
  const config = `export default { workers: [{ id: 'climate', mount: 'house/+name', application: './app.ts', thread: true }] }`
  const { broker, command } = await start(t, [], { 'mqttasgi.config.mjs': config })
  await command.seen(/running: 3 routes and 1 worker subscribed/)
  await broker.publish('house/a/say/b', '')
  await command.seen(/said b climate/)
  command.signal('SIGTERM')
  t.is(await command.ended, 0)
})

test('a consumer class is what runs as well as an application', async (t) => {
  const consumer = `
    import { MqttConsumer } from 'mqttasgi'
    export class Meter extends MqttConsumer {
      async connect() { await this.subscribe('meters/+') }
      receive(message) { this.log.warn('read ' + message.text()) }
    }
  `
  const config = `export default { workers: [{ id: 'meter', application: './meter.mjs#Meter' }] }`
  const { broker, command } = await start(t, [], { 'meter.mjs': consumer, 'mqttasgi.config.mjs': config })
  await command.seen(/running: 3 routes and 1 worker subscribed/)
  await broker.publish('meters/1', '42')
  await command.seen(/read 42/)
  command.signal('SIGTERM')
  t.is(await command.ended, 0)
})

test('another client with the same id takes over: 4', async (t) => {
  const { broker, command } = await start(t, ['-i', 'twin'])
  await command.seen(/running/)
  const cwd = temporaryFolder(t, { 'app.ts': app })
  const twin = runHere(['--url', broker.url, '-i', 'twin', './app.ts'], { cwd })
  t.is(await command.ended, 4)
  t.regex(command.output(), /mqttasgi: .*\(ERR_CLIENT_ID_TAKEN_OVER\)\n$/)
  twin.signal('SIGTERM')
  t.is(await twin.ended, 0)
})

async function freeAddress(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return `mqtt://127.0.0.1:${port}`
}

test('a broker that is not there is given up after the retries, with 1 and a line that names it', async (t) => {
  const cwd = temporaryFolder(t, { 'app.ts': app })
  const url = await freeAddress()
  const command = runHere(['--url', url, '-r', '1', './app.ts'], { cwd })
  t.is(await command.ended, 1)
  t.regex(
    command.output(),
    /mqttasgi: .*127\.0\.0\.1:\d+.*Gave up after 1 retry\. Without a broker, mqttasgi dev runs .* of its own\. \(ERR_CONNECT_NETWORK\)\n$/,
  )
})

test('a broker that goes away for longer than the retries is no reason to speak of mqttasgi dev', async (t) => {
  const { broker, command } = await start(t, ['-r', '1'])
  await command.seen(/running/)
  await broker.close()
  t.is(await command.ended, 1)
  t.regex(command.output(), /Gave up after 1 retry\. \(ERR_CONNECT_NETWORK\)\n$/)
})

test('a signal between two attempts to connect ends with 0', async (t) => {
  const cwd = temporaryFolder(t, { 'app.ts': app })
  const command = runHere(['--url', await freeAddress(), '-r', '0', './app.ts'], { cwd })
  await command.seen(/Next try in/)
  command.signal('SIGTERM')
  t.is(await command.ended, 0)
  t.regex(command.output(), /stopped\n$/)
})

test('a signal while the broker does not answer ends with 0', async (t) => {
  const silent = createServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1')
  t.teardown(() => silent.close())
  await once(silent, 'listening')
  const { port } = silent.address() as AddressInfo
  const cwd = temporaryFolder(t, { 'app.ts': app })
  const command = runHere(['-H', '127.0.0.1', '-p', String(port), './app.ts'], { cwd })
  await once(silent, 'connection')
  command.signal('SIGINT')
  t.is(await command.ended, 0)
})

test('a signal while the application is loaded ends with 0', async (t) => {
  const cwd = temporaryFolder(t, {
    'app.ts': `globalThis.mqttasgiTestLoading?.()\nawait new Promise(() => {})`,
  })
  const loading = new Promise<void>((resolve) => Object.assign(globalThis, { mqttasgiTestLoading: resolve }))
  const command = runHere(['./app.ts'], { cwd })
  await loading
  command.signal('SIGTERM')
  t.is(await command.ended, 0)
})

test('what nobody catches is one line and 1', async (t) => {
  const { broker, command } = await start(t)
  await command.seen(/running/)
  command.crash(new TypeError('boom,\n  twice'))
  t.deepEqual(command.exits, [1])
  t.regex(command.output(), /mqttasgi: nobody caught TypeError: boom, twice at .*run\.test\.ts.*\n$/)
  t.is(broker.clients, 1)
})

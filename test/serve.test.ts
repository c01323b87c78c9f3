// What serve() adds to the parts it puts together; the server itself is tested in test/server.
import { writeFileSync } from 'node:fs'
import test from 'ava'
import { MqttConsumer, Router, mqttasgi, serve, type RawApplication } from '../lib/index.ts'
import { startBroker } from '../lib/broker/index.ts'
import { Deferred } from '../lib/core/deferred.ts'
import { silentLog } from '../lib/core/log.ts'
import { FilterFile } from '../lib/durable/filter-file.ts'
import { MemoryTransport } from '../lib/testing/index.ts'
import { recordedUrl } from './helpers/recording.ts'
import { temporaryFolder } from './helpers/temporary-folder.ts'
import { turns } from './helpers/memory-server.ts'

test('small messages that wait count with the memory they take, not with their bytes alone', async (t) => {
  const app = mqttasgi()
  const transport = new MemoryTransport()
  const go = new Deferred()
  app.topic('t/#', () => go.promise)
  const server = await serve(app, { transport, log: silentLog, maxInFlight: 1, maxInFlightBytes: 65_536 })
  t.teardown(() => server.stop())
  for (let i = 0; i < 400; i++) transport.deliver('t', '', { qos: 0 })
  await turns()
  t.true(transport.paused)
  go.resolve()
  await turns()
  t.false(transport.paused)
  t.is(server.counters.handled, 400)
})

test('a log that fails neither ends the process nor holds an acknowledgement', async (t) => {
  const app = mqttasgi()
  const transport = new MemoryTransport()
  const broken = (): void => {
    throw new Error('The log is broken.')
  }
  const log = { debug: broken, info: broken, warn: broken, error: broken }
  const server = await serve(app, { transport, log, deadLetter: { store: 'none' } })
  t.teardown(() => server.stop())
  app.topic('a', { retry: { attempts: 1 } }, async () => {
    throw new Error('failed')
  })
  app.topic('b', () => {})
  const ids = [transport.deliver('a'), transport.deliver('b')]
  await turns()
  t.deepEqual(transport.acknowledged, ids)
  t.like(server.counters, { failed: 1, handled: 1 })
})

test('what becomes of channel events is counted by the server, of its application and of its workers', async (t) => {
  const group = 'counted'
  const app = mqttasgi()
    .channel('good', { group }, () => {})
    .channel('bad', () => Promise.reject(new Error('broken')))
  class Worker extends MqttConsumer {
    static override readonly channelHandlers = { good: () => {} }
    override async connect(): Promise<void> {
      await this.groupAdd(group)
    }
  }
  const workers = [{ id: 'worker', application: Worker }]
  const channels = { prefix: group }
  const server = await serve(app, { transport: new MemoryTransport(), log: silentLog, workers, channels })
  t.teardown(() => server.stop())
  await turns()
  for (const type of ['good', 'bad', 'mqtt.msg', 'unknown']) await server.channels.groupSend(group, { type })
  await turns()
  t.like(server.counters, { eventsHandled: 2, eventsFailed: 1, eventsDropped: 5, handled: 0, failed: 0 })
})

test('a server that could not be made leaves nothing behind in its applications', async (t) => {
  const worker = mqttasgi()
  const app = mqttasgi()
  const workers = [{ id: 'climate', mount: 'building/+floor', application: worker }]
  worker.topic('temp', { noLocal: true }, () => {})
  app.topic('building/+/temp', () => {})
  const options = { transport: new MemoryTransport(), log: silentLog, workers }
  await t.throwsAsync(serve(app, options), { code: 'ERR_SUBSCRIBE_OPTIONS_DIFFER' })
  // Under that mount the name would come twice.
  t.notThrows(() => worker.topic('rooms/+floor', () => {}))
  await t.throwsAsync(
    serve(app, { ...options, workers: [{ ...workers[0]!, application: Router(), id: 'application' }] }),
    {
      code: 'ERR_RECEIVER_DUPLICATE',
    },
  )
})

test('a worker that can not be mounted is named, with its mount', async (t) => {
  const options = {
    transport: new MemoryTransport(),
    log: silentLog,
    workers: [{ id: 'climate', mount: 'x/#', application: mqttasgi() }],
  }
  await t.throwsAsync(serve(mqttasgi(), options), {
    code: 'ERR_WORKER_OPTION',
    message: /^Worker "climate" can not be mounted under "x\/#"/,
  })
})

test('an application that has done its work by the time its server has started is no failure', async (t) => {
  const once: RawApplication = async (_scope, receive, _send) => void (await receive())
  const server = await serve(once, { transport: new MemoryTransport(), log: silentLog })
  t.is((await server.closed).error, undefined)
})

test('a session that the broker has lost is told of, where it was to be kept', async (t) => {
  const warnings: string[] = []
  const log = { ...silentLog, warn: (message: string) => void warnings.push(message) }
  const transport = new MemoryTransport()
  const broker = { clean: false, clientId: 'greenhouse' }
  const server = await serve(mqttasgi(), { transport, log, broker })
  t.teardown(() => server.stop())
  t.false(warnings.some((line) => line.includes('lost the session')))
  transport.lose()
  await within(server)
  t.true(warnings.some((line) => line.includes('lost the session')))
})

async function within(server: Awaited<ReturnType<typeof serve>>): Promise<void> {
  while (server.counters.connects < 2) await new Promise((resolve) => setImmediate(resolve))
}

test('where what older processes have left in the session can not be read that is said, and nothing is held up', async (t) => {
  const broker = await startBroker({ port: 0 })
  t.teardown(() => broker.close())
  const stateDir = temporaryFolder(t)
  const url = await recordedUrl(t, broker.url)
  const options = { url, clean: false, clientId: 'greenhouse' }
  const warnings: string[] = []
  const log = { ...silentLog, warn: (message: string) => void warnings.push(message) }
  const first = await serve(mqttasgi(), { broker: options, stateDir, log })
  await first.stop()
  const { path } = new FilterFile({ folder: stateDir, clientId: 'greenhouse', broker: url })
  writeFileSync(path, 'not what it was')
  const app = mqttasgi()
  app.topic('a', () => {})
  const second = await serve(app, { broker: options, stateDir, log })
  t.is(warnings.filter((line) => line.startsWith('Which filters an older process has left')).length, 1)
  await second.stop()
})

test('options that a program can not mean are refused', async (t) => {
  const wrong = [
    [null, 'ERR_CONFIG_VALUE', /serve\(\) got null as options/],
    ['mqtt://localhost', 'ERR_CONFIG_VALUE', /serve\(\) got string as options/],
    [{ application: './app.ts' }, 'ERR_CONFIG_KEY', /its first argument/],
  ] as const
  for (const [options, code, message] of wrong)
    await t.throwsAsync(serve(mqttasgi(), options as object), { code, message })
})

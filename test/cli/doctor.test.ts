// mqttasgi doctor on real brokers: what it finds, and that it takes nothing from what runs.
import { chmodSync } from 'node:fs'
import test, { type ExecutionContext } from 'ava'
import { startBroker } from '../../lib/broker/index.ts'
import type { Finding } from '../../lib/cli/findings.ts'
import { mqttasgi, serve } from '../../lib/index.ts'
import { silentLog } from '../../lib/core/log.ts'
import { FilterFile } from '../../lib/durable/filter-file.ts'
import { runHere } from '../helpers/command-line.ts'
import { startMosquitto } from '../helpers/mosquitto.ts'
import { startNats } from '../helpers/nats.ts'
import { recordedUrl, recording } from '../helpers/recording.ts'
import { startRedis } from '../helpers/redis.ts'
import { serverTest } from '../helpers/server-test.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const files = {
  'app.ts': `import { mqttasgi } from 'mqttasgi'
    export const app = mqttasgi().topic('a/+', () => {}).topic('+/b', { qos: 0 }, () => {})`,
  'shared.ts': `import { mqttasgi } from 'mqttasgi'
    export const app = mqttasgi().topic('$share/g/jobs/+', () => {})`,
}

interface Report {
  readonly code: number
  readonly ok: boolean
  readonly clientId: string
  /** `level value` by name. */
  readonly found: Readonly<Record<string, string>>
}

async function examine(cwd: string, ...argv: string[]): Promise<Report> {
  const command = runHere(['doctor', '--json', ...argv], { cwd })
  const code = await command.ended
  const report = JSON.parse(command.stdout()) as { ok: boolean; clientId: string; findings: Finding[] }
  const found = Object.fromEntries(
    report.findings.map(({ level, name, value }) => [name, `${level} ${value}`]),
  )
  return { ...report, code, found }
}

const folder = (t: ExecutionContext): string => temporaryFolder(t, files)

serverTest('mosquitto')('on mosquitto all is well, and the session is kept', async (t) => {
  const broker = await startMosquitto()
  t.teardown(() => broker.stop())
  const argv = ['./app.ts', '--url', await recordedUrl(t, broker.url, {}), '-c', 'false', '-i', 'greenhouse']
  const { code, ok, clientId, found } = await examine(folder(t), ...argv)
  t.is(code, 0)
  t.true(ok)
  t.regex(clientId, /^greenhouse-doctor-[0-9a-f]{6}$/)
  t.like(found, {
    protocol: 'ok MQTT 5',
    'subscription identifiers': 'ok yes',
    'filter a/+': 'ok QoS 1',
    'filter +/b': 'ok QoS 1',
    'no subscribers (0x10)': 'ok told',
    'shared subscriptions': 'ok yes',
    session: 'ok kept',
    'session expiry': 'ok 3600 s',
    'filters of the session': 'ok as wanted',
  })
  t.regex(found['copies on overlap'] ?? '', /^ok 2, with QoS/)
})

serverTest('mosquitto')('what the running application is sent stays with it', async (t) => {
  const broker = await startMosquitto()
  t.teardown(() => broker.stop())
  const seen: string[] = []
  const app = mqttasgi()
  app.topic('$share/g/jobs/+', (ctx) => void seen.push(ctx.topic))
  const server = await serve(app, {
    broker: { url: await recordedUrl(t, broker.url), clientId: 'worker' },
    log: silentLog,
  })
  t.teardown(() => server.stop())
  const examination = examine(
    folder(t),
    './shared.ts',
    '--url',
    (await recording(t, broker.port, {})).url,
    '-i',
    'worker',
  )
  for (let i = 0; i < 50; i++) await server.publish(`jobs/${i}`, '')
  const { code } = await examination
  await server.publish('jobs/50', '')
  await server.stop()
  t.is(code, 0)
  t.is(server.counters.connects, 1)
  t.is(new Set(seen).size, 51)
})

serverTest('mosquitto')(
  'what a broker does not allow, and what an older release has left, is named',
  async (t) => {
    const broker = await startMosquitto({
      extra: ['max_packet_size 20000', 'retain_available false'],
    })
    t.teardown(() => broker.stop())
    const cwd = folder(t)
    const url = await recordedUrl(t, broker.url, {})
    const options = { folder: `${cwd}/state`, clientId: 'x', broker: url }
    const argv = [
      './app.ts',
      '--url',
      url,
      '-c',
      'false',
      '-i',
      'x',
      '--state-dir',
      './state',
      '--session-expiry',
      '60',
    ]
    await new FilterFile(options).remember([
      { filter: 'old/#', since: 'start' },
      { filter: 'by/hand', since: 'later' },
    ])
    const { code, found } = await examine(cwd, ...argv)
    t.is(code, 0)
    t.like(found, {
      'maximum packet size': 'ok 20000 bytes',
      'retained messages': 'note no',
      'filters of the session': 'note old/#, by/hand',
    })
  },
)

serverTest('nats-server')('on nats-server shared subscriptions are found to be pretended', async (t) => {
  const broker = await startNats({ ackWait: '30s', maxAckPending: 100 })
  t.teardown(() => broker.stop())
  const { code, found } = await examine(
    folder(t),
    './shared.ts',
    '--url',
    await recordedUrl(t, broker.url, {}),
  )
  t.is(code, 1)
  t.is(found['shared subscriptions'], 'fault only pretended')
  t.is(found['protocol'], 'note MQTT 3.1.1')
  t.regex(found['copies on overlap'] ?? '', /^note 2, with QoS/)
})

test('on the embedded broker there are no shared subscriptions, which matters only to who needs them', async (t) => {
  const broker = await startBroker({ port: 0 })
  t.teardown(() => broker.close())
  const cwd = folder(t)
  const plain = await examine(cwd, './app.ts', '--url', await recordedUrl(t, broker.url, {}))
  t.is(plain.code, 0)
  t.is(plain.found['shared subscriptions'], 'ok no')
  t.is(plain.found['session'], 'note clean')
  t.is(plain.found['overlapping filters'], 'note 1 pair')
  const shared = await examine(cwd, './shared.ts', '--url', await recordedUrl(t, broker.url, {}))
  t.is(shared.code, 1)
  t.is(shared.found['shared subscriptions'], 'fault no')
  const words = runHere(
    ['doctor', './app.ts', '--url', await recordedUrl(t, broker.url, {}), '--protocol-version', '4'],
    { cwd },
  )
  t.is(await words.ended, 0)
  t.regex(words.stdout(), /-doctor-[0-9a-f]{6}: a client of its own with a clean session/)
  t.regex(words.stdout(), /\nok +filter a\/\+ +QoS 1: granted as asked for\n/)
})

test('a broker that is not there is a fault, and this side is looked at all the same', async (t) => {
  const cwd = folder(t)
  const { code, found } = await examine(cwd, './app.ts', '--url', 'mqtt://127.0.0.1:1')
  t.is(code, 1)
  t.is(found['connection'], 'fault failed')
  t.regex(found['dead letters'] ?? '', /^ok journal/)
  t.regex(found['state folder'] ?? '', /^ok .*\.mqttasgi, not there yet/)
  const none = await examine(cwd, './app.ts', '--url', 'mqtt://127.0.0.1:1', '--dead-letter-store', 'none')
  t.is(none.found['dead letters'], 'note none')
})

const unprivileged = process.getuid?.() === 0 ? test.skip : test
unprivileged('a state folder that can not be written is a fault (root can write any)', async (t) => {
  const cwd = folder(t)
  chmodSync(cwd, 0o500)
  t.teardown(() => chmodSync(cwd, 0o700))
  const { found } = await examine(cwd, './app.ts', '--url', 'mqtt://127.0.0.1:1')
  t.regex(found['state folder'] ?? '', /^fault/)
})

test('the group of a worker and the static routes of a consumer are looked at, and what is not known is said', async (t) => {
  const broker = await startBroker({ port: 0 })
  t.teardown(() => broker.close())
  const cwd = temporaryFolder(t, {
    ...files,
    'house.ts': `import { MqttConsumer, Router } from 'mqttasgi'
      export default class House extends MqttConsumer {
        static override readonly routes = Router().topic('ping/+who', () => {})
      }`,
    'mqttasgi.config.ts': `export default { application: './house.ts', workers: [
      { id: 'one', application: './app.ts', share: 'crew' }] }`,
  })
  const { found } = await examine(cwd, '--url', await recordedUrl(t, broker.url, {}))
  t.like(found, { 'filter ping/+': 'ok QoS 1', application: 'note a consumer' })
  t.is(found['filter a/+'], undefined)
})

serverTest('redis-server')(
  'the Redis of the channel layer is asked, and said where it does not answer',
  async (t) => {
    const redis = await startRedis()
    t.teardown(() => redis.stop())
    const argv = [
      './app.ts',
      '--channel-layer',
      'redis',
      '--channel-redis',
      redis.url,
      '--url',
      'mqtt://127.0.0.1:1',
    ]
    const there = await examine(folder(t), ...argv)
    t.regex(there.found['channel layer'] ?? '', /^ok redis redis:\/\/127\.0\.0\.1:\d+$/)
    await redis.kill()
    const gone = await examine(folder(t), ...argv, '--channel-timeout', '0.2')
    t.regex(gone.found['channel layer'] ?? '', /^fault redis redis:/)
    t.is(
      (await examine(folder(t), './app.ts', '--url', 'mqtt://127.0.0.1:1')).found['channel layer'],
      undefined,
    )
  },
)

// How the original server is configured and connected must be here too: one test for each line of docs/parity.md.
import test, { type ExecutionContext } from 'ava'
import { Deferred } from '../../lib/core/deferred.ts'
import { mqttasgi, serve } from '../../lib/index.ts'
import { MemoryTransport } from '../../lib/testing/index.ts'
import { certificates } from '../helpers/certificates.ts'
import { runHere } from '../helpers/command-line.ts'
import { freePort } from '../helpers/free-port.ts'
import { startMosquitto, type Mosquitto, type MosquittoOptions } from '../helpers/mosquitto.ts'
import { serverTest } from '../helpers/server-test.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { KeptLog, newClientId, serving } from '../integration/serving.ts'
import { scene } from '../integration/scene.ts'

const withMosquitto = serverTest('mosquitto')

async function mosquitto(t: ExecutionContext, options: MosquittoOptions): Promise<Mosquitto> {
  const broker = await startMosquitto(options)
  t.teardown(() => broker.stop())
  return broker
}

/** What `mqttasgi config` says of each option, and the exit code. */
async function config(
  t: ExecutionContext,
  argv: readonly string[],
  files: Record<string, string> = {},
  env: Record<string, string> = {},
): Promise<{ readonly code: number; readonly said: string; readonly of: (option: string) => string }> {
  const command = runHere(['config', ...argv], { cwd: temporaryFolder(t, files), env })
  const code = await command.ended
  const lines = command.output().split('\n')
  const of = (option: string): string =>
    (lines.find((line) => line.startsWith(`${option} `)) ?? '').replaceAll(/ +/g, ' ').trim()
  return { code, said: command.output(), of }
}

test('1. every flag and every variable of the original is understood, with its meaning', async (t) => {
  const { client, ca } = await certificates()
  const table: readonly (readonly [string, string, string, string, string])[] = [
    ['broker.host', '-H', '--host', 'MQTT_HOSTNAME', 'broker.example'],
    ['broker.port', '-p', '--port', 'MQTT_PORT', '1999'],
    ['broker.clean', '-c', '--cleansession', 'MQTT_CLEAN', 'false'],
    ['verbosity', '-v', '--verbosity', 'VERBOSITY', '2'],
    ['broker.username', '-U', '--username', 'MQTT_USERNAME', 'hall'],
    ['broker.password', '-P', '--password', 'MQTT_PASSWORD', 'secret'],
    ['broker.clientId', '-i', '--id', 'MQTT_CLIENT_ID', 'pump'],
    ['broker.tls.cert', '-C', '--cert', 'TLS_CERT', client.certFile],
    ['broker.tls.key', '-K', '--key', 'TLS_KEY', client.keyFile],
    ['broker.tls.ca', '-S', '--cacert', 'TLS_CA', ca.certFile],
    ['broker.tls', '-SSL', '--use-ssl', 'MQTT_USE_SSL', 'true'],
    ['broker.transport', '-T', '--transport', 'MQTT_TRANSPORT', 'websockets'],
    ['broker.retries', '-r', '--retries', 'MQTT_RETRIES', '0'],
  ]
  const shown = (value: string): string => (value === 'secret' ? '[redacted]' : value)
  for (const place of [1, 2, 3] as const) {
    const argv = place === 3 ? [] : table.flatMap((row) => [row[place], row[4]])
    const env = place === 3 ? Object.fromEntries(table.map((row) => [row[3], row[4]])) : {}
    const { code, of, said } = await config(t, argv, {}, env)
    t.is(code, 0, said)
    for (const row of table)
      t.true(of(row[0]).startsWith(`${row[0]} ${shown(row[4])} `), `${row[0]}: ${said}`)
  }
})

test('1. flag over environment over .env of the working directory over file over default', async (t) => {
  const files = {
    '.env': 'MQTT_PORT=3\nMQTT_CLIENT_ID=dotenv\nMQTT_HOSTNAME=dotenv\n',
    'mqttasgi.config.json': JSON.stringify({
      broker: { port: 4, clientId: 'file', host: 'file', username: 'file' },
    }),
  }
  const env = { MQTT_PORT: '2', MQTT_CLIENT_ID: 'environment' }
  const { of } = await config(t, ['-p', '1'], files, env)
  const options = ['port', 'clientId', 'host', 'username', 'retries'].map((name) => of(`broker.${name}`))
  t.deepEqual(
    options.map((line) => line.split(' ')[1]),
    ['1', 'environment', 'dotenv', 'file', '3'],
  )
})

test('1. mistakes are one line with 2 for the command line and 78 for the configuration', async (t) => {
  const mistakes: readonly (readonly [readonly string[], Record<string, string>, number, RegExp])[] = [
    [['-p', 'mqtt'], {}, 2, /--port/],
    [['-T', 'pigeon'], {}, 2, /--transport.*one of tcp, websockets/],
    [['--wath'], {}, 2, /--wath/],
    [[], { MQTT_PORT: 'mqtt' }, 78, /MQTT_PORT/],
    [[], { MQTT_CLEAN: 'maybe' }, 78, /MQTT_CLEAN/],
    [['-c', 'false'], {}, 78, /client id/i],
    [['-C', '/nowhere'], {}, 78, /--key|TLS_KEY/],
  ]
  for (const [argv, env, expected, words] of mistakes) {
    const { code, said } = await config(t, argv, {}, env)
    t.regex(said, words)
    t.is(code, expected, said)
    t.notRegex(said, /\n {4}at /)
  }
  // An empty variable, with which the original could not even show its help, is unset.
  t.is((await config(t, [], {}, { MQTT_PORT: '' })).code, 0)
})

withMosquitto('7. TLS with an authority, with a client certificate, and websockets', async (t) => {
  const { ca, client, server } = await certificates()
  const tls = { ca: ca.certFile, cert: server.certFile, key: server.keyFile }
  const plain = await mosquitto(t, { tls })
  const mutual = await mosquitto(t, { tls: { ...tls, requireClientCertificate: true } })
  const websocket = await mosquitto(t, { websockets: true })
  const ours = { ca: ca.certFile, cert: client.certFile, key: client.keyFile }
  const ways = [
    { host: 'localhost', port: plain.port, tls: { ca: ca.certFile } },
    { host: 'localhost', port: plain.port, tls: ours },
    { host: 'localhost', port: mutual.port, tls: ours },
    { host: '127.0.0.1', port: websocket.port, transport: 'websockets' },
  ] as const
  for (const way of ways) {
    const connection = await serving(t, mqttasgi(), { broker: { retries: 1, ...way } })
    t.deepEqual(await connection.publish('a', 'b'), { reasonCode: 0x10 })
    await connection.stop()
  }
  const without = { host: 'localhost', port: mutual.port, tls: { ca: ca.certFile }, retries: 1 }
  await t.throwsAsync(serve(mqttasgi(), { broker: without, log: new KeptLog() }), {
    code: 'ERR_CONNECT_TLS',
  })
})

withMosquitto('7. user name, password and client id are those that were given', async (t) => {
  const broker = await mosquitto(t, { passwords: { hall: 'secret' } })
  const clientId = newClientId()
  await serving(t, mqttasgi(), {
    broker: { url: broker.url, username: 'hall', password: 'secret', clientId },
  })
  t.regex(broker.log(), new RegExp(`as ${clientId} .*u'hall'`))
})

test('7. retries are limited by their number, and 0 is without limit', async (t) => {
  const port = await freePort()
  const log = new KeptLog()
  const limited = serve(mqttasgi(), { broker: { host: '127.0.0.1', port, retries: 2 }, log })
  await t.throwsAsync(limited, { code: 'ERR_CONNECT_NETWORK', message: /Gave up after 2 retries/ })
  const unlimited = new MemoryTransport()
  for (let i = 1; i <= 5; i++) unlimited.failAt('connect', i, { type: 'lose' })
  const server = await serving(t, mqttasgi(), { broker: { retries: 0 }, transport: unlimited })
  t.is(server.state, 'connected')
  t.is(unlimited.count('connect'), 6)
})

test('7. verbosity is 0, 1 or 2', async (t) => {
  const says = async (flag: readonly string[]): Promise<string> => (await config(t, flag)).of('verbosity')
  t.regex(await says([]), /^verbosity 0 default/)
  t.regex(await says(['-v']), /^verbosity 1 flag/)
  t.regex(await says(['-vv']), /^verbosity 2 flag/)
  t.is((await config(t, ['-v', '3'])).code, 2)
})

withMosquitto('9. a payload of 10 MB and every byte comes as it was', async (t) => {
  const { publisher, serve: start } = await scene(t)
  const payload = Buffer.alloc(10_000_000)
  for (let i = 0; i < payload.length; i++) payload[i] = i % 251
  const came = new Deferred<Buffer>()
  const app = mqttasgi().topic('large', (ctx) => came.resolve(Buffer.from(ctx.payload)))
  const server = await start(app)
  await publisher.publish('large', payload)
  t.true((await came.promise).equals(payload))
  t.is((await server.publish('large/again', payload)).reasonCode, 0x10)
})

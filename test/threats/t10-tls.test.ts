// T10: over TLS the broker proves who it is, and nothing but a file with another authority changes that.
import { once } from 'node:events'
import { createServer } from 'node:tls'
import test, { type ExecutionContext } from 'ava'
import { mqttasgi, serve, type ServeOptions } from '../../lib/index.ts'
import { silentLog } from '../../lib/core/log.ts'
import { resolveOptions } from '../../lib/config/load.ts'
import { certificates } from '../helpers/certificates.ts'
import { startScriptedBroker } from '../helpers/scripted-broker.ts'

type Connection = NonNullable<ServeOptions['broker']>

function connect(broker: Connection): Promise<unknown> {
  return serve(mqttasgi(), { broker: { retries: 1, ...broker }, log: silentLog })
}

test('an authority that was not named is not believed, and a name that is not the host neither', async (t) => {
  const { ca, otherCa, server, otherHost } = await certificates()
  const right = await startScriptedBroker(t, {}, { tls: server })
  const wrong = await startScriptedBroker(t, {}, { tls: otherHost })
  const refusals: readonly Connection[] = [
    { url: `mqtts://localhost:${right.port}` },
    { url: `mqtts://localhost:${right.port}`, tls: { ca: otherCa.certFile } },
    { url: `mqtts://localhost:${wrong.port}`, tls: { ca: ca.certFile } },
    { url: `mqtts://localhost:${right.port}`, tls: { ca: ca.certFile, servername: 'another.example' } },
  ]
  for (const refusal of refusals) await t.throwsAsync(connect(refusal), { code: 'ERR_CONNECT_TLS' })
  const accepted = await serve(mqttasgi(), {
    broker: { url: `mqtts://localhost:${right.port}`, tls: { ca: ca.certFile } },
    log: silentLog,
  })
  await accepted.stop()
})

test.serial('neither the environment nor a URL nor an option turns the proof off', async (t) => {
  const { server } = await certificates()
  const broker = await startScriptedBroker(t, {}, { tls: server })
  process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0'
  t.teardown(() => delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'])
  await t.throwsAsync(connect({ url: `mqtts://localhost:${broker.port}` }), { code: 'ERR_CONNECT_TLS' })
  await t.throwsAsync(connect({ url: `mqtts://localhost:${broker.port}?rejectUnauthorized=false` }), {
    code: 'ERR_CONFIG_VALUE',
  })
  const off = JSON.parse('{ "rejectUnauthorized": false }') as object
  await t.throwsAsync(connect({ url: `mqtts://localhost:${broker.port}`, tls: off }), {
    code: 'ERR_CONFIG_KEY',
    message: /Certificates are always checked/,
  })
  // Over websockets the query belongs to the path, and is the broker's.
  const websocket = await startScriptedBroker(t, {}, { over: 'websocket', tls: server })
  const url = `wss://localhost:${websocket.port}/mqtt?rejectUnauthorized=false`
  await t.throwsAsync(connect({ url }), { code: 'ERR_CONNECT_TLS' })
})

/** Speaks nothing newer than TLS 1.1, which OpenSSL does only when it is told to care little. */
async function oldServer(t: ExecutionContext): Promise<number> {
  const { server } = await certificates()
  const old = createServer({
    key: server.key,
    cert: server.cert,
    minVersion: 'TLSv1',
    maxVersion: 'TLSv1.1',
    ciphers: 'DEFAULT@SECLEVEL=0',
  })
  old.on('tlsClientError', () => {})
  old.listen(0, '127.0.0.1')
  await once(old, 'listening')
  t.teardown(() => old.close())
  const address = old.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

test('a broker that speaks nothing newer than TLS 1.1 is refused', async (t) => {
  const { ca } = await certificates()
  const port = await oldServer(t)
  const broker = { url: `mqtts://localhost:${port}`, tls: { ca: ca.certFile }, retries: 1 }
  const error = await t.throwsAsync(connect(broker))
  t.regex(error?.message ?? '', /TLS|handshake/i)
})

test('a password that would go unencrypted to another machine is warned of', (t) => {
  const warnings = (broker: Connection) => resolveOptions({ broker }).warnings.join()
  const credentials = { username: 'u', password: 'canary' }
  for (const url of [
    'mqtt://broker.example.org',
    'ws://10.0.0.7',
    'mqtt://[2001:db8::1]',
    'mqtt://localhost.example.org',
  ]) {
    t.regex(warnings({ url, ...credentials }), /the password goes to .* unencrypted/, url)
    t.notRegex(warnings({ url, ...credentials }), /canary/)
    t.is(warnings({ url }), '')
  }
  for (const url of [
    'mqtts://broker.example.org',
    'wss://10.0.0.7',
    'mqtt://localhost',
    'mqtt://127.0.0.1',
    'mqtt://[::1]',
    'unix:///run/m.sock',
  ]) {
    t.is(warnings({ url, ...credentials }), '', url)
  }
})

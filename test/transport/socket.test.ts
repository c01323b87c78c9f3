import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TLSSocket } from 'node:tls'
import test, { type ExecutionContext } from 'ava'
import { addressText, openSocket, type BrokerAddress } from '../../lib/transport/socket.ts'
import { certificates } from '../helpers/certificates.ts'
import { startScriptedBroker, type Listen, type ScriptedBroker } from '../helpers/scripted-broker.ts'

const pingreq = Buffer.from([0xc0, 0x00])

/** Opens, sends PINGREQ and resolves with what comes back; the stream is destroyed with the test. */
async function echo(t: ExecutionContext, address: BrokerAddress): Promise<Buffer> {
  const stream = openSocket(address)
  t.teardown(() => stream.destroy())
  stream.write(pingreq)
  const [answer]: Buffer[] = await once(stream, 'data')
  return answer ?? Buffer.alloc(0)
}

async function refusalOf(t: ExecutionContext, address: BrokerAddress): Promise<string> {
  const stream = openSocket(address)
  t.teardown(() => stream.destroy())
  const [error]: NodeJS.ErrnoException[] = await once(stream, 'error')
  return error?.code ?? error?.message ?? ''
}

async function broker(t: ExecutionContext, listen: Listen = {}): Promise<ScriptedBroker> {
  return await startScriptedBroker(t, {}, listen)
}

const pingresp = Buffer.from([0xd0, 0x00])

test('over tcp the bytes go both ways, and connect tells when', async (t) => {
  const { port } = await broker(t)
  const stream = openSocket({ type: 'tcp', host: '127.0.0.1', port })
  t.teardown(() => stream.destroy())
  await once(stream, 'connect')
  t.deepEqual(await echo(t, { type: 'tcp', host: '127.0.0.1', port }), pingresp)
})

test("Nagle's algorithm is off, with TLS as well", async (t) => {
  const { ca, server } = await certificates()
  const plain = await broker(t)
  const secret = await broker(t, { tls: server })
  for (const [address, ready] of [
    [{ type: 'tcp', host: '127.0.0.1', port: plain.port }, 'connect'],
    [{ type: 'tcp', host: 'localhost', port: secret.port, tls: { ca: ca.cert } }, 'secureConnect'],
  ] as const) {
    const stream = openSocket(address)
    t.teardown(() => stream.destroy())
    await once(stream, ready)
    const wish = Object.getOwnPropertySymbols(stream).find((symbol) => symbol.description === 'kSetNoDelay')
    t.true(wish !== undefined && Reflect.get(stream, wish) === true)
  }
})

test('over a unix socket', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'mqttasgi-socket-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const path = join(folder, 'broker')
  await broker(t, { over: 'unix', path })
  t.deepEqual(await echo(t, { type: 'unix', path }), pingresp)
  t.is(await refusalOf(t, { type: 'unix', path: join(folder, 'none') }), 'ENOENT')
})

test('over a websocket, with the subprotocol mqtt and connect when it is open', async (t) => {
  const { port } = await broker(t, { over: 'websocket' })
  const stream = openSocket({ type: 'websocket', host: '127.0.0.1', port, path: '/mqtt' })
  t.teardown(() => stream.destroy())
  await once(stream, 'connect')
  stream.write(pingreq)
  t.deepEqual((await once(stream, 'data'))[0], pingresp)
})

test('a websocket on a path where none is fails with the status', async (t) => {
  const { port } = await broker(t, { over: 'websocket' })
  t.is(
    await refusalOf(t, { type: 'websocket', host: '127.0.0.1', port, path: '/other' }),
    'Unexpected server response: 400',
  )
})

test('a websocket is destroyed in peace while it opens', async (t) => {
  const silent = createServer().listen(0, '127.0.0.1')
  t.teardown(() => silent.close())
  await once(silent, 'listening')
  const bound = silent.address()
  const port = typeof bound === 'object' && bound !== null ? bound.port : 0
  const stream = openSocket({ type: 'websocket', host: '127.0.0.1', port, path: '/mqtt' })
  stream.on('error', () => {})
  const [socket]: Socket[] = await once(silent, 'connection')
  const closed = new Promise((resolve) => stream.once('close', resolve))
  stream.destroy()
  await closed
  socket?.destroy()
  t.pass()
})

test('over TLS and over a websocket in TLS, with the CA that is given', async (t) => {
  const { ca, server } = await certificates()
  const tls = { ca: ca.cert }
  const plain = await broker(t, { tls: server })
  t.deepEqual(await echo(t, { type: 'tcp', host: 'localhost', port: plain.port, tls }), pingresp)
  t.deepEqual(await echo(t, { type: 'tcp', host: '127.0.0.1', port: plain.port, tls }), pingresp)
  const web = await broker(t, { over: 'websocket', tls: server })
  const { port } = web
  t.deepEqual(await echo(t, { type: 'websocket', host: 'localhost', port, path: '/mqtt', tls }), pingresp)
  t.is(
    await refusalOf(t, { type: 'websocket', host: 'localhost', port, path: '/mqtt', tls: {} }),
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  )
})

test('the certificate is verified, whatever the environment says', async (t) => {
  const { ca, otherHost, server } = await certificates()
  const before = process.env['NODE_TLS_REJECT_UNAUTHORIZED']
  process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0'
  t.teardown(() => {
    if (before === undefined) delete process.env['NODE_TLS_REJECT_UNAUTHORIZED']
    else process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = before
  })
  const stranger = await broker(t, { tls: server })
  t.is(
    await refusalOf(t, { type: 'tcp', host: 'localhost', port: stranger.port, tls: {} }),
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  )
  const other = await broker(t, { tls: otherHost })
  const tls = { ca: ca.cert }
  t.is(
    await refusalOf(t, { type: 'tcp', host: 'localhost', port: other.port, tls }),
    'ERR_TLS_CERT_ALTNAME_INVALID',
  )
  // The name to be shown may be another than the host that is called.
  const named = { ...tls, servername: 'another.example' }
  t.deepEqual(await echo(t, { type: 'tcp', host: 'localhost', port: other.port, tls: named }), pingresp)
})

test('TLS 1.1 is refused', async (t) => {
  const { ca, server } = await certificates()
  const old = await broker(t, {
    tls: { ...server, minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' },
  })
  t.regex(
    await refusalOf(t, { type: 'tcp', host: 'localhost', port: old.port, tls: { ca: ca.cert } }),
    /PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL/,
  )
})

test('client certificate, server name and application protocol are sent', async (t) => {
  const { ca, client, server } = await certificates()
  const { link, port } = await broker(t, {
    tls: {
      ...server,
      ca: ca.cert,
      requestCert: true,
      rejectUnauthorized: true,
      ALPNProtocols: ['mqtt'],
    },
  })
  const tls = { ca: ca.cert, cert: client.cert, key: client.key, alpn: ['mqtt'] }
  t.deepEqual(await echo(t, { type: 'tcp', host: 'localhost', port, tls }), pingresp)
  const { stream } = await link()
  if (!(stream instanceof TLSSocket)) throw new Error('not over TLS')
  t.is(stream.getPeerCertificate().subject.CN, 'client')
  t.is(Reflect.get(stream, 'servername'), 'localhost')
  t.is(stream.alpnProtocol, 'mqtt')
})

test('PEM that can not be read throws at once', (t) => {
  const tls = { ca: Buffer.from('no'), cert: Buffer.from('no'), key: Buffer.from('no') }
  const error = t.throws<NodeJS.ErrnoException>(() =>
    openSocket({ type: 'tcp', host: '127.0.0.1', port: 1, tls }),
  )
  t.regex(error?.code ?? '', /^ERR_OSSL/)
})

test('addresses are written as people write them, without secrets', (t) => {
  t.is(addressText({ type: 'tcp', host: '::1', port: 1883 }), 'mqtt://[::1]:1883')
  t.is(addressText({ type: 'tcp', host: 'b.example', port: 8883, tls: {} }), 'mqtts://b.example:8883')
  t.is(addressText({ type: 'unix', path: '/run/b' }), 'unix:///run/b')
  t.is(addressText({ type: 'websocket', host: 'b', port: 80, path: '/mqtt' }), 'ws://b:80/mqtt')
  const token: BrokerAddress = {
    type: 'websocket',
    host: 'b',
    port: 443,
    path: '/mqtt?token=secret',
    tls: {},
  }
  t.is(addressText(token), 'wss://b:443/mqtt')
})

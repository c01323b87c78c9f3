import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { tmpdir } from 'node:os'
import test, { type ExecutionContext } from 'ava'
import type { MqttTransportOptions } from '../../lib/transport/mqtt-transport.ts'
import type { BrokerAddress } from '../../lib/transport/socket.ts'
import type { ConnectionFailure } from '../../lib/transport/transport.ts'
import { certificates } from '../helpers/certificates.ts'
import { freePort } from '../helpers/free-port.ts'
import { wanted } from '../contract/transport.ts'
import { startScriptedBroker, type Script, type ScriptedLink } from '../helpers/scripted-broker.ts'
import { setupScripted, setupTransport } from '../helpers/transport-setup.ts'

const secret = 'canary-7f3a'
const credentials = (): { username: string; password: string } => ({ username: 'user', password: secret })

/** A server that does with a connection what it is told, on a free port. */
async function serve(t: ExecutionContext, act: (socket: Socket) => void): Promise<BrokerAddress> {
  const server = createServer()
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    act(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const bound = server.address()
  return { type: 'tcp', host: '127.0.0.1', port: typeof bound === 'object' ? (bound?.port ?? 0) : 0 }
}

/** Connects in vain and checks what is always true of a failure. */
async function failureAt(
  t: ExecutionContext,
  address: BrokerAddress,
  options: Partial<MqttTransportOptions> = {},
): Promise<ConnectionFailure> {
  const { fail, recorder } = setupTransport(t, { address, credentials, ...options })
  const begin = performance.now()
  const failure = await fail()
  t.true(performance.now() - begin < 5_000, 'it took as long as the limit')
  t.deepEqual(recorder.log, ['closed'])
  t.false(failure.message.includes('\n'))
  t.false(JSON.stringify(failure.message).includes(secret))
  // Again: nothing is left of the first attempt.
  const again = await fail()
  t.is(again.type, failure.type)
  t.deepEqual(recorder.log, ['closed', 'closed'])
  return failure
}

test('a port where nobody listens', async (t) => {
  const port = await freePort()
  const failure = await failureAt(t, { type: 'tcp', host: '127.0.0.1', port })
  t.is(failure.type, 'network')
  t.is(
    failure.message,
    `The broker at mqtt://127.0.0.1:${port} refused the connection (ECONNREFUSED): is it running, and is the port right?`,
  )
  t.like(failure.cause, { code: 'ECONNREFUSED' })
})

test('a unix socket that is not there', async (t) => {
  const failure = await failureAt(t, { type: 'unix', path: join(tmpdir(), 'mqttasgi-none') })
  t.is(failure.type, 'network')
  t.regex(failure.message, /ENOENT.*is the broker running/)
})

test('a server that never says a word', async (t) => {
  const address = await serve(t, () => {})
  const failure = await failureAt(t, address, { connectTimeoutMs: 1_500 })
  t.is(failure.type, 'timeout')
  t.regex(failure.message, /was reached, but did not answer within 1\.5 s/)
})

test('a websocket server that never says a word', async (t) => {
  const address = await serve(t, () => {})
  const { host, port } = { host: '', port: 0, ...address }
  const failure = await failureAt(
    t,
    { type: 'websocket', host, port, path: '/mqtt' },
    { connectTimeoutMs: 1_500 },
  )
  t.is(failure.type, 'timeout')
})

test('a server that closes at once, or answers by closing', async (t) => {
  const atOnce = await failureAt(t, await serve(t, (socket) => socket.end()))
  t.is(atOnce.type, 'closed')
  t.regex(atOnce.message, /closed the connection without an answer: is this the port for MQTT/)
  const later = await failureAt(t, await serve(t, (socket) => socket.once('data', () => socket.end())))
  t.is(later.type, 'closed')
})

test('a server that resets the connection', async (t) => {
  const address = await serve(t, (socket) => socket.once('data', () => socket.resetAndDestroy()))
  const failure = await failureAt(t, address)
  t.is(failure.type, 'network')
  t.regex(failure.message, /before it answered \(ECONNRESET\)/)
})

test('an HTTP answer on the port fails at once, though the server keeps the connection open', async (t) => {
  const address = await serve(t, (socket) =>
    socket.once('data', () => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n')),
  )
  const failure = await failureAt(t, address)
  t.is(failure.type, 'protocol')
  t.regex(failure.message, /is not MQTT \(it answers in HTTP\): is this the port for MQTT/)
})

test('a CONNACK that is none fails at once, though the server keeps the connection open', async (t) => {
  const address = await serve(t, (socket) =>
    socket.once('data', () => socket.write(Buffer.from([0x20, 2, 9, 9]))),
  )
  const failure = await failureAt(t, address)
  t.is(failure.type, 'protocol')
  t.regex(failure.message, /Invalid connack flags/)
})

test('mqtt:// on a port for TLS', async (t) => {
  const { server } = await certificates()
  const { port } = await startScriptedBroker(t, {}, { tls: server })
  const failure = await failureAt(t, { type: 'tcp', host: '127.0.0.1', port })
  t.true(failure.type === 'closed' || failure.type === 'protocol' || failure.type === 'network')
  t.regex(failure.message, /mqtts:\/\/ is with/)
})

test('mqtts:// on a port without TLS', async (t) => {
  const { port } = await startScriptedBroker(t)
  const closing = await failureAt(t, { type: 'tcp', host: 'localhost', port, tls: {} })
  t.is(closing.type, 'network')
  t.regex(closing.message, /MQTT over TLS \(mqtt:\/\/ is without\)/)
  const talking = await serve(t, (socket) =>
    socket.once('data', () => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n')),
  )
  const answered = await failureAt(t, { host: '', port: 0, ...talking, type: 'tcp', tls: {} })
  t.is(answered.type, 'tls')
  t.regex(answered.message, /does not answer in TLS/)
})

test('certificates that are not trusted, for another name, or missing', async (t) => {
  const { ca, client, otherClient, otherHost, server } = await certificates()
  const over = async (tls: object): Promise<BrokerAddress & { type: 'tcp' }> => {
    const { port } = await startScriptedBroker(t, {}, { tls })
    return { type: 'tcp', host: 'localhost', port, tls: { ca: ca.cert } }
  }
  const untrusted = await failureAt(t, { ...(await over(server)), tls: {} })
  t.is(untrusted.type, 'tls')
  t.regex(untrusted.message, /authority that is not trusted here \(UNABLE_TO_VERIFY_LEAF_SIGNATURE\)/)
  const elsewhere = await failureAt(t, await over(otherHost))
  t.is(elsewhere.type, 'tls')
  t.regex(elsewhere.message, /for another name \(DNS:another\.example\).*"localhost"/)
  const mutual = await over({ ...server, ca: ca.cert, requestCert: true, rejectUnauthorized: true })
  const anonymous = await failureAt(t, mutual)
  t.is(anonymous.type, 'tls')
  t.regex(anonymous.message, /wants a client certificate/)
  const stranger = { ca: ca.cert, cert: otherClient.cert, key: otherClient.key }
  // Node.js as the server closes without an alert; mosquitto sends one.
  t.is((await failureAt(t, { ...mutual, tls: stranger })).type, 'closed')
  const mismatch = { ca: ca.cert, cert: client.cert, key: otherClient.key }
  const unusable = await failureAt(t, { ...mutual, tls: mismatch })
  t.is(unusable.type, 'tls')
  t.regex(unusable.message, /belong together/)
})

const refusals: readonly (readonly [4 | 5, number, ConnectionFailure['type']])[] = [
  [4, 1, 'version'],
  [4, 2, 'refused'],
  [4, 3, 'refused'],
  [4, 4, 'credentials'],
  [4, 5, 'credentials'],
  [5, 0x84, 'version'],
  [5, 0x85, 'refused'],
  [5, 0x86, 'credentials'],
  [5, 0x87, 'credentials'],
  [5, 0x89, 'refused'],
  [5, 0x8c, 'credentials'],
]
for (const [version, code, type] of refusals) {
  test(`CONNACK of version ${version} with code ${code} is ${type}, whether the server closes or not`, async (t) => {
    for (const closes of [true, false]) {
      const script: Script = {
        connect: (link) => {
          link.welcome({ returnCode: code, reasonCode: code, properties: { reasonString: 'so\nit is' } })
          if (closes) link.stream.end()
        },
      }
      const { fail, recorder } = await setupScripted(t, script)
      const failure = await fail(version)
      t.like(failure, { type, reasonCode: code })
      t.is(failure.message.includes('"so it is"'), version === 5)
      t.deepEqual(recorder.log, ['closed'])
    }
  })
}

test('a broker of 3.1.1 that refuses MQTT 5 in its own words is a version failure, and 3.1.1 then connects', async (t) => {
  const script: Script = {
    connect: (link, packet) => {
      if (packet.protocolVersion === 4) return link.answer(packet)
      link.send(Buffer.from([0x20, 2, 0, 1]))
      link.stream.end()
    },
  }
  const { connect, fail } = await setupScripted(t, script)
  t.like(await fail(5), { type: 'version', reasonCode: 1 })
  t.like(await connect(4), { protocolVersion: 4, subscriptionIdentifiers: false })
})

test('garbage on a live connection ends it', async (t) => {
  const { broker, connect, recorder } = await setupScripted(t)
  await connect()
  const link = await broker.link()
  link.send(Buffer.from([0x43, 0x02, 0x00, 0x01]))
  const failure = await recorder.nth(recorder.failures, 1)
  t.is(failure.type, 'protocol')
  t.regex(failure.message, /is not MQTT \(Invalid header flag bits/)
  await connect()
  const second = await broker.link()
  second.send(Buffer.from([0x36, 0x02, 0x00, 0x01]))
  t.is((await recorder.nth(recorder.failures, 2)).type, 'protocol')
})

test('an acknowledgement that answers something else ends the connection', async (t) => {
  const script: Script = {
    publish: (link, { messageId = 0 }) => link.send({ cmd: 'suback', messageId, granted: [0] }),
  }
  const { connect, recorder, transport } = await setupScripted(t, script)
  await connect()
  const open = transport.publish('a', Buffer.from('x'), { qos: 1 })
  t.is((await recorder.nth(recorder.failures, 1)).type, 'protocol')
  await transport.close(100)
  await t.throwsAsync(open, { code: 'ERR_CONNECTION_CLOSED' })
})

test('DISCONNECT of MQTT 5 says why, and 0x8e is a takeover that names the client id', async (t) => {
  const { broker, connect, recorder } = await setupScripted(t)
  await connect()
  const first = await broker.link()
  first.send({ cmd: 'disconnect', reasonCode: 0x8e })
  const taken = await recorder.nth(recorder.failures, 1)
  t.like(taken, { type: 'takeover', reasonCode: 0x8e })
  t.regex(taken.message, /as "hall"/)
  await connect()
  const second = await broker.link()
  second.send({ cmd: 'disconnect', reasonCode: 0x8b, properties: { reasonString: 'bye' } })
  second.stream.end()
  const down = await recorder.nth(recorder.failures, 2)
  t.like(down, { type: 'closed', reasonCode: 0x8b })
  t.regex(down.message, /server shutting down\) "bye"/)
})

test('a broker that falls silent is told as a timeout after one and a half keepalives', async (t) => {
  const script: Script = { pingreq: () => {} }
  const { connect, recorder } = await setupScripted(t, script, { keepaliveSeconds: 1 })
  await connect()
  const failure = await recorder.nth(recorder.failures, 1)
  t.is(failure.type, 'timeout')
  t.regex(failure.message, /silent for 1\.5 s \(keepalive 1 s\)/)
  t.deepEqual(recorder.log, ['connected', 'closed'])
})

test('credentials that can not be read fail the attempt, not the program', async (t) => {
  const { port } = await startScriptedBroker(t)
  const failure = await failureAt(
    t,
    { type: 'tcp', host: '127.0.0.1', port },
    {
      credentials: () => {
        throw new Error('no such file')
      },
    },
  )
  t.is(failure.type, 'credentials')
  t.regex(failure.message, /no such file/)
})

test('credentials that take their time are waited for, and what becomes of them is told', async (t) => {
  let answer: () => Promise<{ username: string }> = async () => ({ username: 'late' })
  const { broker, connect, fail, recorder, transport } = await setupScripted(
    t,
    {},
    { credentials: () => answer(), connectTimeoutMs: 300 },
  )
  await connect()
  t.is((await broker.link()).all('connect')[0]?.username, 'late')
  t.throws(() => transport.connect(5), { instanceOf: TypeError })
  broker.links[0]?.stream.destroy()
  await recorder.nth(recorder.failures, 1)
  answer = () => Promise.reject(new Error('the token service is away'))
  const refused = await fail()
  t.is(refused.type, 'credentials')
  t.is(refused.message, 'User name and password could not be had: the token service is away')
  answer = () => new Promise(() => {})
  t.regex((await fail()).message, /could not be had: they did not come within 0\.3 s/)
  t.is(broker.links.length, 1)
})

test('closing while credentials are awaited ends the attempt, and nothing is connected any more', async (t) => {
  const { broker, recorder, transport } = await setupScripted(
    t,
    {},
    { credentials: () => new Promise(() => {}) },
  )
  transport.connect(5)
  await transport.close(100)
  const failure = await recorder.nth(recorder.failures, 1)
  t.like(failure, { type: 'closed' })
  t.regex(failure.message, /closed by us/)
  t.is(broker.links.length, 0)
})

test('an end is idle when nothing but CONNECT and CONNACK has gone over the connection', async (t) => {
  for (const version of [4, 5] as const) {
    let act: (link: ScriptedLink) => void = (link) => void link.stream.end()
    const properties = { reasonString: 'x'.repeat(200) }
    const script: Script = {
      connect: (link) => {
        link.welcome(version === 5 ? { properties } : {})
        act(link)
      },
      subscribe: (link) => void link.stream.end(),
    }
    const { connect, recorder, transport } = await setupScripted(t, script)
    const endings = async (n: number): Promise<boolean | undefined> =>
      (await recorder.nth(recorder.failures, n)).idle
    await connect(version)
    t.true(await endings(1))
    act = (link) => {
      link.deliver('a', 'x')
      link.stream.end()
    }
    await connect(version)
    t.is(await endings(2), undefined)
    act = () => {}
    await connect(version)
    await t.throwsAsync(transport.subscribe([wanted('a')]))
    t.is(await endings(3), undefined)
    await connect(version)
    transport.cut({ type: 'overflow', message: 'ours' })
    t.is(await endings(4), undefined)
    act = (link) => void link.stream.destroy()
    transport.connect(version)
    await endings(5)
  }
})

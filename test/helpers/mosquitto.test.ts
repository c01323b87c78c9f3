// The mosquitto helper does what the tests that use it take for granted.
import test from 'ava'
import { access } from 'node:fs/promises'
import { createServer } from 'node:net'
import { connect, connectAsync, type IClientOptions, type MqttClient } from 'mqtt'
import { certificates } from './certificates.ts'
import { freePort, isFree } from './free-port.ts'
import { startMosquitto, type Mosquitto } from './mosquitto.ts'
import { startPublisher } from './publisher.ts'
import { serverTest } from './server-test.ts'

const withMosquitto = serverTest('mosquitto')

async function roundTrip(url: string, options: IClientOptions = {}): Promise<string> {
  const client = await connectAsync(url, { reconnectPeriod: 0, ...options }, false)
  const arrived = new Promise<string>((resolve) =>
    client.once('message', (_, payload) => resolve(payload.toString())),
  )
  await client.subscribeAsync('there', { qos: 1 })
  await client.publishAsync('there', 'and back', { qos: 1 })
  const payload = await arrived
  await client.endAsync()
  return payload
}

test('a free port is free, and one that is taken is not', async (t) => {
  const port = await freePort()
  t.true(await isFree(port))
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  t.false(await isFree(port))
  await new Promise((resolve) => server.close(resolve))
})

withMosquitto('it listens when start has resolved, and leaves nothing behind after stop', async (t) => {
  const broker = await startMosquitto({ unixSocket: true })
  t.is(broker.url, `mqtt://127.0.0.1:${broker.port}`)
  t.is(await roundTrip(broker.url), 'and back')
  t.regex(broker.log(), /mosquitto version .* running/)
  const { pid, socketPath } = broker
  await t.notThrowsAsync(access(socketPath ?? ''))
  await broker.stop()
  await t.throwsAsync(access(socketPath ?? ''))
  t.throws(() => process.kill(pid ?? 0, 0), { code: 'ESRCH' })
  t.true(await isFree(broker.port))
})

withMosquitto('a start that can not succeed says what mosquitto said', async (t) => {
  await t.throwsAsync(startMosquitto({ extra: ['no_such_option 1'] }), { message: /no_such_option/ })
})

withMosquitto('a user with the right password may connect, nobody else', async (t) => {
  const broker = await startMosquitto({ passwords: { alice: 'secret' } })
  t.teardown(() => broker.stop())
  t.is(await roundTrip(broker.url, { username: 'alice', password: 'secret' }), 'and back')
  await t.throwsAsync(roundTrip(broker.url, { username: 'alice', password: 'guess' }))
  await t.throwsAsync(roundTrip(broker.url))
})

withMosquitto('it speaks TLS with the certificates of the tests, and can ask for one', async (t) => {
  const { ca, otherCa, server, client } = await certificates()
  const tls = { ca: ca.certFile, cert: server.certFile, key: server.keyFile }
  const broker = await startMosquitto({ tls })
  const strict = await startMosquitto({ tls: { ...tls, requireClientCertificate: true } })
  t.teardown(() => Promise.all([broker.stop(), strict.stop()]))
  t.is(broker.url, `mqtts://localhost:${broker.port}`)
  t.is(await roundTrip(broker.url, { ca: ca.cert }), 'and back')
  await t.throwsAsync(roundTrip(broker.url, { ca: otherCa.cert }))
  t.is(await roundTrip(strict.url, { ca: ca.cert, cert: client.cert, key: client.key }), 'and back')
  await t.throwsAsync(roundTrip(strict.url, { ca: ca.cert }))
})

withMosquitto('it speaks MQTT over websockets, with and without TLS', async (t) => {
  const { ca, server } = await certificates()
  const plain = await startMosquitto({ websockets: true })
  const secure = await startMosquitto({
    websockets: true,
    tls: { ca: ca.certFile, cert: server.certFile, key: server.keyFile },
  })
  t.teardown(() => Promise.all([plain.stop(), secure.stop()]))
  t.is(await roundTrip(plain.url), 'and back')
  t.is(await roundTrip(secure.url, { ca: ca.cert }), 'and back')
})

/** Comes back to its session; listeners can be set before it does. */
function returnAsKeeper(broker: Mosquitto): MqttClient {
  return connect(broker.url, { clientId: 'keeper', clean: false, reconnectPeriod: 0 })
}

/** Subscribes as `keeper` and goes, then publishes one message that the session keeps. */
async function leaveMessage(broker: Mosquitto): Promise<void> {
  const keeper = await connectAsync(broker.url, { clientId: 'keeper', clean: false })
  await keeper.subscribeAsync('kept', { qos: 1 })
  await keeper.endAsync()
  const publisher = await startPublisher(broker.url)
  await publisher.publish('kept', 'still here')
  await publisher.close()
}

withMosquitto('with persistence a session survives a restart on the same port', async (t) => {
  const broker = await startMosquitto({ persistence: true })
  t.teardown(() => broker.stop())
  const { port } = broker
  await leaveMessage(broker)
  await broker.restart()
  t.is(broker.port, port)
  const keeper = returnAsKeeper(broker)
  t.teardown(() => keeper.endAsync())
  const payload = await new Promise<Buffer>((resolve) => keeper.once('message', (_, bytes) => resolve(bytes)))
  t.is(payload.toString(), 'still here')
})

withMosquitto('killed, it forgets its sessions and can be started again', async (t) => {
  const broker = await startMosquitto()
  t.teardown(() => broker.stop())
  await leaveMessage(broker)
  await broker.kill()
  t.true(await isFree(broker.port))
  await broker.restart()
  const keeper = returnAsKeeper(broker)
  t.teardown(() => keeper.endAsync())
  t.false(await new Promise((resolve) => keeper.once('connect', (packet) => resolve(packet.sessionPresent))))
})

withMosquitto('paused it is silent, and answers when it is resumed', async (t) => {
  const broker = await startMosquitto()
  t.teardown(() => broker.stop())
  const publisher = await startPublisher(broker.url)
  t.teardown(() => publisher.close())
  broker.pause()
  let acknowledged = false
  const published = publisher.publish('a', 'b').then(() => (acknowledged = true))
  // As long as another broker takes to start and to answer, this one has not said a word.
  const other = await startMosquitto()
  t.teardown(() => other.stop())
  t.is(await roundTrip(other.url), 'and back')
  t.false(acknowledged)
  broker.resume()
  t.true(await published)
})

withMosquitto('a paused one can be stopped', async (t) => {
  const broker = await startMosquitto()
  const { pid } = broker
  broker.pause()
  await broker.stop()
  t.throws(() => process.kill(pid ?? 0, 0), { code: 'ESRCH' })
})

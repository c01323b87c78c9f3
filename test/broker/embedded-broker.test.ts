// The embedded broker does what a development broker must: deliver as granted, stay on loopback, and close.
import test, { type ExecutionContext } from 'ava'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { connect as dial, createServer } from 'node:net'
import { networkInterfaces } from 'node:os'
import {
  connect,
  connectAsync,
  type IClientOptions,
  type IDisconnectPacket,
  type IPublishPacket,
  type MqttClient,
} from 'mqtt'
import { generate, parser } from 'mqtt-packet'
import { startBroker, type BrokerOptions, type EmbeddedBroker } from '../../lib/broker/index.ts'
import { startBrokerWith } from '../../lib/broker/embedded-broker.ts'
import { loader } from '../helpers/loader.ts'
import { startPublisher, withoutNagle } from '../helpers/publisher.ts'

async function start(t: ExecutionContext, options: BrokerOptions = {}): Promise<EmbeddedBroker> {
  const broker = await startBroker({ port: 0, ...options })
  t.teardown(() => broker.close())
  return broker
}

async function client(t: ExecutionContext, url: string, options: IClientOptions = {}): Promise<MqttClient> {
  const connected = await connectAsync(url, { reconnectPeriod: 0, ...options }, false)
  t.teardown(() => connected.endAsync(true))
  return connected
}

/** Resolves with the first argument of the next such event. */
function event(
  from: MqttClient,
  name: 'close' | 'connect' | 'disconnect',
): Promise<IDisconnectPacket | undefined> {
  return new Promise((resolve) => {
    if (name === 'disconnect') from.once(name, resolve)
    else from.once(name, () => resolve(undefined))
  })
}

/** The next message, as a whole. */
function next(from: MqttClient): Promise<IPublishPacket> {
  return new Promise((resolve) => from.once('message', (_topic, _payload, packet) => resolve(packet)))
}

for (const protocolVersion of [4, 5] as const) {
  test(`version ${protocolVersion}: a message reaches its subscribers`, async (t) => {
    const broker = await start(t)
    t.is(broker.url, `mqtt://127.0.0.1:${broker.port}`)
    const subscriber = await client(t, broker.url, { protocolVersion })
    await subscriber.subscribeAsync('a/+', { qos: 1 })
    const arrived = next(subscriber)
    const publisher = await startPublisher(broker.url, { protocolVersion })
    await publisher.publish('a/b', 'hello')
    await publisher.close()
    const { topic, payload, qos } = await arrived
    t.deepEqual([topic, payload.toString(), qos], ['a/b', 'hello', 1])
    t.is(broker.clients, 1)
  })

  test(`version ${protocolVersion}: a wildcard subscription of QoS 1 gets QoS 2 messages with QoS 1`, async (t) => {
    const broker = await start(t)
    const subscriber = await client(t, broker.url, { protocolVersion })
    await subscriber.subscribeAsync('a/#', { qos: 1 })
    const arrived = next(subscriber)
    await broker.publish('a/b', 'x', { qos: 2 })
    t.is((await arrived).qos, 1)
  })

  test(`version ${protocolVersion}: what was queued for a session comes with the granted QoS, and once`, async (t) => {
    const broker = await start(t)
    const session: IClientOptions = {
      protocolVersion,
      clientId: 'keeper',
      clean: false,
      reconnectPeriod: 0,
      ...(protocolVersion === 5 && { properties: { sessionExpiryInterval: 60 } }),
    }
    const before = await client(t, broker.url, session)
    await before.subscribeAsync('a/#', { qos: 1 })
    await before.endAsync()
    await broker.publish('a/b', 'queued', { qos: 2 })
    const after = connect(broker.url, session)
    t.teardown(() => after.endAsync(true))
    const { qos, payload } = await next(after)
    t.deepEqual([qos, payload.toString()], [1, 'queued'])
    // Acknowledged by the client with PUBACK, so nothing is left for the next connection.
    await after.endAsync()
    const last = connect(broker.url, session)
    t.teardown(() => last.endAsync(true))
    const first = next(last)
    await event(last, 'connect')
    await broker.publish('a/b', 'new')
    t.is((await first).payload.toString(), 'new')
  })

  test(`version ${protocolVersion}: a shared subscription is refused, not granted and forgotten`, async (t) => {
    const broker = await start(t)
    const subscriber = await client(t, broker.url, { protocolVersion })
    const error = await t.throwsAsync(subscriber.subscribeAsync('$share/g/a/#', { qos: 1 }))
    const refused = error as Error & { packet?: { granted: number[] } }
    t.deepEqual(refused.packet?.granted, [protocolVersion === 5 ? 0x9e : 0x80])
  })
}

for (const isQueued of [false, true]) {
  const when = isQueued ? 'queued for a session' : 'that comes at once'
  test(`a message ${when} names all subscriptions that match it`, async (t) => {
    const broker = await start(t)
    const session = { protocolVersion: 5, clientId: 'keeper', clean: false, reconnectPeriod: 0 } as const
    const options = { ...session, properties: { sessionExpiryInterval: 60 } }
    const before = await client(t, broker.url, options)
    for (const [index, filter] of ['+/b', 'a/+', 'c'].entries())
      await before.subscribeAsync(filter, { qos: 1, properties: { subscriptionIdentifier: index + 1 } })
    if (isQueued) await before.endAsync()
    const after = isQueued ? connect(broker.url, { ...options, manualConnect: true }) : before
    t.teardown(() => after.endAsync(true))
    const arrived = next(after)
    await broker.publish('a/b', 'x')
    if (isQueued) after.connect()
    t.deepEqual((await arrived).properties?.subscriptionIdentifier, [1, 2])
  })
}

test('a retained message comes to a wildcard subscription of QoS 0 with QoS 0', async (t) => {
  const broker = await start(t)
  await broker.publish('a/b', { celsius: 21 }, { retain: true })
  const subscriber = await client(t, broker.url)
  const arrived = next(subscriber)
  await subscriber.subscribeAsync('a/#', { qos: 0 })
  const { qos, retain, payload } = await arrived
  t.deepEqual([qos, retain, payload.toString()], [0, true, '{"celsius":21}'])
})

test('a round trip does not wait for a delayed ACK', async (t) => {
  const broker = await start(t)
  const loop = await client(t, broker.url)
  withoutNagle(loop)
  await loop.subscribeAsync('a', { qos: 1 })
  const trips: number[] = []
  for (let i = 0; i < 60; i++) {
    const begin = performance.now()
    const arrived = next(loop)
    // The broker answers with two small packets, PUBACK and PUBLISH: with Nagle's algorithm the second
    // waits until the kernel acknowledges the first, 40 ms later.
    await loop.publishAsync('a', 'x', { qos: 1 })
    await arrived
    trips.push(performance.now() - begin)
  }
  const median = trips.sort((a, b) => a - b)[30] ?? Infinity
  t.true(median < 30, `median of 60: ${median} ms`)
})

test('it is bound to its one address: the same port is free on another', async (t) => {
  const broker = await start(t)
  const other = createServer()
  other.listen(broker.port, '127.0.0.2')
  await t.notThrowsAsync(once(other, 'listening'))
  other.close()
})

test('other names of loopback are understood', async (t) => {
  t.is(new URL((await start(t, { host: 'localhost' })).url).hostname, '127.0.0.1')
  t.is(new URL((await start(t, { host: '127.0.0.3' })).url).hostname, '127.0.0.3')
  const hasIPv6 = Object.values(networkInterfaces()).some((list) =>
    list?.some(({ address }) => address === '::1'),
  )
  if (hasIPv6) t.is(new URL((await start(t, { host: '::1' })).url).hostname, '[::1]')
  // Not refused as one of the network's, but as one this machine does not have.
  else await t.throwsAsync(start(t, { host: '::1' }), { code: 'ERR_BROKER_PORT' })
})

for (const host of ['0.0.0.0', '::', '192.168.1.5', 'example.org', '127.0.0.1.example.org', '']) {
  test(`the address "${host}" is refused`, async (t) => {
    await t.throwsAsync(startBroker({ port: 0, host }), {
      code: 'ERR_BROKER_OPTION',
      message: /loopback only/,
    })
  })
}

test('wrong options are refused with what was expected', async (t) => {
  for (const port of [-1, 65_536, 1.5, Number.NaN]) {
    await t.throwsAsync(startBroker({ port }), { code: 'ERR_BROKER_OPTION', message: /from 0 .* to 65535/ })
  }
  const misspelt = { port: 0, hots: '127.0.0.1' }
  await t.throwsAsync(startBroker(misspelt), { code: 'ERR_BROKER_OPTION', message: /"hots"/ })
})

test('a taken port is named, with what to do', async (t) => {
  const { port } = await start(t)
  const error = await t.throwsAsync(startBroker({ port }), { code: 'ERR_BROKER_PORT' })
  t.regex(
    error?.message ?? '',
    new RegExp(`port ${port} of 127.0.0.1, .*Stop it, connect to it .*another port`),
  )
})

test('without aedes the error prints the command that installs it', async (t) => {
  const missing = Object.assign(new Error("Cannot find package 'aedes'"), { code: 'ERR_MODULE_NOT_FOUND' })
  const error = await t.throwsAsync(
    startBrokerWith(() => Promise.reject(missing), {}),
    { code: 'ERR_PEER_MISSING' },
  )
  t.regex(error?.message ?? '', /npm install --save-exact aedes@2\.0\.0-beta\.1$/)
  t.is(error?.cause, missing)
})

test('an aedes of long ago is told from a good one', async (t) => {
  const old = Object.assign(() => undefined, { Server: () => undefined })
  for (const found of [old, { default: old }, { Aedes: () => undefined }, null]) {
    const started = startBrokerWith(() => Promise.resolve(found), {})
    await t.throwsAsync(started, { code: 'ERR_PEER_MISSING', message: /too old/ })
  }
})

test('a client that stops reading is dropped after five seconds, not after a minute', async (t) => {
  const { Aedes } = await import('aedes')
  let drainTimeout: number | undefined
  const createBroker: typeof Aedes.createBroker = (options) => {
    drainTimeout = options?.drainTimeout
    return Aedes.createBroker(options)
  }
  const found = { Aedes: Object.assign(() => undefined, { createBroker }) }
  const broker = await startBrokerWith(() => Promise.resolve(found), { port: 0 })
  await broker.close()
  t.is(drainTimeout, 5_000)
})

test('it says that it is for development, and whose packets it can not read', async (t) => {
  const lines: string[] = []
  const complained = new Promise<string>((resolve) => {
    const say = (line: string): void => void lines.push(line)
    const log = { debug: say, info: say, warn: resolve, error: resolve }
    void start(t, { log }).then((broker) => {
      const socket = dial(broker.port, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\n\r\n'))
      socket.on('error', () => undefined)
    })
  })
  t.regex(await complained, /a client before its CONNECT/)
  t.regex(lines[0] ?? '', /mqtt:\/\/127\.0\.0\.1:\d+\. For development only/)
})

test('close resolves with clients connected, tells those of MQTT 5, and frees the port', async (t) => {
  const broker = await start(t)
  const { port } = broker
  const [five, four] = [await client(t, broker.url, { protocolVersion: 5 }), await client(t, broker.url)]
  const silent = dial(port, '127.0.0.1')
  await once(silent, 'connect')
  const told = event(five, 'disconnect')
  const ended = Promise.all([event(five, 'close'), event(four, 'close'), once(silent, 'close')])
  const begin = performance.now()
  silent.resume()
  await broker.close()
  t.true(performance.now() - begin < 1_000)
  await ended
  t.is((await told)?.reasonCode, 0x8b)
  t.is(broker.clients, 0)
  const again = await startBroker({ port })
  t.is(again.port, port)
  await again.close()
})

/** A client of MQTT 5 that has subscribed to `a` and reads nothing after SUBACK. */
async function stall(t: ExecutionContext, port: number): Promise<void> {
  const socket = dial(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  const version = { protocolVersion: 5 }
  const hello = {
    cmd: 'connect',
    clientId: 'stalled',
    clean: true,
    keepalive: 0,
    protocolVersion: 5,
  } as const
  socket.write(generate(hello, version))
  const subscriptions = [{ topic: 'a', qos: 0 as const }]
  socket.write(generate({ cmd: 'subscribe', messageId: 1, subscriptions }, version))
  const answers = parser(version)
  socket.on('data', (bytes: Buffer) => answers.parse(bytes))
  await new Promise<void>((resolve) => {
    answers.on('packet', (packet) => {
      if (packet.cmd !== 'suback') return
      socket.pause()
      resolve()
    })
  })
}

test('close does not wait for a client that does not read', async (t) => {
  const broker = await start(t)
  await stall(t, broker.port)
  // More than the buffers of two sockets hold: nothing that is written behind it ever leaves.
  const stuck = broker.publish('a', Buffer.alloc(24 * 1_048_576), { qos: 0 })
  let delivered = false
  void stuck.finally(() => (delivered = true)).catch(() => undefined)
  for (let i = 0; i < 20; i++) await broker.publish('elsewhere', 'x', { qos: 0 })
  t.false(delivered)
  const begin = performance.now()
  await broker.close()
  t.true(performance.now() - begin < 2_000)
})

test('closed it refuses to publish, and closing again is harmless', async (t) => {
  const broker = await startBroker({ port: 0 })
  await broker[Symbol.asyncDispose]()
  await broker.close()
  await t.throwsAsync(broker.publish('a', 'b'), { code: 'ERR_BROKER_CLOSED' })
})

test('a publication to what is no topic is refused', async (t) => {
  const broker = await start(t)
  await t.throwsAsync(broker.publish('a/#', 'b'), { code: 'ERR_TOPIC_INVALID' })
})

test('nothing of a closed broker keeps the process alive', async (t) => {
  const face = new URL('../../lib/broker/index.ts', import.meta.url).href
  const script = `
    const { startBroker } = await import(${JSON.stringify(face)})
    const net = await import('node:net')
    const broker = await startBroker({ port: 0 })
    net.connect(broker.port, '127.0.0.1', async () => { await broker.close(); console.log('closed') })
  `
  const run = new Promise<string>((resolve, reject) => {
    execFile(
      process.execPath,
      ['--import', loader, '--input-type=module', '--eval', script],
      { timeout: 20_000 },
      (error, stdout) => (error === null ? resolve(stdout.trim()) : reject(error)),
    )
  })
  t.is(await run, 'closed')
})

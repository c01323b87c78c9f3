// What lib/transport/mqtt-transport.ts relies on in MQTT.js. A failure here after an upgrade says what has to be looked at.
import { connect as connectTcp } from 'node:net'
import { Duplex } from 'node:stream'
import test, { type ExecutionContext } from 'ava'
import { MqttClient, UniqueMessageIdProvider, type IClientOptions, type Packet } from 'mqtt'
import { generate } from 'mqtt-packet'
import { message, startScriptedBroker, type Script, type ScriptedBroker } from '../helpers/scripted-broker.ts'

interface Setup {
  readonly client: MqttClient
  readonly broker: ScriptedBroker
  readonly errors: Error[]
  /** How often the stream builder was called. */
  readonly built: () => number
  /** The client's own `connect` event, after `connect()`. */
  readonly up: () => Promise<void>
}

async function setup(
  t: ExecutionContext,
  script: Script = {},
  options: Partial<IClientOptions> = {},
): Promise<Setup> {
  const broker = await startScriptedBroker(t, script)
  let built = 0
  const client = new MqttClient(
    () => {
      built++
      return connectTcp({ host: '127.0.0.1', port: broker.port, noDelay: true })
    },
    {
      protocolVersion: 5,
      clientId: 'contract',
      clean: true,
      manualConnect: true,
      reconnectPeriod: 2 ** 31 - 1,
      connectTimeout: 2 ** 31 - 1,
      resubscribe: false,
      queueQoSZero: false,
      messageIdProvider: new UniqueMessageIdProvider(),
      log: () => {},
      ...options,
    },
  )
  const errors: Error[] = []
  client.on('error', (error) => errors.push(error))
  t.teardown(() => client.end(true))
  const up = async (): Promise<void> => {
    const connected = event(client, 'connect')
    client.connect()
    await connected
  }
  return { client, broker, errors, built: () => built, up }
}

/** The next event of this name. `once` of node:events would reject on an error. */
function event(client: MqttClient, name: 'connect' | 'close' | 'error' | 'end'): Promise<void> {
  return new Promise((resolve) => client.once(name, () => resolve()))
}

/** Some turns of the event loop, in which something that must not happen would have happened. */
async function turns(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
}

test('with manualConnect nothing is opened before connect(), and each connect() opens one stream', async (t) => {
  const { broker, built, client, up } = await setup(t)
  await turns()
  t.is(built(), 0)
  await up()
  t.is(built(), 1)
  const closed = event(client, 'close')
  broker.links[0]?.stream.destroy()
  await closed
  await up()
  t.is(built(), 2)
})

test('with the largest reconnectPeriod it never connects by itself, after a close as after a refusal', async (t) => {
  let code = 0
  const { broker, built, client, up } = await setup(t, {
    connect: (link) => link.welcome({ reasonCode: code }),
  })
  await up()
  const closed = event(client, 'close')
  broker.links[0]?.stream.destroy()
  await closed
  code = 0x87
  const refused = event(client, 'close')
  client.connect()
  await refused
  await turns()
  t.is(built(), 2)
  code = 0
  await up()
  t.is(built(), 3)
})

test('an unanswered publication survives a close and a refusal, and is sent again with its id before connect', async (t) => {
  let code = 0
  let answers = false
  const script: Script = {
    connect: (link) => link.welcome({ reasonCode: code }),
    publish: (link, packet) => {
      if (answers) link.answer(packet)
    },
  }
  const { broker, client, up } = await setup(t, script)
  await up()
  const settled: unknown[] = []
  client.publish('a', 'x', { qos: 1 }, (error) => settled.push(error ?? 'done'))
  const first = await broker.link()
  const { messageId } = await first.next('publish')
  const closed = event(client, 'close')
  first.stream.destroy()
  await closed
  code = 0x89
  const refused = event(client, 'close')
  client.connect()
  await refused
  await broker.link()
  t.deepEqual(settled, [])
  code = 0
  answers = true
  await up()
  // The connect event comes when all that was stored is answered.
  t.deepEqual(settled, ['done'])
  const third = await broker.link()
  t.is((await third.next('publish')).messageId, messageId)
})

test('what it is asked for while it sends what it has stored fails with that connection: we must hold it back', async (t) => {
  const { broker, client, up } = await setup(t, { publish: () => {} })
  await up()
  client.publish('stored', 'x', { qos: 1 })
  const first = await broker.link()
  await first.next('publish')
  const closed = event(client, 'close')
  first.stream.destroy()
  await closed
  client.connect()
  const second = await broker.link()
  await second.next('publish')
  t.true(client.connected)
  const failed = new Promise<unknown>((resolve) => client.publish('new', 'x', { qos: 1 }, resolve))
  second.stream.destroy()
  // If this fails, MQTT.js has mended it (issue 2015), and BrokerRequests need not wait for its connect event.
  t.like(await failed, { message: 'Connection closed' })
  t.is(second.all('publish').length, 1)
})

test('packetreceive comes before a packet is handled, and connected is true in the next tick', async (t) => {
  const { client } = await setup(t)
  const seen: unknown[] = []
  client.on('packetreceive', (packet) => {
    seen.push(packet.cmd, client.connected)
    process.nextTick(() => seen.push(client.connected))
  })
  client.connect()
  await event(client, 'connect')
  t.deepEqual(seen, ['connack', false, true])
})

test('what a listener of packetsend changes is what is sent', async (t) => {
  const { broker, client, up } = await setup(t)
  client.on('packetsend', (packet: Packet) => {
    if (packet.cmd === 'publish') packet.dup = true
  })
  await up()
  await client.publishAsync('a', 'x', { qos: 1 })
  const link = await broker.link()
  t.true(link.all('publish')[0]?.dup)
})

test('username and password are taken from the options at each connect()', async (t) => {
  const { broker, client, up } = await setup(t)
  await up()
  const closed = event(client, 'close')
  broker.links[0]?.stream.destroy()
  await closed
  Object.assign(client.options, { username: 'new', password: Buffer.from('secret') })
  await up()
  t.like(broker.links[1]?.all('connect')[0], { username: 'new', password: Buffer.from('secret') })
})

test('an error of the parser is emitted, and nothing is closed', async (t) => {
  const { broker, client, errors, up } = await setup(t)
  await up()
  let closed = false
  client.on('close', () => (closed = true))
  const failed = event(client, 'error')
  broker.links[0]?.send(Buffer.from([0x43, 2, 0, 1]))
  await failed
  await turns()
  t.is(errors.length, 1)
  // If this fails, MQTT.js closes by itself, and our own closing is one too many, but harmless.
  t.false(closed)
  t.false(client.stream.destroyed)
})

test('an error of the stream is emitted as it is, and close follows', async (t) => {
  const { client, errors, up } = await setup(t)
  await up()
  const fault = Object.assign(new Error('x'), { code: 'ECONNRESET' })
  const closed = event(client, 'close')
  client.stream.destroy(fault)
  await closed
  await turns()
  t.deepEqual(errors, [fault])
})

test('sendPing() and reschedulePing(true) keep a connection on which nothing is read', async (t) => {
  const { broker, client, up } = await setup(t, { pingreq: () => {} }, { keepalive: 1 })
  await up()
  const timer = setInterval(() => {
    client.sendPing()
    client.reschedulePing(true)
  }, 500)
  t.teardown(() => clearInterval(timer))
  const link = await broker.link()
  await link.until(() => link.all('pingreq')[4])
  t.true(client.connected)
})

test('a missing PINGRESP calls onKeepaliveTimeout, which can be replaced', async (t) => {
  const { client, errors, up } = await setup(t, { pingreq: () => {} }, { keepalive: 1 })
  const called = new Promise<void>((resolve) => {
    client.onKeepaliveTimeout = resolve
  })
  await up()
  await called
  t.deepEqual(errors, [])
  t.false(client.stream.destroyed)
})

test('keepalive is the one of CONNACK when it names one', async (t) => {
  const script: Script = { connect: (link) => link.welcome({ properties: { serverKeepAlive: 7 } }) }
  const { client, up } = await setup(t, script)
  t.is(client.keepalive, 60)
  await up()
  t.is(client.keepalive, 7)
})

test('the callback of publish gets the publication and not PUBACK: its reason code must be read off the wire', async (t) => {
  const script: Script = {
    publish: (link, { messageId = 0 }) => link.send({ cmd: 'puback', messageId, reasonCode: 0x10 }),
  }
  const { client, up } = await setup(t, script)
  await up()
  const answer = await new Promise<Packet | undefined>((resolve) => {
    client.publish('a', 'x', { qos: 1 }, (_error, packet) => resolve(packet))
  })
  t.like(answer, { cmd: 'publish', messageId: client.getLastMessageId() })
})

test('a refusal in PUBACK is an error with the reason code, and PUBACK beside it', async (t) => {
  const script: Script = {
    publish: (link, { messageId = 0 }) => link.send({ cmd: 'puback', messageId, reasonCode: 0x87 }),
  }
  const { client, up } = await setup(t, script)
  await up()
  const answer = await new Promise<unknown[]>((resolve) => {
    client.publish('a', 'x', { qos: 1 }, (...got) => resolve(got))
  })
  t.like(answer[0], { code: 0x87 })
  t.like(answer[1], { cmd: 'puback', messageId: client.getLastMessageId(), reasonCode: 0x87 })
})

test('removeOutgoingMessage takes a publication out of the store, where outgoingStore.get() has found it', async (t) => {
  const { broker, client, up } = await setup(t, { publish: () => {} })
  await up()
  const removed = new Promise((resolve) => {
    client.publish('a', 'x', { qos: 1 }, (error) => resolve(error))
  })
  const first = await broker.link()
  const { messageId = 0 } = await first.next('publish')
  const closed = event(client, 'close')
  first.stream.destroy()
  await closed
  const found = await new Promise((resolve) => {
    client.outgoingStore.get(message('', '', { messageId }), (_error, packet) => resolve(packet))
  })
  t.like(found, { cmd: 'publish', topic: 'a', messageId })
  client.removeOutgoingMessage(messageId)
  t.truthy(await removed)
  await up()
  const second = await broker.link()
  client.sendPing()
  await second.next('pingreq')
  t.is(second.all('publish').length, 0)
})

test('a filter is subscribed again with other options when resubscribe is off, and SUBACK comes with a refusal', async (t) => {
  const codes = [1, 1, 0x87]
  const script: Script = {
    subscribe: (link, { messageId = 0 }) =>
      link.send({ cmd: 'suback', messageId, granted: [codes.shift() ?? 0] }),
  }
  const { broker, client, up } = await setup(t, script)
  await up()
  const subscribe = (rh: number): Promise<unknown[]> =>
    new Promise((resolve) => client.subscribe('a', { qos: 1, rh }, (...got) => resolve(got)))
  t.like((await subscribe(0))[2], { cmd: 'suback', granted: [1] })
  t.like((await subscribe(2))[2], { granted: [1] })
  const [error, , suback] = await subscribe(1)
  t.truthy(error)
  t.like(suback, { granted: [0x87] })
  t.is(broker.links[0]?.all('subscribe').length, 3)
})

test('a pending subscribe fails with the connection', async (t) => {
  const { broker, client, up } = await setup(t, { subscribe: () => {} })
  await up()
  const failed = new Promise<unknown[]>((resolve) => client.subscribe('a', (...got) => resolve(got)))
  const link = await broker.link()
  await link.next('subscribe')
  link.stream.destroy()
  const [error, , suback] = await failed
  t.truthy(error)
  t.is(suback, undefined)
})

test('a packet is corked as a whole, so that it reaches the stream in one piece', async (t) => {
  const batches: Buffer[][] = []
  const stream = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      batches.push([chunk])
      done()
    },
    writev(chunks: { chunk: Buffer }[], done) {
      batches.push(chunks.map(({ chunk }) => chunk))
      done()
    },
  })
  const client = new MqttClient(() => stream, {
    manualConnect: true,
    reconnectPeriod: 2 ** 31 - 1,
    log: () => {},
  })
  t.teardown(() => client.end(true))
  const connected = event(client, 'connect')
  client.connect()
  stream.push(generate({ cmd: 'connack', returnCode: 0, sessionPresent: false }))
  await connected
  client.publish('a', 'one', { qos: 1 })
  // Ours, as the transport writes a PUBACK.
  stream.write(Buffer.from([0x40, 2, 0, 9]))
  await turns()
  t.is(batches.length, 2)
  const publish = generate(message('a', 'one', { qos: 1, messageId: client.getLastMessageId() }))
  t.deepEqual(Buffer.concat(batches[1] ?? []), Buffer.concat([publish, Buffer.from([0x40, 2, 0, 9])]))
})

test('a PUBLISH that it never sees is not missed, and a PUBACK, PUBREC, PUBCOMP it never sent disturbs nothing', async (t) => {
  const { broker, client, errors, up } = await setup(t, {}, { keepalive: 1 })
  await up()
  client.stream.write(Buffer.from([0x40, 2, 0, 1, 0x50, 2, 0, 2, 0x70, 2, 0, 2]))
  const link = await broker.link()
  t.is((await link.next('puback')).messageId, 1)
  t.is((await link.next('pubcomp')).messageId, 2)
  await link.next('pingreq')
  t.deepEqual(errors, [])
  t.true(client.connected)
})

test('end(true) after the last stream has closed ends the client for good', async (t) => {
  const { broker, client, up } = await setup(t)
  await up()
  const closed = event(client, 'close')
  broker.links[0]?.stream.destroy()
  await closed
  const ended = event(client, 'end')
  client.end(true)
  await ended
  t.pass()
})

test('CONNACK comes with its Remaining Length, and its properties under the names that are read', async (t) => {
  // Written by hand: an encoder of the same family would agree with any name.
  const properties = Buffer.concat([
    Buffer.from([0x11, 0, 0, 0, 60, 0x21, 0, 7, 0x24, 1, 0x25, 0, 0x27, 0, 0, 4, 0]),
    Buffer.from([0x12, 0, 5, ...Buffer.from('given'), 0x22, 0, 3, 0x28, 0, 0x29, 0, 0x2a, 0, 0x13, 0, 20]),
    Buffer.from([
      0x1a,
      0,
      2,
      ...Buffer.from('r/'),
      0x1c,
      0,
      1,
      ...Buffer.from('s'),
      0x1f,
      0,
      2,
      ...Buffer.from('hi'),
    ]),
  ])
  const bytes = Buffer.concat([
    Buffer.from([0x20, 3 + properties.length, 1, 0, properties.length]),
    properties,
  ])
  const { client } = await setup(t, { connect: (link) => link.send(bytes) }, { clean: false })
  const packet = new Promise<Packet>((resolve) => client.once('packetreceive', resolve))
  client.connect()
  t.like(await packet, {
    cmd: 'connack',
    sessionPresent: true,
    reasonCode: 0,
    length: bytes.length - 2,
    properties: {
      sessionExpiryInterval: 60,
      receiveMaximum: 7,
      maximumQoS: 1,
      retainAvailable: false,
      maximumPacketSize: 1_024,
      assignedClientIdentifier: 'given',
      topicAliasMaximum: 3,
      wildcardSubscriptionAvailable: false,
      subscriptionIdentifiersAvailable: false,
      sharedSubscriptionAvailable: false,
      serverKeepAlive: 20,
      responseInformation: 'r/',
      serverReference: 's',
      reasonString: 'hi',
    },
  })
})

test('behind CONNACK it sends nothing by itself: an end in that moment is no answer to anything', async (t) => {
  const { broker, client, up } = await setup(
    t,
    {},
    { clean: false, properties: { sessionExpiryInterval: 60 } },
  )
  for (let connection = 0; connection < 2; connection++) {
    await up()
    const link = await broker.link()
    await turns()
    t.deepEqual(
      link.packets.map(({ cmd }) => cmd),
      ['connect'],
    )
    const closed = event(client, 'close')
    link.stream.destroy()
    await closed
  }
})

test('DISCONNECT of the broker comes as packetreceive, with its code and its properties', async (t) => {
  const { broker, client, up } = await setup(t)
  await up()
  const packet = new Promise<Packet>((resolve) => client.once('packetreceive', resolve))
  const properties = { reasonString: 'moved', serverReference: 'other.example' }
  broker.links[0]?.send({ cmd: 'disconnect', reasonCode: 0x9c, properties })
  t.like(await packet, { cmd: 'disconnect', reasonCode: 0x9c, properties })
})

test('the options of a subscription and its identifier are on the wire as given', async (t) => {
  const { broker, client, up } = await setup(t)
  await up()
  const properties = { subscriptionIdentifier: 5 }
  await client.subscribeAsync('a/+', { qos: 1, nl: true, rap: true, rh: 2, properties })
  const { subscriptions, ...packet } = await (await broker.link()).next('subscribe')
  t.deepEqual(subscriptions, [{ topic: 'a/+', qos: 1, nl: true, rap: true, rh: 2 }])
  t.like(packet, { properties })
})

test('UNSUBACK comes with one code for each filter', async (t) => {
  const script: Script = {
    unsubscribe: (link, { messageId = 0 }) =>
      link.send({ cmd: 'unsuback', messageId, granted: [0, 0x11, 0x87] }),
  }
  const { client, up } = await setup(t, script)
  await up()
  const answer = await new Promise<unknown[]>((resolve) =>
    client.unsubscribe(['a', 'b', 'c'], (...got) => resolve(got)),
  )
  t.like(answer[1], { cmd: 'unsuback', granted: [0, 0x11, 0x87] })
})

test('getLastMessageId() right behind publish() is the id of that publication', async (t) => {
  const { broker, client, up } = await setup(t)
  await up()
  const ids = ['a', 'b', 'c'].map((topic) => {
    client.publish(topic, 'x', { qos: 1 })
    return client.getLastMessageId()
  })
  const link = await broker.link()
  await link.until(() => link.all('publish')[2])
  t.deepEqual(
    link.all('publish').map(({ messageId }) => messageId),
    ids,
  )
  t.is(new Set(ids).size, 3)
})

test('when a close listener that was added behind connect() is called, it may be connected again', async (t) => {
  const { broker, built, client, up } = await setup(t)
  await up()
  const again = new Promise<boolean>((resolve) => {
    client.stream.once('close', () => {
      resolve(client.connected)
      client.connect()
    })
  })
  const connected = event(client, 'connect')
  broker.links[0]?.stream.destroy()
  t.false(await again)
  await connected
  t.is(built(), 2)
  t.true(client.connected)
})

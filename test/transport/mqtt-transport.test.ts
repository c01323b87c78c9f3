import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import type { MqttasgiError } from '../../lib/core/errors.ts'
import type { BrokerAddress } from '../../lib/transport/socket.ts'
import { unlimited } from '../../lib/transport/broker-limits.ts'
import { wanted } from '../contract/transport.ts'
import { certificates } from '../helpers/certificates.ts'
import { message, startScriptedBroker, type Listen, type Script } from '../helpers/scripted-broker.ts'
import { setupScripted, setupTransport } from '../helpers/transport-setup.ts'

const payload = Buffer.from('x')

/** A turn of the event loop. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

// --- CONNECT and CONNACK ---

test('CONNECT of MQTT 5 carries who we are and our window, and no limit that makes a broker drop or alias', async (t) => {
  const { broker, connect } = await setupScripted(
    t,
    {},
    { clean: false, credentials: () => ({ username: 'user', password: 'secret' }) },
  )
  await connect(5)
  const link = await broker.link()
  const [packet] = link.all('connect')
  t.like(packet, { clientId: 'hall', clean: false, keepalive: 60, protocolVersion: 5, username: 'user' })
  t.is(packet?.password?.toString(), 'secret')
  t.deepEqual({ ...packet?.properties }, { sessionExpiryInterval: 3_600, receiveMaximum: 64 })
})

test('a clean CONNECT asks for no session, and 3.1.1 has no properties', async (t) => {
  const five = await setupScripted(t)
  await five.connect(5)
  const first = await five.broker.link()
  t.like(first.all('connect')[0], { clean: true, properties: { receiveMaximum: 64 } })
  t.is(first.all('connect')[0]?.properties?.sessionExpiryInterval, undefined)
  const four = await setupScripted(t)
  await four.connect(4)
  const second = await four.broker.link()
  t.like(second.all('connect')[0], { clean: true, protocolVersion: 4, username: undefined })
  t.is(second.all('connect')[0]?.properties, undefined)
})

test('credentials are asked for at each attempt', async (t) => {
  let asked = 0
  const { broker, connect, transport, recorder } = await setupScripted(
    t,
    {},
    { credentials: () => ({ username: `user ${++asked}`, password: Buffer.from([asked]) }) },
  )
  await connect()
  transport.cut({ type: 'overflow', message: 'x' })
  await recorder.nth(recorder.failures, 1)
  await connect()
  const names = broker.links.map((link) => link.all('connect')[0])
  t.deepEqual(
    names.map((packet) => packet?.username),
    ['user 1', 'user 2'],
  )
  t.deepEqual(names[1]?.password, Buffer.from([2]))
})

test('what CONNACK of MQTT 5 settles is told', async (t) => {
  const script: Script = {
    connect: (link) =>
      link.welcome({
        sessionPresent: true,
        properties: {
          receiveMaximum: 7,
          maximumPacketSize: 1_000,
          subscriptionIdentifiersAvailable: false,
          sharedSubscriptionAvailable: false,
          maximumQoS: 1,
          retainAvailable: false,
          wildcardSubscriptionAvailable: false,
          topicAliasMaximum: 3,
          sessionExpiryInterval: 60,
          serverKeepAlive: 20,
          assignedClientIdentifier: 'given',
          responseInformation: 'answers/',
          serverReference: 'other.example',
          reasonString: 'welcome',
        },
      }),
  }
  const { connect } = await setupScripted(t, script, { clean: false })
  t.deepEqual(await connect(5), {
    sessionPresent: true,
    protocolVersion: 5,
    receiveMaximum: 7,
    maximumPacketSize: 1_000,
    subscriptionIdentifiers: false,
    sharedSubscriptions: false,
    limits: {
      maximumQoS: 1,
      retainAvailable: false,
      wildcardSubscriptions: false,
      topicAliasMaximum: 3,
      sessionExpirySeconds: 60,
      keepaliveSeconds: 20,
      assignedClientId: 'given',
      responseInformation: 'answers/',
      serverReference: 'other.example',
      reasonString: 'welcome',
    },
  })
})

test('what CONNACK does not settle is what the standard says', async (t) => {
  const { connect } = await setupScripted(t)
  const all = {
    sessionPresent: false,
    receiveMaximum: 65_535,
    maximumPacketSize: undefined,
    sharedSubscriptions: true,
    limits: unlimited,
  }
  t.deepEqual(await connect(5), { ...all, protocolVersion: 5, subscriptionIdentifiers: true })
  const older = await setupScripted(t)
  t.deepEqual(await older.connect(4), { ...all, protocolVersion: 4, subscriptionIdentifiers: false })
})

test('messages in one chunk with CONNACK come behind connected()', async (t) => {
  const script: Script = {
    connect: (link) =>
      link.send(
        { cmd: 'connack', sessionPresent: true, reasonCode: 0 },
        message('a', '1', { qos: 1, messageId: 1 }),
        message('big', 'x'.repeat(2_000), { qos: 1, messageId: 2 }),
        message('a', '3', { qos: 1, messageId: 3 }),
      ),
  }
  const { connect, recorder } = await setupScripted(t, script, { clean: false, maxPacketBytes: 1_000 })
  await connect()
  await recorder.nth(recorder.arrivals, 2)
  t.deepEqual(recorder.log, ['connected', 'arrived', 'skipped', 'arrived'])
  t.deepEqual(recorder.skips, [
    { packetId: 2, bytes: recorder.skips[0]?.bytes ?? 0, topic: 'big', dup: false },
  ])
})

test('connect() twice, or before listen(), is a mistake that is told at once', async (t) => {
  const { transport } = await setupScripted(t)
  transport.connect(5)
  t.throws(() => transport.connect(5), { message: /closed\(\) of the attempt before/ })
})

// --- publications ---

test('0x10, nobody subscribes to it, is a success that can be told from others', async (t) => {
  const script: Script = {
    publish: (link, { messageId = 0, qos }) => {
      link.send({ cmd: qos === 1 ? 'puback' : 'pubrec', messageId, reasonCode: 0x10 })
    },
  }
  const { connect, transport } = await setupScripted(t, script)
  await connect()
  t.deepEqual(await transport.publish('nobody', payload, { qos: 1 }), { reasonCode: 0x10 })
  t.deepEqual(await transport.publish('nobody', payload, { qos: 2 }), { reasonCode: 0x10 })
})

for (const [qos, cmd] of [
  [1, 'puback'],
  [2, 'pubrec'],
] as const) {
  test(`a refusal in ${cmd.toUpperCase()} names the topic and the reason, and the next publication is a new one`, async (t) => {
    const script: Script = {
      publish: (link, packet) => {
        if (packet.topic === 'good') link.answer(packet)
        else link.send({ cmd, messageId: packet.messageId ?? 0, reasonCode: 0x87 })
      },
    }
    const { connect, transport } = await setupScripted(t, script)
    await connect()
    const error = await t.throwsAsync<MqttasgiError>(transport.publish('alarms/hall', payload, { qos }))
    t.like(error, { code: 'ERR_PUBLISH_REFUSED', topic: 'alarms/hall' })
    t.regex(error?.message ?? '', /"alarms\/hall" \(0x87, not authorized\)/)
    t.deepEqual(await transport.publish('good', payload, { qos }), { reasonCode: 0 })
    t.false(transport.awaiting)
  })
}

test('options and properties stand in PUBLISH as they were given', async (t) => {
  const { broker, connect, transport } = await setupScripted(t)
  await connect(5)
  const userProperties = Object.assign(Object.create(null), { one: 'a', more: ['b', 'c'], none: [] })
  await transport.publish('a', Buffer.from('text'), {
    retain: true,
    properties: {
      payloadFormatIndicator: true,
      messageExpiryInterval: 60,
      contentType: 'text/plain',
      responseTopic: 'back',
      correlationData: new Uint8Array([1, 2]),
      userProperties,
    },
  })
  const link = await broker.link()
  const [packet] = link.all('publish')
  t.like(packet, { topic: 'a', qos: 1, retain: true, dup: false })
  t.is(packet?.payload.toString(), 'text')
  const { userProperties: user, ...rest } = packet?.properties ?? {}
  t.deepEqual({ ...user }, { one: 'a', more: ['b', 'c'] })
  t.deepEqual(
    { ...rest },
    {
      payloadFormatIndicator: true,
      messageExpiryInterval: 60,
      contentType: 'text/plain',
      responseTopic: 'back',
      correlationData: Buffer.from([1, 2]),
    },
  )
})

test('properties that are empty, or given to a broker of 3.1.1, stop nothing', async (t) => {
  const five = await setupScripted(t)
  await five.connect(5)
  await five.transport.publish('a', payload, { properties: { userProperties: {} } })
  const four = await setupScripted(t)
  await four.connect(4)
  await four.transport.publish('a', payload, { properties: { contentType: 'x' } })
  t.pass()
})

test('a publication above the Maximum Packet Size is refused here, the largest below it is sent', async (t) => {
  const script: Script = { connect: (link) => link.welcome({ properties: { maximumPacketSize: 100 } }) }
  const { broker, connect, transport, recorder } = await setupScripted(t, script)
  await connect(5)
  const properties = { userProperties: { name: ['1', '2'] } }
  // Header 2, topic 3, id 2, properties 1 + 2 × 10, payload.
  const largest = Buffer.alloc(100 - 2 - 3 - 2 - 21)
  await transport.publish('a', largest, { properties })
  const link = await broker.link()
  t.is(link.encode(link.all('publish')[0] ?? { cmd: 'pingreq' }).length, 100)
  for (const qos of [0, 1, 2] as const) {
    const error = await t.throwsAsync<MqttasgiError>(
      transport.publish('a', Buffer.alloc(100), { qos, properties }),
    )
    t.like(error, { code: 'ERR_PUBLISH_TOO_LARGE', topic: 'a' })
    t.regex(error?.message ?? '', /takes \d+ bytes, and the broker takes 100 at most/)
  }
  await transport.publish('a', payload, {})
  t.is(link.all('publish').length, 2)
  t.deepEqual(recorder.log, ['connected'])
})

test('what the broker has said it does not take is not sent', async (t) => {
  const script: Script = {
    connect: (link) => link.welcome({ properties: { maximumQoS: 0, retainAvailable: false } }),
  }
  const { broker, connect, transport } = await setupScripted(t, script)
  await connect(5)
  await t.throwsAsync(transport.publish('a', payload, { qos: 1 }), {
    code: 'ERR_PUBLISH_REFUSED',
    message: /QoS 0 at most/,
  })
  await t.throwsAsync(transport.publish('a', payload, { qos: 0, retain: true }), {
    code: 'ERR_PUBLISH_REFUSED',
    message: /no retained messages/,
  })
  await transport.publish('a', payload, { qos: 0 })
  await transport.subscribe([wanted('behind')])
  t.is((await broker.link()).all('publish').length, 1)
})

test('what can not be encoded is refused here, and the connection stays', async (t) => {
  const { connect, transport, recorder } = await setupScripted(t)
  await connect(5)
  const invalid = { code: 'ERR_PUBLISH_INVALID' }
  await t.throwsAsync(transport.publish('a/+', payload, {}), { code: 'ERR_TOPIC_INVALID' })
  await t.throwsAsync(transport.publish('', payload, {}), { code: 'ERR_TOPIC_INVALID' })
  await t.throwsAsync(
    transport.publish('a', payload, { properties: { messageExpiryInterval: 1.5 } }),
    invalid,
  )
  await t.throwsAsync(transport.publish('a', payload, { properties: { contentType: '\0' } }), invalid)
  await t.throwsAsync(
    transport.publish('a', payload, { properties: { responseTopic: 'x'.repeat(65_536) } }),
    invalid,
  )
  await transport.publish('a', payload, {})
  t.deepEqual(recorder.log, ['connected'])
  t.false(transport.awaiting)
})

test('QoS 0 that still waits for the socket when the connection ends is rejected', async (t) => {
  const { broker, connect, transport, recorder } = await setupScripted(t)
  await connect()
  const link = await broker.link()
  link.stream.pause()
  const results: Promise<unknown>[] = []
  // Until the socket takes no more: the kernel's buffers first, then ours.
  while (!transport.awaiting || results.length < 10) {
    const sent = transport.publish('a', Buffer.alloc(500_000), { qos: 0 })
    results.push(sent.catch((error: unknown) => error))
    await turn()
  }
  const warnings: Error[] = []
  const warn = (warning: Error): unknown => warnings.push(warning)
  process.on('warning', warn)
  t.teardown(() => process.off('warning', warn))
  for (let i = 0; i < 1_100; i++)
    results.push(transport.publish('a', payload, { qos: 0 }).catch((error: unknown) => error))
  transport.cut({ type: 'overflow', message: 'x' })
  await recorder.nth(recorder.failures, 1)
  t.deepEqual(warnings, [])
  const outcomes = await Promise.all(results)
  t.like(outcomes.at(-1), { code: 'ERR_CONNECTION_CLOSED' })
  t.like(outcomes[0], { reasonCode: 0 })
  t.false(transport.awaiting)
})

test('stored publications are sent again with their packet ids, and new requests wait until they are through', async (t) => {
  let answers = false
  const script: Script = {
    publish: (link, packet) => {
      if (answers) link.answer(packet)
    },
  }
  const { broker, connect, transport, recorder } = await setupScripted(t, script)
  await connect()
  const first = ['1', '2', '3'].map((topic) => transport.publish(topic, payload, { qos: 1 }))
  const link = await broker.link()
  await link.until(() => link.all('publish')[2])
  link.stream.destroy()
  await recorder.nth(recorder.failures, 1)
  answers = true
  await connect()
  const later = [transport.publish('4', payload, { qos: 1 }), transport.publish('5', payload, { qos: 2 })]
  const codes = transport.subscribe([wanted('s'), wanted('t')])
  const zero = transport.publish('6', payload, { qos: 0 })
  t.deepEqual(
    await Promise.all([...first, ...later, zero]),
    Array.from({ length: 6 }, () => ({ reasonCode: 0 })),
  )
  t.deepEqual(await codes, [1, 1])
  const second = await broker.link()
  const sent = second.all('publish')
  t.deepEqual(
    sent.map(({ topic }) => topic),
    ['1', '2', '3', '4', '5', '6'],
  )
  t.deepEqual(
    sent.map(({ dup }) => dup),
    [true, true, true, false, false, false],
  )
  t.deepEqual(
    sent.slice(0, 3).map(({ messageId }) => messageId),
    link.all('publish').map(({ messageId }) => messageId),
  )
  t.false(transport.awaiting)
})

test('a stored publication outlasts attempts that are refused', async (t) => {
  let code = 0
  const script: Script = {
    connect: (link) => link.welcome({ reasonCode: code }),
    publish: (link, packet) => {
      if (packet.dup) link.answer(packet)
    },
  }
  const { broker, connect, fail, recorder, transport } = await setupScripted(t, script)
  await connect()
  const open = transport.publish('a', payload, {})
  const link = await broker.link()
  await link.next('publish')
  link.stream.destroy()
  await recorder.nth(recorder.failures, 1)
  code = 0x89
  for (let i = 0; i < 3; i++) t.is((await fail()).type, 'refused')
  t.true(transport.awaiting)
  code = 0
  await connect()
  t.deepEqual(await open, { reasonCode: 0 })
})

test('a request that waited for stored publications fails, or waits on, when that connection ends too', async (t) => {
  let answers = false
  const script: Script = {
    publish: (link, packet) => {
      if (answers) link.answer(packet)
    },
  }
  const { broker, connect, transport, recorder } = await setupScripted(t, script)
  await connect()
  const one = transport.publish('1', payload, { qos: 1 })
  const link = await broker.link()
  await link.next('publish')
  link.stream.destroy()
  await recorder.nth(recorder.failures, 1)
  await connect()
  const second = await broker.link()
  await second.next('publish')
  const two = transport.publish('2', payload, { qos: 1 })
  const closed = { code: 'ERR_CONNECTION_CLOSED' }
  const failing = [
    t.throwsAsync(transport.publish('3', payload, { qos: 0 }), closed),
    t.throwsAsync(transport.subscribe([wanted('s')]), closed),
    t.throwsAsync(transport.unsubscribe(['s']), closed),
  ]
  second.stream.destroy()
  await Promise.all(failing)
  await recorder.nth(recorder.failures, 2)
  answers = true
  await connect()
  t.deepEqual(await Promise.all([one, two]), [{ reasonCode: 0 }, { reasonCode: 0 }])
  const third = await broker.link()
  t.deepEqual(
    third.all('publish').map(({ topic }) => topic),
    ['1', '2'],
  )
  t.is(third.all('subscribe').length, 0)
})

test('a stored publication that a broker with a smaller limit would never take is given up', async (t) => {
  let limit = 1_000
  const script: Script = {
    connect: (link) => link.welcome({ properties: { maximumPacketSize: limit } }),
    publish: (link, packet) => {
      if (limit === 100) link.answer(packet)
      else if (packet.qos === 2) link.send({ cmd: 'pubrec', messageId: packet.messageId ?? 0 })
    },
    pubrel: (link, packet) => {
      if (limit === 100) link.answer(packet)
    },
  }
  const { broker, connect, transport, recorder } = await setupScripted(t, script)
  await connect(5)
  const large = t.throwsAsync(transport.publish('large', Buffer.alloc(500), { qos: 1 }), {
    code: 'ERR_PUBLISH_TOO_LARGE',
  })
  // The broker has it already: only PUBREL is to be sent again.
  const released = transport.publish('released', Buffer.alloc(500), { qos: 2 })
  const small = transport.publish('small', payload, { qos: 1 })
  const link = await broker.link()
  await link.next('pubrel')
  limit = 100
  link.stream.destroy()
  await recorder.nth(recorder.failures, 1)
  await connect(5)
  await Promise.all([large, small, released])
  const second = await broker.link()
  t.deepEqual(
    second.all('publish').map(({ topic }) => topic),
    ['small'],
  )
  t.false(transport.awaiting)
})

for (const qos of [1, 2] as const) {
  test(`a publication that ends each connection is sent three times and no more, and what stood behind it arrives (QoS ${qos})`, async (t) => {
    const script: Script = {
      publish: (link, packet) => {
        if (packet.topic === 'bad') link.stream.destroy()
        else link.answer(packet)
      },
    }
    // An end counts when it comes within a second, and a second may pass on a busy machine: here none does.
    const { broker, connect, transport, recorder } = await setupScripted(t, script, { now: () => 0 })
    await connect(5)
    const bad = t.throwsAsync(transport.publish('bad', payload, { qos }), {
      code: 'ERR_PUBLISH_QUARANTINED',
      message: /"bad".*Three times/,
    })
    const good = transport.publish('good', payload, { qos })
    for (let n = 1; n <= 3; n++) {
      await recorder.nth(recorder.failures, n)
      await connect(5)
    }
    await bad
    t.deepEqual(await good, { reasonCode: 0 })
    t.false(transport.awaiting)
    const sent = broker.links.map((link) => link.all('publish').map(({ topic, dup }) => `${topic} ${dup}`))
    t.deepEqual(sent.slice(1), [['bad true'], ['bad true'], ['good true']])
    await transport.publish('more', payload, { qos })
    t.is(broker.links.length, 4)
  })
}

test('behind PUBREC a publication is no longer suspected', async (t) => {
  let isPatient = true
  const script: Script = {
    pubrel: (link, packet) => {
      if (isPatient) link.stream.destroy()
      else link.answer(packet)
    },
  }
  const { connect, transport, recorder } = await setupScripted(t, script)
  await connect(5)
  const result = transport.publish('a', payload, { qos: 2 })
  for (let n = 1; n <= 4; n++) {
    await recorder.nth(recorder.failures, n)
    isPatient = n < 4
    await connect(5)
  }
  t.deepEqual(await result, { reasonCode: 0 })
})

test('connections that the broker ends because it is busy bring no publication under suspicion', async (t) => {
  let isBusy = true
  const script: Script = {
    publish: (link, packet) => {
      if (!isBusy) return link.answer(packet)
      link.send({ cmd: 'disconnect', reasonCode: 0x89 })
      link.stream.end()
    },
  }
  const { connect, transport, recorder } = await setupScripted(t, script)
  await connect(5)
  const result = transport.publish('a', payload, { qos: 1 })
  for (let n = 1; n <= 4; n++) {
    await recorder.nth(recorder.failures, n)
    isBusy = n < 4
    await connect(5)
  }
  t.deepEqual(await result, { reasonCode: 0 })
})

test('connections that we end ourselves bring no publication under suspicion', async (t) => {
  let isDeaf = true
  const script: Script = {
    publish: (link, packet) => {
      if (!isDeaf) link.answer(packet)
    },
  }
  const { connect, transport, recorder } = await setupScripted(t, script)
  await connect(5)
  const result = transport.publish('a', payload, { qos: 1 })
  for (let n = 1; n <= 4; n++) {
    transport.cut({ type: 'overflow', message: 'cut by the test' })
    await recorder.nth(recorder.failures, n)
    isDeaf = n < 4
    await connect(5)
  }
  t.deepEqual(await result, { reasonCode: 0 })
})

// --- subscriptions ---

test('every option of a subscription is sent, each filter in a SUBSCRIBE of its own', async (t) => {
  const { broker, connect, transport } = await setupScripted(t)
  await connect(5)
  await transport.subscribe([
    wanted('a', {
      qos: 2,
      noLocal: true,
      retainHandling: 2,
      retainAsPublished: true,
      identifier: 268_435_455,
    }),
    wanted('$share/g/b/#', { qos: 0 }),
  ])
  const link = await broker.link()
  const [one, two] = link.all('subscribe')
  t.deepEqual(one?.subscriptions, [{ topic: 'a', qos: 2, nl: true, rap: true, rh: 2 }])
  t.is(one?.properties?.subscriptionIdentifier, 268_435_455)
  t.deepEqual(two?.subscriptions, [{ topic: '$share/g/b/#', qos: 0, nl: false, rap: false, rh: 0 }])
  t.is(two?.properties, undefined)
})

test('on 3.1.1 only filter and QoS are sent', async (t) => {
  const { broker, connect, transport } = await setupScripted(t)
  await connect(4)
  t.deepEqual(
    await transport.subscribe([wanted('a', { noLocal: true, retainHandling: 1, identifier: 3 })]),
    [1],
  )
  const link = await broker.link()
  t.deepEqual(
    link.all('subscribe')[0]?.subscriptions.map(({ qos, topic }) => [topic, qos]),
    [['a', 1]],
  )
})

test('a SUBACK with another number of codes ends the connection, for nothing can be concluded from it', async (t) => {
  const script: Script = {
    subscribe: (link, { messageId = 0 }) => link.send({ cmd: 'suback', messageId, granted: [1, 1] }),
  }
  const { connect, transport, recorder } = await setupScripted(t, script)
  await connect()
  await t.throwsAsync(transport.subscribe([wanted('a')]), { code: 'ERR_CONNECTION_CLOSED' })
  await recorder.nth(recorder.failures, 1)
})

test('a refused UNSUBSCRIBE names the filter; one that was not subscribed is no refusal', async (t) => {
  const script: Script = {
    unsubscribe: (link, { messageId = 0, unsubscriptions }) => {
      const granted = unsubscriptions.map((filter) => (filter === 'kept' ? 0x87 : 0x11))
      link.send({ cmd: 'unsuback', messageId, granted })
    },
  }
  const { connect, transport } = await setupScripted(t, script)
  await connect(5)
  await transport.unsubscribe(['gone', 'gone too'])
  await t.throwsAsync(transport.unsubscribe(['gone', 'kept']), {
    code: 'ERR_UNSUBSCRIBE_REFUSED',
    message: 'The broker refused to end "kept" (0x87, not authorized).',
  })
})

test('what was asked and not answered when the connection ends is rejected, but for stored publications', async (t) => {
  const script: Script = { subscribe: () => {}, unsubscribe: () => {} }
  const { broker, connect, transport, recorder } = await setupScripted(t, script)
  await connect()
  const closed = { code: 'ERR_CONNECTION_CLOSED' }
  const failing = [
    t.throwsAsync(transport.subscribe([wanted('s')]), closed),
    t.throwsAsync(transport.unsubscribe(['s']), closed),
  ]
  const link = await broker.link()
  await link.next('unsubscribe')
  link.stream.destroy()
  await Promise.all(failing)
  await recorder.nth(recorder.failures, 1)
  t.false(transport.awaiting)
})

// --- arrivals ---

test('what a listener throws ends neither the reading nor the connection, and is not lost', async (t) => {
  const { broker, connect, recorder, transport } = await setupScripted(t)
  const thrown: unknown[] = []
  const before = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  process.on('uncaughtException', (error) => thrown.push(error))
  t.teardown(() => {
    process.removeAllListeners('uncaughtException')
    for (const listener of before) process.on('uncaughtException', listener)
  })
  const fault = new Error('a mistake in the server')
  transport.listen({
    connected: (info) => recorder.connected(info),
    skipped: () => {},
    closed: (failure) => recorder.closed(failure),
    arrived: (arrival) => {
      recorder.arrived(arrival)
      if (arrival.payload.toString() === 'bad') throw fault
    },
  })
  await connect()
  const link = await broker.link()
  link.send(message('a', 'bad'), message('a', 'good'))
  link.send(message('a', 'bad', { qos: 2, messageId: 1 }), message('a', 'good', { qos: 2, messageId: 2 }))
  await recorder.nth(recorder.arrivals, 4)
  await turn()
  t.deepEqual(thrown, [fault, fault])
  t.deepEqual(recorder.log, ['connected', 'arrived', 'arrived', 'arrived', 'arrived'])
})

test('after cut() the rest of the chunk is not handed on', async (t) => {
  const { broker, connect, recorder, transport } = await setupScripted(t)
  const failure = { type: 'overflow', message: 'too much' } as const
  transport.listen({
    connected: (info) => recorder.connected(info),
    skipped: () => {},
    closed: (why) => recorder.closed(why),
    arrived: (arrival) => {
      recorder.arrived(arrival)
      transport.cut(failure)
    },
  })
  await connect()
  const link = await broker.link()
  link.send(message('a', '1'), message('a', '2'), { cmd: 'disconnect', reasonCode: 0x8e })
  t.is(await recorder.nth(recorder.failures, 1), failure)
  t.deepEqual(recorder.log, ['connected', 'arrived', 'closed'])
})

test('while paused nothing arrives and the connection is kept, for longer than one and a half keepalives', async (t) => {
  const options = { keepaliveSeconds: 1, connectTimeoutMs: 1_800 }
  const { broker, connect, recorder, transport } = await setupScripted(t, {}, options)
  await connect()
  const link = await broker.link()
  transport.pause()
  transport.pause()
  link.send(...['1', '2', '3'].map((text) => message('a', text)))
  await link.until(() => link.all('pingreq')[4])
  t.deepEqual(recorder.log, ['connected'])
  transport.resume()
  await recorder.nth(recorder.arrivals, 3)
  // Many short ones make no more pings than one.
  const pings = link.all('pingreq').length
  for (let i = 0; i < 1_000; i++) {
    transport.pause()
    transport.resume()
  }
  await transport.publish('behind', payload, { qos: 1 })
  t.true(link.all('pingreq').length <= pings + 1)
  t.deepEqual(recorder.log, ['connected', 'arrived', 'arrived', 'arrived'])
})

test('a server keepalive is obeyed', async (t) => {
  const script: Script = { connect: (link) => link.welcome({ properties: { serverKeepAlive: 1 } }) }
  const { broker, connect, recorder } = await setupScripted(t, script, { keepaliveSeconds: 60 })
  await connect(5)
  const link = await broker.link()
  await link.next('pingreq')
  t.deepEqual(recorder.log, ['connected'])
})

test('the next connection is not paused though the last one was', async (t) => {
  const { broker, connect, recorder, transport } = await setupScripted(t, {}, { keepaliveSeconds: 0 })
  await connect()
  transport.pause()
  transport.cut({ type: 'overflow', message: 'x' })
  await recorder.nth(recorder.failures, 1)
  await connect()
  const [, link] = [await broker.link(), await broker.link()]
  link.deliver('a', 'x')
  t.is((await recorder.nth(recorder.arrivals, 1)).topic, 'a')
})

test('acknowledgements leave as four bytes each, in one write, and never behind DISCONNECT', async (t) => {
  const { broker, connect, transport } = await setupScripted(t)
  transport.acknowledge([9])
  await connect(5)
  const link = await broker.link()
  const before = Buffer.concat(link.chunks).length
  transport.acknowledge([1, 2, 65_535])
  await link.until(() => link.all('puback')[2])
  t.deepEqual(
    Buffer.concat(link.chunks).subarray(before),
    Buffer.from([0x40, 2, 0, 1, 0x40, 2, 0, 2, 0x40, 2, 0xff, 0xff]),
  )
  const closing = transport.close(500)
  transport.acknowledge([3])
  await closing
  t.is(link.packets.at(-1)?.cmd, 'disconnect')
  t.deepEqual(link.acked(), [1, 2, 65_535])
})

// --- the end ---

test('close() reads to the end, so that the other side gets all of our acknowledgements and no reset', async (t) => {
  const errors: Error[] = []
  const script: Script = {
    disconnect: (link) => {
      link.send(...Array.from({ length: 2_000 }, () => message('late', 'x'.repeat(1_000))))
      link.stream.end()
    },
  }
  const { broker, connect, recorder, transport } = await setupScripted(t, script)
  await connect()
  const link = await broker.link()
  link.stream.on('error', (error) => errors.push(error))
  for (let messageId = 1; messageId <= 2_000; messageId++) {
    link.deliver('a', 'x'.repeat(1_000), { qos: 1, messageId })
  }
  await recorder.nth(recorder.arrivals, 50)
  transport.pause()
  transport.acknowledge(recorder.arrivals.slice(0, 50).map(({ packetId }) => packetId))
  const seen = recorder.arrivals.length
  await transport.close(5_000)
  await link.gone
  t.deepEqual(errors, [])
  t.is(link.acked().length, 50)
  t.true(link.ended)
  t.is(link.packets.at(-1)?.cmd, 'disconnect')
  t.is(recorder.arrivals.length, seen)
  t.is(recorder.log.at(-1), 'closed')
})

test('close() gives a broker that does not end only so much time', async (t) => {
  const script: Script = { disconnect: () => {} }
  const { connect, recorder, transport } = await setupScripted(t, script)
  await connect()
  const begin = performance.now()
  await transport.close(50)
  const took = performance.now() - begin
  t.true(took >= 45 && took < 2_000)
  t.deepEqual(recorder.log, ['connected', 'closed'])
})

test('a publication that is answered while close() reads to the end is resolved', async (t) => {
  const script: Script = {
    publish: () => {},
    disconnect: (link) => {
      const [packet] = link.all('publish')
      if (packet !== undefined) link.answer(packet)
      link.stream.end()
    },
  }
  const { connect, transport } = await setupScripted(t, script)
  await connect()
  const open = transport.publish('a', payload, { qos: 1 })
  await transport.close(5_000)
  t.deepEqual(await open, { reasonCode: 0 })
})

// --- ways to the broker ---

test('the same over TLS, a unix socket and websockets', async (t) => {
  const { ca, server } = await certificates()
  const folder = await mkdtemp(join(tmpdir(), 'mqttasgi-transport-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const path = join(folder, 'broker')
  const tls = { ca: ca.cert }
  const ways: readonly (readonly [Listen, (port: number) => BrokerAddress])[] = [
    [{ tls: server }, (port) => ({ type: 'tcp', host: 'localhost', port, tls })],
    [{ over: 'unix', path }, () => ({ type: 'unix', path })],
    [{ over: 'websocket' }, (port) => ({ type: 'websocket', host: '127.0.0.1', port, path: '/mqtt' })],
    [
      { over: 'websocket', tls: server },
      (port) => ({ type: 'websocket', host: 'localhost', port, path: '/mqtt', tls }),
    ],
  ]
  for (const [listen, address] of ways) {
    const broker = await startScriptedBroker(t, {}, listen)
    const { connect, recorder, transport } = setupTransport(t, { address: address(broker.port) })
    await connect(5)
    const link = await broker.link()
    t.deepEqual(await transport.subscribe([wanted('a')]), [1])
    link.deliver('a', 'x'.repeat(100_000), { qos: 1, messageId: 3 })
    const { packetId, payload: got } = await recorder.nth(recorder.arrivals, 1)
    t.is(got.length, 100_000)
    transport.acknowledge([packetId])
    await transport.publish('b', Buffer.alloc(200_000), { qos: 1 })
    t.deepEqual(link.acked(), [3])
    await transport.close(2_000)
    t.is(link.packets.at(-1)?.cmd, 'disconnect')
    t.deepEqual(recorder.log, ['connected', 'arrived', 'closed'])
  }
})

test('a websocket that the other side closes is an end like any other', async (t) => {
  const broker = await startScriptedBroker(t, {}, { over: 'websocket' })
  const address = { type: 'websocket', host: '127.0.0.1', port: broker.port, path: '/mqtt' } as const
  const { connect, recorder } = setupTransport(t, { address })
  await connect()
  const link = await broker.link()
  link.stream.end()
  t.is((await recorder.nth(recorder.failures, 1)).type, 'closed')
  t.is((await connect()).protocolVersion, 5)
})

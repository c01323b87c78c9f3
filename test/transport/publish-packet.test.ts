// One message: its topic, its properties when they are read, and whether another is the same publication again.
import test from 'ava'
import { generate, parser, type IPublishPacket } from 'mqtt-packet'
import type { Arrival } from '../../lib/transport/transport.ts'
import { PublishPacket } from '../../lib/transport/publish-packet.ts'
import { record } from '../helpers/packet-recorder.ts'

const base = {
  cmd: 'publish',
  topic: 'a/b',
  payload: 'x',
  qos: 1,
  messageId: 1,
  dup: false,
  retain: false,
} as const

function arrive(packet: Partial<IPublishPacket> = {}, version: 4 | 5 = 5): Arrival {
  const [arrival] = record([generate({ ...base, ...packet }, { protocolVersion: version })], {
    version,
  }).arrivals
  if (arrival === undefined) throw new Error('nothing arrived')
  return arrival
}

/** From the bytes of a topic, as no honest encoder writes them. */
function arriveOn(topic: Buffer): Arrival {
  const length = [topic.length >> 8, topic.length & 255]
  const remaining = topic.length + 3
  const header = remaining < 128 ? [0x30, remaining] : [0x30, (remaining & 127) | 128, remaining >> 7]
  const frame = Buffer.concat([Buffer.from([...header, ...length]), topic, Buffer.from([0])])
  const { arrivals, events } = record([frame])
  if (arrivals[0] === undefined) throw new Error(JSON.stringify(events))
  return arrivals[0]
}

const valid = test.macro((t, topic: string) => {
  t.like(arriveOn(Buffer.from(topic)), { topic, invalid: undefined })
})
test('a topic as most are', valid, 'sensors/hall/temp')
test('a topic of empty levels', valid, '//')
test('a topic with $', valid, '$SYS/broker/uptime')
test('a topic of all printable ASCII', valid, ` !"$%&'()*,-./09:;<=>?@AZ[\\]^_\`az{|}~`)
test('a topic in other scripts', valid, 'grüße/温度/😀')
test('a topic with a byte order mark', valid, '\uFEFFa')
test('a topic with a real U+FFFD', valid, 'a/\uFFFD')
test('a topic with control characters', valid, 'a\u0001\u001f\u007f\u0080')

const faulty = test.macro((t, topic: Buffer | string, fault: RegExp, decoded?: string) => {
  const arrival = arriveOn(Buffer.from(topic as string))
  t.regex(arrival.invalid ?? '', fault)
  t.is(arrival.topic, decoded ?? topic.toString())
})
test('an empty topic', faulty, '', /at least one character/)
test('+ in a topic', faulty, 'a/+', /wildcards.*"\+"/)
test('# in a topic', faulty, '#', /wildcards.*"#"/)
test('NUL in a topic', faulty, 'a\0', /NUL/)
test('an overlong slash in a topic', faulty, Buffer.from([0x61, 0xc0, 0xaf]), /UTF-8/, 'a\uFFFD\uFFFD')
test(
  'half a surrogate pair in a topic',
  faulty,
  Buffer.from([0xed, 0xa0, 0x80]),
  /UTF-8/,
  '\uFFFD\uFFFD\uFFFD',
)
test('a topic that ends in the middle of a character', faulty, Buffer.from([0x61, 0xc3]), /UTF-8/, 'a\uFFFD')

test('payload and properties are made once', (t) => {
  const arrival = arrive({ properties: { contentType: 'text/plain' } })
  t.is(arrival.payload, arrival.payload)
  t.is(arrival.properties, arrival.properties)
})

test('without properties all messages share one empty, frozen object and list', (t) => {
  const arrivals = [arrive(), arrive({}, 4)]
  for (const { properties, subscriptionIdentifiers } of arrivals) {
    t.is(properties, arrivals[0]!.properties)
    t.is(subscriptionIdentifiers, arrivals[0]!.subscriptionIdentifiers)
    t.true(Object.isFrozen(properties) && Object.isFrozen(subscriptionIdentifiers))
    t.deepEqual(Object.keys(properties), [])
    t.is(Object.getPrototypeOf(properties), null)
  }
})

test('every property of the standard is decoded', (t) => {
  const { properties } = arrive({
    properties: {
      payloadFormatIndicator: false,
      messageExpiryInterval: 0xffffffff,
      contentType: 'à',
      responseTopic: 'r/ä',
      correlationData: Buffer.from([0, 255]),
      userProperties: { a: '1' },
      subscriptionIdentifier: [1, 268_435_455, 128],
    },
  })
  t.deepEqual(
    { ...properties, userProperties: { ...properties.userProperties } },
    {
      payloadFormatIndicator: false,
      messageExpiryInterval: 0xffffffff,
      contentType: 'à',
      responseTopic: 'r/ä',
      correlationData: Buffer.from([0, 255]),
      userProperties: { a: ['1'] },
      subscriptionIdentifiers: [1, 268_435_455, 128],
    },
  )
})

test('user properties are lists without a prototype', (t) => {
  const userProperties = Object.fromEntries([
    ['__proto__', 'x'],
    ['constructor', ['1', '2', '1']],
    ['', ''],
  ])
  const { properties } = arrive({ properties: { userProperties } })
  t.is(Object.getPrototypeOf(properties), null)
  t.is(Object.getPrototypeOf(properties.userProperties), null)
  t.deepEqual(Object.entries(properties.userProperties ?? {}), [
    ['__proto__', ['x']],
    ['constructor', ['1', '2', '1']],
    ['', ['']],
  ])
})

test('an empty value is kept when its name comes again, where mqtt-packet loses it', (t) => {
  const packet = { ...base, properties: { userProperties: { a: ['', 'x'] } } }
  t.deepEqual({ ...arrive(packet).properties.userProperties }, { a: ['', 'x'] })
  // If this fails after an upgrade, mqtt-packet has been mended.
  const reader = parser({ protocolVersion: 5 })
  reader.on('packet', (read) => t.like(read, { properties: { userProperties: { a: 'x' } } }))
  reader.parse(generate(packet, { protocolVersion: 5 }))
  t.plan(2)
})

test('lengths and identifiers that take more bytes than they need are read', (t) => {
  const frame = Buffer.from('308b80000001618480000b81800078', 'hex')
  const [arrival] = record([frame]).arrivals
  t.deepEqual(arrival?.subscriptionIdentifiers, [1])
  t.is(arrival?.payload.toString(), 'x')
})

const again: Partial<IPublishPacket> = {
  properties: { messageExpiryInterval: 60, userProperties: { a: 'b' }, subscriptionIdentifier: 3 },
}

test('a redelivery equals the first delivery, with another identifier and DUP', (t) => {
  t.true(arrive(again).equals(arrive({ ...again, dup: true, messageId: 2 })))
  t.true(arrive({}, 4).equals(arrive({ dup: true }, 4)))
})

test('a redelivery equals the first delivery when less of its life is left', (t) => {
  const properties = { ...again.properties, messageExpiryInterval: 7 }
  t.true(arrive(again).equals(arrive({ properties })))
  t.false(arrive(again).equals(arrive({ properties: { ...properties, subscriptionIdentifier: 4 } })))
  t.false(arrive(again).equals(arrive({ properties: { ...properties, userProperties: { a: 'c' } } })))
})

test('another topic, payload, QoS or property is another publication', (t) => {
  const first = arrive(again)
  const others: Partial<IPublishPacket>[] = [
    { ...again, topic: 'a/c' },
    { ...again, payload: 'y' },
    { ...again, payload: 'xx' },
    { ...again, qos: 0 },
    {},
    { properties: { messageExpiryInterval: 60 } },
    { properties: { userProperties: { a: 'b' }, messageExpiryInterval: 60, subscriptionIdentifier: 3 } },
    { properties: { contentType: 'b' } },
  ]
  for (const other of others) {
    t.false(first.equals(arrive(other)), JSON.stringify(other))
    t.false(arrive(other).equals(first), JSON.stringify(other))
  }
})

test('a property of one byte can make the difference', (t) => {
  const first = arrive({ properties: { payloadFormatIndicator: true } })
  t.false(first.equals(arrive({ properties: { payloadFormatIndicator: false } })))
})

test('what did not come off the wire equals nothing', (t) => {
  const arrival = arrive()
  const { topic, payload, qos, retain, dup, properties, packetId, bytes } = arrival
  const copy = { topic, payload, qos, retain, dup, properties, packetId, bytes }
  const stranger: Arrival = {
    ...copy,
    invalid: undefined,
    subscriptionIdentifiers: [],
    share: undefined,
    equals: () => true,
  }
  t.false(arrival.equals(stranger))
})

test('equal messages have one fingerprint, and others another: DUP, packet id and what is left of the expiry do not count', (t) => {
  const fingerprint = (packet: Partial<IPublishPacket>): string => {
    const arrival = arrive({ qos: 2, ...packet })
    return arrival instanceof PublishPacket ? arrival.fingerprint() : t.fail()
  }
  const properties = { contentType: 'x', messageExpiryInterval: 9 }
  const one = fingerprint({ properties })
  t.is(one.length, 22)
  t.is(fingerprint({ properties: { ...properties, messageExpiryInterval: 5 }, dup: true, messageId: 7 }), one)
  const others = [
    fingerprint({}),
    fingerprint({ properties: { contentType: 'y', messageExpiryInterval: 9 } }),
    fingerprint({ properties, payload: 'y' }),
    fingerprint({ properties, topic: 'a/c' }),
    fingerprint({ topic: 'a/bx', payload: '' }),
  ]
  t.is(new Set([one, ...others]).size, 6)
})

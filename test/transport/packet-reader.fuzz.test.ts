// Random packets, random cuts, random damage: the reader against mqtt-packet as the second opinion.
import test from 'ava'
import * as fc from 'fast-check'
import { generate, parser, type IPublishPacket, type Packet } from 'mqtt-packet'
import { PacketReader } from '../../lib/transport/packet-reader.ts'
import { topicFault } from '../../lib/core/topic.ts'
import { fuzzCount } from '../helpers/hostile-side.ts'
import { plain, record, type Recorded } from '../helpers/packet-recorder.ts'

type PublishProperties = NonNullable<IPublishPacket['properties']>
type Version = 4 | 5

// For a long run by hand: MQTTASGI_FUZZ=1000000 MQTTASGI_FUZZ_SEED=$RANDOM.
const seed = Number(process.env['MQTTASGI_FUZZ_SEED'] ?? 20_261_122)
const text = fc.string({ unit: 'grapheme', maxLength: 12 })
const bytes = fc.uint8Array({ maxLength: 24 }).map((array) => Buffer.from(array))
const packetId = fc.integer({ min: 1, max: 65_535 })
const name = fc.oneof(text, fc.constantFrom('__proto__', 'constructor', 'prototype', 'toString', ''))
const userProperties = fc
  .array(fc.tuple(name, fc.array(text, { minLength: 1, maxLength: 3 })), { minLength: 1, maxLength: 3 })
  .map((entries): Record<string, string[]> => Object.fromEntries(entries))

const properties = fc.record(
  {
    payloadFormatIndicator: fc.boolean(),
    messageExpiryInterval: fc.integer({ min: 0, max: 0xffffffff }),
    contentType: text,
    responseTopic: text,
    correlationData: bytes,
    userProperties,
    subscriptionIdentifier: fc.array(fc.integer({ min: 1, max: 268_435_455 }), {
      minLength: 1,
      maxLength: 3,
    }),
  },
  { requiredKeys: [] },
)

const topic = fc.oneof(
  fc.constantFrom('sensors/hall/temp', '$SYS/uptime', '/', 'a/+/b', '#', 'a\0', '__proto__'),
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 }),
)

function publishPackets(version: Version): fc.Arbitrary<IPublishPacket> {
  const qos = fc.constantFrom(0, 0, 1, 1, 2)
  const flags = { qos, dup: fc.boolean(), retain: fc.boolean(), messageId: packetId }
  const payload = fc.oneof(
    bytes,
    fc.integer({ min: 0, max: 400 }).map((size) => Buffer.alloc(size, 'p')),
  )
  const packet = fc.record({ cmd: fc.constant('publish' as const), topic, payload, ...flags })
  if (version === 4) return packet
  const some = fc
    .tuple(packet, properties)
    .map(([packet, properties]) => Object.assign(packet, { properties }))
  return fc.oneof(packet, some, some)
}

function otherPackets(version: Version): fc.Arbitrary<Packet> {
  const unsubscribed = version === 5 ? [0, 17] : []
  return fc.oneof(
    fc
      .boolean()
      .map((sessionPresent): Packet => ({ cmd: 'connack', sessionPresent, reasonCode: 0, returnCode: 0 })),
    packetId.map((messageId): Packet => ({ cmd: 'puback', messageId })),
    packetId.map((messageId): Packet => ({ cmd: 'pubrel', messageId })),
    packetId.map((messageId): Packet => ({ cmd: 'suback', messageId, granted: [0, 1, 2, 128] })),
    packetId.map((messageId): Packet => ({ cmd: 'unsuback', messageId, granted: unsubscribed })),
    fc.constant<Packet>({ cmd: 'pingresp' }),
    fc.constant<Packet>({ cmd: 'disconnect' }),
  )
}

function sessions(version: Version): fc.Arbitrary<{ version: Version; packets: Packet[] }> {
  const packet = fc.oneof({ weight: 3, arbitrary: publishPackets(version) }, otherPackets(version))
  return fc.array(packet, { minLength: 1, maxLength: 8 }).map((packets) => ({ version, packets }))
}

const anySession = fc.oneof(sessions(4), sessions(5))
const cuts = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 12 })
const limits = fc.constantFrom(1_000_000, 1_000_000, 150, 40)

/** In chunks of these sizes, again and again. */
function slice(stream: Buffer, sizes: readonly number[]): Buffer[] {
  const chunks: Buffer[] = []
  for (let at = 0; at < stream.length; at += chunks.at(-1)!.length) {
    chunks.push(Buffer.from(stream.subarray(at, at + sizes[chunks.length % sizes.length]!)))
  }
  return chunks
}

/** What was put into a packet, in the shape of `MessageProperties`. */
function put(given: PublishProperties = {}): Record<string, unknown> {
  const { subscriptionIdentifier, userProperties, ...single } = given
  const expected: Record<string, unknown> = Object.assign(Object.create(null), single)
  if (userProperties !== undefined) {
    const pairs = Object.entries(userProperties).map(([name, value]) => [name, [value].flat()])
    expected['userProperties'] = Object.defineProperties(
      Object.create(null),
      Object.getOwnPropertyDescriptors(Object.fromEntries(pairs)),
    )
  }
  if (subscriptionIdentifier !== undefined)
    expected['subscriptionIdentifiers'] = [subscriptionIdentifier].flat()
  return expected
}

/** mqtt-packet forgets an empty value when its name comes again. */
function losesValues({ userProperties = {} }: PublishProperties): boolean {
  return Object.values(userProperties).some((value) => Array.isArray(value) && value.includes(''))
}

function theirs(stream: Buffer, version: Version): Packet[] {
  const packets: Packet[] = []
  const reader = parser({ protocolVersion: version })
  reader.on('packet', (packet) => packets.push(packet))
  reader.on('error', (error) => {
    throw error
  })
  reader.parse(stream)
  return packets
}

/** The event a frame must lead to; `read` is what mqtt-packet makes of it. */
function expected(given: Packet, read: Packet, frame: Buffer, limit: number): Recorded {
  if (given.cmd !== 'publish' || read.cmd !== 'publish') {
    if (frame.length > limit) return { type: 'violation', message: '' }
    if (given.cmd === 'pubrel') return { type: 'release', packetId: given.messageId ?? 0 }
    return { type: 'pass', bytes: frame.toString('hex') }
  }
  const packetId = given.qos === 0 ? 0 : (read.messageId ?? 0)
  if (frame.length > limit)
    return { type: 'skipped', packet: { packetId, bytes: frame.length, topic: read.topic, dup: read.dup } }
  const properties = put(losesValues(given.properties ?? {}) ? given.properties : read.properties)
  const { topic, payload, qos, retain, dup } = read
  const arrival = {
    topic,
    payload: Buffer.from(payload).toString('hex'),
    qos,
    retain,
    dup,
    packetId,
    bytes: frame.length,
    invalid: topicFault(topic),
    subscriptionIdentifiers: properties['subscriptionIdentifiers'] ?? [],
    properties,
  }
  return { type: 'publish', arrival }
}

/** Neighbours that pass are one event, and nothing follows a violation. */
function join(events: readonly Recorded[]): Recorded[] {
  const joined: Recorded[] = []
  for (const event of events) {
    const before = joined.at(-1)
    if (event.type === 'pass' && before?.type === 'pass') {
      joined[joined.length - 1] = { type: 'pass', bytes: before.bytes + event.bytes }
    } else joined.push(event)
    if (event.type === 'violation') break
  }
  return joined
}

test('random sessions read as mqtt-packet reads them, however they are cut', (t) => {
  const property = fc.property(anySession, cuts, limits, ({ version, packets }, sizes, maxPacketBytes) => {
    const frames = packets.map((packet) => generate(packet, { protocolVersion: version }))
    const stream = Buffer.concat(frames)
    const read = theirs(stream, version)
    const wanted = packets.map((packet, n) => expected(packet, read[n]!, frames[n]!, maxPacketBytes))
    const { events } = record(slice(stream, sizes), { version, maxPacketBytes })
    const got = events.map((event): Recorded =>
      event.type === 'violation' ? { type: 'violation', message: '' } : event,
    )
    // deepEqual of AVA knows prototypes; the shrinker needs a throw.
    if (!t.deepEqual(got, join(wanted))) throw new Error('they differ')
  })
  fc.assert(property, { seed, numRuns: fuzzCount(3_000) })
})

test('what was put in comes out, whatever the names of user properties', (t) => {
  const property = fc.property(publishPackets(5), (packet) => {
    const [arrival] = record([generate(packet, { protocolVersion: 5 })]).arrivals
    if (!t.deepEqual(arrival?.properties, put(packet.properties))) throw new Error('they differ')
    if (!t.is(arrival?.topic, packet.topic)) throw new Error('they differ')
  })
  fc.assert(property, { seed, numRuns: fuzzCount(2_000) })
})

const damage = fc.array(
  fc.record({
    at: fc.nat(2 ** 20),
    kind: fc.constantFrom('set', 'set', 'insert', 'remove'),
    byte: fc.oneof(fc.integer({ min: 0, max: 255 }), fc.constantFrom(0, 0x30, 0x32, 0x7f, 0x80, 0xff)),
  }),
  { minLength: 1, maxLength: 6 },
)

test('damaged bytes never throw, never go on after a violation, and read the same however they are cut', (t) => {
  let violations = 0
  const property = fc.property(
    anySession,
    damage,
    cuts,
    limits,
    ({ version, packets }, hits, sizes, maxPacketBytes) => {
      const frames = packets.map((packet) => generate(packet, { protocolVersion: version }))
      const stream = Array.from(Buffer.concat(frames))
      for (const { at, kind, byte } of hits) {
        const index = at % (stream.length + 1)
        stream.splice(index, kind === 'insert' ? 0 : 1, ...(kind === 'remove' ? [] : [byte]))
      }
      const bytes = Buffer.from(stream)
      const { events } = record([bytes], { version, maxPacketBytes })
      const found = events.findIndex((event) => event.type === 'violation')
      if (found >= 0) violations++
      if (found >= 0 && found !== events.length - 1) throw new Error('it went on after a violation')
      const again = record(slice(bytes, sizes), { version, maxPacketBytes }).events
      if (!t.deepEqual(again, events)) throw new Error('they differ')
    },
  )
  fc.assert(property, { seed, numRuns: fuzzCount(4_000) })
  t.true(violations > 400)
})

/** Numerical Recipes' generator: enough to pick and to damage. */
function* random(): Generator<number, never> {
  let state = seed
  for (;;) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    yield state / 2 ** 32
  }
}

test('after 100,000 random messages Object.prototype is as it was', (t) => {
  const before = Object.getOwnPropertyNames(Object.prototype)
  const dice = random()
  const below = (limit: number) => Math.floor(dice.next().value * limit)
  const pool = fc
    .sample(publishPackets(5), { seed, numRuns: 1000 })
    .map((packet) => generate(packet, { protocolVersion: 5 }))
  let messages = 0
  let violations = 0
  const sink = {
    publish: (arrival: Parameters<typeof plain>[0]) => void (plain(arrival), messages++),
    pass: () => {},
    release: () => {},
    skipped: () => {},
    violation: () => void violations++,
  }
  const enough = () => messages >= 100_000
  while (!enough()) {
    const reader = new PacketReader(sink, { maxPacketBytes: 1_000_000 })
    for (let n = 0; n < 8; n++) {
      const frame = Buffer.from(pool[below(pool.length)]!)
      if (below(4) === 0) frame[below(frame.length)] = below(256)
      reader.feed(frame)
    }
  }
  t.true(violations > 1000)
  t.deepEqual(Object.getOwnPropertyNames(Object.prototype), before)
  t.is(Object.getPrototypeOf(Object.prototype), null)
})

// Frames off the wire: what is taken, what passes, what is skipped, what ends the connection, wherever the bytes are cut.
import test from 'ava'
import { generate, type Packet } from 'mqtt-packet'
import { cut, record, type RecordOptions } from '../helpers/packet-recorder.ts'

const publish = { cmd: 'publish', topic: 'a/b', payload: 'x', qos: 0, dup: false, retain: false } as const
const big = Buffer.alloc(400, 'z')

/** One of each kind a server sends, PUBLISH of every sort among them. */
function session(version: 4 | 5): Buffer[] {
  const properties = version === 5 ? { properties: { subscriptionIdentifier: 300, contentType: 'x' } } : {}
  const codes = version === 5 ? { reasonCode: 0 } : { returnCode: 0 }
  const granted = version === 5 ? { granted: [0] } : { granted: [] }
  const packets: Packet[] = [
    { cmd: 'connack', sessionPresent: false, ...codes },
    publish,
    { cmd: 'suback', messageId: 1, granted: [1, 0] },
    { ...publish, ...properties, qos: 1, messageId: 258, dup: true, retain: true },
    { cmd: 'puback', messageId: 2 },
    { cmd: 'pingresp' },
    { ...publish, payload: big.subarray(0, 200), qos: 1, messageId: 65_535 },
    { ...publish, topic: 'grüße/😀', payload: '' },
    { ...publish, qos: 2, messageId: 4 },
    { cmd: 'pubrel', messageId: 4 },
    { ...publish, ...properties, topic: 'big/0', payload: big },
    { cmd: 'pubrec', messageId: 5 },
    { ...publish, topic: 'big/1', payload: big, qos: 1, messageId: 6 },
    { cmd: 'pubcomp', messageId: 5 },
    { ...publish, topic: 'a/+', qos: 1, messageId: 7 },
    { cmd: 'unsuback', messageId: 8, ...granted },
    { cmd: 'disconnect' },
    publish,
  ]
  return packets.map((packet) => generate(packet, { protocolVersion: version }))
}

const limit = 300
const hex = (frames: readonly Buffer[]) => Buffer.concat(frames).toString('hex')

for (const version of [4, 5] as const) {
  const options: RecordOptions = { version, maxPacketBytes: limit }

  test(`MQTT ${version}: PUBLISH and PUBREL are taken, the rest passes as it is, in order`, (t) => {
    const frames = session(version)
    const { events } = record([Buffer.concat(frames)], options)
    const kinds = events.map((event) => (event.type === 'publish' ? event.arrival['topic'] : event.type))
    t.deepEqual(kinds, [
      'pass',
      'a/b',
      'pass',
      'a/b',
      'pass',
      'a/b',
      'grüße/😀',
      'a/b',
      'release',
      'skipped',
      'pass',
      'skipped',
      'pass',
      'a/+',
      'pass',
      'a/b',
    ])
    const passed = events.flatMap((event) => (event.type === 'pass' ? [event.bytes] : []))
    const groups = [[0], [2], [4, 5], [11], [13], [15, 16]]
    t.deepEqual(
      passed,
      groups.map((group) => hex(group.map((index) => frames[index]!))),
    )
  })

  test(`MQTT ${version}: cut in two anywhere, a session reads the same`, (t) => {
    const bytes = Buffer.concat(session(version))
    const { events } = record([bytes], options)
    for (let at = 0; at <= bytes.length; at++) {
      const halves = [Buffer.from(bytes.subarray(0, at)), Buffer.from(bytes.subarray(at))]
      t.deepEqual(record(halves, options).events, events, `cut at ${at}`)
    }
  })

  test(`MQTT ${version}: in chunks of any size, a session reads the same`, (t) => {
    const bytes = Buffer.concat(session(version))
    const { events } = record([bytes], options)
    for (let size = 1; size <= 64; size++) {
      t.deepEqual(record(cut(bytes, size), options).events, events, `chunks of ${size}`)
    }
  })
}

test('all parts of a message are there', (t) => {
  const properties = { payloadFormatIndicator: true, messageExpiryInterval: 7, subscriptionIdentifier: 5 }
  const packet = { ...publish, qos: 1, messageId: 513, retain: true, properties } as const
  const bytes = generate(packet, { protocolVersion: 5 })
  const [arrival] = record([bytes]).arrivals
  t.like(arrival, { topic: 'a/b', qos: 1, packetId: 513, dup: false, retain: true, bytes: bytes.length })
  t.is(arrival?.payload.toString(), 'x')
  t.is(arrival?.invalid, undefined)
  t.is(arrival?.share, undefined)
  t.deepEqual(arrival?.subscriptionIdentifiers, [5])
  t.deepEqual(
    { ...arrival?.properties },
    { payloadFormatIndicator: true, messageExpiryInterval: 7, subscriptionIdentifiers: [5] },
  )
})

test('QoS 0 owes no acknowledgement', (t) => {
  t.is(record([generate(publish, { protocolVersion: 5 })]).arrivals[0]?.packetId, 0)
})

test('MQTT 3.1.1 has no properties: what looks like them is payload', (t) => {
  const bytes = generate({ ...publish, payload: Buffer.from([0, 1, 2]) }, { protocolVersion: 4 })
  t.is(record([bytes], { version: 4 }).arrivals[0]?.payload.toString('hex'), '000102')
})

test('bytes that lie whole in a chunk are not copied, and what passes together is one piece', (t) => {
  const ping = Buffer.from([0xd0, 0])
  const chunk = Buffer.concat([ping, ping, generate(publish, { protocolVersion: 5 }), ping, ping])
  const { arrivals, passes } = record([chunk])
  t.is(arrivals[0]?.payload.buffer, chunk.buffer)
  t.is(passes.length, 2)
  t.true(passes.every((bytes) => bytes.length === 4 && bytes.buffer === chunk.buffer))
})

/** How many bytes the reader copies out of these chunks. */
function countCopies(chunks: readonly Buffer[]): () => number {
  let copied = 0
  for (const chunk of chunks) {
    const copy: typeof chunk.copy = (...args) => {
      const bytes = Buffer.prototype.copy.apply(chunk, args)
      copied += bytes
      return bytes
    }
    Object.defineProperty(chunk, 'copy', { value: copy })
  }
  return () => copied
}

test('of a large frame in small chunks each byte is copied once', (t) => {
  const payload = Buffer.alloc(2 ** 24, 'abcdefg')
  const bytes = generate({ ...publish, payload, qos: 1, messageId: 1 }, { protocolVersion: 5 })
  const chunks = cut(bytes, 1024)
  const copied = countCopies(chunks)
  const [arrival] = record(chunks, { maxPacketBytes: bytes.length }).arrivals
  t.is(copied(), bytes.length)
  t.true(arrival?.payload.equals(payload))
})

test('of a frame above the limit only head and topic are kept', (t) => {
  for (const qos of [0, 1, 2] as const) {
    const payload = Buffer.alloc(2 ** 22)
    const packet = { ...publish, topic: 't'.repeat(65_535), payload, qos, messageId: 9 }
    const bytes = generate(packet, { protocolVersion: 5 })
    for (const size of [1024, bytes.length]) {
      const chunks = cut(bytes, size)
      const copied = countCopies(chunks)
      const { events } = record(chunks, { maxPacketBytes: bytes.length - 1 })
      const skipped = { packetId: qos === 0 ? 0 : 9, bytes: bytes.length, topic: packet.topic, dup: false }
      t.deepEqual(events, [{ type: 'skipped', packet: skipped }])
      t.true(copied() <= 5 + 2 + 65_535 + 2)
    }
  }
})

test('the limit itself is allowed', (t) => {
  const bytes = generate({ ...publish, payload: big }, { protocolVersion: 5 })
  const copied = countCopies([bytes])
  t.is(record([bytes], { maxPacketBytes: bytes.length }).arrivals.length, 1)
  t.is(copied(), 0)
  t.is(record([bytes], { maxPacketBytes: bytes.length - 1 }).events[0]?.type, 'skipped')
})

test('a limit below every header skips to the last byte', (t) => {
  const small = generate({ ...publish, topic: 'a', payload: '' }, { protocolVersion: 4 })
  const large = generate({ ...publish, topic: 'b', qos: 1, messageId: 3 }, { protocolVersion: 4 })
  const packets = [
    { packetId: 0, bytes: 5, topic: 'a', dup: false },
    { packetId: 3, bytes: 8, topic: 'b', dup: false },
    { packetId: 0, bytes: 5, topic: 'a', dup: false },
  ]
  for (const size of [1, 2, 3, 5, 18]) {
    const chunks = cut(Buffer.concat([small, large, small]), size)
    const { events } = record(chunks, { version: 4, maxPacketBytes: 4 })
    t.deepEqual(
      events,
      packets.map((packet) => ({ type: 'skipped', packet })),
    )
  }
})

test('what has passed may be kept', (t) => {
  const bytes = Buffer.from([0xd0, 0, 0x40, 2, 1, 2, 0xd0, 0])
  t.deepEqual(Buffer.concat(record(cut(bytes, 1)).passes), bytes)
})

test('nothing of a message is left for the next one', (t) => {
  const properties = { subscriptionIdentifier: 7, contentType: 'x' }
  const before = generate(
    { ...publish, topic: 'a/+', qos: 1, messageId: 1, properties },
    { protocolVersion: 5 },
  )
  const next = generate(publish, { protocolVersion: 5 })
  t.deepEqual(record([Buffer.concat([before, next])]).events.slice(1), record([next]).events)
})

test('below a limit of nothing, a PUBLISH of nothing is malformed', (t) => {
  const [event] = record([Buffer.from([0x30, 0])], { maxPacketBytes: 1 }).events
  t.is(event?.type, 'violation')
})

test('no chunk, or an empty one, is nothing', (t) => {
  t.deepEqual(record([]).events, [])
  t.deepEqual(record([Buffer.alloc(0)]).events, [])
})

/** A PUBLISH in hex, "," where only people look; given with its fault, whole and byte by byte, and never read on from. */
const violates = test.macro((t, bytes: string, message: RegExp, options: RecordOptions = {}) => {
  const good = generate(publish, { protocolVersion: options.version ?? 5 })
  const stream = Buffer.concat([good, Buffer.from(bytes.replaceAll(/[ ,]/g, ''), 'hex'), good, good])
  for (const size of [1, 2, stream.length]) {
    const { events, arrivals } = record(cut(stream, size), options)
    t.is(arrivals.length, 1)
    t.is(events.filter((event) => event.type === 'violation').length, 1)
    const last = events.at(-1)
    if (last?.type === 'violation') t.regex(last.message, message)
    else t.fail('something came after the violation')
  }
})

const tiny = { maxPacketBytes: 16 }
test('a length of five bytes', violates, '30 ffffffff01', /more than four bytes/)
test('a length of five bytes on another packet', violates, '90 80808080', /more than four bytes/)
test('QoS 3', violates, '36 06 000161 0001 00', /QoS is 3 \[MQTT-3.3.1-4\]/)
test('QoS 3 above the limit', violates, `36 14 ${'00'.repeat(20)}`, /QoS is 3/, tiny)
test('a PUBLISH of nothing', violates, '30 00', /ends before its topic/)
test('a PUBLISH with half the length of a topic', violates, '30 01 00', /ends before its topic/)
test('a topic longer than its packet', violates, '30 04 0005 6162', /ends before its topic/)
test('no room for the packet identifier', violates, '32 04 0001 61 00', /packet identifier do/)
test('packet identifier 0', violates, '32 06 000161 0000 00', /identifier is 0 \[MQTT-2.2.1-4\]/)
test('packet identifier 0 on 3.1.1', violates, '32 05 000161 0000', /identifier is 0/, { version: 4 })
test('MQTT 5 without property length', violates, '30 03 000161', /properties run past its end/)
test('a property length that ends', violates, '30 04 000161 80', /properties run past its end/)
test('a property length of five bytes', violates, '30 08 000161 ffffffff01', /properties run past its end/)
test('properties longer than the packet', violates, '30 06 000161 03 0101', /properties run past its end/)
test(
  'above the limit, a topic longer than its packet',
  violates,
  `30 14 0013 ${'61'.repeat(18)}`,
  /ends before/,
  tiny,
)
test('above the limit, no packet identifier', violates, `32 14 0011 ${'61'.repeat(18)}`, /ends before/, tiny)
test(
  'above the limit, identifier 0',
  violates,
  `32 14 0001 61 0000 ${'00'.repeat(15)}`,
  /identifier is 0/,
  tiny,
)
test(
  'another packet above the limit',
  violates,
  `90 14 ${'00'.repeat(20)}`,
  /type 9 .* 22 bytes; 16 are/,
  tiny,
)
test('a PUBREL above the limit', violates, `62 14 ${'00'.repeat(20)}`, /type 6 .* can not be skipped/, tiny)

test('a PUBREL with other flags', violates, '60 02 0001', /flags are not 0010 \[MQTT-3.6.1-1\]/)
test('a PUBREL of nothing', violates, '62 00', /ends before its packet identifier/)
test('a PUBREL with half an identifier', violates, '62 01 00', /ends before its packet identifier/)
test('a PUBREL with identifier 0', violates, '62 02 0000', /identifier is 0 \[MQTT-2.2.1-4\]/)
test('a PUBREL with a code on 3.1.1', violates, '62 03 0001 92', /more than a packet/, { version: 4 })
test('a PUBREL whose properties are longer', violates, '62 04 0001 00 01', /properties do not end with it/)
test('a PUBREL whose properties are shorter', violates, '62 05 0001 00 00 1f', /properties do not end/)
test('a PUBREL whose property length ends', violates, '62 04 0001 00 80', /properties do not end with it/)

test('a PUBREL is read with and without reason code and properties, in its shortest form and in longer ones', (t) => {
  const properties = { reasonString: 'gone', userProperties: { a: '1' } }
  const said = generate(
    { cmd: 'pubrel', messageId: 258, reasonCode: 146, properties },
    { protocolVersion: 5 },
  )
  for (const frame of [
    '62 02 0102',
    '62 03 0102 92',
    '62 04 0102 00 00',
    '62 8200 0102',
    said.toString('hex'),
  ]) {
    const bytes = Buffer.from(frame.replaceAll(' ', ''), 'hex')
    for (const size of [1, bytes.length]) {
      t.deepEqual(record(cut(bytes, size)).events, [{ type: 'release', packetId: 258 }], frame)
    }
  }
})

test('an unknown property', violates, '30 06 000161 02 7f00', /cut short or unknown/)
test('a property of CONNACK', violates, '30 07 000161 03 21 0001', /cut short or unknown/)
test('a topic alias', violates, '30 07 000161 03 23 0001', /Topic Alias.*\[MQTT-3.1.2-27\]/)
test('a topic alias cut short', violates, '30 06 000161 02 23 00', /cut short/)
test('Subscription Identifier 0', violates, '30 06 000161 02 0b00', /Subscription Identifier 0/)
test('Subscription Identifier that ends', violates, '30 06 000161 02 0b80', /cut short/)
test('Subscription Identifier of five bytes', violates, '30 0a 000161 06 0bffffffff01', /cut short/)
test('a payload format cut short', violates, '30 05 000161 01 01', /cut short/)
test('an expiry cut short', violates, '30 08 000161 04 02 000000', /cut short/)
test('a string without its length', violates, '30 06 000161 02 03 00', /cut short/)
test('a string longer than the properties', violates, '30 08 000161 03 03 0001 61', /cut short/)
test('a user property without its name', violates, '30 06 000161 02 26 00', /cut short/)
test('a user property whose name is too long', violates, '30 08 000161 04 26 0005 61', /cut short/)
test('a user property without its value', violates, '30 08 000161 04 26 0001 61', /cut short/)
test('a user property whose value is too long', violates, '30 0b 000161 06 26 0001 61 0001 62', /cut short/)
for (const property of ['01 01', '02 00000001', '03 000161', '08 000161', '09 000161']) {
  const bytes = property.replace(' ', '')
  const length = bytes.length.toString(16).padStart(2, '0')
  const size = (bytes.length + 4).toString(16).padStart(2, '0')
  const name = Number(property.slice(0, 2))
  test(
    `property ${name} twice`,
    violates,
    `30 ${size} 000161 ${length} ${bytes}${bytes}`,
    new RegExp(`property ${name} comes twice`),
  )
}

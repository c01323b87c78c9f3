import test from 'ava'
import fc from 'fast-check'
import { generate } from 'mqtt-packet'
import type { MqttasgiError } from '../../lib/core/errors.ts'
import type { PublishProperties } from '../../lib/core/message.ts'
import { isTopic } from '../../lib/core/topic.ts'
import { measurePublish } from '../../lib/transport/outgoing-publish.ts'

const text = fc.string({ unit: 'binary', maxLength: 300 }).filter((one) => !one.includes('\0'))
const properties: fc.Arbitrary<PublishProperties> = fc.record(
  {
    payloadFormatIndicator: fc.boolean(),
    messageExpiryInterval: fc.nat(0xffffffff),
    contentType: text,
    responseTopic: text.filter(isTopic),
    correlationData: fc.uint8Array({ maxLength: 300 }),
    userProperties: fc.dictionary(text, fc.oneof(text, fc.array(text, { maxLength: 3 })), { maxKeys: 5 }),
  },
  { requiredKeys: [] },
)

test('the size of a frame is exactly what mqtt-packet writes', (t) => {
  fc.assert(
    fc.property(
      text.filter((one) => one !== ''),
      fc.oneof(fc.nat(300), fc.constantFrom(16_000, 16_383, 16_384, 2_097_151, 2_097_152)),
      properties,
      fc.constantFrom(0, 1, 2),
      fc.constantFrom(4, 5),
      (topic, length, given, qos, protocolVersion) => {
        const payload = Buffer.alloc(length)
        const packet = measurePublish(topic, payload, { qos, properties: given }, protocolVersion)
        const frame = generate(
          {
            cmd: 'publish',
            topic,
            payload,
            qos,
            retain: false,
            dup: false,
            messageId: 1,
            ...(packet.properties === undefined ? {} : { properties: packet.properties }),
          },
          { protocolVersion },
        )
        return frame.length === packet.bytes
      },
    ),
    { numRuns: 500 },
  )
  t.pass()
})

for (const qos of [3, -1, 1.5, Number.NaN, '1']) {
  test(`what is no quality of service is refused before it is sent: ${String(qos)}, a ${typeof qos}`, (t) => {
    const error = t.throws(() => measurePublish('a', Buffer.alloc(0), { qos: qos as never }, 5))
    t.is((error as MqttasgiError).code, 'ERR_PUBLISH_INVALID')
    t.regex(String(error), /qos must be 0, 1 or 2/)
  })
}

test('a response topic that is no topic is refused before the broker ends the connection for it', (t) => {
  for (const responseTopic of ['', 'a/+', 'a/#']) {
    const error = t.throws(() => measurePublish('a', Buffer.alloc(0), { properties: { responseTopic } }, 5))
    t.is((error as MqttasgiError).code, 'ERR_PUBLISH_INVALID')
    t.regex(String(error), /responseTopic must be a topic/)
  }
})

test('QoS is 1 unless told otherwise', (t) => {
  const payload = Buffer.from('x')
  const { bytes } = measurePublish('a', payload, { qos: 1 }, 4)
  t.is(measurePublish('a', payload, {}, 4).bytes, bytes)
  t.is(measurePublish('a', payload, { qos: 0 }, 4).bytes, bytes - 2)
})

test('a user property named __proto__ is one like any other', (t) => {
  const userProperties = Object.assign(Object.create(null), JSON.parse('{ "__proto__": "x" }'))
  const { bytes, properties } = measurePublish('a', Buffer.alloc(0), { properties: { userProperties } }, 5)
  t.deepEqual(Object.entries(properties?.userProperties ?? {}), [['__proto__', ['x']]])
  t.true(bytes > measurePublish('a', Buffer.alloc(0), {}, 5).bytes)
})

test('what can not stand in a property is told with its name', (t) => {
  const wrong: readonly (readonly [PublishProperties, RegExp])[] = [
    [{ messageExpiryInterval: -1 }, /messageExpiryInterval must be whole seconds, 0 to 4294967295, not -1/],
    [{ messageExpiryInterval: 0x1_0000_0000 }, /messageExpiryInterval/],
    [{ contentType: 'a\0' }, /contentType must be text without NUL/],
    [{ responseTopic: '\uD800' }, /responseTopic must be text without NUL and half surrogate pairs/],
    [{ correlationData: new Uint8Array(65_536) }, /correlationData must be at most 65535 bytes, not 65536/],
    [{ userProperties: { ['x'.repeat(65_536)]: 'y' } }, /a user property must be at most/],
    [{ userProperties: { x: JSON.parse('[1]') } }, /a user property must be a string, not number/],
  ]
  for (const [properties, message] of wrong) {
    t.throws(() => measurePublish('hall', Buffer.alloc(0), { properties }, 5), {
      code: 'ERR_PUBLISH_INVALID',
      message,
    })
  }
})

test('what MQTT can not carry is told before it is sent', (t) => {
  // The length alone matters, so no 256 MiB are made.
  const payload = Object.create(Buffer.alloc(0), { length: { value: 268_435_455 } })
  const error = t.throws(() => measurePublish('hall', payload, {}, 4), { code: 'ERR_PUBLISH_TOO_LARGE' })
  t.regex(error?.message ?? '', /takes 268435463 bytes, and MQTT can carry 268435455/)
})

import test from 'ava'
import { MqttasgiError } from '../../lib/core/errors.ts'
import type { Payload } from '../../lib/core/message.ts'
import { encodePayload } from '../../lib/core/payload.ts'

const written: readonly (readonly [what: string, payload: Payload, text: string])[] = [
  ['text', 'grün', 'grün'],
  ['no text', '', ''],
  ['a whole number', 42, '42'],
  ['a fraction', -0.5, '-0.5'],
  ['no number', Number.NaN, 'NaN'],
  ['true', true, 'true'],
  ['false', false, 'false'],
  ['null', null, ''],
  ['undefined', undefined, ''],
  ['an object', { a: [1, 'x'] }, '{"a":[1,"x"]}'],
  ['an array', [1, 2], '[1,2]'],
  ['a date', new Date(0), '"1970-01-01T00:00:00.000Z"'],
]

for (const [what, payload, text] of written) {
  test(`${what} is published as ${JSON.stringify(text)}`, (t) => {
    t.deepEqual(encodePayload(payload, 'a'), Buffer.from(text))
  })
}

test('bytes are published as they are, without a copy', (t) => {
  const buffer = Buffer.from('abc')
  t.is(encodePayload(buffer, 'a'), buffer)
  const bytes = new Uint8Array([0, 1, 2, 3]).subarray(1, 3)
  const encoded = encodePayload(bytes, 'a')
  t.deepEqual([...encoded], [1, 2])
  t.is(encoded.buffer, bytes.buffer)
})

const circular: Record<string, unknown> = {}
circular['self'] = circular

const unwritable: readonly (readonly [what: string, payload: unknown, words: RegExp])[] = [
  ['a function', () => {}, /a function/],
  ['a symbol', Symbol('x'), /a symbol/],
  ['a bigint', 1n, /a bigint \(.*BigInt/],
  ['a circle', circular, /an? object \(.*circular/i],
  ['an object that says it is nothing', { toJSON: () => undefined }, /an? object/],
]

for (const [what, payload, words] of unwritable) {
  test(`${what} can not be published, and the error says why`, (t) => {
    const error = t.throws(() => encodePayload(payload as Payload, 'sensors/hall'), {
      instanceOf: MqttasgiError,
      message: words,
    })
    t.is(error?.code, 'ERR_PAYLOAD_TYPE')
    t.is(error?.topic, 'sensors/hall')
  })
}

import test from 'ava'
import * as fc from 'fast-check'
import { decodeEvent, encodeEvent, MAX_EVENT_BYTES } from '../../lib/core/channel-event.ts'
import type { ChannelEvent } from '../../lib/core/channel-layer.ts'
import { MqttasgiError } from '../../lib/core/errors.ts'

const field = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.string({ unit: 'grapheme' }),
    fc.double({ noNaN: true, noDefaultInfinity: true }).filter((number) => !Object.is(number, -0)),
    fc.boolean(),
    fc.constant(null),
    fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    fc.array(tie('value')),
    fc.dictionary(
      fc
        .oneof(
          fc.string(),
          fc.constantFrom('$bytes', '$$bytes', '$', 'type', 'toString', 'hasOwnProperty', 'then'),
        )
        .filter((name) => name !== '__proto__' && name !== 'constructor'),
      tie('value'),
      { noNullPrototype: true },
    ),
  ),
})).value

test('an event comes out of its bytes as it went in', (t) => {
  fc.assert(
    fc.property(field, (value) => {
      const event = { type: 'test', value }
      t.deepEqual(decodeEvent(encodeEvent(event)), event)
    }),
  )
})

test('whatever the bytes are, they are an event or an error with a code', (t) => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      try {
        t.is(typeof decodeEvent(Buffer.from(text)).type, 'string')
      } catch (error) {
        t.is(error instanceof MqttasgiError && error.code, 'ERR_CHANNEL_EVENT')
      }
    }),
  )
})

const circle: Record<string, unknown> = { type: 'x' }
circle['self'] = circle

const bad: readonly (readonly [what: string, event: unknown, said: RegExp])[] = [
  ['nothing', undefined, /got undefined/],
  ['a text', 'alarm', /got a string/],
  ['a list', [], /got a list/],
  ['no type', {}, /got undefined as its type/],
  ['an empty type', { type: '' }, /got "" as its type/],
  ['a type of spaces', { type: 'a b' }, /"a b" as its type/],
  ['a type that ends in a dot', { type: 'a.' }, /as its type/],
  ['a type that is too long', { type: 'x'.repeat(100) }, /as its type/],
  ['a date', { type: 'x', deep: [{ when: new Date() }] }, /an object of Date at event\.deep\[0\]\.when/],
  ['a map', { type: 'x', map: new Map() }, /an object of Map at event\.map/],
  ['a function', { type: 'x', go() {} }, /a function at event\.go/],
  ['a bigint', { type: 'x', big: 1n }, /a bigint at event\.big/],
  ['no number', { type: 'x', n: Number.NaN }, /the number NaN at event\.n/],
  ['a hole in a list', { type: 'x', list: [undefined] }, /undefined at event\.list\[0\]/],
  ['a circle', circle, /contains itself/],
  [
    'a class of its own',
    new (class Alarm {
      type = 'x'
    })(),
    /an object of Alarm/,
  ],
  [
    'a name that is a trap',
    JSON.parse('{"type":"x","a":{"__proto__":{"b":1}}}'),
    /the name __proto__ at event\.a/,
  ],
  ['another trap', { type: 'x', constructor: { prototype: {} } }, /the name constructor at event,/],
  ['too many bytes', { type: 'x', text: 'x'.repeat(MAX_EVENT_BYTES) }, /1048\d+ bytes of type x/],
]

for (const [what, event, said] of bad) {
  test(`an event is refused when it is or has ${what}`, (t) => {
    const error = t.throws(() => encodeEvent(event as ChannelEvent), { instanceOf: MqttasgiError })
    t.is(error?.code, 'ERR_CHANNEL_EVENT')
    t.regex(error?.message ?? '', said)
  })
}

test('a field that is undefined is left out, and an object without a prototype is as good as another', (t) => {
  const bare = Object.assign(Object.create(null) as object, { a: 1 })
  t.deepEqual(decodeEvent(encodeEvent({ type: 'x', none: undefined, bare })), { type: 'x', bare: { a: 1 } })
})

for (const [what, text] of [
  ['no JSON', '{'],
  ['no object', '[]'],
  ['without a type', '{"a":1}'],
  ['of a type that is none', '{"type":7}'],
  ['tagged bytes', '{"$bytes":""}'],
  ['a trap', '{"type":"x","__proto__":{"a":1}}'],
  ['another trap', '{"type":"x","constructor":{"prototype":{"a":1}}}'],
  ['too deep', `{"type":"x","a":${'['.repeat(100)}${']'.repeat(100)}}`],
] as const) {
  test(`bytes that are ${what} are no event`, (t) => {
    const error = t.throws(() => decodeEvent(Buffer.from(text)), { instanceOf: MqttasgiError })
    t.is(error?.code, 'ERR_CHANNEL_EVENT')
  })
}

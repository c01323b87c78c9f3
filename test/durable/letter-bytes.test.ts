// A dead letter as bytes: what goes in comes out, and what is none is said to be none.
import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import { MqttasgiError } from '../../lib/core/errors.ts'
import { decodeLetter, encodeLetter } from '../../lib/durable/letter-bytes.ts'
import { anyLetter, fullLetter, letter } from '../helpers/letters.ts'

function unreadable(t: ExecutionContext, bytes: Buffer): string {
  const error = t.throws(() => decodeLetter(bytes), { instanceOf: MqttasgiError })
  t.is(error.code, 'ERR_DEAD_LETTER_UNREADABLE')
  return error.message
}

test('every letter comes out as it went in, payload and properties to the last byte', (t) => {
  const full = fullLetter()
  t.deepEqual(decodeLetter(encodeLetter(full)), full)
  fc.assert(fc.property(anyLetter, (one) => t.deepEqual(decodeLetter(encodeLetter(one)), one)))
})

test('the names of user properties are names, and nothing else', (t) => {
  const { properties } = decodeLetter(encodeLetter(fullLetter()))
  t.is(Object.getPrototypeOf(properties), null)
  t.is(Object.getPrototypeOf(properties.userProperties), null)
  t.deepEqual(properties.userProperties?.['__proto__'], ['a', 'b', 'a'])
  t.is(({} as Record<string, unknown>)['a'], undefined)
})

test('the first line is JSON for people and other programs, and the payload stands behind it', (t) => {
  const bytes = encodeLetter(letter({ id: 'x', payload: Buffer.from('1\n2') }))
  const end = bytes.indexOf('\n')
  const head = JSON.parse(bytes.toString('utf8', 0, end)) as Record<string, unknown>
  t.is(head['mqttasgi'], 'dead letter')
  t.is(head['version'], 1)
  t.is(head['topic'], 'sensors/hall/temp')
  t.deepEqual(head['payload'], {
    bytes: 3,
    sha256: 'b598b3a62a3f7cedb17e66d1cb31d53dffeebaf5c07e2c60d5e31971936fd35e',
    follows: true,
  })
  t.is(bytes.toString('utf8', end + 1), '1\n2')
})

test('a letter without its payload says length and SHA-256, and can not be taken for the whole', (t) => {
  const short = encodeLetter(letter({ payload: Buffer.alloc(1_000_000, 7) }), { withoutPayload: true })
  t.true(short.length < 1_000)
  t.regex(short.toString(), /"bytes":1000000,"sha256":"[0-9a-f]{64}","follows":false}}\n$/)
  t.regex(unreadable(t, short), /0 of the 1000000 bytes/)
})

test('the text of an error is cut, and moves no cursor (T20)', (t) => {
  const message = `\u001b[2J\r\n\u2028\u202e${'long '.repeat(1_000)}`
  const bytes = encodeLetter(letter({ error: { name: 'a\u0007b', message, code: undefined } }))
  const { error } = decodeLetter(bytes)
  t.is(error.name, 'a b')
  t.is(error.message.length, 1_024)
  t.notRegex(error.message, /[\p{Cc}\u2028\u202e]/u)
})

test('what is no letter, or a later one, is refused', (t) => {
  for (const text of ['', '\n', '{}\n', 'null\n', '3\nx', '{"mqttasgi":"dead letter"', '{"mqttasgi":1}\n']) {
    t.regex(unreadable(t, Buffer.from(text)), /does not begin with the line of one/)
  }
  const later = Buffer.from('{"mqttasgi":"dead letter","version":2}\n')
  t.regex(unreadable(t, later), /version is 2, and 1 is known/)
  const whole = encodeLetter(letter())
  t.regex(unreadable(t, whole.subarray(0, -1)), /10 of the 11 bytes/)
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      unreadable(t, Buffer.from(bytes))
    }),
  )
})

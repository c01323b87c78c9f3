import test from 'ava'
import * as fc from 'fast-check'
import { MqttasgiError } from '../../lib/core/errors.ts'
import { readJson, type JsonLimits } from '../../lib/core/json-guard.ts'

function read(text: string, limits?: JsonLimits): unknown {
  return readJson(Buffer.from(text), 'a/b', limits)
}

test('what was written as JSON is read as it was', (t) => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = JSON.stringify({ value })
      t.deepEqual(read(text, { prototypeNames: true }), JSON.parse(text))
    }),
  )
})

test('what is not JSON is told with the topic and what the parser met, and none of the text around it', (t) => {
  for (const [text, message] of [
    ['', 'The payload of "a/b" is not JSON: it is empty.'],
    ['secret', 'The payload of "a/b" is not JSON: Unexpected token \'s\'.'],
    [
      `{"key":"secret", oops}${' '.repeat(50)}`,
      /^The payload of "a\/b" is not JSON: Expected double-quoted property name/,
    ],
    [`["${'secret'.repeat(20)}",,"secret"]`, 'The payload of "a/b" is not JSON: Unexpected token \',\'.'],
    ['{', /is not JSON: .*JSON/],
    ['\u0000', /is not JSON/],
  ] as const) {
    const error = t.throws(() => read(text), { instanceOf: MqttasgiError, message })
    t.is(error?.code, 'ERR_PAYLOAD_JSON')
    t.is(error?.topic, 'a/b')
    t.true(error?.cause instanceof SyntaxError)
    t.notRegex(error?.message ?? '', /secret/)
  }
})

interface Refusal {
  readonly text: string
  readonly limits?: JsonLimits
  readonly message: RegExp
}

const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)

const refusals: Readonly<Record<string, Refusal>> = {
  'more than 1 MiB': { text: `"${'x'.repeat(1_048_575)}"`, message: /1048577 bytes are more than 1048576/ },
  'more bytes than were allowed': {
    text: '[1,2]',
    limits: { maxBytes: 4 },
    message: /5 bytes are more than 4/,
  },
  'more than 64 levels': { text: nested(65), message: /more than 64 levels/ },
  'more levels than were allowed': {
    text: '{"a":[{}]}',
    limits: { maxDepth: 2 },
    message: /more than 2 levels/,
  },
  'the name __proto__': { text: '{"__proto__":{"x":1}}', message: /prototype of all objects/ },
  'the name __proto__ further inside': { text: '[{"a":{"__proto__":1}}]', message: /prototype/ },
  'the name __proto__ in escapes': { text: String.raw`{"\u005f_proto\u005F_":{}}`, message: /prototype/ },
  'a constructor with a prototype': { text: '{"constructor":{"prototype":{}}}', message: /prototype/ },
}

for (const [what, { text, limits, message }] of Object.entries(refusals)) {
  test(`refuses ${what}`, (t) => {
    const error = t.throws(() => read(text, limits), { instanceOf: MqttasgiError, message })
    t.is(error?.code, 'ERR_PAYLOAD_JSON')
    t.is(error?.cause, undefined)
  })
}

const accepted: Readonly<Record<string, Pick<Refusal, 'text' | 'limits'>>> = {
  'just 1 MiB': { text: `"${'x'.repeat(1_048_574)}"` },
  'just 64 levels': { text: `[${nested(63)},[1,2,3,4,5,6,7,8,9,10,11,12]]` },
  'brackets in a string': { text: JSON.stringify({ text: `\\"${'[{'.repeat(100)}\\` }) },
  'levels beside each other': { text: `[${Array.from({ length: 100 }, () => '[{}]').join(',')}]` },
  'the names as text': { text: '["__proto__",{"is":"constructor"}]' },
  'a constructor of another kind': {
    text: '{"constructor":"Ferrari","and":{"constructor":{"name":1}},"no":{"constructor":null}}',
  },
  'such names where they are allowed': { text: '{"__proto__":1}', limits: { prototypeNames: true } },
  'more where it is allowed': { text: nested(1_000), limits: { maxDepth: 1_000 } },
}

for (const [what, { text, limits }] of Object.entries(accepted)) {
  test(`reads ${what}`, (t) => {
    t.deepEqual(read(text, limits), JSON.parse(text))
  })
}

test('the depth of random JSON is found as a naive count finds it', (t) => {
  const depthOf = (value: unknown): number =>
    typeof value === 'object' && value !== null ? 1 + Math.max(0, ...Object.values(value).map(depthOf)) : 0
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 8 }), fc.integer({ min: 1, max: 8 }), (value, maxDepth) => {
      const text = JSON.stringify(value)
      const isRead = depthOf(JSON.parse(text)) <= maxDepth
      if (isRead) t.notThrows(() => read(text, { maxDepth, prototypeNames: true }))
      else t.throws(() => read(text, { maxDepth, prototypeNames: true }), { message: /levels deep/ })
    }),
  )
})

// Every fact in fixtures/topic-vectors.json, by kind; the file's `schema` says what each kind means.
import { readFileSync } from 'node:fs'
import test from 'ava'
import { MqttasgiError } from '../../lib/core/errors.ts'
import { pattern } from '../../lib/core/pattern.ts'
import { topicTree } from '../../lib/core/topic-tree.ts'
import { decodeTopic, isFilter, isTopic, levels, matches, sharedFilter } from '../../lib/core/topic.ts'

type Text = string | { readonly repeat: readonly [string, number]; readonly suffix?: string }
type Kind = 'match' | 'filter' | 'topic' | 'levels' | 'shared' | 'utf8' | 'params' | 'pattern'
interface Vector {
  readonly kind: Kind
  readonly filter: Text
  readonly topic: Text
  readonly pattern: Text
  readonly hex: string
  readonly clean: string
  readonly invalid?: 'filter' | 'topic'
  readonly expected: unknown
}
interface Vectors {
  readonly counts: Readonly<Record<Kind, number>>
  readonly vectors: readonly Vector[]
}

const file = new URL('../fixtures/topic-vectors.json', import.meta.url)
const { counts, vectors }: Vectors = JSON.parse(readFileSync(file, 'utf8'))

function textOf(text: Text): string {
  return typeof text === 'string' ? text : text.repeat[0].repeat(text.repeat[1]) + (text.suffix ?? '')
}

function shown(text: Text): string {
  return JSON.stringify(text)
}

function ofKind(kind: Kind): (readonly [number, Vector])[] {
  return vectors.filter((vector) => vector.kind === kind).map((vector, i) => [i + 1, vector] as const)
}

test('there are 431 vectors, as many of each kind as the file says', (t) => {
  t.is(vectors.length, 431)
  for (const [kind, count] of Object.entries(counts)) {
    t.is(vectors.filter((vector) => vector.kind === kind).length, count, kind)
  }
})

const isMatch = test.macro((t, { filter, topic, invalid, expected }: Vector) => {
  t.is<unknown, unknown>(matches(textOf(filter), textOf(topic)), expected)
  if (invalid === 'filter') t.false(isFilter(textOf(filter)))
  if (invalid === 'topic') t.false(isTopic(textOf(topic)))
  if (invalid !== undefined) return
  // The same fact through the two others that answer it.
  const plain = sharedFilter(textOf(filter))?.filter ?? textOf(filter)
  t.is<unknown, unknown>(topicTree([{ filter: plain, value: 1 }]).match(textOf(topic)).length === 1, expected)
  t.is<unknown, unknown>(pattern(textOf(filter)).match(textOf(topic)) !== null, expected)
})
for (const [i, vector] of ofKind('match')) {
  const verb = vector.expected === true ? 'matches' : 'does not match'
  test(`match ${i}: ${shown(vector.filter)} ${verb} ${shown(vector.topic)}`, isMatch, vector)
}

for (const [i, { filter, expected }] of ofKind('filter')) {
  test(`filter ${i}: ${shown(filter)} is ${expected === true ? 'valid' : 'refused'}`, (t) => {
    t.is<unknown, unknown>(isFilter(textOf(filter)), expected)
  })
}

for (const [i, { topic, expected }] of ofKind('topic')) {
  test(`topic ${i}: ${shown(topic)} is ${expected === true ? 'valid' : 'refused'}`, (t) => {
    t.is<unknown, unknown>(isTopic(textOf(topic)), expected)
  })
}

for (const [i, { topic, expected }] of ofKind('levels')) {
  test(`levels ${i}: ${shown(topic)} falls apart at its slashes`, (t) => {
    t.deepEqual<unknown, unknown>(levels(textOf(topic)), expected)
  })
}

for (const [i, { filter, expected }] of ofKind('shared')) {
  test(`shared ${i}: ${shown(filter)} ${expected === null ? 'is not shared' : 'has group and filter'}`, (t) => {
    t.deepEqual<unknown, unknown>(sharedFilter(textOf(filter)), expected)
  })
}

for (const [i, { hex, expected }] of ofKind('utf8')) {
  test(`utf8 ${i}: the bytes ${hex} are ${expected === true ? 'a topic' : 'refused'}`, (t) => {
    const bytes = Buffer.from(hex, 'hex')
    const topic = decodeTopic(bytes)
    if (expected === true) t.deepEqual(Buffer.from(topic ?? '', 'utf8'), bytes)
    else t.is(topic, null)
  })
}

for (const [i, vector] of ofKind('params')) {
  test(`params ${i}: ${shown(vector.pattern)} on ${shown(vector.topic)}`, (t) => {
    const params = pattern(textOf(vector.pattern)).match(textOf(vector.topic))
    t.deepEqual<unknown, unknown>(params === null ? null : { ...params }, vector.expected)
  })
}

for (const [i, vector] of ofKind('pattern')) {
  test(`pattern ${i}: ${shown(vector.pattern)} is ${vector.expected === true ? 'accepted' : 'refused'}`, (t) => {
    if (vector.expected === true) t.is(pattern(textOf(vector.pattern)).filter, vector.clean)
    else {
      const error = t.throws(() => pattern(textOf(vector.pattern)), { instanceOf: MqttasgiError })
      t.is(error.code, 'ERR_PATTERN_INVALID')
    }
  })
}

// The standard's rules for topics and filters: what is refused, where the fault is, and what matches.
import test from 'ava'
import * as fc from 'fast-check'
import { MqttasgiError } from '../../lib/core/errors.ts'
import {
  assertFilter,
  assertPublishTopic,
  assertTopic,
  decodeTopic,
  filterFault,
  hasMoreLevels,
  isFilter,
  isTopic,
  levels,
  matches,
  sharedFilter,
  topicFault,
} from '../../lib/core/topic.ts'
import { anyFilter, anyTopic, naiveMatch } from '../helpers/naive-match.ts'

const saysTopic = test.macro((t, text: string, fault: string | undefined) => t.is(topicFault(text), fault))
const saysFilter = test.macro((t, text: string, fault: string | undefined) => t.is(filterFault(text), fault))

test('a topic without fault has none', saysTopic, 'sensors/hall//temp/', undefined)
test('an empty topic is told', saysTopic, '', 'it must have at least one character')
test('NUL in a topic is placed', saysTopic, 'a/\0', 'NUL is not allowed (character 3)')
test(
  'half a surrogate pair is placed, and a whole one is one character',
  saysTopic,
  '😀/\ud800',
  'half a surrogate pair can not be sent as UTF-8 (character 3)',
)
test(
  'a wildcard in a topic is placed',
  saysTopic,
  'a/b+/#',
  'a topic has no wildcards, but character 4 is "+"',
)
test('a topic is measured in bytes', saysTopic, 'é'.repeat(32_768), 'it is longer than 65535 bytes of UTF-8')

test('a filter without fault has none', saysFilter, '+//a/$share/#', undefined)
test('+ inside a level is placed', saysFilter, 'a/b+/c', '"+" must be a whole level (character 4)')
test('+ before a name is placed', saysFilter, 'a/+id', '"+" must be a whole level (character 3)')
test('# inside a level is placed', saysFilter, 'a/#b', '"#" must be a whole level (character 3)')
test('# before the end is placed', saysFilter, 'é/#/b', '"#" must be the last level (character 3)')
test(
  'a share group without a name is told',
  saysFilter,
  '$share//a',
  'the name of the share group is missing (character 8)',
)
test(
  'a share prefix alone is told',
  saysFilter,
  '$share/',
  'the name of the share group is missing (character 8)',
)
test(
  'a wildcard in the name of a share group is placed',
  saysFilter,
  '$share/g#/a',
  'the name of a share group has no wildcards, but character 9 is "#"',
)
test(
  'a share group without a filter is told',
  saysFilter,
  '$share/g',
  'after the share group "/" and a filter must follow (character 9)',
)
test(
  'a share group with an empty filter is told',
  saysFilter,
  '$share/g/',
  'after the share group "/" and a filter must follow (character 10)',
)

test('what is no string is no topic and no filter', (t) => {
  for (const value of [undefined, null, 5, ['a']]) {
    // @ts-expect-error: what plain JavaScript can do
    t.false(isTopic(value))
    // @ts-expect-error: the same
    t.false(isFilter(value))
  }
  // @ts-expect-error: the same
  t.is(topicFault(null), 'it must be a string, not null')
})

test('a topic and a filter may have 65,535 bytes and not one more', (t) => {
  for (const isValid of [isTopic, isFilter]) {
    t.true(isValid('a'.repeat(65_535)))
    t.false(isValid('a'.repeat(65_536)))
    t.true(isValid(`a${'é'.repeat(32_767)}`))
    t.false(isValid(`aa${'é'.repeat(32_767)}`))
    t.true(isValid('/'.repeat(65_535)))
  }
  t.is(levels('/'.repeat(65_535)).length, 65_536)
  t.true(matches('#', '/'.repeat(65_535)))
  t.true(matches('/'.repeat(65_535), '/'.repeat(65_535)))
})

test('a throwing check says what was expected, what came, and where', (t) => {
  t.notThrows(() => assertTopic('a/b'))
  t.notThrows(() => assertFilter('a/+'))
  const topic = t.throws(() => assertTopic('a/+'), { instanceOf: MqttasgiError })
  t.is(topic.code, 'ERR_TOPIC_INVALID')
  t.is(
    topic.message,
    'Expected a topic such as "sensors/hall/temp", but "a/+" is none: a topic has no wildcards, but character 3 is "+".',
  )
  const filter = t.throws(() => assertFilter('a/b+'), { instanceOf: MqttasgiError })
  t.is(filter.code, 'ERR_FILTER_INVALID')
  t.regex(filter.message, /^Expected a topic filter .* but "a\/b\+" is none: "\+" must be a whole level/)
  // @ts-expect-error: what plain JavaScript can do
  t.regex(t.throws(() => assertTopic(5)).message, /but is none: it must be a string, not number\.$/)
  // @ts-expect-error: the same
  t.regex(t.throws(() => assertFilter()).message, /but is none: it must be a string, not undefined\.$/)
})

test('a message shows a long topic shortened', (t) => {
  const { message } = t.throws(() => assertTopic('x'.repeat(70_000)))
  t.true(message.length < 250)
  t.regex(message, /"x{77}…" is none/)
})

test('nothing is published to what stands for a shared subscription', (t) => {
  for (const topic of ['$share/group/a', '$queue/a']) {
    t.true(isTopic(topic))
    const error = t.throws(() => assertPublishTopic(topic), { instanceOf: MqttasgiError })
    t.is(error?.code, 'ERR_TOPIC_INVALID')
    t.regex(error?.message ?? '', /filter of a shared subscription/)
  }
  t.throws(() => assertPublishTopic('a/+'), { message: /has no wildcards/ })
  for (const topic of ['a', '$shared/a', '$queues', '$aws/things', 'a/$share/b']) {
    t.notThrows(() => assertPublishTopic(topic))
  }
})

test('levels are counted as far as they must be', (t) => {
  fc.assert(
    fc.property(anyTopic, fc.integer({ min: 1, max: 8 }), (topic, most) => {
      t.is(hasMoreLevels(topic, most), levels(topic).length > most)
    }),
  )
  t.false(hasMoreLevels('/'.repeat(31), 32))
  t.true(hasMoreLevels('/'.repeat(32), 32))
})

test('a shared filter is taken apart only when it is valid', (t) => {
  t.deepEqual(sharedFilter('$share/g/$share/h/#'), { group: 'g', filter: '$share/h/#' })
  for (const filter of ['$share/g', '$share/+/a', '$share/g/a+', '$share//a', 'a/$share/g', '$share']) {
    t.is(sharedFilter(filter), null, filter)
  }
})

test('the rule about $ holds behind a share prefix', (t) => {
  t.false(matches('$share/g/#', '$SYS/a'))
  t.true(matches('$share/g/$SYS/#', '$SYS/a'))
})

test('10,000 random filters match random topics as the standard reads', (t) => {
  let matched = 0
  fc.assert(
    fc.property(anyFilter, anyTopic, (filter, topic) => {
      const expected = naiveMatch(filter, topic)
      if (expected) matched++
      return isFilter(filter) && isTopic(topic) && matches(filter, topic) === expected
    }),
    { numRuns: 10_000 },
  )
  t.true(matched > 500)
})

test('bytes are a topic exactly when a strict decoder and the rules for topics say so', (t) => {
  const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  const expected = (bytes: Uint8Array): string | null => {
    try {
      const text = strict.decode(bytes)
      return isTopic(text) ? text : null
    } catch {
      return null
    }
  }
  const pieces = fc.constantFrom(
    '61',
    '2f',
    'c3a9',
    'efbfbd',
    'efbbbf',
    'f09f9880',
    'eda080',
    'c0af',
    '80',
    'f5',
    '00',
    '2b',
  )
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 8 }),
    fc.array(pieces, { maxLength: 6 }).map((all) => new Uint8Array(Buffer.from(all.join(''), 'hex'))),
  )
  fc.assert(
    fc.property(bytes, (some) => decodeTopic(some) === expected(some)),
    { numRuns: 5_000 },
  )
  t.is(decodeTopic(Buffer.from('\uFFFD')), '\uFFFD')
})

test('bytes are decoded within their view, up to 65,535 of them', (t) => {
  t.is(decodeTopic(new Uint8Array(Buffer.from('xa/by')).subarray(1, 4)), 'a/b')
  t.is(decodeTopic(Buffer.alloc(65_535, 'a'))?.length, 65_535)
  t.is(decodeTopic(Buffer.alloc(65_536, 'a')), null)
  t.is(decodeTopic(Buffer.alloc(0)), null)
})

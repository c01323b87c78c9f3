import test from 'ava'
import { assertChannel, assertGroup, localChannel, processOf } from '../../lib/core/channel-name.ts'

test('a channel has letters, digits, hyphens, underscores and periods, fewer than 100', (t) => {
  for (const good of ['a', 'A-1_b.c', '.', 'x'.repeat(99), 'specific.a1!b2']) {
    t.notThrows(() => assertChannel(good), good)
  }
  for (const bad of [
    '',
    'x'.repeat(100),
    'a b',
    'a/b',
    'ä',
    'a\n',
    'a!',
    '!a',
    'a!b!c',
    7,
    null,
    undefined,
  ]) {
    t.throws(() => assertChannel(bad as string), { code: 'ERR_CHANNEL_NAME' }, String(bad))
  }
})

test('a group is no channel of a process', (t) => {
  t.notThrows(() => assertGroup('alarms.hall'))
  t.throws(() => assertGroup('a!b'), { code: 'ERR_CHANNEL_NAME', message: /group.*"a!b"/ })
})

test('a channel of a process says whose it is', (t) => {
  t.is(localChannel('specific', 'p1', 'x'), 'specific.p1!x')
  t.is(processOf('specific.p1!x.y'), 'p1')
  t.is(processOf('p1!x'), 'p1')
  t.is(processOf('specific.p1'), undefined)
  t.throws(() => localChannel('x'.repeat(96), 'p1', 'x'), { code: 'ERR_CHANNEL_NAME' })
  t.throws(() => localChannel('a!b', 'p1', 'x'), { code: 'ERR_CHANNEL_NAME', message: /prefix/ })
})

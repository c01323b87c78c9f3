// What is asked of mqttasgi dlq: what can be said, and what is refused with what to say instead.
import test from 'ava'
import { type DlqFlags, isMeant, readQuestion } from '../../lib/cli/dlq-question.ts'
import { MqttasgiError } from '../../lib/core/errors.ts'
import { letter } from '../helpers/letters.ts'

const now = Date.parse('2026-11-25T12:00:00Z')

function read(action: string | undefined, flags: DlqFlags = {}, ids: readonly string[] = []) {
  return readQuestion(action, ids, { flags, now })
}

const refused = test.macro<[action: string | undefined, flags: DlqFlags, message: RegExp]>({
  exec(t, action, flags, message) {
    const error = t.throws(() => read(action, flags), { instanceOf: MqttasgiError })
    t.is(error.code, 'ERR_USAGE')
    t.regex(error.message, message)
  },
  title: (_, action, flags) => `dlq ${action} ${JSON.stringify(flags)} is refused`,
})

test(refused, undefined, {}, /needs to be told what to do: ls, show, replay, purge/)
test(refused, 'replya', {}, /no dlq replya\. Did you mean replay\?/)
test(refused, 'everything', {}, /no dlq everything\. There are ls, show, replay, purge/)
test(refused, 'show', {}, /needs the id of a letter/)
test(refused, 'replay', {}, /--to broker or --to application.*every subscriber.*nobody else sees it/)
test(refused, 'ls', { to: 'broker' }, /--to belongs to dlq replay/)
test(refused, 'replay', { to: 'moon' }, /--to: expected one of broker, application, got "moon"/)
test(refused, 'purge', {}, /Say --yes/)
// How many is no answer to which.
test(refused, 'purge', { limit: '999999' }, /removes the oldest dead letters, whichever they are.*Say --yes/)
test(refused, 'ls', { yes: true }, /--yes belongs to dlq purge, not to dlq ls/)
test(refused, 'ls', { payload: 'hex' }, /--payload belongs to dlq show, not to dlq ls/)
test(refused, 'purge', { json: true, yes: true }, /--json belongs to dlq ls and dlq show, not to dlq purge/)
test(refused, 'ls', { topic: 'a+' }, /--topic: expected a filter such as/)
test(refused, 'ls', { since: '2 hours' }, /--since: expected a time such as .* got "2 hours"/)
for (const until of [
  '2026-13-45',
  '2026-02-31',
  '2026-02-30T10:00',
  '2026-11-25junk',
  '2026-11-25 junk',
  '2026-11-25T10:00 +1',
  '2026-11-25T10',
  '2026-11-25T25:00',
  '2026-11-25T10:60',
  '2026-11-25T10:00+25:00',
  '2026-11-251',
  '2026-11 (noon)',
]) {
  test(refused, 'purge', { until }, /--until: expected a time such as 2026-11-25, .* got "2026-/)
}
test(refused, 'ls', { limit: '0' }, /--limit: expected a whole number/)
test(refused, 'ls', { cause: 'bad' }, /--cause: expected one of failed, rejected, held, crashed/)
test(refused, 'show', { payload: 'xml' }, /--payload: expected one of text, hex, base64/)

test('purge needs no --yes where a filter or an id says which', (t) => {
  t.notThrows(() => read('purge', { topic: 'a/#' }))
  t.notThrows(() => read('purge', { limit: '1', cause: 'held' }))
  t.notThrows(() => read('purge', { limit: '1', yes: true }))
  t.notThrows(() => read('purge', {}, ['0mi9']))
  t.true(read('purge', { yes: true }).isSure)
})

const times: Readonly<Record<string, number>> = {
  '90s': now - 90_000,
  '30m': now - 1_800_000,
  '2h': now - 7_200_000,
  '1.5h ago': now - 5_400_000,
  '7d': now - 604_800_000,
  '2026-11-24': Date.parse('2026-11-24'),
  '2028-02-29': Date.parse('2028-02-29'),
  '2026-11-24T10:00': new Date(2026, 10, 24, 10).getTime(),
  '2026-11-24 10:00': new Date(2026, 10, 24, 10).getTime(),
  '2026-11-24T10:00Z': Date.parse('2026-11-24T10:00Z'),
  '2026-11-24T10:00:05+01:30': Date.parse('2026-11-24T08:30:05Z'),
  // As dlq ls and show print it.
  '2026-11-26 00:18:12.550Z': Date.parse('2026-11-26T00:18:12.550Z'),
}

for (const [text, time] of Object.entries(times)) {
  test(`--since ${text} is a time`, (t) => {
    t.is(read('ls', { since: text }).filter.since, time)
  })
}

test('a letter is meant when all that is said of it is so', (t) => {
  const one = letter({ topic: 'sensors/hall/temp', deadAt: now, cause: 'held', route: 'sensors/+room/temp' })
  const meant = (flags: DlqFlags): boolean => isMeant(one, read('ls', flags).filter)
  t.true(meant({}))
  t.true(meant({ topic: 'sensors/#', cause: 'held', route: 'sensors/+room/temp', since: '1s' }))
  t.true(meant({ since: '2026-11-25T12:00:00Z' }))
  t.false(meant({ until: '2026-11-25T12:00:00Z' }))
  t.false(meant({ topic: 'sensors/+' }))
  t.false(meant({ topic: 'sensors/#', cause: 'failed' }))
  t.false(meant({ route: 'sensors/#' }))
})

// The store that the settings ask for.
import test from 'ava'
import { type DeadLetterPlan, openArchive, openDeadLetters } from '../../lib/durable/open-dead-letters.ts'

const plan: DeadLetterPlan = {
  stateDir: '/state',
  store: 'journal',
  topic: undefined,
  redis: undefined,
  unverified: false,
  maxMessages: 10,
  maxBytes: 1_000,
}
const redis = { url: 'redis://:canary@localhost', address: 'redis://[redacted]@localhost' }
const broker = { publish: async () => ({ reasonCode: 0 }), protocolVersion: () => 5 as const, warn() {} }

test('each store is opened by its name, and touches nothing yet', (t) => {
  const names = [
    plan,
    { ...plan, store: 'topic' as const, topic: 'dead' },
    { ...plan, store: 'redis' as const, redis },
    { ...plan, store: 'none' as const },
  ].map((one) => openDeadLetters(one, broker)?.name)
  t.deepEqual(names, [
    'journal /state/dead-letters',
    'topic dead',
    'redis redis://[redacted]@localhost',
    undefined,
  ])
})

test('what can be looked at is the journal, or Redis', (t) => {
  t.is(openArchive({ ...plan, store: 'topic', topic: 'dead' }).name, 'journal /state/dead-letters')
  t.is(openArchive({ ...plan, store: 'none' }).name, 'journal /state/dead-letters')
  t.is(openArchive({ ...plan, store: 'redis', redis }).name, 'redis redis://[redacted]@localhost')
})

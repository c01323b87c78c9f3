import test from 'ava'
import { healthOf, type HealthFacts } from '../../lib/server/health.ts'

const well: HealthFacts = {
  state: 'connected',
  isSubscribed: true,
  deadLetterFault: undefined,
  outboxFault: undefined,
  exchangeFault: undefined,
  oldestMs: undefined,
}

test('connected, subscribed and with nothing that stands still, a server is ready', (t) => {
  t.deepEqual(healthOf(well), { ready: true, reasons: [] })
  t.true(healthOf({ ...well, oldestMs: 120_000 }).ready)
})

const ill: readonly (readonly [Partial<HealthFacts>, RegExp])[] = [
  [{ state: 'idle' }, /not been started/],
  [{ state: 'connecting' }, /no connection/],
  [{ state: 'waiting', isSubscribed: false }, /no connection/],
  [{ state: 'stopping' }, /stops/],
  [{ state: 'closed' }, /stopped/],
  [{ isSubscribed: false }, /not granted/],
  [{ deadLetterFault: new Error('disk full') }, /unacknowledged: disk full/],
  [{ outboxFault: new Error('disk full') }, /kept on disk, or .* not taken off it: disk full/],
  [{ exchangeFault: new Error('disk full') }, /QoS 2 can be acknowledged: disk full/],
  [{ oldestMs: 130_000 }, /in hand for 130 s/],
]

for (const [facts, words] of ill) {
  test(`it is not with ${JSON.stringify({ ...facts, deadLetterFault: facts.deadLetterFault?.message, outboxFault: facts.outboxFault?.message, exchangeFault: facts.exchangeFault?.message })}, and says why`, (t) => {
    const { ready, reasons } = healthOf({ ...well, ...facts })
    t.false(ready)
    t.is(reasons.length, 1)
    t.regex(reasons[0] ?? '', words)
  })
}

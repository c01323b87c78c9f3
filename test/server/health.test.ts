import test from 'ava'
import { mqttasgi } from '../../lib/core/application.ts'
import type { DeadLetterStore } from '../../lib/core/dead-letter.ts'
import { Reject } from '../../lib/core/outcomes.ts'
import { healthOf, type HealthFacts } from '../../lib/server/health.ts'
import { settled } from '../helpers/fake-clock.ts'
import { stageServer } from '../helpers/staged-server.ts'

const well: HealthFacts = {
  state: 'connected',
  isSubscribed: true,
  deadLetterFault: undefined,
  outboxFault: undefined,
  exchangeFault: undefined,
  overdueMs: 0,
}

test('connected, subscribed and with nothing that stands still, a server is ready', (t) => {
  t.deepEqual(healthOf(well), { ready: true, reasons: [] })
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
  [{ overdueMs: 130_000 }, /in hand for 130 s, more than twice/],
  [{ overdueMs: 345.6 }, /in hand for 0.3 s/],
]

for (const [facts, words] of ill) {
  test(`it is not with ${JSON.stringify({ ...facts, deadLetterFault: facts.deadLetterFault?.message, outboxFault: facts.outboxFault?.message, exchangeFault: facts.exchangeFault?.message })}, and says why`, (t) => {
    const { ready, reasons } = healthOf({ ...well, ...facts })
    t.false(ready)
    t.is(reasons.length, 1)
    t.regex(reasons[0] ?? '', words)
  })
}

test('a message may be in hand for as long as its route allows, and its handler asks for', async (t) => {
  const app = mqttasgi()
  app.topic('long', { timeoutMs: 0, holdMs: 600_000 }, () => new Promise(() => {}))
  app.topic('longer', { timeoutMs: 1_000, holdMs: 1_000 }, (ctx) => {
    ctx.extend(600_000)
    return new Promise(() => {})
  })
  const { clock, server, transport } = stageServer(t, app)
  await server.start()
  transport.deliver('long')
  transport.deliver('longer')
  await settled()
  clock.advance(590_000)
  t.deepEqual(server.health, { ready: true, reasons: [] })
})

/** A store that does not answer, and does not say why. */
const silent: DeadLetterStore = {
  name: 'silent',
  keep: () => new Promise(() => {}),
  close: async () => {},
}

test('one that is still in hand after twice its holdMs is told, the longest of them', async (t) => {
  const app = mqttasgi()
  app.topic('brief/+', { timeoutMs: 1_000, holdMs: 1_000 }, () => {
    throw new Reject('no')
  })
  app.topic('other', () => {
    throw new Reject('no')
  })
  const { clock, server, transport } = stageServer(t, app, { deadLetters: silent })
  await server.start()
  for (const topic of ['brief/1', 'other']) transport.deliver(topic)
  await settled()
  clock.advance(1_000)
  transport.deliver('brief/2')
  await settled()
  clock.advance(1_000)
  t.true(server.health.ready)
  clock.advance(1_500)
  t.deepEqual(server.health.reasons, [
    'A message has been in hand for 3.5 s, more than twice as long as it may be.',
  ])
})

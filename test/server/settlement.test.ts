import test from 'ava'
import { MqttasgiError } from '../../lib/core/errors.ts'
import type { Outcome } from '../../lib/core/receiver.ts'
import { settle, settlementLine } from '../../lib/server/settlement.ts'

const error = new Error('no')
const route = 'a/+'

const cases: readonly (readonly [Outcome, object])[] = [
  [{ type: 'done', handled: true }, { type: 'handled' }],
  [{ type: 'done', handled: false }, { type: 'unmatched' }],
  [
    { type: 'failed', error, route },
    { type: 'failed', error, route },
  ],
  [
    { type: 'retry', afterMs: 10, error, route },
    { type: 'failed', error, route },
  ],
  [
    { type: 'rejected', reason: 'broken', route },
    { type: 'failed', error: new Error('broken'), route },
  ],
  [
    { type: 'dropped', reason: 'old', route: undefined },
    { type: 'dropped', error: new Error('old'), route: undefined },
  ],
]

for (const [outcome, expected] of cases) {
  const what =
    outcome.type === 'done' ? (outcome.handled ? 'done by a route' : 'done without a route') : outcome.type
  test(`what is ${what} is settled as ${(expected as { type: string }).type}`, (t) => {
    t.deepEqual<unknown, object>(settle(outcome), expected)
  })
}

test('a failure is told on one line, with the route where there is one', (t) => {
  t.regex(settlementLine('a/b', { type: 'failed', error, route }), /"a\/b" failed in route "a\/\+": no$/)
  t.regex(settlementLine('a/b', { type: 'dropped', error }), /"a\/b" was dropped: no$/)
})

test('what comes from outside is cut where it is long, and our own words are not', (t) => {
  const failed = (reason: Error) => settlementLine('t'.repeat(60_000), { type: 'failed', error: reason })
  const theirs = failed(new Error('e'.repeat(60_000)))
  t.is(theirs, `The chain for "${'t'.repeat(255)}…" failed: ${'e'.repeat(255)}…`)
  const ours = failed(new MqttasgiError('ERR_PAYLOAD_JSON', `${'w'.repeat(300)}.`))
  t.true(ours.endsWith(`failed: ${'w'.repeat(300)}.`))
})

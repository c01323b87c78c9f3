import test from 'ava'
import fc from 'fast-check'
import { MqttasgiError } from '../../lib/core/errors.ts'
import type { QoS } from '../../lib/core/message.ts'
import type { FailurePolicy, Outcome, RetryPolicy } from '../../lib/core/receiver.ts'
import {
  burialOrFailure,
  decide,
  retryDelay,
  settlementLine,
  type Decision,
  type Standing,
} from '../../lib/server/settlement.ts'
import { plainPlan } from '../helpers/plan.ts'

const error = new Error('no')
const route = 'a/+'
const failed: Outcome = { type: 'failed', error, route }

class Unwanted extends Error {}

const retry: RetryPolicy = { attempts: 3, minDelayMs: 100, maxDelayMs: 350, jitter: true, never: [Unwanted] }

function standing(more: Partial<Standing> = {}, policy: Partial<FailurePolicy> = {}): Standing {
  return {
    plan: { ...plainPlan, failurePolicy: () => ({ retry, deadLetter: true, ...policy }) },
    qos: 1,
    attempt: 1,
    leftMs: 60_000,
    stillRuns: false,
    random: () => 0.5,
    ...more,
  }
}

function after(decision: Decision): number | undefined {
  return decision.type === 'again' ? decision.afterMs : undefined
}

test('a chain that ended well is handled where a route was entered, else unmatched', (t) => {
  for (const [handled, type] of [
    [true, 'handled'],
    [false, 'unmatched'],
  ] as const) {
    t.deepEqual(decide({ type: 'done', handled }, standing()), { type: 'end', settlement: { type } })
  }
})

test('what a handler drops has ended', (t) => {
  const decision = decide({ type: 'dropped', error, route }, standing())
  t.deepEqual(decision, { type: 'end', settlement: { type: 'dropped', error, route } })
})

test('what failed is tried again after a part of a delay that doubles up to its limit, as often as is said', (t) => {
  t.is(after(decide(failed, standing({ attempt: 1 }))), 50)
  t.is(after(decide(failed, standing({ attempt: 2 }))), 100)
  t.like(decide(failed, standing({ attempt: 3 })), {
    type: 'bury',
    burial: { cause: 'failed', error, route },
  })
  t.is(retryDelay({ ...retry, jitter: false }, 3, Math.random), 350)
})

test('every wait lies within its band', (t) => {
  const policy = fc.record({
    attempts: fc.constant(100),
    minDelayMs: fc.nat(10_000),
    maxDelayMs: fc.nat(100_000),
    jitter: fc.boolean(),
    never: fc.constant([]),
  })
  const chance = fc.double({ min: 0, max: 0.999, noNaN: true })
  fc.assert(
    fc.property(policy, fc.integer({ min: 1, max: 2_000 }), chance, (one, attempt, random) => {
      const most = Math.min(one.maxDelayMs, one.minDelayMs * 2 ** Math.min(attempt - 1, 40))
      const delay = retryDelay(one, attempt, () => random)
      return one.jitter ? delay >= 0 && delay <= most : delay === Math.min(one.maxDelayMs, most)
    }),
  )
  t.pass()
})

test('Retry says its own time, and counts like any attempt', (t) => {
  const outcome: Outcome = { type: 'retry', afterMs: 7, error, route }
  t.is(after(decide(outcome, standing())), 7)
  t.is(after(decide({ ...outcome, afterMs: undefined }, standing())), 50)
  t.is(decide(outcome, standing({ attempt: 3 })).type, 'bury')
})

test('what may not be held so long is a dead letter at once', (t) => {
  const outcome: Outcome = { type: 'retry', afterMs: 7_000, error, route }
  t.like(decide(outcome, standing({ leftMs: 7_000 })), { type: 'bury', burial: { cause: 'held' } })
  t.is(after(decide(outcome, standing({ leftMs: 7_001 }))), 7_000)
})

test('classes that are never retried, mistakes of a program and payloads that are none get one attempt', (t) => {
  const payload = new MqttasgiError('ERR_PAYLOAD_JSON', 'no JSON')
  const program = new MqttasgiError('ERR_NEXT_CALLED_TWICE', 'twice')
  for (const final of [new Unwanted('no'), payload, program]) {
    t.like(decide({ type: 'failed', error: final, route }, standing()), {
      type: 'bury',
      burial: { error: final },
    })
  }
  const passing = new MqttasgiError('ERR_NOT_CONNECTED', 'away')
  t.is(decide({ type: 'failed', error: passing, route }, standing()).type, 'again')
})

test('a rejected message is a dead letter at once, with the reason code it was given', (t) => {
  const outcome: Outcome = { type: 'rejected', error, route, reasonCode: 0x83 }
  const burial = { cause: 'rejected', error, route, reasonCode: 0x83 } as const
  t.deepEqual(decide(outcome, standing()), { type: 'bury', burial })
  t.like(decide({ ...outcome, reasonCode: 0 }, standing()), { type: 'bury', burial: { reasonCode: 0 } })
})

test('an invalid payload is told as such, in the words of the standard (3.4.2.1)', (t) => {
  const payload = new MqttasgiError('ERR_PAYLOAD_JSON', 'no JSON')
  t.like(decide({ type: 'failed', error: payload, route }, standing()), { burial: { reasonCode: 0x99 } })
  t.like(decide({ type: 'rejected', error: payload, route, reasonCode: 0x80 }, standing()), {
    burial: { reasonCode: 0x80 },
  })
  t.like(decide(failed, standing({ attempt: 3 })), { burial: { reasonCode: 0 } })
})

test('where no dead letters are wanted it has failed', (t) => {
  const decision = decide(failed, standing({ attempt: 3 }, { deadLetter: false }))
  t.deepEqual(decision, { type: 'end', settlement: { type: 'failed', error, route, reasonCode: 0 } })
  const burial = { cause: 'held', error, route, reasonCode: 0 } as const
  t.is(burialOrFailure(burial, { retry, deadLetter: true }).type, 'bury')
})

test('a handler that did not heed its signal gets the whole delay to do so', (t) => {
  const random = (): number => 0
  t.is(after(decide(failed, standing({ stillRuns: true, random }))), 100)
  t.is(after(decide(failed, standing({ stillRuns: false, random }))), 0)
})

test('the policy is that of the route that failed, for the QoS of the message', (t) => {
  const asked: unknown[] = []
  const plan = {
    ...plainPlan,
    failurePolicy: (name: string | undefined, qos: QoS) => {
      asked.push(name, qos)
      return { retry, deadLetter: true }
    },
  }
  decide(failed, standing({ plan, qos: 0 }))
  t.deepEqual(asked, ['a/+', 0])
})

test('a failure is told on one line, with the route where there is one', (t) => {
  t.regex(settlementLine('a/b', { type: 'failed', error, route }), /"a\/b" failed in route "a\/\+": no$/)
  t.regex(settlementLine('a/b', { type: 'dropped', error }), /"a\/b" was dropped: no$/)
  t.regex(
    settlementLine('a/b', { type: 'deadLettered', error, letter: '0mw-1' }),
    /"a\/b" failed, .*dead letter now, 0mw-1: no$/,
  )
})

test('a failure is told with the code or the kind of its error, where that says more', (t) => {
  const told = (one: Error) => settlementLine('a', { type: 'failed', error: one })
  t.regex(told(new TypeError('x is undefined')), /: TypeError: x is undefined$/)
  t.regex(told(new MqttasgiError('ERR_PAYLOAD_JSON', 'Not JSON.')), /: Not JSON\. \(ERR_PAYLOAD_JSON\)$/)
})

test('what comes from outside is cut where it is long, and our own words are not', (t) => {
  const failed = (reason: Error) => settlementLine('t'.repeat(60_000), { type: 'failed', error: reason })
  const theirs = failed(new Error('e'.repeat(60_000)))
  t.is(theirs, `The chain for "${'t'.repeat(255)}…" failed: ${'e'.repeat(255)}…`)
  const ours = failed(new MqttasgiError('ERR_PAYLOAD_JSON', `${'w'.repeat(300)}.`))
  t.true(ours.endsWith(`failed: ${'w'.repeat(300)}. (ERR_PAYLOAD_JSON)`))
})

test('what ended without an error is said to have given no reason', (t) => {
  t.is(settlementLine('a', { type: 'failed' }), 'The chain for "a" failed: no reason given')
})

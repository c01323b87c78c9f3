import test from 'ava'
import { MqttasgiError } from '../../lib/core/errors.ts'
import { decidesOutcome, Drop, outcomeOf, Reject, Retry } from '../../lib/core/outcomes.ts'

test('each of the three is an error with its name and reason, and keeps its cause', (t) => {
  const cause = new Error('why')
  const all = [
    new Retry({ reason: 'busy', cause }),
    new Reject('broken', { cause }),
    new Drop('old', { cause }),
  ]
  t.deepEqual(all.map(String), ['Retry: busy', 'Reject: broken', 'Drop: old'])
  for (const one of all) {
    t.true(one instanceof Error)
    t.true(decidesOutcome(one))
    t.is(one.cause, cause)
  }
  t.false(Object.hasOwn(new Retry(), 'cause'))
  t.false(decidesOutcome(cause))
})

test('what a chain ended with says its outcome', (t) => {
  const retry = new Retry({ afterMs: 5 })
  t.deepEqual(outcomeOf(retry, 'a/+'), { type: 'retry', afterMs: 5, error: retry, route: 'a/+' })
  const reject = new Reject('no', { reasonCode: 0x99 })
  t.deepEqual(outcomeOf(reject, undefined), {
    type: 'rejected',
    error: reject,
    reasonCode: 0x99,
    route: undefined,
  })
  t.like(outcomeOf(new Reject('no'), undefined), { reasonCode: 0 })
  const drop = new Drop('no')
  t.deepEqual(outcomeOf(drop, 'a'), { type: 'dropped', error: drop, route: 'a' })
  t.like(outcomeOf('no error at all', 'a'), { type: 'failed', error: { message: 'no error at all' } })
})

test('a wait that is none, and a reason code that PUBACK does not have for this, are refused', (t) => {
  for (const afterMs of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
    const error = t.throws(() => new Retry({ afterMs }), { instanceOf: MqttasgiError })
    t.is(error?.code, 'ERR_OUTCOME_INVALID')
    t.regex(error?.message ?? '', /milliseconds, 0 or more, and got/)
  }
  t.notThrows(() => new Retry({ afterMs: 0 }))
  const words = t.throws(() => new Retry('busy' as never), { instanceOf: MqttasgiError })
  t.is(words?.code, 'ERR_OUTCOME_INVALID')
  t.regex(words?.message ?? '', /an object such as \{ reason, afterMs \}, and got a string/)
  const error = t.throws(() => new Reject('no', { reasonCode: 0x87 as 0x80 }), { instanceOf: MqttasgiError })
  t.is(error?.code, 'ERR_OUTCOME_INVALID')
  t.regex(error?.message ?? '', /0x80, 0x83 and 0x99/)
})

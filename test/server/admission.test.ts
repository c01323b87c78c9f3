import test from 'ava'
import { silentLog } from '../../lib/core/log.ts'
import { Admission, type AdmissionParts } from '../../lib/server/admission.ts'
import { zeroCounters, type Counters } from '../../lib/server/counters.ts'
import { arrival } from '../helpers/dispatcher-stage.ts'

type Verdict = ReturnType<AdmissionParts['copies']['judge']>

function judging(
  verdict: Verdict,
  more: Partial<AdmissionParts> = {},
): { admission: Admission; counters: Counters } {
  const counters = zeroCounters()
  const admission = new Admission({ copies: { judge: () => verdict }, counters, log: silentLog, ...more })
  return { admission, counters }
}

const run: Verdict = { type: 'run', share: 'team' }

test('a message for a receiver is told whose subscription has brought it', (t) => {
  const { admission } = judging(run)
  const one = arrival(1, 'a')
  t.true(admission.admits(one))
  t.is(one.share, 'team')
})

test('what is no topic, or too deep, is counted and reaches nobody', (t) => {
  const { admission, counters } = judging(run, { maxTopicLevels: 2 })
  t.false(admission.admits(arrival(1, 'a', { invalid: 'it is empty' })))
  t.true(admission.admits(arrival(2, 'a/b')))
  t.false(admission.admits(arrival(3, 'a/b/c')))
  t.is(counters.invalidTopics, 1)
  t.is(counters.deepTopics, 1)
})

test('copies and what a superset brought besides are counted; a probe of our own is not', (t) => {
  for (const [type, copies, surplus] of [
    ['copy', 1, 0],
    ['surplus', 0, 1],
    ['probe', 0, 0],
  ] as const) {
    const { admission, counters } = judging({ type })
    t.false(admission.admits(arrival(1, 'a')))
    t.like(counters, { copies, surplus }, type)
  }
})

test('what was done with when it came before is only acknowledged', (t) => {
  const { admission, counters } = judging(run)
  t.false(admission.admits(arrival(1, 'a', { settled: true })))
  t.is(counters.joined, 1)
})

test('a retained message that was refused is not run again, until too many others have been', (t) => {
  const { admission, counters } = judging(run)
  const one = { receiver: { id: 'one' } }
  const other = { receiver: { id: 'other' } }
  const retained = arrival(1, 'x', { retain: true })
  t.deepEqual(admission.wanting(retained, [one]), [one])
  admission.refuse(retained, 'one')
  t.deepEqual(admission.wanting(retained, [one]), [])
  t.deepEqual(admission.wanting(retained, [one, other]), [other])
  t.deepEqual(admission.wanting(arrival(2, 'x'), [one]), [one])
  t.deepEqual(admission.wanting(arrival(3, 'y', { retain: true }), [one]), [one])
  t.is(counters.refusedAgain, 1)
  for (let i = 0; i < 1_000; i++) admission.refuse(arrival(4, `y${i}`, { retain: true }), 'one')
  t.deepEqual(admission.wanting(retained, [one]), [one])
})

test('what a receiver has refused is forgotten with it', (t) => {
  const { admission } = judging(run)
  const one = { receiver: { id: 'one' } }
  const other = { receiver: { id: 'other' } }
  const retained = arrival(1, 'x', { retain: true })
  for (const id of ['one', 'other']) admission.refuse(retained, id)
  admission.forget('one')
  t.deepEqual(admission.wanting(retained, [one, other]), [one])
})

test('a retained message that was brought for others is counted as a copy', (t) => {
  const { admission, counters } = judging(run, { newcomers: { of: () => [] } })
  t.deepEqual(admission.wanting(arrival(1, 'x', { retain: true }), [{ receiver: { id: 'one' } }]), [])
  t.is(counters.copies, 1)
  t.is(counters.refusedAgain, 0)
})

test('where the retain flag is kept, the same message may be a new one, and none is refused', (t) => {
  const { admission } = judging(run, { keepsRetain: () => true })
  const one = { receiver: { id: 'one' } }
  const retained = arrival(1, 'x', { retain: true })
  admission.refuse(retained, 'one')
  t.deepEqual(admission.wanting(retained, [one]), [one])
})

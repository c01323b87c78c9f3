import test from 'ava'
import { reconnectBackoff } from '../../lib/core/backoff.ts'

const MINUTE = 60_000

/** Almost the ceiling, each time. */
const late = (): number => 1

test('the ceiling doubles from a quarter of a second to 1.5 s, and stays there for a minute', (t) => {
  const backoff = reconnectBackoff(late)
  const waits = [1, 2, 3, 4, 5, 100, 5_000].map((tries) => backoff({ tries, elapsedMs: MINUTE - 1 }))
  t.deepEqual(waits, [250, 500, 1_000, 1_500, 1_500, 1_500, 1_500])
})

test('after the first minute the ceiling doubles to 120 s, and a new outage begins anew', (t) => {
  const backoff = reconnectBackoff(late)
  const waits = Array.from({ length: 9 }, (_, i) => backoff({ tries: 60 + i, elapsedMs: MINUTE }))
  t.deepEqual(waits, [3_000, 6_000, 12_000, 24_000, 48_000, 96_000, 120_000, 120_000, 120_000])
  t.is(backoff({ tries: 1, elapsedMs: 0 }), 250)
  t.is(backoff({ tries: 2, elapsedMs: MINUTE }), 3_000)
})

test('the wait is anywhere below the ceiling', (t) => {
  for (const chance of [0, 0.25, 0.999]) {
    t.is(reconnectBackoff(() => chance)({ tries: 4, elapsedMs: 0 }), chance * 1_500)
    t.is(reconnectBackoff(() => chance)({ tries: 4, elapsedMs: MINUTE }), chance * 3_000)
  }
})

test('with patience it is between 30 and 60 s, at any time', (t) => {
  for (const chance of [0, 0.5, 1]) {
    const backoff = reconnectBackoff(() => chance)
    for (const tries of [1, 2, 50]) {
      for (const elapsedMs of [0, 10 * MINUTE]) {
        t.is(backoff({ tries, elapsedMs, patient: true }), 30_000 * (1 + chance))
      }
    }
  }
})

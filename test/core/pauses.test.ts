// A pause ends with its time or before, and leaves nothing.
import test from 'ava'
import { Pauses } from '../../lib/core/pauses.ts'
import { FakeClock } from '../helpers/fake-clock.ts'

test('a pause lasts for its time, or until all are ended, and leaves no timer', async (t) => {
  const clock = new FakeClock()
  const pauses = new Pauses(clock)
  const [short, long] = [pauses.wait(10), pauses.wait(1_000)]
  clock.advance(10)
  await short
  t.is(clock.timers, 1)
  pauses.end()
  await long
  t.is(clock.timers, 0)
  const next = pauses.wait(10)
  t.is(clock.timers, 1)
  clock.advance(10)
  await next
})

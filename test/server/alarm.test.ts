import test from 'ava'
import { Alarm } from '../../lib/server/alarm.ts'
import { FakeClock } from '../helpers/fake-clock.ts'

function scene(): { clock: FakeClock; alarm: Alarm; rings: number[] } {
  const clock = new FakeClock()
  const rings: number[] = []
  return { clock, rings, alarm: new Alarm(clock, () => rings.push(clock.now())) }
}

test('it rings once, behind the earliest of the times', (t) => {
  const { alarm, clock, rings } = scene()
  alarm.set(500)
  alarm.set(200)
  alarm.set(300)
  t.is(clock.timers, 1)
  clock.advance(1_000)
  t.deepEqual(rings, [201])
  t.is(clock.timers, 0)
})

test('it can be set again when it rings, and rings seldom', (t) => {
  const { alarm, clock, rings } = scene()
  alarm.set(10)
  clock.advance(11)
  alarm.set(12)
  alarm.set(13)
  clock.advance(1_000)
  t.deepEqual(rings, [11, 111])
})

test('what is over rings in the next turn, and not at once', (t) => {
  const { alarm, clock, rings } = scene()
  clock.advance(1_000)
  alarm.set(1)
  t.deepEqual(rings, [])
  clock.advance(0)
  t.deepEqual(rings, [1_000])
})

test('never is no time, and a time beyond what timers can do rings in vain before', (t) => {
  const { alarm, clock, rings } = scene()
  alarm.set(Number.POSITIVE_INFINITY)
  t.is(clock.timers, 0)
  alarm.set(4_294_967_295_000)
  clock.advanceToNext()
  t.deepEqual(rings, [2 ** 31 - 1])
})

test('cancelled it does not ring', (t) => {
  const { alarm, clock, rings } = scene()
  alarm.cancel()
  alarm.set(10)
  alarm.cancel()
  t.is(clock.timers, 0)
  alarm.set(20)
  clock.advance(100)
  t.deepEqual(rings, [21])
})

import test from 'ava'
import fc from 'fast-check'
import { Deadlines, type Timed } from '../../lib/server/deadlines.ts'
import { FakeClock } from '../helpers/fake-clock.ts'

interface Stage {
  readonly clock: FakeClock
  readonly watched: Set<Timed & { readonly name: string }>
  readonly deadlines: Deadlines<Timed & { readonly name: string }>
  readonly expired: string[]
}

function stage(): Stage {
  const clock = new FakeClock()
  const watched: Stage['watched'] = new Set()
  const expired: string[] = []
  const deadlines = new Deadlines(clock, watched, (timed) => {
    expired.push(`${timed.name} at ${clock.now()}`)
    watched.delete(timed)
  })
  return { clock, watched, deadlines, expired }
}

test('what has passed its deadline is told, with one timer for all', (t) => {
  const { clock, deadlines, expired, watched } = stage()
  for (const deadline of [300, 100, 200]) {
    watched.add({ name: `${deadline}`, deadline })
    deadlines.watch(deadline)
    t.is(clock.timers, 1)
  }
  clock.advance(1_000)
  t.deepEqual(expired, ['100 at 100', '200 at 200', '300 at 300'])
  t.is(clock.timers, 0)
})

test('what is done with before its deadline is not told, and a later deadline counts', (t) => {
  const { clock, deadlines, expired, watched } = stage()
  const done = { name: 'done', deadline: 100 }
  const extended = { name: 'extended', deadline: 100 }
  for (const timed of [done, extended]) watched.add(timed)
  deadlines.watch(100)
  watched.delete(done)
  extended.deadline = 150
  clock.advance(149)
  t.deepEqual(expired, [])
  clock.advance(1)
  t.deepEqual(expired, ['extended at 150'])
})

test('stopped, it leaves no timer', (t) => {
  const { clock, deadlines, expired, watched } = stage()
  watched.add({ name: 'a', deadline: 10 })
  deadlines.watch(10)
  deadlines.stop()
  t.is(clock.timers, 0)
  clock.advance(100)
  t.deepEqual(expired, [])
})

test('each is told at its time, whatever comes when', (t) => {
  const times = fc.array(fc.record({ wait: fc.nat(20), takes: fc.integer({ min: 2, max: 50 }) }))
  fc.assert(
    fc.property(times, (given) => {
      const { clock, deadlines, expired, watched } = stage()
      const expected: string[] = []
      for (const [i, { wait, takes }] of given.entries()) {
        clock.advance(wait)
        const deadline = clock.now() + takes
        watched.add({ name: `${i}`, deadline })
        deadlines.watch(deadline)
        expected.push(`${i} at ${deadline}`)
      }
      clock.advance(1_000)
      // Within the millisecond by which a timer may be early.
      const isTold = (line: string): boolean => {
        const [name, at] = line.split(' at ')
        return expired.includes(line) || expired.includes(`${name} at ${Number(at) - 1}`)
      }
      return expired.length === expected.length && expected.every(isTold) && clock.timers === 0
    }),
  )
  t.pass()
})

test('a deadline beyond the longest timer of Node is looked at in vain, and not at once again and again', (t) => {
  const { clock, deadlines, expired, watched } = stage()
  watched.add({ name: 'far', deadline: 2 ** 32 })
  deadlines.watch(2 ** 32)
  t.is(clock.nextAt, 2 ** 31 - 1)
  clock.advance(2 ** 31)
  t.deepEqual(expired, [])
  clock.advance(2 ** 31)
  t.deepEqual(expired, [`far at ${2 ** 32}`])
  t.is(clock.timers, 0)
})

import test from 'ava'
import fc from 'fast-check'
import { Window } from '../../lib/server/window.ts'

test('there is room until as many are handed out as may be', (t) => {
  const window = new Window({ maxInFlight: 2, maxWaitingBytes: 100 })
  t.true(window.hasRoom)
  window.enter()
  t.true(window.hasRoom)
  window.enter()
  t.false(window.hasRoom)
  t.is(window.open, 2)
  window.leave()
  t.true(window.hasRoom)
  t.is(window.open, 1)
})

test('reading stops above the limit and goes on at half of it', (t) => {
  const window = new Window({ maxInFlight: 1, maxWaitingBytes: 100 })
  window.wait(100)
  t.is(window.pressure(false), 'read')
  window.wait(1)
  t.is(window.pressure(false), 'pause')
  window.admit(50)
  t.is(window.waitingBytes, 51)
  t.is(window.pressure(false), 'pause')
  window.admit(1)
  t.is(window.pressure(false), 'read')
  window.wait(40)
  t.is(window.pressure(false), 'read')
})

test('while an answer of the broker is awaited it is read on, up to the hard limit', (t) => {
  const window = new Window({ maxInFlight: 1, maxWaitingBytes: 100 })
  window.wait(400)
  t.is(window.pressure(true), 'read')
  t.false(window.overflows)
  t.is(window.pressure(false), 'pause')
  t.is(window.pressure(true), 'read')
  window.wait(1)
  t.true(window.overflows)
  window.admit(1)
  t.false(window.overflows)
})

test('what a message takes beside its frame counts too, or small ones would fill the memory', (t) => {
  const window = new Window({ maxInFlight: 1, maxWaitingBytes: 1_000, bytesBesideFrame: 256 })
  for (let i = 0; i < 3; i++) window.wait(7)
  t.is(window.pressure(false), 'read')
  window.wait(7)
  t.is(window.waitingBytes, 4 * 263)
  t.is(window.pressure(false), 'pause')
  for (let i = 0; i < 4; i++) window.admit(7)
  t.is(window.waitingBytes, 0)
})

test('a new connection is read from the start, whatever still waits', (t) => {
  const window = new Window({ maxInFlight: 1, maxWaitingBytes: 100 })
  window.wait(101)
  t.is(window.pressure(false), 'pause')
  window.admit(20)
  window.reset()
  t.is(window.pressure(false), 'read')
})

test('whatever comes and goes: room, pressure and overflow follow from what is in it and what waits', (t) => {
  const bytes = fc.integer({ min: 1, max: 200 })
  const command = fc.oneof(
    fc.record({
      type: fc.constantFrom('enter' as const, 'leave' as const, 'narrow' as const, 'reset' as const),
    }),
    fc.record({ type: fc.constant('wait' as const), bytes }),
    fc.record({ type: fc.constant('admit' as const) }),
    fc.record({ type: fc.constant('look' as const), awaiting: fc.boolean() }),
  )
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 4 }),
      fc.nat(50),
      fc.array(command),
      (maxInFlight, beside, commands) => {
        const maxWaitingBytes = 400
        const window = new Window({ maxInFlight, maxWaitingBytes, bytesBesideFrame: beside })
        const waiting: number[] = []
        let [open, isNarrow, isPaused] = [0, false, false]
        for (const one of commands) {
          if (one.type === 'enter' && window.hasRoom) {
            window.enter()
            open++
          } else if (one.type === 'leave' && open > 0) {
            window.leave()
            open--
          } else if (one.type === 'narrow') window.narrow((isNarrow = !isNarrow))
          else if (one.type === 'reset') {
            window.reset()
            isPaused = false
          } else if (one.type === 'wait') {
            window.wait(one.bytes)
            waiting.push(one.bytes)
          } else if (one.type === 'admit' && waiting.length > 0) window.admit(waiting.shift()!)
          const waitingBytes = waiting.reduce((sum, each) => sum + each + beside, 0)
          if (one.type === 'look') {
            // Stopped above the limit, and going on at half of it; never while an answer is awaited.
            isPaused = !one.awaiting && waitingBytes > (isPaused ? maxWaitingBytes / 2 : maxWaitingBytes)
            t.is(window.pressure(one.awaiting), isPaused ? 'pause' : 'read')
          }
          t.is(window.places, isNarrow ? 1 : maxInFlight)
          t.is(window.hasRoom, open < window.places)
          t.is(window.open, open)
          t.is(window.waitingBytes, waitingBytes)
          t.is(window.overflows, waitingBytes > 4 * maxWaitingBytes)
        }
      },
    ),
  )
})

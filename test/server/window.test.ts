import test from 'ava'
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

import { EventEmitter } from 'node:events'
import test from 'ava'
import { StopSignals } from '../../lib/cli/signals.ts'

function listen() {
  const source = new EventEmitter()
  const exits: number[] = []
  let now = 0
  const signals = new StopSignals(
    source,
    (code) => exits.push(code),
    () => now,
  )
  return { source, exits, signals, pass: (ms: number) => (now += ms) }
}

test('the first signal asks, the second ends at once, whichever they are', async (t) => {
  for (const [second, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    const { source, exits, signals } = listen()
    source.emit('SIGTERM')
    t.is(await signals.first, 'SIGTERM')
    t.deepEqual(exits, [])
    source.emit(second)
    t.deepEqual(exits, [code])
  }
})

test('a Ctrl-C that npm hands on to a process that had it from the terminal is one, not two', (t) => {
  const { source, exits, pass } = listen()
  source.emit('SIGINT')
  pass(99)
  source.emit('SIGINT')
  t.deepEqual(exits, [])
  pass(1)
  source.emit('SIGINT')
  t.deepEqual(exits, [130])
})

test('disposed, it leaves the signals to others', (t) => {
  const { source, signals } = listen()
  signals.dispose()
  t.is(source.listenerCount('SIGINT') + source.listenerCount('SIGTERM'), 0)
})

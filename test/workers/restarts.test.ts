import test from 'ava'
import { Charge } from '../../lib/workers/blame.ts'
import { Restarts, type RestartLimits } from '../../lib/workers/restarts.ts'

const usual: RestartLimits = { restart: 'permanent', maxRestarts: 5, withinSeconds: 60 }

function restarts(limits: Partial<RestartLimits> = {}): { rule: Restarts; at: (ms: number) => void } {
  let now = 0
  return {
    rule: new Restarts(
      { ...usual, ...limits },
      () => now,
      () => 1,
    ),
    at: (ms) => (now = ms),
  }
}

test('each restart waits twice as long as the one before, and the sixth within a minute is none', (t) => {
  const { rule } = restarts()
  const delays = Array.from({ length: 5 }, () => rule.after(true))
  t.deepEqual(
    delays.map((verdict) => (verdict.type === 'restart' ? verdict.afterMs : verdict.type)),
    [100, 200, 400, 800, 1_600],
  )
  t.is(rule.after(true).type, 'giveUp')
  t.is(rule.count, 5)
})

test('what is longer ago than the window is forgotten, and the delay with it', (t) => {
  const { at, rule } = restarts()
  for (let i = 0; i < 5; i++) rule.after(true)
  at(60_000)
  t.deepEqual(rule.after(true), { type: 'restart', afterMs: 100 })
})

test('no delay is longer than half a minute', (t) => {
  const { rule } = restarts({ maxRestarts: 1_000 })
  for (let i = 0; i < 30; i++) rule.after(true)
  t.deepEqual(rule.after(true), { type: 'restart', afterMs: 30_000 })
})

test('half of each delay is left to chance', (t) => {
  const rule = new Restarts(
    usual,
    () => 0,
    () => 0,
  )
  t.deepEqual(rule.after(true), { type: 'restart', afterMs: 50 })
})

test('a transient worker is started again after a failure only, a temporary one never', (t) => {
  t.is(restarts({ restart: 'transient' }).rule.after(false).type, 'end')
  t.is(restarts({ restart: 'transient' }).rule.after(true).type, 'restart')
  t.is(restarts({ restart: 'temporary' }).rule.after(true).type, 'end')
  t.is(restarts().rule.after(false).type, 'restart')
})

test('with no restarts allowed the first failure is one too many', (t) => {
  t.is(restarts({ maxRestarts: 0 }).rule.after(true).type, 'giveUp')
})

test('what is charged to messages is not one too many, and waits for a second at most', (t) => {
  const { rule } = restarts({ maxRestarts: 1 })
  const delays = Array.from({ length: 50 }, () => rule.after(true, new Charge(1)))
  t.deepEqual(
    delays.slice(0, 6).map((verdict) => (verdict.type === 'restart' ? verdict.afterMs : verdict.type)),
    [100, 200, 400, 800, 1_000, 1_000],
  )
  t.is(rule.count, 50)
  // What is the worker's own counts as if there were no others.
  t.deepEqual(rule.after(true), { type: 'restart', afterMs: 100 })
  t.is(rule.after(true).type, 'giveUp')
})

test('what is charged to messages that have all turned out well counts after all', (t) => {
  const { rule } = restarts({ maxRestarts: 2 })
  const charges = Array.from({ length: 3 }, () => new Charge(2))
  for (const charge of charges) {
    t.is(rule.after(true, charge).type, 'restart')
    charge.acquit()
  }
  t.is(rule.after(true, new Charge(1)).type, 'restart')
  for (const charge of charges) charge.acquit()
  t.is(rule.after(true, new Charge(1)).type, 'giveUp')
})

test('with no restarts allowed no message is to blame either', (t) => {
  t.is(restarts({ maxRestarts: 0 }).rule.after(true, new Charge(1)).type, 'giveUp')
})

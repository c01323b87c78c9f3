import test from 'ava'
import * as fc from 'fast-check'
import { isBlameless, Quarantine } from '../../lib/transport/quarantine.ts'

function scene(): {
  readonly rule: Quarantine<string>
  readonly wait: (ms: number) => void
} {
  let now = 0
  return { rule: new Quarantine<string>(() => now), wait: (ms) => void (now += ms) }
}

test('what ended the connection within a second three times in a row is condemned', (t) => {
  const { rule, wait } = scene()
  for (const expected of [undefined, undefined, 'a']) {
    rule.sent('a')
    wait(1_000)
    t.is(rule.ended(true), expected)
  }
})

test('a connection that lasted longer clears it of suspicion', (t) => {
  const { rule, wait } = scene()
  for (const ms of [1, 1, 1_001, 1, 1]) {
    rule.sent('a')
    wait(ms)
    t.is(rule.ended(true), undefined)
  }
  rule.sent('a')
  t.is(rule.ended(true), 'a')
})

test('an end for another reason says nothing of it', (t) => {
  const { rule } = scene()
  for (const isSuspicious of [true, false, true, false]) {
    rule.sent('a')
    t.is(rule.ended(isSuspicious), undefined)
  }
  rule.sent('a')
  t.is(rule.ended(true), 'a')
})

test('an answer clears it, and what was not sent on a connection is not asked for at its end', (t) => {
  const { rule } = scene()
  for (let i = 0; i < 2; i++) {
    rule.sent('a')
    rule.ended(true)
  }
  t.is(rule.ended(true), undefined)
  rule.sent('a')
  rule.answered('a')
  t.is(rule.ended(true), undefined)
  rule.sent('a')
  t.is(rule.ended(true), undefined)
})

test('of several that were sent none is condemned, until one stands alone', (t) => {
  const { rule } = scene()
  for (let i = 0; i < 5; i++) {
    rule.sent('a')
    rule.sent('b')
    t.is(rule.ended(true), undefined)
  }
  rule.sent('b')
  t.is(rule.ended(true), 'b')
})

test('on a broker that bears all but some, those are condemned, after three connections each, and no other', (t) => {
  const names = fc.uniqueArray(fc.integer({ min: 0, max: 30 }), { maxLength: 12 })
  fc.assert(
    fc.property(names, fc.func(fc.boolean()), fc.integer({ min: 1, max: 5 }), (all, isBad, atOnce) => {
      const rule = new Quarantine<number>(() => 0)
      const condemned: number[] = []
      let waiting = [...all]
      let isFirst = true
      for (let connection = 0; waiting.length > 0; connection++) {
        t.true(connection <= all.length * 3)
        // The first time as many as the window holds, later one by one, as MQTT.js sends what it has stored.
        let group = waiting.slice(0, isFirst ? atOnce : 1)
        while (group.length > 0) {
          for (const one of group) rule.sent(one)
          const bad = group.find((one) => isBad(one))
          for (const one of group.slice(0, bad === undefined ? undefined : group.indexOf(bad))) {
            rule.answered(one)
            waiting = waiting.filter((other) => other !== one)
          }
          if (bad !== undefined) break
          group = waiting.slice(0, 1)
        }
        isFirst = false
        const culprit = rule.ended(true)
        if (culprit === undefined) continue
        condemned.push(culprit)
        rule.answered(culprit)
        waiting = waiting.filter((other) => other !== culprit)
      }
      t.deepEqual(
        condemned,
        all.filter((one) => isBad(one)),
      )
    }),
    { numRuns: 300 },
  )
})

test('a broker that says it is busy or goes away blames nothing that was sent', (t) => {
  for (const code of [0x89, 0x8b, 0x8e, 0x98, 0xa0]) t.true(isBlameless(code))
  for (const code of [undefined, 0x80, 0x81, 0x82, 0x87, 0x90, 0x95, 0x99, 0x9a, 0x9b])
    t.false(isBlameless(code))
})

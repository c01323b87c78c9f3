import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import test from 'ava'
import fc from 'fast-check'
import type { Overflow, SheddingPolicy } from '../../lib/core/receiver.ts'
import { Shedding, type Ticket } from '../../lib/server/shedding.ts'
import { FakeClock } from '../helpers/fake-clock.ts'

type Shed = Exclude<Overflow, 'block'>

const UNLIMITED: Pick<Ticket, 'limits' | 'hasRoom'> = { limits: '', hasRoom: () => true }

class Stage {
  readonly clock = new FakeClock()
  readonly dropped: string[] = []
  readies = 0
  readonly shedding = new Shedding<string>(
    this.clock,
    (delivery) => void this.dropped.push(delivery),
    () => void this.readies++,
  )
  /** Names of limits in which there is no room. */
  readonly full = new Set<string>()
  readonly #policy: SheddingPolicy

  constructor(overflow: Shed, more: Partial<SheddingPolicy> = {}) {
    this.#policy = { name: 'a/+', overflow, maxWaiting: 3, throttleMs: 0, debounceMs: 0, ...more }
  }

  offer(deliveries: string, serial = true, limits = ''): void {
    const hasRoom = (): boolean => !this.full.has(limits)
    for (const delivery of deliveries.split(' ')) {
      const key = delivery.replace(/\d+$/, '')
      this.shedding.offer(delivery, { policy: this.#policy, key, serial, limits, hasRoom })
    }
  }

  /** All that may start now. */
  start(): string {
    const started: string[] = []
    for (let next = this.shedding.next(); next !== undefined; next = this.shedding.next()) started.push(next)
    return started.join(' ')
  }
}

test('one of each key runs, the others wait in the order they came', (t) => {
  const stage = new Stage('drop-oldest')
  stage.offer('a1 a2 b1')
  t.is(stage.start(), 'a1 b1')
  t.is(stage.shedding.size, 1)
  stage.shedding.ended('b1')
  t.is(stage.start(), '')
  stage.shedding.ended('a1')
  t.is(stage.start(), 'a2')
  stage.shedding.ended('a2')
  t.is(stage.shedding.size, 0)
  t.deepEqual(stage.dropped, [])
})

test('without order those of one key run beside each other', (t) => {
  const stage = new Stage('drop-oldest')
  stage.offer('a1 a2 a3', false)
  t.is(stage.start(), 'a1 a2 a3')
})

test('drop-oldest throws away the oldest that waits, of whatever key', (t) => {
  const stage = new Stage('drop-oldest')
  stage.offer('a1 b1')
  stage.start()
  stage.offer('a2 b2 a3 b3 a4')
  t.deepEqual(stage.dropped, ['a2', 'b2'])
  stage.shedding.ended('a1')
  stage.shedding.ended('b1')
  t.is(stage.start(), 'a3 b3')
})

test('drop-newest throws away what comes', (t) => {
  const stage = new Stage('drop-newest')
  stage.offer('a1')
  stage.start()
  stage.offer('a2 a3 a4 a5 a6')
  t.deepEqual(stage.dropped, ['a5', 'a6'])
  t.is(stage.shedding.size, 3)
})

test('latest keeps one for each key, the newest', (t) => {
  const stage = new Stage('latest')
  stage.offer('a1')
  stage.start()
  stage.offer('a2 a3 b1 a4')
  t.deepEqual(stage.dropped, ['a2', 'a3'])
  t.is(stage.start(), 'b1')
  stage.shedding.ended('a1')
  t.is(stage.start(), 'a4')
})

test('latest is bounded over all keys, too', (t) => {
  const stage = new Stage('latest')
  stage.offer('a1 b1 c1 d1 e1')
  t.deepEqual(stage.dropped, ['a1', 'b1'])
  t.is(stage.start(), 'c1 d1 e1')
})

test('with a throttle a key starts once in its time, with the newest of what came between', (t) => {
  const stage = new Stage('latest', { throttleMs: 100 })
  stage.offer('a1')
  t.is(stage.start(), 'a1')
  stage.shedding.ended('a1')
  stage.offer('a2 a3 b1')
  t.is(stage.start(), 'b1')
  stage.clock.advance(99)
  t.is(stage.start(), '')
  stage.clock.advance(1)
  t.is(stage.readies, 1)
  t.is(stage.start(), 'a3')
  t.deepEqual(stage.dropped, ['a2'])
  stage.shedding.ended('a3')
  stage.shedding.ended('b1')
  stage.clock.advance(200)
  t.is(stage.clock.timers, 0)
})

test('with a debounce a key starts when it has been quiet for its time', (t) => {
  const stage = new Stage('latest', { debounceMs: 100 })
  stage.offer('a1')
  stage.clock.advance(60)
  stage.offer('a2')
  stage.clock.advance(60)
  t.is(stage.start(), '')
  stage.clock.advance(40)
  t.is(stage.start(), 'a2')
  t.deepEqual(stage.dropped, ['a1'])
})

test('in a hurry nothing waits for its time, and no timer is left', (t) => {
  const stage = new Stage('latest', { debounceMs: 100 })
  stage.offer('a1 b1')
  stage.shedding.hurry()
  t.is(stage.clock.timers, 0)
  t.is(stage.start(), 'a1 b1')
  stage.offer('c1')
  t.is(stage.start(), 'c1')
  t.is(stage.clock.timers, 0)
})

test('what is taken out is not dropped', (t) => {
  const stage = new Stage('drop-oldest')
  stage.offer('a1 b1 b2')
  t.deepEqual(
    stage.shedding.takeOut((delivery) => delivery.startsWith('b')),
    ['b1', 'b2'],
  )
  t.is(stage.start(), 'a1')
  t.deepEqual(stage.dropped, [])
  stage.shedding.ended('never started')
  stage.shedding.stop()
})

test('thousands of keys come and go without being remembered', (t) => {
  const stage = new Stage('latest', { throttleMs: 60_000, maxWaiting: 100 })
  for (let i = 0; i < 30_000; i++) {
    const delivery = `k${i}-`
    stage.offer(delivery)
    stage.start()
    stage.shedding.ended(delivery)
  }
  t.true(stage.clock.timers <= 10_000)
  stage.shedding.stop()
  t.is(stage.clock.timers, 0)
})

test('whatever comes, the bounds hold, order is kept in each key, and each is started or dropped once', (t) => {
  const overflow = fc.constantFrom<Shed>('drop-oldest', 'drop-newest', 'latest')
  const step = fc.oneof(
    fc.record({ type: fc.constant('offer' as const), key: fc.constantFrom('a', 'b', 'c') }),
    fc.record({ type: fc.constant('end' as const), at: fc.nat(5) }),
    fc.record({ type: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 60 }) }),
  )
  fc.assert(
    fc.property(
      overflow,
      fc.constantFrom(0, 50),
      fc.constantFrom(0, 30),
      fc.array(step, { maxLength: 80 }),
      (policy, throttleMs, debounceMs, steps) => {
        const stage = new Stage(policy, { throttleMs, debounceMs: throttleMs > 0 ? 0 : debounceMs })
        const offered: string[] = []
        const started: string[] = []
        const running: string[] = []
        const begin = (): void => {
          const some = stage.start()
          if (some === '') return
          started.push(...some.split(' '))
          running.push(...some.split(' '))
        }
        for (const one of steps) {
          if (one.type === 'offer') {
            offered.push(`${one.key}${offered.length}`)
            stage.offer(offered.at(-1) ?? '')
          } else if (one.type === 'end') {
            const [ended] = running.splice(one.at % Math.max(1, running.length), 1)
            if (ended !== undefined) stage.shedding.ended(ended)
          } else stage.clock.advance(one.ms)
          begin()
          const keys = running.map((delivery) => delivery[0])
          if (new Set(keys).size !== keys.length || stage.shedding.size > 3) return false
        }
        stage.shedding.hurry()
        while (running.length > 0 || stage.shedding.size > 0) {
          for (const ended of running.splice(0)) stage.shedding.ended(ended)
          begin()
        }
        const inOrder = ['a', 'b', 'c'].every((key) => {
          const numbers = started.filter((one) => one.startsWith(key)).map((one) => Number(one.slice(1)))
          return numbers.every((number, i) => i === 0 || number > (numbers[i - 1] ?? 0))
        })
        const ends = [...started, ...stage.dropped]
        return inOrder && ends.length === offered.length && new Set(ends).size === ends.length
      },
    ),
  )
  t.pass()
})

test('for the sake of one the first of its key starts before all others, unless its key has to wait', (t) => {
  const stage = new Stage('drop-oldest', { maxWaiting: 10 })
  stage.offer('a1 b1 b2 c1')
  t.is(stage.shedding.nextFor('b2'), 'b1')
  t.is(stage.shedding.nextFor('b2'), undefined)
  t.is(stage.shedding.nextFor('nobody'), undefined)
  t.is(stage.start(), 'a1 c1')
  stage.shedding.ended('b1')
  t.is(stage.start(), 'b2')
  t.deepEqual(stage.dropped, [])
})

test('keys that run or wait are not forgotten, however many come behind them', (t) => {
  const stage = new Stage('drop-oldest', { throttleMs: 1_000, maxWaiting: 100 })
  const busy = Array.from({ length: 17 }, (_, i) => `busy-${'x'.repeat(i)}1`)
  stage.offer(busy.join(' '))
  stage.start()
  for (let i = 0; i < 10_000; i++) {
    const one = `k${i}-1`
    stage.offer(one)
    stage.start()
    stage.shedding.ended(one)
  }
  for (const one of busy) stage.shedding.ended(one)
  // Each is still held back by its throttle.
  stage.offer(busy.map((one) => one.replace('1', '2')).join(' '))
  t.is(stage.start(), '')
  stage.clock.advance(1_000)
  t.is(stage.start().split(' ').length, 17)
  stage.shedding.stop()
})

test('of idle keys the oldest is forgotten, also behind some that run', (t) => {
  const stage = new Stage('drop-oldest', { throttleMs: 1_000, maxWaiting: 100 })
  stage.offer('busy1')
  stage.start()
  for (let i = 0; i < 10_000; i++) {
    const one = `k${i}-1`
    stage.offer(one)
    stage.start()
    stage.shedding.ended(one)
  }
  // It is not known any more that its time has not come.
  stage.offer('k0-2')
  t.is(stage.start(), 'k0-2')
  stage.shedding.stop()
  stage.shedding.ended('busy1')
})

for (const overflow of ['drop-oldest', 'drop-newest'] as const) {
  test(`${overflow}: of what was dropped nothing is remembered, however many keys it had`, (t) => {
    const stage = new Stage(overflow)
    for (let i = 0; i < 1_000; i++) stage.offer(`${i}x`)
    t.is(stage.shedding.size, 3)
    t.is(stage.shedding.keys, 3)
  })
}

test('what is taken out leaves no key behind', (t) => {
  const stage = new Stage('latest')
  stage.offer('a1 b1 c1')
  t.is(stage.shedding.takeOut(() => true).length, 3)
  t.is(stage.shedding.keys, 0)
})

test('dropped messages are let go of while nothing can start, so that their payloads do not fill the memory', async (t) => {
  const dropped: WeakRef<object>[] = []
  const shedding = new Shedding<object>(
    new FakeClock(),
    (delivery) => void dropped.push(new WeakRef(delivery)),
    () => {},
  )
  const policy = {
    name: 'a/+',
    overflow: 'drop-oldest',
    maxWaiting: 3,
    throttleMs: 0,
    debounceMs: 0,
  } as const
  for (let i = 0; i < 1_000; i++) shedding.offer({}, { policy, key: 'one', serial: true, ...UNLIMITED })
  await new Promise((resolve) => setImmediate(resolve))
  setFlagsFromString('--expose-gc')
  ;(runInNewContext('gc') as () => void)()
  t.true(dropped.filter((one) => one.deref() !== undefined).length < 200)
})

test('what waits for a limit is dropped like what waits for its key', (t) => {
  const stage = new Stage('latest')
  stage.full.add('one')
  stage.offer('a1 a2 b1 a3', true, 'one')
  t.is(stage.start(), '')
  t.is(stage.shedding.nextFor('a3'), undefined)
  t.deepEqual(stage.dropped, ['a1', 'a2'])
  stage.full.clear()
  t.is(stage.start(), 'a3 b1')
})

test('what waits for a limit keeps nothing of another limit waiting, and they take turns', (t) => {
  const stage = new Stage('drop-oldest', { maxWaiting: 10 })
  stage.full.add('one')
  stage.offer('a1 b1', true, 'one')
  stage.offer('c1 d1', true, 'two')
  t.is(stage.start(), 'c1 d1')
  stage.offer('e1 f1', true, 'two')
  stage.full.clear()
  t.is(stage.start(), 'a1 e1 b1 f1')
})

test('a key whose first message waits for other limits than the one that was dropped waits for those', (t) => {
  const stage = new Stage('latest')
  stage.full.add('one')
  stage.offer('a1', true, 'one')
  t.is(stage.start(), '')
  stage.offer('a2', true, 'two')
  t.is(stage.start(), 'a2')
  stage.full.clear()
  t.is(stage.start(), '')
})

test('keys that are in use in front do not keep the others from being forgotten', (t) => {
  const stage = new Stage('latest', { throttleMs: 60_000, maxWaiting: 1_000 })
  for (let i = 0; i < 20; i++) stage.offer(`busy${i}x`)
  stage.start()
  for (let i = 0; i < 20_000; i++) {
    stage.offer(`${i}y`)
    stage.shedding.ended(stage.start())
  }
  t.true(stage.shedding.keys < 10_020)
})

test('a key whose newest message takes the place of the one before keeps its turn', (t) => {
  const stage = new Stage('latest')
  stage.offer('a1 b1 a2')
  t.is(stage.start(), 'a2 b1')
})

test('whoever hears that a message was dropped may end the one that ran before it at once', (t) => {
  const clock = new FakeClock()
  const policy = { name: 'a', overflow: 'latest', maxWaiting: 3, throttleMs: 0, debounceMs: 0 } as const
  const shedding: Shedding<string> = new Shedding(
    clock,
    () => shedding.ended('1'),
    () => {},
  )
  const offer = (delivery: string): void =>
    shedding.offer(delivery, { policy, key: 'a', serial: true, ...UNLIMITED })
  offer('1')
  t.is(shedding.next(), '1')
  offer('2')
  offer('3')
  t.is(shedding.nextFor('3'), '3')
  shedding.ended('3')
  t.is(shedding.keys, 0)
})

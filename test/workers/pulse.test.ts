import test from 'ava'
import { Pulse } from '../../lib/workers/pulse.ts'
import { FakeClock } from '../helpers/fake-clock.ts'

function feel(options: { isIdle?: () => boolean } = {}): {
  pulse: Pulse
  clock: FakeClock
  asked: number[]
  silent: number[]
  news: (() => void)[]
} {
  const clock = new FakeClock()
  const asked: number[] = []
  const silent: number[] = []
  const news: (() => void)[] = []
  const pulse = new Pulse({
    clock,
    times: { everyMs: 500, answerMs: 50, silenceMs: 2_000 },
    afterNews: (callback) => void news.push(callback),
    ask: (ping) => asked.push(ping),
    isIdle: options.isIdle ?? ((): boolean => true),
    silent: (forMs) => silent.push(forMs),
  })
  return { pulse, clock, asked, silent, news }
}

function advance({ clock, news }: ReturnType<typeof feel>, ms: number): void {
  clock.advance(ms)
  for (const callback of news.splice(0)) callback()
}

test('a thread that is asked because a message took too long has fifty milliseconds', (t) => {
  const felt = feel()
  felt.pulse.check()
  advance(felt, 49)
  t.deepEqual(felt.silent, [])
  advance(felt, 1)
  t.deepEqual(felt.silent, [50])
  t.is(felt.clock.timers, 0)
})

test('an answer that came in time and was not heard yet counts', (t) => {
  const felt = feel()
  felt.pulse.check()
  felt.clock.advance(50)
  felt.pulse.answered(1)
  for (const callback of felt.news.splice(0)) callback()
  t.deepEqual(felt.silent, [])
})

test('an answer to an older question does not count for a newer one', (t) => {
  const felt = feel()
  advance(felt, 500)
  felt.pulse.check()
  felt.pulse.answered(1)
  advance(felt, 50)
  t.deepEqual(felt.asked, [1, 2])
  t.is(felt.silent.length, 1)
})

test('a thread with nothing in hand that is silent is found out by the question of now and then', (t) => {
  const felt = feel()
  advance(felt, 500)
  felt.pulse.answered(1)
  for (let i = 0; i < 4; i++) advance(felt, 500)
  t.deepEqual(felt.silent, [])
  advance(felt, 500)
  t.deepEqual(felt.silent, [2_000])
})

test('a thread with messages in hand may take as long as they may', (t) => {
  const felt = feel({ isIdle: () => false })
  for (let i = 0; i < 20; i++) advance(felt, 500)
  t.deepEqual(felt.silent, [])
  felt.pulse.stop()
  t.is(felt.clock.timers, 0)
})

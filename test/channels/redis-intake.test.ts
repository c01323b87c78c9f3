// Those who wait for events in Redis, without Redis: what was taken for somebody who has gone is put back.
import test from 'ava'
import { LINGER_MS, RedisIntake, type RedisIntakeOptions } from '../../lib/channels/redis-intake.ts'
import { Deferred } from '../../lib/core/deferred.ts'
import { FakeClock, settled } from '../helpers/fake-clock.ts'

interface Scene {
  readonly intake: RedisIntake
  readonly end: AbortController
  readonly taken: Deferred<Buffer | undefined>
  readonly back: string[]
}

const event = Buffer.from('event')
const closed = new Error('closed')

/** An intake that has asked for an event, which comes when `taken` resolves; whoever waited for it has given up. */
async function givenUp(more: Partial<RedisIntakeOptions> = {}): Promise<Scene> {
  const taken = new Deferred<Buffer | undefined>()
  const back: string[] = []
  const intake = new RedisIntake({
    listen: async () => {},
    take: () => taken.promise,
    putBack: async (channel, bytes) => void back.push(`${channel} ${bytes.toString()}`),
    idle() {},
    failed() {},
    after: () => () => {},
    backoff: () => 1,
    ...more,
  })
  const end = new AbortController()
  const receiving = intake.receive('a', end.signal)
  receiving.catch(() => {})
  await settled()
  end.abort(new Error('enough'))
  await settled()
  return { intake, end, taken, back }
}

test('what was on its way to somebody who gave up is put back before the end', async (t) => {
  const { intake, taken, back } = await givenUp()
  const closing = intake.close(closed)
  await settled()
  t.deepEqual(back, [])
  taken.resolve(event)
  await closing
  t.deepEqual(back, ['a event'])
  t.deepEqual(intake.left(), [])
})

test('what was on its way when the end came is put back too', async (t) => {
  const taken = new Deferred<Buffer | undefined>()
  const { intake, back } = await givenUp({ take: () => taken.promise })
  const receiving = t.throwsAsync(intake.receive('a'), { is: closed })
  await settled()
  const closing = intake.close(closed)
  await receiving
  taken.resolve(event)
  await closing
  t.deepEqual(back, ['a event'])
})

test('what can not be put back waits for whoever receives next, and is put back at the end', async (t) => {
  let isAway = true
  const back: string[] = []
  const { intake, taken } = await givenUp({
    putBack: async (channel) => {
      if (isAway) throw new Error('away')
      back.push(channel)
    },
  })
  taken.resolve(event)
  await settled()
  t.deepEqual(intake.left(), [['a', 1]])
  isAway = false
  await intake.close(closed)
  t.deepEqual(back, ['a'])
  t.deepEqual(intake.left(), [])
})

test('whoever receives next gets what could not be put back, and asks for the one behind it', async (t) => {
  const { intake, taken } = await givenUp({ putBack: () => Promise.reject(new Error('away')) })
  taken.resolve(event)
  await settled()
  t.is(await intake.receive('a'), event)
  t.deepEqual(intake.left(), [])
  t.is(await intake.receive('a'), event)
  await intake.close(closed)
})

test('what can not be put back at the end is left, and known', async (t) => {
  const { intake, taken } = await givenUp({ putBack: () => Promise.reject(new Error('away')) })
  taken.resolve(event)
  await intake.close(closed)
  t.deepEqual(intake.left(), [['a', 1]])
})

test('nothing is taken for somebody who has gone before it can be heard', async (t) => {
  const heard = new Deferred()
  let takes = 0
  const { intake } = await givenUp({
    listen: () => heard.promise,
    take: async () => {
      takes++
      return undefined
    },
  })
  heard.resolve()
  await intake.close(closed)
  t.is(takes, 0)
})

test('whose receive was given up is idle a moment later, unless he is back', async (t) => {
  const clock = new FakeClock()
  const idle: string[] = []
  const { intake, taken } = await givenUp({
    after: (ms, callback) => clock.after(ms, callback),
    idle: (channel) => void idle.push(channel),
  })
  taken.resolve(undefined)
  await settled()
  t.deepEqual(idle, [])
  const end = new AbortController()
  const receiving = t.throwsAsync(intake.receive('a', end.signal), { message: 'enough' })
  clock.advance(LINGER_MS)
  await settled()
  t.deepEqual(idle, [])
  end.abort(new Error('enough'))
  await receiving
  clock.advance(LINGER_MS - 1)
  intake.rung('a')
  clock.advance(1)
  t.deepEqual(idle, ['a'])
  intake.rung('a')
  t.is(clock.timers, 1)
  await intake.close(closed)
  t.is(clock.timers, 0)
})

import test from 'ava'
import type { DeadLetter } from '../../lib/core/dead-letter.ts'
import { MqttasgiError } from '../../lib/core/errors.ts'
import { DeadLetters } from '../../lib/server/dead-letters.ts'
import { Delivery, Job, slotOf } from '../../lib/server/job.ts'
import type { Burial } from '../../lib/server/settlement.ts'
import { arrival } from '../helpers/dispatcher-stage.ts'
import { FakeClock, settled } from '../helpers/fake-clock.ts'
import { plainPlan } from '../helpers/plan.ts'

const burial: Burial = { cause: 'failed', error: new Error('no\nway'), route: 'a/+', reasonCode: 0 }

class Desk {
  readonly clock = new FakeClock()
  readonly kept: DeadLetter[] = []
  readonly lines: string[] = []
  calls = 0
  fault: Error | undefined = undefined
  readonly letters = new DeadLetters({
    store: {
      name: 'the desk',
      keep: async (letter) => {
        this.calls++
        if (this.fault !== undefined) throw this.fault
        this.kept.push(letter)
      },
      close: () => Promise.resolve(),
    },
    clientId: 'me',
    clock: this.clock,
    wallClock: () => 1_000_000,
    backoff: ({ tries }) => tries * 100,
    log: {
      debug: () => {},
      info: (line) => void this.lines.push(`info ${line}`),
      warn: () => {},
      error: (line) => void this.lines.push(`error ${line}`),
    },
  })

  bury(payload: string, given: Partial<Burial> = {}, share?: string | null): Promise<string> {
    const arrived = Object.assign(arrival(1, payload, { topic: 'a/b' }), { share })
    const job = new Job(new Delivery(arrived), slotOf(receiver), plainPlan)
    job.heldSince = -500
    return this.letters.bury(job, { ...burial, ...given })
  }
}

const receiver = {
  id: 'climate',
  interests: () => [],
  onInterests: () => () => {},
  plan: () => plainPlan,
  receive: () => ({ type: 'done', handled: true }) as const,
  connected: () => Promise.resolve(),
  disconnected: () => Promise.resolve(),
}

test('a letter says all that is known of its message', async (t) => {
  const desk = new Desk()
  await desk.bury('hot')
  const [letter] = desk.kept
  t.like(letter, {
    topic: 'a/b',
    qos: 1,
    cause: 'failed',
    error: { name: 'Error', message: 'no way', code: undefined },
    receiver: 'climate',
    route: 'a/+',
    attempts: 1,
    arrivedAt: 999_500,
    deadAt: 1_000_000,
    clientId: 'me',
  })
  t.is(letter?.payload.toString(), 'hot')
  await desk.bury('hot', {
    error: new MqttasgiError('ERR_PAYLOAD_JSON', 'x'.repeat(5_000)),
    cause: 'crashed',
  })
  t.like(desk.kept[1], { error: { code: 'ERR_PAYLOAD_JSON' }, attempts: 0 })
  t.is(desk.kept[1]?.error.message.length, 1_024)
  await desk.bury('for a group', {}, 'g')
  await desk.bury('nobody knows for whom', {}, null)
  t.deepEqual(
    desk.kept.map(({ share }) => share),
    [null, null, 'g', undefined],
  )
  t.not(desk.kept[0]?.id, desk.kept[1]?.id)
})

test('a store that is down is asked by one, with a growing wait, and said once; then all are kept', async (t) => {
  const desk = new Desk()
  desk.fault = new Error('the disk is full')
  const all = ['1', '2', '3'].map((payload) => desk.bury(payload))
  await settled()
  // They were under way when the first one failed.
  t.is(desk.calls, 3)
  t.is(desk.letters.fault, desk.fault)
  t.is(desk.clock.timers, 1)
  all.push(desk.bury('4'))
  desk.clock.advance(100)
  await settled()
  t.is(desk.calls, 4)
  desk.clock.advance(199)
  t.is(desk.calls, 4)
  desk.fault = undefined
  desk.clock.advance(1)
  await Promise.all(all)
  t.is(desk.letters.fault, undefined)
  t.is(desk.kept.length, 4)
  t.deepEqual(
    desk.lines.map((line) => line.split(' ')[0]),
    ['error', 'info'],
  )
  t.regex(desk.lines[0] ?? '', /the desk.*the disk is full.*unacknowledged/)
  await desk.bury('5')
  t.is(desk.clock.timers, 0)
})

test('stopped, it tries nothing any more and leaves no timer', async (t) => {
  const desk = new Desk()
  desk.fault = new Error('away')
  void desk.bury('1')
  await settled()
  desk.letters.stop()
  t.is(desk.clock.timers, 0)
  desk.clock.advance(10_000)
  t.is(desk.calls, 1)
})

test('after a stop a store that fails late is not asked again, and no timer is left', async (t) => {
  const desk = new Desk()
  desk.fault = new Error('closed')
  void desk.bury('hot')
  desk.letters.stop()
  await settled()
  t.is(desk.calls, 1)
  t.is(desk.clock.timers, 0)
  t.deepEqual(desk.lines, [])
})

import test from 'ava'
import { Groups } from '../../lib/channels/groups.ts'
import { Mailboxes } from '../../lib/channels/mailboxes.ts'
import { zeroChannelCounters } from '../../lib/core/channel-layer.ts'
import { FakeClock } from '../helpers/fake-clock.ts'

const bytes = Buffer.from('x')

function stage(): { clock: FakeClock; boxes: Mailboxes } {
  const clock = new FakeClock()
  const options = { layer: 'memory', counters: zeroChannelCounters(), capacity: 10, expiryMs: 1_000 }
  return { clock, boxes: new Mailboxes({ ...options, clock }) }
}

test('channels that nobody names any more are forgotten, and with them their events', async (t) => {
  const { clock, boxes } = stage()
  for (let i = 0; i < 1_000; i++) boxes.offer(`c${i}`, bytes)
  t.is(boxes.size, 1_000)
  clock.advance(2_000)
  boxes.offer('last', bytes)
  t.is(boxes.size, 1)
})

test('a channel that somebody waits for is not forgotten', async (t) => {
  const { clock, boxes } = stage()
  const waiting = boxes.take('c')
  clock.advance(5_000)
  boxes.offer('other', bytes)
  boxes.offer('c', bytes)
  t.is(await waiting, bytes)
})

test('those who have given up leave nothing behind', async (t) => {
  const { clock, boxes } = stage()
  for (let i = 0; i < 100; i++) {
    const end = new AbortController()
    const waiting = boxes.take(`c${i}`, end.signal)
    end.abort(new Error('enough'))
    await t.throwsAsync(waiting)
  }
  clock.advance(1_000)
  boxes.offer('last', bytes)
  t.is(boxes.size, 1)
})

test('groups whose channels have all left are forgotten', (t) => {
  const clock = new FakeClock()
  const groups = new Groups(clock, 1_000)
  for (let i = 0; i < 100; i++) groups.add(`g${i}`, 'c')
  groups.add('left', 'c')
  groups.discard('left', 'c')
  t.is(groups.names().length, 100)
  clock.advance(1_000)
  groups.add('last', 'c')
  t.deepEqual(groups.names(), ['last'])
})

import test from 'ava'
import { RedisMemberships } from '../../lib/channels/redis-memberships.ts'
import { FakeClock } from '../helpers/fake-clock.ts'

test('a channel is in a group until it leaves, or its time is over', (t) => {
  const clock = new FakeClock()
  const memberships = new RedisMemberships(clock, 1_000)
  memberships.joined('one', 'a!1')
  clock.advance(400)
  memberships.joined('two', 'a!1')
  memberships.joined('two', 'a!2')
  memberships.left('two', 'a!2')
  t.deepEqual(memberships.all(), [
    { group: 'one', channel: 'a!1', leftMs: 600 },
    { group: 'two', channel: 'a!1', leftMs: 1_000 },
  ])
  clock.advance(300)
  memberships.joined('one', 'a!1')
  clock.advance(700)
  t.deepEqual(memberships.all(), [{ group: 'one', channel: 'a!1', leftMs: 300 }])
  memberships.clear()
  t.deepEqual(memberships.all(), [])
})

test('what is over is not kept', (t) => {
  const clock = new FakeClock()
  const memberships = new RedisMemberships(clock, 1_000)
  for (let at = 0; at < 10_000; at++) {
    memberships.joined('all', `process!${at}`)
    clock.advance(10)
  }
  t.true(memberships.size <= 100)
})

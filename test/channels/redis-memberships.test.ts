import test from 'ava'
import { RedisMemberships } from '../../lib/channels/redis-memberships.ts'
import { FakeClock } from '../helpers/fake-clock.ts'

test('a channel is in a group until it leaves, or its time is over', (t) => {
  const clock = new FakeClock()
  const memberships = new RedisMemberships(clock, 1_000)
  memberships.joins('one', 'a!1')
  clock.advance(400)
  memberships.joins('two', 'a!1')
  memberships.joins('two', 'a!2')
  memberships.left('two', 'a!2')
  memberships.joined('two', 'a!1')
  memberships.joined('two', 'a!2')
  t.like(memberships.all(), [
    { group: 'one', channel: 'a!1', isConfirmed: false },
    { group: 'two', channel: 'a!1', isConfirmed: true },
  ])
  t.is(memberships.size, 2)
  t.deepEqual([memberships.leftMs('one', 'a!1'), memberships.leftMs('two', 'a!1')], [600, 1_000])
  t.is(memberships.leftMs('two', 'a!2'), 0)
  clock.advance(300)
  memberships.joins('one', 'a!1')
  clock.advance(700)
  t.like(memberships.all(), [{ group: 'one', channel: 'a!1', isConfirmed: false }])
  t.is(memberships.all().length, 1)
  t.deepEqual([memberships.leftMs('one', 'a!1'), memberships.leftMs('two', 'a!1')], [300, 0])
  memberships.clear()
  t.deepEqual(memberships.all(), [])
})

test('what is over is not kept', (t) => {
  const clock = new FakeClock()
  const memberships = new RedisMemberships(clock, 1_000)
  for (let at = 0; at < 10_000; at++) {
    memberships.joins('all', `process!${at}`)
    clock.advance(10)
  }
  t.true(memberships.size <= 100)
})

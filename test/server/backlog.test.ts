// What comes before those have subscribed who want it: what waits, what does not, and until when.
import test from 'ava'
import { Backlog } from '../../lib/server/backlog.ts'
import { Delivery } from '../../lib/server/job.ts'
import { Window } from '../../lib/server/window.ts'
import { arrival } from '../helpers/dispatcher-stage.ts'
import { FakeClock } from '../helpers/fake-clock.ts'

class Scene {
  readonly clock = new FakeClock()
  readonly window = new Window({ maxInFlight: 10, maxWaitingBytes: 1_000 })
  readonly wanted = new Set<string>()
  released: string[] = []
  readonly backlog = new Backlog({
    clock: this.clock,
    window: this.window,
    isWanted: ({ topic }) => this.wanted.has(topic),
    released: (deliveries) => this.released.push(...deliveries.map((one) => one.arrival.payload.toString())),
  })

  takes(topic: string, text: string, more = {}): boolean {
    return this.backlog.takes(new Delivery(arrival(1, text, { topic, ...more })))
  }
}

test('what nobody wants waits, and what comes behind it on its topic, though that is wanted by then', (t) => {
  const scene = new Scene()
  scene.backlog.open()
  scene.wanted.add('b')
  t.true(scene.takes('a', '1'))
  t.false(scene.takes('b', '2'))
  scene.wanted.add('a')
  t.true(scene.takes('a', '3'))
  t.is(scene.window.waitingBytes, 200)
  scene.backlog.release()
  t.deepEqual(scene.released, ['1', '3'])
  t.is(scene.window.waitingBytes + scene.backlog.size + scene.clock.timers, 0)
  t.false(scene.backlog.isOpen)
})

test('what is only to be acknowledged does not wait', (t) => {
  const scene = new Scene()
  scene.backlog.open()
  t.false(scene.takes('a', '1', { invalid: 'it has a wildcard' }))
  t.false(scene.takes('a', '2', { settled: true }))
})

test('the time is that since receivers were last heard of, and stands still without a connection', (t) => {
  const scene = new Scene()
  const { backlog, clock } = scene
  backlog.open()
  scene.takes('a', '1')
  clock.advance(6_000)
  backlog.open()
  clock.advance(6_000)
  t.deepEqual(scene.released, [])
  backlog.stop()
  clock.advance(60_000)
  t.true(backlog.isOpen)
  backlog.open()
  clock.advance(10_000)
  t.deepEqual(scene.released, ['1'])
})

test('what was taken out is forgotten, and with it its topic', (t) => {
  const scene = new Scene()
  scene.backlog.open()
  for (const [topic, text] of [
    ['a', '1'],
    ['b', '2'],
  ] as const)
    scene.takes(topic, text)
  const out = scene.backlog.takeOut((one) => one.arrival.topic === 'a')
  t.is(out.length, 1)
  t.is(scene.window.waitingBytes, 100)
  scene.wanted.add('a').add('b')
  t.false(scene.takes('a', '3'))
  t.true(scene.takes('b', '4'))
})

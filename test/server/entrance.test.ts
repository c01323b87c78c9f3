// What comes while the first unacknowledged message waits for its time: not all that waits is looked at for each of it.
import test from 'ava'
import type { SheddingPolicy } from '../../lib/core/receiver.ts'
import { Fifo } from '../../lib/server/fifo.ts'
import { arrival, Stage } from '../helpers/dispatcher-stage.ts'

const MANY = 500
const policy = { name: 'slow', overflow: 'latest', maxWaiting: MANY, throttleMs: 0, debounceMs: 0 } as const

/** How many items of queues were copied meanwhile. No other test runs in this time: nothing is awaited. */
function copiedIn(act: () => void): number {
  const plain = Object.getOwnPropertyDescriptor(Fifo.prototype, 'items')!
  let copied = 0
  Fifo.prototype.items = function counting<T>(this: Fifo<T>): T[] {
    copied += this.size
    // Once around, and all stand as they stood.
    return Array.from({ length: this.size }, () => {
      const item = this.shift()!
      this.push(item)
      return item
    })
  }
  try {
    act()
  } finally {
    Object.defineProperty(Fifo.prototype, 'items', plain)
  }
  return copied
}

/** Messages on "slow/…" may be shed; all are handled at once. */
function shedding(times: Partial<SheddingPolicy>): Stage {
  const stage = new Stage({
    maxInFlight: 4,
    synchronous: () => true,
    planOf: (topic) => (topic.startsWith('slow/') ? { shedding: { ...policy, ...times } } : {}),
  })
  stage.dispatcher.survey({ isStrict: false, sheds: true })
  return stage
}

for (const times of [{ debounceMs: 100 }, { throttleMs: 100 }])
  for (const topic of ['quick', 'slow']) {
    const what = Object.keys(times).join()
    test(`while the first message waits in ${what} others on ${topic} topics come at no price that grows with them`, async (t) => {
      const stage = shedding(times)
      // With a throttle the one before it goes in at once.
      if ('throttleMs' in times) stage.dispatcher.arrived(arrival(1_000, 'before', { topic: 'slow/1' }))
      await stage.turn()
      const acked = stage.acked.length
      stage.dispatcher.arrived(arrival(1, 'first', { topic: 'slow/1' }))
      const copied = copiedIn(() => {
        for (let i = 2; i <= MANY; i++)
          stage.dispatcher.arrived(arrival(i, `${i}`, { topic: `${topic}/${i}` }))
      })
      t.is(copied, 0)
      t.is(stage.acked.length, acked)
      stage.clock.advance(100)
      await stage.turn()
      t.deepEqual(
        stage.acked.slice(acked),
        [...Array(MANY).keys()].map((i) => i + 1),
      )
      t.is(stage.dispatcher.inHand, 0)
    })
  }

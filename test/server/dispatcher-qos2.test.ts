// Messages of QoS 2 in the dispatcher: known ones are not run, and what is done with is kept before it is said.
import test from 'ava'
import { Deferred } from '../../lib/core/deferred.ts'
import type { Outcome } from '../../lib/core/receiver.ts'
import type { Arrival } from '../../lib/transport/transport.ts'
import { arrival, Stage, type StageOptions } from '../helpers/dispatcher-stage.ts'

function twice(packetId: number, payload: string, more: Partial<Arrival> = {}): Arrival {
  return arrival(packetId, payload, { qos: 2, ...more })
}

/** A stage whose disk takes what it is told when the test says. */
class SlowStage extends Stage {
  readonly keeping: Map<number, Deferred>

  constructor(options: StageOptions = {}) {
    const keeping = new Map<number, Deferred>()
    super({
      ...options,
      keep: (packetId) => {
        const kept = new Deferred()
        keeping.set(packetId, kept)
        return kept.promise
      },
    })
    this.keeping = keeping
  }

  async kept(packetId: number): Promise<void> {
    this.keeping.get(packetId)?.resolve()
    await this.turn()
  }
}

test('what was done with before is acknowledged in its turn, and not run', async (t) => {
  const stage = new Stage()
  stage.dispatcher.arrived(twice(1, 'a'))
  stage.dispatcher.arrived(twice(2, 'b', { settled: true, dup: true }))
  await stage.turn()
  t.deepEqual(stage.started, ['a'])
  t.deepEqual(stage.acked, [])
  await stage.end('a')
  t.deepEqual(stage.acked, [1, 2])
  t.is(stage.counters.joined, 1)
})

test('a message is acknowledged, and leaves the window, when it is kept that it is done with', async (t) => {
  const stage = new SlowStage({ maxInFlight: 2 })
  for (const [i, payload] of ['a', 'b', 'c'].entries()) stage.dispatcher.arrived(twice(i + 1, payload))
  await stage.end('b')
  await stage.end('a')
  t.deepEqual(stage.acked, [])
  t.deepEqual(stage.started, ['a', 'b'])
  await stage.kept(2)
  t.deepEqual(stage.acked, [])
  await stage.kept(1)
  t.deepEqual(stage.acked, [1, 2])
  t.deepEqual(stage.started, ['a', 'b', 'c'])
})

test('QoS 1 has nothing to be kept', async (t) => {
  const stage = new SlowStage()
  stage.dispatcher.arrived(arrival(1, 'a'))
  await stage.end('a')
  t.deepEqual(stage.acked, [1])
  t.is(stage.keeping.size, 0)
})

test('where nothing has to be kept, the transport is told all the same', async (t) => {
  const told: number[] = []
  const stage = new Stage({ keep: (packetId) => void told.push(packetId) })
  stage.dispatcher.arrived(twice(1, 'a'))
  await stage.end('a')
  t.deepEqual(told, [1])
  t.deepEqual(stage.acked, [1])
})

test('a refusal is not kept: the exchange ends with it', async (t) => {
  const stage = new SlowStage()
  stage.dispatcher.arrived(twice(1, 'a'))
  const outcome: Outcome = { type: 'rejected', error: new Error('no'), reasonCode: 0x99, route: undefined }
  await stage.end('a', { outcome })
  t.is(stage.keeping.size, 0)
  t.deepEqual(stage.acked, [1])
  t.is(stage.reasonCodes.get(1), 0x99)
})

test('what is done with while the connection is gone is told when it has come again', async (t) => {
  const stage = new SlowStage()
  stage.dispatcher.arrived(twice(1, 'a'))
  stage.dispatcher.disconnected()
  await stage.end('a')
  t.is(stage.keeping.size, 0)
  stage.dispatcher.connected(true)
  stage.dispatcher.arrived(twice(1, 'a', { dup: true }))
  await stage.turn()
  t.deepEqual(stage.started, ['a'])
  t.deepEqual(stage.acked, [1])
})

test('what is being kept when the connection is lost is acknowledged on the next one, once it is kept', async (t) => {
  const stage = new SlowStage()
  stage.dispatcher.arrived(twice(1, 'a'))
  await stage.end('a')
  stage.dispatcher.disconnected()
  stage.dispatcher.connected(true)
  stage.dispatcher.arrived(twice(1, 'a', { dup: true, settled: true }))
  await stage.turn()
  t.deepEqual(stage.acked, [])
  await stage.kept(1)
  t.deepEqual(stage.acked, [1])
  t.deepEqual(stage.started, ['a'])
})

test('what is kept after the connection is gone is acknowledged on none', async (t) => {
  const stage = new SlowStage()
  stage.dispatcher.arrived(twice(1, 'a'))
  await stage.end('a')
  stage.dispatcher.disconnected()
  await stage.kept(1)
  stage.dispatcher.connected(false)
  t.deepEqual(stage.acked, [])
  t.is(stage.dispatcher.inHand, 0)
})

test('a drain waits for what is being kept', async (t) => {
  const stage = new SlowStage()
  stage.dispatcher.arrived(twice(1, 'a'))
  await stage.end('a')
  let drained = false
  const drain = stage.dispatcher.drain('drop').then(() => (drained = true))
  await stage.turn()
  t.false(drained)
  await stage.kept(1)
  await drain
  t.deepEqual(stage.acked, [1])
})

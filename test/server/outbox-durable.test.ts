import test from 'ava'
import { MqttasgiError } from '../../lib/core/errors.ts'
import type { KeptPublication } from '../../lib/core/outbox-store.ts'
import { kept } from '../contract/outbox-store.ts'
import { noLimits } from '../../lib/transport/outgoing-publish.ts'
import { settled } from '../helpers/fake-clock.ts'
import { MemoryOutboxStore } from '../helpers/memory-outbox-store.ts'
import {
  DONE,
  goOnline,
  publish,
  rejectsWith,
  stageOutbox,
  STOPPED,
  type OutboxStage,
  type StageSetup,
} from '../helpers/outbox-stage.ts'

interface DurableStage extends OutboxStage {
  readonly store: MemoryOutboxStore
  /** Topics on disk, in order. */
  readonly onDisk: () => string[]
}

interface DurableSetup extends StageSetup {
  readonly store?: MemoryOutboxStore
}

function stage(setup: DurableSetup = {}): DurableStage {
  const store = setup.store ?? new MemoryOutboxStore()
  const onDisk = (): string[] => [...store.disk.values()].map(({ topic }) => topic)
  return { ...stageOutbox({ ...setup, store }), store, onDisk }
}

async function after(before: DurableStage, setup: DurableSetup = {}): Promise<DurableStage> {
  const store = new MemoryOutboxStore(before.store.disk)
  return stage({ ...setup, store, left: await store.load() })
}

/** How often the store was asked to let go of something from now on. */
function countRemovals(store: MemoryOutboxStore): () => number {
  const remove = store.remove.bind(store)
  let count = 0
  store.remove = (key) => {
    count++
    return remove(key)
  }
  return () => count
}

test('a publication is on disk from the call to the answer, QoS 0 never', async (t) => {
  const scene = stage({ wall: 1_000_000 })
  void publish(scene, 'offline', { retain: true, properties: { contentType: 'x' } })
  goOnline(scene)
  const online = publish(scene, 'online', { qos: 2 })
  void publish(scene, 'zero', { qos: 0 })
  t.deepEqual(scene.onDisk(), ['offline', 'online'])
  const [first] = scene.store.disk.values()
  t.deepEqual(first?.options, { qos: 1, retain: true, properties: { contentType: 'x' } })
  t.is(first?.publishedAt, 1_000_000)
  scene.sent[1]?.answer.resolve(DONE)
  t.deepEqual(await online, DONE)
  t.deepEqual(scene.onDisk(), ['offline'])
  scene.sent[0]?.answer.reject(new MqttasgiError('ERR_PUBLISH_REFUSED', 'No.'))
  await settled()
  t.deepEqual(scene.onDisk(), [])
})

test('until stored, the call waits for the disk, or for an answer that comes sooner', async (t) => {
  const scene = stage()
  scene.store.isSlow = true
  const stored = publish(scene, 'a', { until: 'stored' })
  const answered = publish(scene, 'b')
  await settled()
  scene.store.sync()
  t.deepEqual(await stored, { reasonCode: 0, stored: true })
  goOnline(scene)
  const quick = publish(scene, 'c', { until: 'stored' })
  scene.sent[2]?.answer.resolve({ reasonCode: 0x10 })
  t.deepEqual(await quick, { reasonCode: 0x10 })
  scene.sent[0]?.answer.resolve(DONE)
  scene.sent[1]?.answer.resolve(DONE)
  t.deepEqual(await answered, DONE)
  scene.store.sync()
  t.deepEqual(scene.onDisk(), [])
  t.is(scene.counters.published, 3)
  await rejectsWith(t, publish(scene, 'd', { qos: 0, until: 'stored' }), 'ERR_PUBLISH_INVALID', /QoS 0/)
})

test('what fails after it was stored is said in the log, for nobody else hears of it', async (t) => {
  const scene = stage({ policy: { maxAgeMs: 1_000 } })
  await publish(scene, 'a', { until: 'stored' })
  await publish(scene, 'b', { until: 'stored' })
  goOnline(scene, 1)
  scene.sent[0]?.answer.reject(new MqttasgiError('ERR_PUBLISH_REFUSED', 'Not allowed.'))
  scene.outbox.disconnected()
  scene.clock.advance(2_000)
  await settled()
  t.is(scene.lines.length, 2)
  t.regex(scene.lines[0] ?? '', /^error: A publication is given up: "b".*maxAge/)
  t.regex(scene.lines[1] ?? '', /^error: A publication is given up: Not allowed/)
  t.deepEqual(scene.onDisk(), [])
})

test('after a restart what is on disk goes first, in its order, and then the rest', async (t) => {
  const before = stage()
  for (const topic of ['a', 'b', 'c']) void publish(before, topic)
  goOnline(before, 1)
  before.sent[0]?.answer.resolve(DONE)
  await settled()
  // Killed here: b was under way, and c waited.
  const scene = await after(before)
  t.is(scene.counters.outboxRestored, 2)
  void publish(scene, 'b', {}, Buffer.from('newer'))
  goOnline(scene)
  t.deepEqual(scene.topics(), ['b', 'c', 'b'])
  for (const { answer } of scene.sent) answer.resolve(DONE)
  await settled()
  t.deepEqual(scene.onDisk(), [])
  t.is(scene.counters.published, 3)
})

test('the limits hold over a restart: what is on disk takes its place, and nothing of it is refused', async (t) => {
  const before = stage()
  for (const topic of ['a', 'b', 'c']) void publish(before, topic)
  const full = await after(before, { policy: { maxMessages: 3 } })
  await rejectsWith(t, publish(full, 'd'), 'ERR_OUTBOX_FULL')
  const smaller = await after(before, { policy: { maxMessages: 2, whenFull: 'drop-oldest' } })
  t.is(smaller.outbox.size, 3)
  void publish(smaller, 'd')
  t.deepEqual(smaller.onDisk(), ['c', 'd'])
  t.is(smaller.counters.outboxDropped, 2)
  t.is(smaller.lines.length, 2)
})

test('age and Message Expiry Interval count from the call, also over a restart', async (t) => {
  const before = stage({ wall: 1_000_000 })
  const properties = { messageExpiryInterval: 100 }
  void publish(before, 'a', { properties })
  before.clock.advance(50_000)
  void publish(before, 'b', { properties })
  const scene = await after(before, { wall: 1_110_000 })
  goOnline(scene)
  await settled()
  t.deepEqual(scene.topics(), ['b'])
  t.deepEqual(scene.sent[0]?.options.properties, { messageExpiryInterval: 40 })
  t.is(scene.counters.outboxExpired, 1)
  t.deepEqual(scene.onDisk(), ['b'])
  // A clock that was set back makes nothing older.
  const earlier = await after(before, { wall: 0 })
  goOnline(earlier)
  t.deepEqual(earlier.sent[0]?.options.properties, properties)
})

test('of a topic of which only the newest counts, one is on disk, and never none', async (t) => {
  const scene = stage({ policy: { latest: ['#'] } })
  scene.store.isSlow = true
  const first = publish(scene, 'a', { until: 'stored' }, Buffer.from('1'))
  scene.store.sync()
  await first
  const second = publish(scene, 'a', {}, Buffer.from('2'))
  const payloads = (disk: Iterable<KeptPublication>): string[] =>
    [...disk].map(({ payload }) => payload.toString())
  // The new one is asked for before the old one is taken away.
  const crashed = new MemoryOutboxStore(new Map(scene.store.disk))
  t.deepEqual(payloads(crashed.disk.values()), ['1'])
  scene.store.crash(1)
  t.deepEqual(payloads(scene.store.disk.values()), ['1', '2'])
  const restarted = await after(scene, { policy: { latest: ['#'] } })
  t.is(restarted.counters.outboxSuperseded, 1)
  t.deepEqual(payloads(restarted.store.disk.values()), ['2'])
  goOnline(restarted)
  t.is(restarted.sent[0]?.payload.toString(), '2')
  scene.outbox.close(STOPPED)
  await rejectsWith(t, second, 'ERR_STOPPED')
})

// --- a store that fails -------------------------------------------------------------------------

test('what can not be stored is sent all the same, except where the call was to wait for the disk', async (t) => {
  const scene = stage()
  scene.store.failure = new Error('ENOSPC: no space left on device')
  const answered = publish(scene, 'a')
  const stored = publish(scene, 'b', { until: 'stored' })
  await rejectsWith(t, stored, 'ERR_OUTBOX_STORE', /"b".*ENOSPC/)
  t.is(scene.outbox.size, 1)
  goOnline(scene)
  t.deepEqual(scene.topics(), ['a'])
  // Under way it can not be called back, and the answer is as good as the disk.
  const sent = publish(scene, 'c', { until: 'stored' })
  await settled()
  for (const { answer } of scene.sent) answer.resolve(DONE)
  t.deepEqual(await Promise.all([answered, sent]), [DONE, DONE])
  t.is(scene.lines.length, 1)
  t.regex(scene.lines[0] ?? '', /^error: .*can not be written to the memory of the test: ENOSPC/)
})

test('a store that fails is told of again after it has worked', async (t) => {
  const scene = stage()
  for (const failure of [new Error('one'), new Error('two'), undefined, new Error('three')]) {
    scene.store.failure = failure
    void publish(scene, 'a')
    await settled()
    t.is(scene.outbox.storeFault, failure)
  }
  t.deepEqual(
    scene.lines.map((line) => /one|two|three/.exec(line)?.[0]),
    ['one', 'three'],
  )
})

test('what was answered while the disk failed is taken out later, and is a fault until then', async (t) => {
  const scene = stage()
  goOnline(scene)
  const result = publish(scene, 'a')
  scene.store.failure = new Error('EIO')
  scene.sent[0]?.answer.resolve(DONE)
  t.deepEqual(await result, DONE)
  await settled()
  t.is(scene.lines.length, 1)
  t.regex(scene.lines[0] ?? '', /^error: .*taken out of the memory of the test: EIO.*published again/)
  t.deepEqual(scene.onDisk(), ['a'])
  t.is(scene.outbox.storeFault, scene.store.failure)
  scene.store.failure = undefined
  scene.clock.advance(1_000)
  await settled()
  t.deepEqual(scene.onDisk(), [])
  t.is(scene.outbox.storeFault, undefined)
  t.is(scene.clock.timers, 0)
  scene.outbox.close(STOPPED)
  t.true(await scene.outbox.release())
})

test('whatever its end was, a publication is taken out in the end', async (t) => {
  const scene = stage({ policy: { latest: ['l'], maxMessages: 5, whenFull: 'drop-oldest' } })
  const expired = publish(scene, 'expired', { properties: { messageExpiryInterval: 1 } })
  const large = publish(scene, 'large', {}, Buffer.alloc(100))
  const [dropped, old] = [publish(scene, 'dropped'), publish(scene, 'l')]
  void publish(scene, 'waits')
  await settled()
  t.is(scene.onDisk().length, 5)
  scene.store.failure = new Error('ENOSPC')
  void publish(scene, 'l')
  t.like(await old, { superseded: true })
  scene.clock.advance(1_001)
  await rejectsWith(t, expired, 'ERR_PUBLISH_EXPIRED')
  scene.outbox.connected(0, { ...noLimits, maximumPacketSize: 50 })
  await rejectsWith(t, large, 'ERR_PUBLISH_TOO_LARGE')
  for (const topic of ['1', '2', '3']) void publish(scene, topic)
  await rejectsWith(t, dropped, 'ERR_PUBLISH_DROPPED')
  await settled()
  t.is(scene.onDisk().length, 5)
  scene.store.failure = undefined
  // The next one that is put there shows that the disk is well again.
  void publish(scene, 'next')
  await settled()
  t.deepEqual(scene.onDisk(), ['waits', 'next'])
  scene.outbox.close(STOPPED)
  t.is(scene.clock.timers, 0)
})

test('a disk that fails is asked for one at a time, less and less often, and after the end no more', async (t) => {
  const scene = stage()
  goOnline(scene)
  for (const topic of ['a', 'b', 'c']) void publish(scene, topic)
  await settled()
  scene.store.failure = new Error('ENOSPC')
  for (const { answer } of scene.sent) answer.resolve(DONE)
  await settled()
  const asked = countRemovals(scene.store)
  const waits: number[] = []
  for (let i = 0; i < 8; i++) {
    waits.push((scene.clock.nextAt ?? 0) - scene.clock.now())
    scene.clock.advanceToNext()
    await settled()
  }
  t.deepEqual(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000])
  t.is(asked(), 8)
  t.is(scene.lines.length, 1)
  scene.outbox.close(STOPPED)
  t.is(scene.clock.timers, 0)
})

test('the end tries once more, and says what it can not take out', async (t) => {
  for (const recovers of [true, false]) {
    const scene = stage()
    goOnline(scene)
    for (const topic of ['a', 'b']) void publish(scene, topic)
    await settled()
    scene.store.failure = new Error('ENOSPC')
    for (const { answer } of scene.sent) answer.resolve(DONE)
    await settled()
    scene.outbox.close(STOPPED)
    if (recovers) scene.store.failure = undefined
    t.is(await scene.outbox.release(), recovers)
    t.deepEqual(scene.onDisk(), recovers ? [] : ['a', 'b'])
    t.is(scene.lines.length, recovers ? 1 : 2)
    if (!recovers)
      t.regex(scene.lines[1] ?? '', /^error: 2 publications .*taken out.*ENOSPC.*published again/)
    t.is(scene.clock.timers, 0)
  }
})

test('where too much can not be taken out, nothing more is put there', async (t) => {
  const scene = stage({ policy: { maxMessages: 2 } })
  goOnline(scene)
  scene.store.failure = new Error('ENOSPC')
  scene.store.failing = 'remove'
  for (let i = 0; i < 6; i++) {
    void publish(scene, `${i}`)
    await settled()
    scene.sent.at(-1)?.answer.resolve(DONE)
    await settled()
  }
  t.deepEqual(scene.onDisk(), ['0', '1'])
  t.is(scene.counters.published, 6)
  scene.outbox.disconnected()
  await rejectsWith(t, publish(scene, 'x', { until: 'stored' }), 'ERR_OUTBOX_STORE', /ENOSPC/)
  scene.store.failure = undefined
  // Each that is refused tries whether one goes now.
  await rejectsWith(t, publish(scene, 'y', { until: 'stored' }), 'ERR_OUTBOX_STORE')
  await settled()
  t.deepEqual(scene.onDisk(), [])
  t.like(await publish(scene, 'z', { until: 'stored' }), { stored: true })
  scene.outbox.close(STOPPED)
  t.is(scene.clock.timers, 0)
})

test('however long a disk fails, what it is to let go of in the end has a limit', async (t) => {
  const scene = stage({ policy: { maxMessages: 2 } })
  goOnline(scene)
  scene.store.failure = new Error('EIO')
  scene.store.isInDoubt = true
  for (let i = 0; i < 10; i++) {
    const answered = publish(scene, `${i}`)
    await settled()
    scene.sent.at(-1)?.answer.resolve(DONE)
    await answered
    await settled()
  }
  const asked = countRemovals(scene.store)
  scene.outbox.close(STOPPED)
  t.false(await scene.outbox.release())
  t.is(asked(), 2)
})

test('what the disk took and then denied is not published after its end was told', async (t) => {
  const scene = stage()
  scene.store.failure = new Error('EIO')
  scene.store.isInDoubt = true
  await rejectsWith(t, publish(scene, 'a', { until: 'stored' }), 'ERR_OUTBOX_STORE', /was not published/)
  goOnline(scene)
  const answered = publish(scene, 'b')
  await settled()
  t.true(scene.onDisk().includes('b'))
  scene.store.failure = undefined
  scene.sent[0]?.answer.resolve(DONE)
  await answered
  scene.clock.advance(1_000)
  await settled()
  t.deepEqual(scene.onDisk(), [])
})

test('an answer that is quicker than the disk is the end of it', async (t) => {
  const scene = stage()
  goOnline(scene)
  scene.store.isSlow = true
  for (const topic of ['a', 'b']) {
    const result = publish(scene, topic, { until: 'stored' })
    scene.sent.at(-1)?.answer.resolve({ reasonCode: 0x10 })
    t.deepEqual(await result, { reasonCode: 0x10 })
    if (topic === 'a') scene.store.sync()
  }
  t.deepEqual(scene.onDisk(), [])
  scene.outbox.close(STOPPED)
  const released = scene.outbox.release()
  scene.store.sync()
  t.true(await released)
  t.deepEqual(scene.onDisk(), [])
})

test('what a later version left and this one can not send stays where it is', async (t) => {
  const store = new MemoryOutboxStore()
  await store.keep(kept('1', 'a', { options: { qos: 3 as 2 } }))
  await store.keep(kept('2', 'b'))
  const scene = stage({ store, left: await store.load() })
  t.regex(scene.lines[0] ?? '', /^error: .*can not be sent, and is left there/)
  t.is(scene.counters.outboxRestored, 1)
  goOnline(scene)
  t.deepEqual(scene.topics(), ['b'])
  t.deepEqual(scene.onDisk(), ['a', 'b'])
})

// --- the end ------------------------------------------------------------------------------------

test('the end leaves on disk what has no answer, and says so', async (t) => {
  const scene = stage()
  const stored = publish(scene, 'a', { until: 'stored' })
  const results = [publish(scene, 'b'), publish(scene, 'c')]
  t.deepEqual(await stored, { reasonCode: 0, stored: true })
  goOnline(scene, 2)
  scene.store.isSlow = true
  const last = publish(scene, 'd', { until: 'stored' })
  scene.outbox.close(STOPPED)
  for (const { answer } of scene.sent) answer.reject(new MqttasgiError('ERR_CONNECTION_CLOSED', 'Gone.'))
  await rejectsWith(t, results[0], 'ERR_CONNECTION_CLOSED', /"b" stays in the memory of the test/)
  await rejectsWith(t, results[1], 'ERR_STOPPED', /"c" stays in the memory of the test/)
  const released = scene.outbox.release()
  await settled()
  t.false(scene.store.isClosed)
  scene.store.sync()
  t.true(await released)
  t.true(scene.store.isClosed)
  t.deepEqual(await last, { reasonCode: 0, stored: true })
  t.deepEqual(scene.onDisk(), ['a', 'b', 'c', 'd'])
  t.regex(scene.lines.at(-1) ?? '', /^warn: 4 publications have no answer; they stay in the memory/)
})

test('while the server ends, what is to be stored still is, within the limits', async (t) => {
  const scene = stage({ policy: { maxMessages: 3, maxBytes: 70 } })
  void publish(scene, 'a')
  scene.outbox.close(STOPPED)
  t.deepEqual(await publish(scene, 'b', { until: 'stored' }), { reasonCode: 0, stored: true })
  await rejectsWith(t, publish(scene, 'c'), 'ERR_STOPPED', /^The server has been stopped\.$/)
  await rejectsWith(t, publish(scene, 'c', { qos: 0 }), 'ERR_STOPPED')
  await rejectsWith(t, publish(scene, 'c', { qos: 0, until: 'stored' }), 'ERR_PUBLISH_INVALID')
  const large = publish(scene, 'c', { until: 'stored' }, Buffer.alloc(30))
  await rejectsWith(t, large, 'ERR_OUTBOX_FULL')
  void publish(scene, 'd', { until: 'stored' })
  await rejectsWith(t, publish(scene, 'e', { until: 'stored' }, Buffer.alloc(0)), 'ERR_OUTBOX_FULL')
  t.true(await scene.outbox.release())
  t.deepEqual(scene.onDisk(), ['a', 'b', 'd'])
  const roomy = stage()
  roomy.outbox.close(STOPPED)
  t.true(await roomy.outbox.release())
  await rejectsWith(t, publish(roomy, 'late', { until: 'stored' }), 'ERR_STOPPED')
  t.deepEqual(roomy.onDisk(), [])
})

test('the end speaks of one as of one', async (t) => {
  const scene = stage()
  void publish(scene, 'a')
  await settled()
  scene.outbox.close(STOPPED)
  t.true(await scene.outbox.release())
  t.regex(scene.lines.at(-1) ?? '', /^warn: 1 publication has no answer; it stays in the memory/)
})

test('what the disk refuses at the end is refused with the end', async (t) => {
  const scene = stage()
  scene.store.keep = async () => {
    await settled()
    throw new Error('ENOSPC')
  }
  const stored = publish(scene, 'a', { until: 'stored' })
  scene.outbox.close(STOPPED)
  t.false(await scene.outbox.release())
  await rejectsWith(t, stored, 'ERR_STOPPED', /^The server has been stopped\.$/)
})

test('what could not be stored is lost at the end, and a store that can not be closed is said', async (t) => {
  const scene = stage()
  scene.store.failure = new Error('ENOSPC')
  const result = publish(scene, 'a')
  await settled()
  scene.store.close = () => Promise.reject(new Error('EIO'))
  scene.outbox.close(STOPPED)
  await rejectsWith(t, result, 'ERR_STOPPED', /^The server has been stopped\.$/)
  t.false(await scene.outbox.release())
  t.is(scene.lines.length, 1)
})

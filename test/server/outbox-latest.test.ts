// The newest of a topic on disk: whatever the disk does, what a caller was told is stored is there, or a newer one is.
import test from 'ava'
import { Deferred } from '../../lib/core/deferred.ts'
import { MqttasgiError } from '../../lib/core/errors.ts'
import type { PublishOptions, PublishResult } from '../../lib/core/message.ts'
import { settled } from '../helpers/fake-clock.ts'
import { MemoryOutboxStore } from '../helpers/memory-outbox-store.ts'
import {
  DONE,
  goOnline,
  publish as publishOn,
  rejectsWith,
  stageOutbox,
  STOPPED,
  type OutboxStage,
} from '../helpers/outbox-stage.ts'

interface LatestStage extends OutboxStage {
  readonly store: MemoryOutboxStore
  readonly publish: (payload: string, options?: PublishOptions) => Promise<PublishResult>
  /** Payloads on disk, in order. */
  readonly onDisk: () => string[]
  readonly sentPayloads: () => string[]
}

const stored: PublishOptions = { until: 'stored' }
const SUPERSEDED: PublishResult = { reasonCode: 0, superseded: true }

async function stage(store = new MemoryOutboxStore(), maxMessages = 10): Promise<LatestStage> {
  const left = await store.load()
  const scene = stageOutbox({ policy: { latest: ['#'], maxMessages }, store, left })
  return {
    ...scene,
    store,
    publish: (payload, options) => publishOn(scene, 'a', options, Buffer.from(payload)),
    onDisk: () => [...store.disk.values()].map(({ payload }) => payload.toString()),
    sentPayloads: () => scene.sent.map(({ payload }) => payload.toString()),
  }
}

/** The process is gone: what the next one sends. */
async function afterCrash({ store }: LatestStage, applied = 0): Promise<readonly string[]> {
  const next = await stage(new MemoryOutboxStore(new Map(store.crash(applied))))
  goOnline(next)
  return next.sentPayloads()
}

/** From now on the disk refuses these payloads. */
function refuse(store: MemoryOutboxStore, payloads: readonly string[]): void {
  const keep = store.keep.bind(store)
  store.keep = (publication) =>
    payloads.includes(publication.payload.toString())
      ? Promise.reject(new Error('ENOSPC'))
      : keep(publication)
}

function note(promise: Promise<PublishResult>): () => PublishResult | Error | undefined {
  let end: PublishResult | Error | undefined
  promise.then(
    (result) => (end = result),
    (error: Error) => (end = error),
  )
  return () => end
}

test('what is superseded before it is on disk is not stored before one of the two is', async (t) => {
  const scene = await stage()
  scene.store.isSlow = true
  const first = note(scene.publish('1', stored))
  const second = note(scene.publish('2', stored))
  const third = note(scene.publish('3'))
  await settled()
  t.deepEqual([first(), second(), third()], [undefined, undefined, undefined])
  scene.store.sync()
  await settled()
  t.deepEqual([first(), second(), third()], [SUPERSEDED, SUPERSEDED, undefined])
  t.deepEqual(await afterCrash(scene), ['3'])
})

test('a successor on disk is as good as the one that is not', async (t) => {
  const scene = await stage()
  refuse(scene.store, ['1', '2'])
  const first = scene.publish('1', stored)
  const second = scene.publish('2', stored)
  const third = scene.publish('3', stored)
  t.deepEqual(await first, SUPERSEDED)
  t.deepEqual(await second, SUPERSEDED)
  t.deepEqual(await third, { reasonCode: 0, stored: true })
  t.deepEqual(scene.onDisk(), ['3'])
})

test('where none of them can be stored, each that waits for it rejects', async (t) => {
  const scene = await stage()
  scene.store.failure = new Error('ENOSPC')
  const refused = [scene.publish('1', stored), scene.publish('2', stored), scene.publish('3', stored)]
  for (const one of refused) await rejectsWith(t, one, 'ERR_OUTBOX_STORE', /"a".*ENOSPC/)
  t.is(scene.outbox.size, 0)
  const other = scene.publish('4', stored)
  void scene.publish('5')
  await rejectsWith(t, other, 'ERR_OUTBOX_STORE', /"a".*ENOSPC/)
  goOnline(scene)
  t.deepEqual(scene.sentPayloads(), ['5'])
})

test('what the broker makes of the successor is the end of those that wait for the disk', async (t) => {
  const scene = await stage()
  scene.store.isSlow = true
  const first = scene.publish('1', stored)
  void scene.publish('2')
  goOnline(scene)
  scene.sent[0]?.answer.resolve({ reasonCode: 0x10 })
  t.deepEqual(await first, SUPERSEDED)
  scene.store.sync()
  await settled()
  scene.store.sync()
  t.deepEqual(scene.onDisk(), [])

  // Under way it can not be called back.
  const late = await stage()
  late.store.isSlow = true
  const waits = note(late.publish('1', stored))
  const newest = late.publish('2', stored)
  goOnline(late)
  late.store.failure = new Error('ENOSPC')
  late.store.sync()
  await settled()
  t.is(waits(), undefined)
  const refused = new MqttasgiError('ERR_PUBLISH_REFUSED', 'Not allowed.')
  late.sent[0]?.answer.reject(refused)
  await rejectsWith(t, newest, 'ERR_PUBLISH_REFUSED')
  t.is(waits(), refused)
})

test('while the disk fails the older one stays there, and then the newer one takes its place', async (t) => {
  const scene = await stage()
  await scene.publish('1', stored)
  scene.store.failure = new Error('ENOSPC')
  scene.clock.advance(500)
  void scene.publish('2')
  void scene.publish('3')
  await settled()
  t.deepEqual(scene.onDisk(), ['1'])
  t.is(scene.outbox.storeFault, scene.store.failure)
  t.is(scene.lines.length, 1)
  scene.store.failure = undefined
  scene.clock.advance(1_000)
  await settled()
  t.deepEqual(scene.onDisk(), ['3'])
  t.deepEqual(
    [...scene.store.disk.values()].map(({ publishedAt }) => publishedAt),
    [500],
  )
  t.is(scene.outbox.storeFault, undefined)
  t.is(scene.clock.timers, 0)
  t.deepEqual(await afterCrash(scene), ['3'])
})

test('what could not be written is a fault until it is, also where the disk takes others', async (t) => {
  const scene = await stage()
  await scene.publish('1', stored)
  refuse(scene.store, ['2'])
  void scene.publish('2')
  await settled()
  await publishOn(scene, 'b', stored)
  t.regex(String(scene.outbox.storeFault), /ENOSPC/)
  t.deepEqual(scene.onDisk().slice(0, 1), ['1'])
  // The broker has the newer one: the older one is over.
  goOnline(scene)
  scene.sent[0]?.answer.resolve(DONE)
  scene.sent[1]?.answer.resolve(DONE)
  await settled()
  scene.clock.advance(2_000)
  await settled()
  t.deepEqual(scene.sentPayloads().slice(0, 1), ['2'])
  t.deepEqual(scene.onDisk(), [])
  t.is(scene.outbox.storeFault, undefined)
  t.is(scene.clock.timers, 0)
})

test('where the newer one is refused for the disk, the older one is sent after all', async (t) => {
  const scene = await stage()
  await scene.publish('1', stored)
  scene.store.failure = new Error('ENOSPC')
  await rejectsWith(t, scene.publish('2', stored), 'ERR_OUTBOX_STORE')
  t.is(scene.outbox.size, 1)
  t.deepEqual(scene.onDisk(), ['1'])
  // One that needs no disk stays, also where one behind it does.
  void scene.publish('3')
  await rejectsWith(t, scene.publish('4', stored), 'ERR_OUTBOX_STORE')
  void scene.publish('5')
  await rejectsWith(t, scene.publish('6', stored), 'ERR_OUTBOX_STORE')
  t.is(scene.outbox.size, 1)
  scene.store.failure = undefined
  scene.clock.advance(1_000)
  await settled()
  t.deepEqual(scene.onDisk(), ['5'])
  goOnline(scene)
  t.deepEqual(scene.sentPayloads(), ['5'])
  scene.sent[0]?.answer.resolve(DONE)
  await settled()
  t.deepEqual(scene.onDisk(), [])
  t.is(scene.clock.timers, 0)
})

test('what comes back from a connection that was gone makes way for the newer one, on disk as well', async (t) => {
  const scene = await stage()
  await scene.publish('1', stored)
  goOnline(scene, 1)
  await scene.publish('2', stored)
  refuse(scene.store, ['3'])
  void scene.publish('3')
  await settled()
  t.deepEqual(scene.onDisk(), ['1', '2'])
  scene.sent[0]?.answer.reject(new MqttasgiError('ERR_NOT_CONNECTED', 'Gone.'))
  await settled()
  t.deepEqual(scene.onDisk(), ['2'])
  t.is(scene.outbox.size, 1)
  goOnline(scene, 1)
  t.deepEqual(scene.sentPayloads(), ['1', '3'])
  scene.sent[1]?.answer.resolve(DONE)
  await settled()
  t.deepEqual(scene.onDisk(), [])
})

test('the older one leaves its disk before the newer one leaves another', async (t) => {
  const scene = await stage()
  await scene.publish('1', stored)
  const { store } = scene
  const remove = store.remove.bind(store)
  const slow = new Deferred()
  const [first] = store.disk.keys()
  store.remove = async (key) => {
    if (key === first) await slow.promise
    return remove(key)
  }
  await scene.publish('2', stored)
  goOnline(scene)
  scene.sent[0]?.answer.resolve(DONE)
  await settled()
  t.deepEqual(scene.onDisk(), ['1', '2'])
  slow.resolve()
  await settled()
  t.deepEqual(scene.onDisk(), [])
})

test('where too much can not be taken out, no successor is put there either', async (t) => {
  const scene = await stage(new MemoryOutboxStore(), 2)
  scene.store.failure = new Error('EIO')
  scene.store.failing = 'remove'
  for (let i = 0; i < 8; i++) {
    void scene.publish(`${i}`)
    await settled()
    scene.clock.advance(60_000)
    await settled()
  }
  t.true(scene.onDisk().length <= 4)
  scene.store.failure = undefined
  for (let i = 0; i < 2; i++) {
    scene.clock.advance(60_000)
    await settled()
  }
  t.deepEqual(scene.onDisk(), ['7'])
  t.is(scene.clock.timers, 0)
})

// --- the end ------------------------------------------------------------------------------------

test('the end waits for the disk with those that were superseded, and tells them what it says', async (t) => {
  for (const failure of [undefined, new Error('ENOSPC')]) {
    for (const isOnline of [false, true]) {
      const scene = await stage()
      scene.store.isSlow = true
      const first = scene.publish('1', stored)
      const second = scene.publish('2', isOnline ? stored : {})
      if (isOnline) goOnline(scene)
      scene.outbox.close(STOPPED)
      scene.sent[0]?.answer.reject(new MqttasgiError('ERR_STOPPED', 'Gone.'))
      await settled()
      scene.store.failure = failure
      scene.store.isSlow = false
      scene.store.sync()
      t.is(await scene.outbox.release(), failure === undefined)
      if (failure === undefined) t.deepEqual(await first, SUPERSEDED)
      else await rejectsWith(t, first, 'ERR_STOPPED')
      if (!isOnline || failure !== undefined) await rejectsWith(t, second, 'ERR_STOPPED')
      else t.like(await second, { stored: true })
      t.deepEqual(scene.onDisk(), failure === undefined ? ['2'] : [])
    }
  }
})

test('the end fails those that wait with one that is under way and was refused by the disk', async (t) => {
  const scene = await stage()
  scene.store.isSlow = true
  const first = scene.publish('1', stored)
  void scene.publish('2')
  goOnline(scene)
  scene.store.failure = new Error('ENOSPC')
  scene.store.sync()
  await settled()
  scene.outbox.close(STOPPED)
  scene.sent[0]?.answer.reject(STOPPED)
  await rejectsWith(t, first, 'ERR_STOPPED')
})

test('the end writes what could not be written, or says that the older one stays', async (t) => {
  for (const recovers of [true, false]) {
    const scene = await stage()
    await scene.publish('1', stored)
    scene.store.failure = new Error('ENOSPC')
    const second = scene.publish('2')
    await settled()
    scene.outbox.close(STOPPED)
    await rejectsWith(t, second, 'ERR_STOPPED')
    if (recovers) scene.store.failure = undefined
    t.is(await scene.outbox.release(), recovers)
    t.deepEqual(scene.onDisk(), recovers ? ['2'] : ['1'])
    if (!recovers) t.regex(scene.lines.join('\n'), /1 publication .*ENOSPC.*published again after/)
    t.is(scene.clock.timers, 0)
  }
})

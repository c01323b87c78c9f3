import test from 'ava'
import { readdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { JournalOutbox, outboxesElsewhere, outboxFolder } from '../../lib/durable/journal-outbox.ts'
import { diskFiles, type JournalFiles } from '../../lib/durable/journal-files.ts'
import { DurableMap } from '../../lib/durable/durable-map.ts'
import { JournalView } from '../../lib/durable/journal-view.ts'
import { kept, outboxStoreContract } from '../contract/outbox-store.ts'
import { settled } from '../helpers/fake-clock.ts'
import { failingFiles } from '../helpers/failing-files.ts'
import { diskError } from '../helpers/memory-disk.ts'
import { DONE, goOnline, publish, rejectsWith, stageOutbox, STOPPED } from '../helpers/outbox-stage.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

outboxStoreContract(test, 'journal', (t) => {
  const folder = join(temporaryFolder(t), 'outbox')
  return () => JournalOutbox.open({ folder })
})

const keysOf = async (store: JournalOutbox): Promise<string[]> => (await store.load()).map(({ key }) => key)

test('two processes have a journal each, and what one has left the next to start sends', async (t) => {
  const folder = join(temporaryFolder(t), 'outbox')
  const first = await JournalOutbox.open({ folder })
  const second = await JournalOutbox.open({ folder })
  t.deepEqual([first.name, second.name], [join(folder, '1'), join(folder, '2')])
  await first.keep(kept('a'))
  await second.keep(kept('b'))
  await second.keep(kept('c'))
  await second.close()
  // While the first one runs nobody touches what is its own.
  const third = await JournalOutbox.open({ folder })
  t.deepEqual(await keysOf(third), ['b', 'c'])
  await third.close()
  await first.close()
  const heir = await JournalOutbox.open({ folder })
  t.deepEqual(await keysOf(heir), ['a', 'b', 'c'])
  const beside = await JournalOutbox.open({ folder })
  t.deepEqual(await keysOf(beside), [])
  t.is(beside.name, join(folder, '3'))
  await beside.close()
  await heir.remove('b')
  await heir.remove('a')
  await heir.keep(kept('d'))
  await heir.close()
  const last = await JournalOutbox.open({ folder })
  t.deepEqual(await keysOf(last), ['d', 'c'])
  await last.close()
  t.deepEqual(readdirSync(folder).sort(), ['1', '2', '3'])
})

test('what several have left comes in the order in which it was published, each in its own order', async (t) => {
  const folder = join(temporaryFolder(t), 'outbox')
  const first = await JournalOutbox.open({ folder })
  const second = await JournalOutbox.open({ folder })
  // The clock was set back behind b.
  for (const [store, key, publishedAt] of [
    [first, 'b', 2_000],
    [first, 'd', 1_500],
    [first, 'f', 5_000],
    [second, 'a', 1_000],
    [second, 'c', 2_001],
    [second, 'e', 4_000],
  ] as const) {
    await store.keep(kept(key, 'a', { publishedAt }))
  }
  await first.close()
  await second.close()
  const heir = await JournalOutbox.open({ folder })
  t.deepEqual(await keysOf(heir), ['a', 'b', 'd', 'c', 'e', 'f'])
  await heir.close()
})

test('of a topic of which only the newest counts, the newest is sent after a crash, wherever the older one lies', async (t) => {
  const folder = join(temporaryFolder(t), 'outbox')
  const first = await JournalOutbox.open({ folder })
  const second = await JournalOutbox.open({ folder })
  await second.keep(kept('old'))
  await second.close()
  await first.keep(kept('new', 'a', { publishedAt: 1_001 }))
  await first.close()
  // Of the two that are on disk the newer one lies in the journal that is read first.
  const store = await JournalOutbox.open({ folder })
  const scene = stageOutbox({ policy: { latest: ['#'] }, store, left: await store.load() })
  goOnline(scene)
  t.deepEqual(
    scene.sent.map(({ payload }) => payload.toString()),
    ['new'],
  )
  scene.outbox.close(STOPPED)
  await scene.outbox.release()
})

test('what is told to be stored is on disk, also when it is superseded at once', async (t) => {
  const folder = join(temporaryFolder(t), 'outbox')
  const store = await JournalOutbox.open({ folder })
  const scene = stageOutbox({ policy: { latest: ['#'] }, store })
  const first = publish(scene, 'state', { until: 'stored' })
  const second = publish(scene, 'state', { until: 'stored' })
  await first
  t.true((await JournalView.read(store.name)).keys().length > 0)
  await second
  scene.outbox.close(STOPPED)
  t.true(await scene.outbox.release())
  t.is((await JournalView.read(store.name)).keys().length, 1)
})

test('what can not be stored is refused, and what was stored stays', async (t) => {
  const folder = join(temporaryFolder(t), 'outbox')
  let isBroken = false
  const files = failingFiles('sync', () => (isBroken ? diskError('EIO') : undefined))
  const store = await JournalOutbox.open({ folder, files })
  await store.keep(kept('a'))
  isBroken = true
  await t.throwsAsync(store.keep(kept('b')), { code: 'ERR_JOURNAL_WRITE' })
  await t.throwsAsync(store.remove('a'), { code: 'ERR_JOURNAL_WRITE' })
  isBroken = false
  await store.keep(kept('c'))
  await store.close()
  const again = await JournalOutbox.open({ folder })
  t.deepEqual(await keysOf(again), ['a', 'c'])
  await again.close()
})

test('what was answered while the disk was full is not published by the next process', async (t) => {
  const folder = join(temporaryFolder(t), 'outbox')
  let isFull = false
  const files = failingFiles('append', () => (isFull ? diskError('ENOSPC') : undefined))
  const store = await JournalOutbox.open({ folder, files })
  const scene = stageOutbox({ store })
  await publish(scene, 'valve/open', { until: 'stored' })
  isFull = true
  goOnline(scene)
  scene.sent[0]?.answer.resolve(DONE)
  while (scene.outbox.storeFault === undefined) await settled()
  // Nothing of these is on the disk, and to take out nothing does not show that it is well again.
  scene.outbox.disconnected()
  for (const topic of ['a', 'b', 'c']) {
    await rejectsWith(t, publish(scene, topic, { until: 'stored' }), 'ERR_OUTBOX_STORE')
  }
  t.is(scene.lines.length, 1)
  isFull = false
  scene.outbox.close(STOPPED)
  t.true(await scene.outbox.release())
  const next = await JournalOutbox.open({ folder })
  t.deepEqual(await keysOf(next), [])
  await next.close()
})

test('what another version has written is refused with its reason, and stays', async (t) => {
  const folder = join(temporaryFolder(t), 'outbox')
  const later = Buffer.from(`${JSON.stringify({ mqttasgi: 'publication', version: 2 })}\n`)
  const letter = Buffer.from('{"mqttasgi":"dead letter","version":1}\n')
  for (const [value, message] of [
    [later, /version is 2, and 1 is known/],
    [letter, /does not say that it is one/],
    [Buffer.from('nothing'), /does not begin with the line of one/],
  ] as const) {
    const map = await DurableMap.open({ folder: join(folder, '1') })
    await map.put('a', value)
    await map.close()
    const store = await JournalOutbox.open({ folder })
    await t.throwsAsync(store.load(), { code: 'ERR_OUTBOX_STORE', message })
    await store.close()
  }
})

test('when one journal can not be opened, none is held', async (t) => {
  const folder = join(temporaryFolder(t), 'outbox')
  const [first, second] = [await JournalOutbox.open({ folder }), await JournalOutbox.open({ folder })]
  for (const store of [first, second]) {
    await store.keep(kept(store.name))
    await store.close()
  }
  const files: JournalFiles = {
    ...diskFiles,
    list: (path) => (path.endsWith('2') ? Promise.reject(diskError('EACCES')) : diskFiles.list(path)),
  }
  await t.throwsAsync(JournalOutbox.open({ folder, files }), { code: 'ERR_JOURNAL_OPEN' })
  const store = await JournalOutbox.open({ folder })
  t.is(store.name, join(folder, '1'))
  t.is((await store.load()).length, 2)
  await store.close()
})

test('each broker has a folder of its own, with a name that every file system takes', (t) => {
  t.is(outboxFolder('/state', 'mqtts://example.org:8883'), '/state/outbox/mqtts_example.org_8883')
  t.is(outboxFolder('/state', 'wss://[::1]:443/mqtt/../..'), '/state/outbox/wss_1_443_mqtt_.._..')
  t.is(outboxFolder('/state', 'unix:///run/mosquitto.sock'), '/state/outbox/unix_run_mosquitto.sock')
  t.true(outboxFolder('/s', `mqtt://${'a'.repeat(300)}:1883`).length < 255)
})

test('what waits for another broker is found, and stays', async (t) => {
  const stateDir = temporaryFolder(t)
  const folders = ['c', 'b', 'a', 'd'].map((name) => outboxFolder(stateDir, `mqtt://${name}:1883`))
  const [ours = '', ...others] = folders
  for (const [index, folder] of others.entries()) {
    const stores = [await JournalOutbox.open({ folder }), await JournalOutbox.open({ folder })]
    for (let i = 0; i < index; i++) await stores[i]?.keep(kept(`${index} ${i}`))
    for (const store of stores) await store.close()
  }
  const store = await JournalOutbox.open({ folder: ours })
  writeFileSync(join(dirname(ours), 'README'), '')
  t.deepEqual(await outboxesElsewhere(ours), [
    { folder: folders[2], count: 1 },
    { folder: folders[3], count: 2 },
  ])
  t.deepEqual(await store.load(), [])
  await store.close()
})

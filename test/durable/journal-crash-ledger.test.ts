// The crash ledger: a death counts for what was in hand, and for nothing else.
import test from 'ava'
import { MqttasgiError } from '../../lib/core/errors.ts'
import { JournalCrashLedger } from '../../lib/durable/journal-crash-ledger.ts'
import { diskError, MemoryDisk } from '../helpers/memory-disk.ts'

const lock = () => ({ release() {} })

function open(files: MemoryDisk, maxEntries?: number): Promise<JournalCrashLedger> {
  return JournalCrashLedger.open({
    folder: '/ledger',
    files,
    lock,
    ...(maxEntries === undefined ? {} : { maxEntries }),
  })
}

/** The disk as the next process finds it when this one is killed now. */
const killed = (disk: MemoryDisk): MemoryDisk => disk.afterPowerLoss(Math.random)

test('a process that dies is counted for what it had in hand, until that is settled', async (t) => {
  let disk = new MemoryDisk()
  for (let deaths = 0; deaths < 3; deaths++) {
    const ledger = await open(disk)
    t.is(ledger.endedCleanly, deaths === 0)
    t.is(await ledger.begin('poison'), deaths)
    t.is(await ledger.begin(`innocent ${deaths}`), 0)
    await ledger.settled(`innocent ${deaths}`)
    disk = killed(disk)
  }
  const ledger = await open(disk)
  for (let i = 0; i < 3; i++) t.is(await ledger.begin(`innocent ${i}`), 0)
  t.is(await ledger.begin('poison'), 3)
  await ledger.settled('poison')
  t.is(await ledger.begin('poison'), 0)
  await ledger.close()
})

test('a process that ends well has died of nothing, whatever it leaves behind', async (t) => {
  const disk = new MemoryDisk()
  const first = await open(disk)
  await first.begin('in hand')
  await first.cleanEnd()
  await first.close()
  const second = await open(disk)
  t.true(second.endedCleanly)
  t.is(await second.begin('in hand'), 0)
  const third = await open(killed(disk))
  t.false(third.endedCleanly)
  t.is(await third.begin('in hand'), 1)
  await third.cleanEnd()
  await third.close()
})

test('a clean end leaves what was counted before', async (t) => {
  const disk = new MemoryDisk()
  await (await open(disk)).begin('suspect')
  const next = killed(disk)
  const second = await open(next)
  t.is(await second.begin('suspect'), 1)
  await second.cleanEnd()
  await second.close()
  const third = await open(next)
  t.is(await third.begin('suspect'), 1)
})

test('two with one key in hand are one, and it is forgotten when the last one is settled', async (t) => {
  const disk = new MemoryDisk()
  const ledger = await open(disk)
  t.deepEqual(await Promise.all([ledger.begin('twin'), ledger.begin('twin')]), [0, 0])
  await ledger.settled('twin')
  t.is(await (await open(killed(disk))).begin('twin'), 1)
  await ledger.settled('twin')
  t.is(await (await open(killed(disk))).begin('twin'), 0)
})

test('settling what is not in hand forgets it, or does nothing', async (t) => {
  const disk = new MemoryDisk()
  await (await open(disk)).begin('old')
  const ledger = await open(killed(disk))
  await ledger.settled('old')
  await ledger.settled('never seen')
  t.is(await ledger.begin('old'), 0)
})

test('it keeps no more than it may, and never forgets what is in hand', async (t) => {
  let disk = new MemoryDisk()
  const first = await open(disk, 5)
  for (const key of ['a', 'b', 'c', 'd']) await first.begin(key)
  disk = killed(disk)
  const ledger = await open(disk, 5)
  t.is(await ledger.begin('d'), 1)
  for (const key of ['e', 'f', 'g', 'h', 'i']) t.is(await ledger.begin(key), 0)
  const next = await open(killed(disk))
  for (const key of ['d', 'e', 'i']) t.true((await next.begin(key)) > 0, key)
  for (const key of ['a', 'b', 'c']) t.is(await next.begin(key), 0, key)
})

test('a begin that can not be stored rejects, and holds nothing', async (t) => {
  const disk = new MemoryDisk()
  const ledger = await open(disk)
  disk.fail = (call) => {
    if (call === 'sync') throw diskError('EIO')
  }
  const error = await t.throwsAsync(ledger.begin('a'), { instanceOf: MqttasgiError })
  t.is(error.code, 'ERR_JOURNAL_WRITE')
  disk.fail = () => {}
  t.is(await ledger.begin('a'), 0)
  await ledger.settled('a')
  t.is(await (await open(killed(disk))).begin('a'), 0)
})

test('a ledger that can not note that it runs is not opened', async (t) => {
  const disk = new MemoryDisk()
  disk.fail = (call) => {
    if (call === 'create') throw diskError('EROFS')
  }
  await t.throwsAsync(open(disk), { instanceOf: MqttasgiError })
})

test('crashes before the first that was noted count with it, once, and what is known can be asked for', async (t) => {
  const disk = new MemoryDisk()
  const first = await open(disk)
  t.false(first.knows('poison'))
  t.is(await first.begin('poison', 1), 1)
  const second = await open(killed(disk))
  t.true(second.knows('poison'))
  t.false(second.knows('other'))
  t.is(await second.begin('poison', 1), 2)
  await second.settled('poison')
  t.false(second.knows('poison'))
})

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

async function deaths(ledger: JournalCrashLedger, key: string): Promise<number> {
  return (await ledger.begin(key, false)).deaths
}

/** The disk as the next process finds it when this one is killed now. */
const killed = (disk: MemoryDisk): MemoryDisk => disk.afterPowerLoss(Math.random)

test('a process that dies is counted for what it had in hand, until that is settled', async (t) => {
  let disk = new MemoryDisk()
  for (let died = 0; died < 3; died++) {
    const ledger = await open(disk)
    t.is(ledger.endedCleanly, died === 0)
    t.is(await deaths(ledger, 'poison'), died)
    t.is(await deaths(ledger, `innocent ${died}`), 0)
    await ledger.settled(`innocent ${died}`)
    disk = killed(disk)
  }
  const ledger = await open(disk)
  for (let i = 0; i < 3; i++) t.is(await deaths(ledger, `innocent ${i}`), 0)
  t.is(await deaths(ledger, 'poison'), 3)
  await ledger.settled('poison')
  t.is(await deaths(ledger, 'poison'), 0)
  await ledger.close()
})

test('a process that ends well has died of nothing, whatever it leaves behind', async (t) => {
  const disk = new MemoryDisk()
  const first = await open(disk)
  await first.begin('in hand', false)
  await first.cleanEnd()
  await first.close()
  const second = await open(disk)
  t.true(second.endedCleanly)
  t.is(await deaths(second, 'in hand'), 0)
  const third = await open(killed(disk))
  t.false(third.endedCleanly)
  t.is(await deaths(third, 'in hand'), 1)
  await third.cleanEnd()
  await third.close()
})

test('a clean end leaves what was counted before', async (t) => {
  const disk = new MemoryDisk()
  await (await open(disk)).begin('suspect', false)
  const next = killed(disk)
  const second = await open(next)
  t.is(await deaths(second, 'suspect'), 1)
  await second.cleanEnd()
  await second.close()
  const third = await open(next)
  t.is(await deaths(third, 'suspect'), 1)
})

test('it remembers whether the broker had sent a message before when it was begun first', async (t) => {
  for (const wasRepeat of [true, false]) {
    const disk = new MemoryDisk()
    await (await open(disk)).begin('a', wasRepeat)
    const next = killed(disk)
    const ledger = await open(next)
    t.deepEqual(await ledger.begin('a', !wasRepeat), { deaths: 1, wasRepeat })
    await ledger.cleanEnd()
    await ledger.close()
    t.deepEqual(await (await open(next)).begin('a', !wasRepeat), { deaths: 1, wasRepeat })
  }
})

test('it knows what others have died with, until that is settled', async (t) => {
  const disk = new MemoryDisk()
  const first = await open(disk)
  for (const key of ['a', 'b']) await first.begin(key, false)
  t.deepEqual([first.known, first.knows('a')], [0, false])
  const ledger = await open(killed(disk))
  t.deepEqual([ledger.known, ledger.knows('a'), ledger.knows('c')], [2, true, false])
  await ledger.begin('a', false)
  t.true(ledger.knows('a'))
  await ledger.settled('a')
  t.deepEqual([ledger.known, ledger.knows('a'), ledger.knows('b')], [1, false, true])
})

test('two with one key in hand are one, and it is forgotten when the last one is settled', async (t) => {
  const disk = new MemoryDisk()
  const ledger = await open(disk)
  t.deepEqual(await Promise.all([deaths(ledger, 'twin'), deaths(ledger, 'twin')]), [0, 0])
  await ledger.settled('twin')
  t.is(await deaths(await open(killed(disk)), 'twin'), 1)
  await ledger.settled('twin')
  t.is(await deaths(await open(killed(disk)), 'twin'), 0)
})

test('settling what is not in hand forgets it, or does nothing', async (t) => {
  const disk = new MemoryDisk()
  await (await open(disk)).begin('old', false)
  const ledger = await open(killed(disk))
  await ledger.settled('old')
  await ledger.settled('never seen')
  t.is(await deaths(ledger, 'old'), 0)
})

test('it keeps no more than it may, and never forgets what is in hand', async (t) => {
  let disk = new MemoryDisk()
  const first = await open(disk, 5)
  for (const key of ['a', 'b', 'c', 'd']) await first.begin(key, false)
  disk = killed(disk)
  const ledger = await open(disk, 5)
  t.is(await deaths(ledger, 'd'), 1)
  for (const key of ['e', 'f', 'g', 'h', 'i']) t.is(await deaths(ledger, key), 0)
  const next = await open(killed(disk))
  for (const key of ['d', 'e', 'i']) t.true((await deaths(next, key)) > 0, key)
  for (const key of ['a', 'b', 'c']) t.is(await deaths(next, key), 0, key)
})

test('a begin that can not be stored rejects, and holds nothing', async (t) => {
  const disk = new MemoryDisk()
  const ledger = await open(disk)
  disk.fail = (call) => {
    if (call === 'sync') throw diskError('EIO')
  }
  const error = await t.throwsAsync(ledger.begin('a', false), { instanceOf: MqttasgiError })
  t.is(error.code, 'ERR_JOURNAL_WRITE')
  disk.fail = () => {}
  t.is(await deaths(ledger, 'a'), 0)
  await ledger.settled('a')
  t.is(await deaths(await open(killed(disk)), 'a'), 0)
})

test('a ledger that can not note that it runs is not opened', async (t) => {
  const disk = new MemoryDisk()
  disk.fail = (call) => {
    if (call === 'create') throw diskError('EROFS')
  }
  await t.throwsAsync(open(disk), { instanceOf: MqttasgiError })
})

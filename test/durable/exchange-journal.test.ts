// The exchanges on disk: what the next process finds, and what becomes of a write that fails.
import test from 'ava'
import type { Logger } from '../../lib/core/log.ts'
import { ExchangeJournal } from '../../lib/durable/exchange-journal.ts'
import { FakeClock, settled } from '../helpers/fake-clock.ts'
import { diskError, MemoryDisk } from '../helpers/memory-disk.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

interface Opened {
  readonly journal: ExchangeJournal
  readonly clock: FakeClock
  readonly lines: string[]
}

async function open(files: MemoryDisk): Promise<Opened> {
  const clock = new FakeClock()
  const lines: string[] = []
  const say = (message: string): unknown => lines.push(message)
  const log: Logger = { debug: say, info: say, warn: say, error: say }
  const lock = (): { release(): void } => ({ release() {} })
  return { journal: await ExchangeJournal.open({ folder: '/qos2', files, lock, clock, log }), clock, lines }
}

const killed = (disk: MemoryDisk): MemoryDisk => disk.afterPowerLoss(() => 0)

test('what is kept is there after a crash, what is dropped is not', async (t) => {
  const disk = new MemoryDisk()
  const { journal } = await open(disk)
  t.is(journal.kept.size, 0)
  await Promise.all([journal.keep(1, 'one'), journal.keep(65_535, 'last'), journal.keep(2, 'two')])
  await journal.drop(2)
  const next = (await open(killed(disk))).journal
  t.deepEqual(
    [...next.kept],
    [
      [1, 'one'],
      [65_535, 'last'],
    ],
  )
  await next.close()
})

test('what is asked for in one turn is one write', async (t) => {
  const disk = new MemoryDisk()
  const { journal } = await open(disk)
  await journal.keep(1, 'x')
  const before = disk.calls.length
  await Promise.all([journal.keep(2, 'x'), journal.keep(3, 'x'), journal.drop(1)])
  t.deepEqual(disk.calls.slice(before), ['append', 'sync'])
})

test('the changes of one packet id hold in their order, and clear() is behind all of them', async (t) => {
  const disk = new MemoryDisk()
  const { journal } = await open(disk)
  await Promise.all([journal.keep(1, 'a'), journal.drop(1), journal.keep(1, 'b'), journal.keep(2, 'c')])
  t.deepEqual(
    [...(await open(killed(disk))).journal.kept.keys()].toSorted((a, b) => a - b),
    [1, 2],
  )
  void journal.keep(3, 'd')
  await journal.clear()
  t.is((await open(killed(disk))).journal.kept.size, 0)
})

test('what was left in doubt is believed no more, not even by the process behind the next one', async (t) => {
  const disk = new MemoryDisk()
  const { journal } = await open(disk)
  await journal.keep(1, 'x')
  await journal.doubt()
  const left = killed(disk)
  t.is((await open(left)).journal.kept.size, 0)
  t.is((await open(killed(left))).journal.kept.size, 0)
  await journal.trust()
  t.is((await open(killed(disk))).journal.kept.size, 1)
})

test('clear() leaves the doubt', async (t) => {
  const disk = new MemoryDisk()
  const { journal } = await open(disk)
  await journal.keep(1, 'x')
  await journal.doubt()
  await journal.clear()
  await journal.keep(2, 'y')
  t.is((await open(killed(disk))).journal.kept.size, 0)
})

test('a write that fails is tried again until it holds, in its order, and said once', async (t) => {
  const disk = new MemoryDisk()
  const { clock, journal, lines } = await open(disk)
  disk.fail = (call) => {
    if (call === 'append') throw diskError('ENOSPC')
  }
  const done: string[] = []
  const changes = [
    journal.keep(1, 'a').then(() => done.push('keep 1')),
    journal.drop(1).then(() => done.push('drop 1')),
    journal.keep(2, 'b').then(() => done.push('keep 2')),
  ]
  for (let i = 0; i < 3; i++) {
    await settled()
    clock.advance(1_000)
  }
  await settled()
  t.deepEqual(done, [])
  t.regex(journal.fault?.message ?? '', /ENOSPC/)
  t.is(lines.length, 1)
  t.regex(lines[0] ?? '', /could not be written.*Until it can, no message of QoS 2/)
  disk.fail = () => {}
  clock.advance(1_000)
  await Promise.all(changes)
  t.is(journal.fault, undefined)
  t.is(lines.length, 2)
  t.deepEqual([...(await open(killed(disk))).journal.kept], [[2, 'b']])
  t.is(clock.timers, 0)
})

test('close() ends the trying, and leaves no timer', async (t) => {
  const disk = new MemoryDisk()
  const { clock, journal } = await open(disk)
  disk.fail = (call) => {
    if (call === 'append') throw diskError('ENOSPC')
  }
  void journal.keep(1, 'a').then(() => t.fail('it holds nowhere'))
  await settled()
  t.is(clock.timers, 1)
  await journal.close()
  t.is(clock.timers, 0)
  void journal.keep(2, 'b').then(() => t.fail('it holds nowhere'))
  await settled()
  t.is(clock.timers, 0)
})

test('a journal that can not be read is not taken', async (t) => {
  const disk = new MemoryDisk()
  const { journal } = await open(disk)
  await journal.keep(1, 'x')
  const left = killed(disk)
  left.fail = (call) => {
    if (call === 'readAt') throw diskError('EIO')
  }
  await t.throwsAsync(open(left))
})

test('one process has a client id', async (t) => {
  const folder = `${temporaryFolder(t)}/qos2/hall`
  const options = { folder, clock: new FakeClock(), log: console }
  const journal = await ExchangeJournal.open(options)
  await t.throwsAsync(ExchangeJournal.open(options), {
    code: 'ERR_JOURNAL_LOCKED',
    message: /hall is in use by this process\. .*a client id of its own \(broker\.clientId\)/,
  })
  await journal.close()
  await (await ExchangeJournal.open(options)).close()
})

// A look at a journal that somebody else keeps on changing.
import test from 'ava'
import { DurableMap } from '../../lib/durable/durable-map.ts'
import { JournalView } from '../../lib/durable/journal-view.ts'
import { diskError, MemoryDisk } from '../helpers/memory-disk.ts'

const folder = '/journal'
const lock = () => ({ release() {} })

test('a value that has moved to another segment since is found there', async (t) => {
  const disk = new MemoryDisk()
  const map = await DurableMap.open({ folder, files: disk, lock, segmentBytes: 200 })
  await map.put('stays', Buffer.from('x'))
  const view = await JournalView.read(folder, disk)
  for (let i = 0; i < 50; i++) await map.put('same', Buffer.alloc(50, i))
  t.false('/journal/00000001.journal' in disk.sizes())
  t.is((await view.get('stays'))?.toString(), 'x')
  t.is(await view.get('never'), undefined)
  await map.delete('stays')
  t.is((await view.get('stays'))?.toString(), 'x')
  for (let i = 0; i < 50; i++) await map.put('same', Buffer.alloc(50, i))
  t.is(await view.get('stays'), undefined)
  await map.close()
})

test('a file that has the number of a former one is not taken for it', async (t) => {
  const disk = new MemoryDisk()
  const first = await DurableMap.open({ folder, files: disk, lock })
  await first.put('a', Buffer.from('first'))
  const view = await JournalView.read(folder, disk)
  await first.delete('a')
  await first.close()
  // What is dead is dropped when a journal is opened, and then the numbers begin anew.
  await (await DurableMap.open({ folder, files: disk, lock })).close()
  t.deepEqual(disk.sizes(), {})
  const second = await DurableMap.open({ folder, files: disk, lock })
  await second.put('b', Buffer.from('other'))
  t.true('/journal/00000001.journal' in disk.sizes())
  t.is(await view.get('a'), undefined)
  await second.close()
})

test('a segment that goes while the journal is read is no failure', async (t) => {
  const disk = new MemoryDisk()
  const map = await DurableMap.open({ folder, files: disk, lock })
  await map.put('a', Buffer.from('1'))
  let reads = 0
  disk.fail = (call) => {
    if (call === 'read' && reads++ < 3) throw diskError('ENOENT')
  }
  const view = await JournalView.read(folder, disk)
  t.deepEqual(view.keys(), ['a'])
  disk.fail = (call) => {
    if (call === 'read') throw diskError('EACCES')
  }
  await t.throwsAsync(JournalView.read(folder, disk), { message: /EACCES/ })
  await map.close()
})

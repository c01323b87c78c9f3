// Numbered folders: as many processes as there are numbers, and what helps the next one.
import test from 'ava'
import { mkdirSync } from 'node:fs'
import { FolderLock } from '../../lib/durable/folder-lock.ts'
import { openFreeSlot, slotsOf } from '../../lib/durable/slots.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

test('the first free folder is taken, and where all are taken another stateDir helps', async (t) => {
  const parent = temporaryFolder(t)
  const open = async (folder: string): Promise<FolderLock> => {
    mkdirSync(folder, { recursive: true })
    return FolderLock.take(folder)
  }
  const locks: FolderLock[] = []
  for (let process = 1; process <= 64; process++) locks.push(await openFreeSlot(parent, open))
  t.is((await slotsOf(parent)).length, 64)
  await t.throwsAsync(openFreeSlot(parent, open), {
    code: 'ERR_JOURNAL_LOCKED',
    message: `The journal in ${parent}/64 is in use by this process. So are the 63 before it: give some processes another stateDir, or end some.`,
  })
  locks[6]!.release()
  await openFreeSlot(parent, open)
  t.true(FolderLock.isTaken(`${parent}/7`))
})

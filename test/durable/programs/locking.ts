// Takes the lock of a folder, makes sure that it is alone, and dies with the lock in its hand. Arguments: folder.
import { mkdirSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { FolderLock } from '../../../lib/durable/folder-lock.ts'

const folder = process.argv[2] ?? ''
process.stdout.write('ready\n')
process.stdin.once('data', () => {
  for (;;) {
    try {
      FolderLock.take(folder)
      break
    } catch {
      // Somebody else has it.
    }
  }
  const alone = join(folder, 'alone')
  // Fails where somebody is in here already.
  mkdirSync(alone)
  for (const end = Date.now() + 20; Date.now() < end;);
  rmdirSync(alone)
  process.kill(process.pid, 'SIGKILL')
})

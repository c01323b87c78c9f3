// The lock: nobody gets a folder that somebody has, and nobody who has died keeps one.
import test, { type ExecutionContext } from 'ava'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { randomUUID } from 'node:crypto'
import fs, { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { MqttasgiError } from '../../lib/core/errors.ts'
import { FolderLock } from '../../lib/durable/folder-lock.ts'
import { endWithUs } from '../helpers/guard.ts'
import { loader } from '../helpers/loader.ts'
import { diskError } from '../helpers/memory-disk.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

function refused(t: ExecutionContext, folder: string): string {
  const error = t.throws(() => FolderLock.take(folder), { instanceOf: MqttasgiError })
  t.is(error.code, 'ERR_JOURNAL_LOCKED')
  t.true(FolderLock.isTaken(folder))
  return error.message
}

function locked(t: ExecutionContext, owner: unknown): string {
  return temporaryFolder(t, { lock: typeof owner === 'string' ? owner : JSON.stringify(owner) })
}

test('a folder is taken once, and free again when it was released', (t) => {
  const folder = temporaryFolder(t)
  t.false(FolderLock.isTaken(folder))
  const lock = FolderLock.take(folder)
  t.regex(refused(t, folder), /in use by this process/)
  lock.release()
  t.false(FolderLock.isTaken(folder))
  FolderLock.take(folder).release()
  t.deepEqual(readdirSync(folder), [])
})

test('the lock of a process that is alive is respected, and that of one that was killed is taken over', async (t) => {
  const child = spawn('sleep', ['60'])
  t.teardown(() => child.kill('SIGKILL'))
  const folder = locked(t, { pid: child.pid, token: 'of somebody else' })
  t.regex(refused(t, folder), new RegExp(`in use by process ${child.pid}`))
  child.kill('SIGKILL')
  await once(child, 'exit')
  t.false(FolderLock.isTaken(folder))
  const lock = FolderLock.take(folder)
  refused(t, folder)
  lock.release()
  t.deepEqual(readdirSync(folder), [])
})

const knowsStarts = existsSync('/proc/self/stat') ? test : test.skip
knowsStarts('a pid that was given to another process since, or to this one, keeps nothing', (t) => {
  for (const pid of [process.ppid, process.pid]) {
    const folder = locked(t, { pid, started: 'some boot 12345', token: 'x' })
    t.notThrows(() => FolderLock.take(folder).release())
  }
})

test('a lock that can not be read is nobody’s', (t) => {
  for (const owner of ['', 'not JSON', '3', 'null', '{}', { pid: 'x' }, { pid: -1 }, { pid: 1.5 }]) {
    t.notThrows(() => FolderLock.take(locked(t, owner)).release())
  }
})

test('a lock that another process has made meanwhile is not released', (t) => {
  const folder = temporaryFolder(t)
  const lock = FolderLock.take(folder)
  writeFileSync(join(folder, 'lock'), JSON.stringify({ pid: process.ppid, token: 'x' }))
  lock.release()
  t.regex(refused(t, folder), new RegExp(`in use by process ${process.ppid}`))
})

test('what others have left who died while they took the lock goes with the next one who has it', (t) => {
  const folder = temporaryFolder(t, {
    [`lock.${randomUUID()}`]: 'a draft',
    [`lock.${'0'.repeat(32)}`]: 'a guard',
    'lock.txt': 'somebody’s own',
  })
  const lock = FolderLock.take(folder)
  t.deepEqual(readdirSync(folder).sort(), ['lock', 'lock.txt'])
  lock.release()
})

test.serial('a disk that is full keeps nothing of the attempt', (t) => {
  const folder = temporaryFolder(t)
  const { writeFileSync: write } = fs
  fs.writeFileSync = (file) => {
    write(file, '')
    throw diskError('ENOSPC')
  }
  syncBuiltinESMExports()
  try {
    t.throws(() => FolderLock.take(folder), { message: /ENOSPC/ })
  } finally {
    fs.writeFileSync = write
    syncBuiltinESMExports()
  }
  t.deepEqual(readdirSync(folder), [])
})

test.serial('a lock that can not be removed is left to end with the process', (t) => {
  const folder = temporaryFolder(t)
  const lock = FolderLock.take(folder)
  const { unlinkSync } = fs
  fs.unlinkSync = () => {
    throw diskError('EROFS')
  }
  syncBuiltinESMExports()
  try {
    t.notThrows(() => lock.release())
  } finally {
    fs.unlinkSync = unlinkSync
    syncBuiltinESMExports()
  }
  t.regex(refused(t, folder), /in use by this process/)
  lock.release()
  t.deepEqual(readdirSync(folder), [])
})

test('of processes that all want the lock of one that has died, each gets it, and never two at a time', async (t) => {
  const folder = locked(t, { pid: 4_194_304, started: 'long ago', token: 'x' })
  const program = join(import.meta.dirname, 'programs/locking.ts')
  const children = Array.from({ length: 5 }, () => {
    const child = spawn(process.execPath, ['--import', loader, program, folder], { stdio: 'pipe' })
    endWithUs(child)
    t.teardown(() => child.kill('SIGKILL'))
    return child
  })
  await Promise.all(children.map((child) => once(child.stdout, 'data')))
  const ends = children.map((child) => once(child, 'exit'))
  for (const child of children) child.stdin.write('go')
  // Whoever was not alone ended with an error instead.
  t.deepEqual(
    await Promise.all(ends),
    children.map(() => [null, 'SIGKILL']),
  )
  t.deepEqual(readdirSync(folder), ['lock'])
})

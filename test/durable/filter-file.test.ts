// The filters of a session in their file.
import promises from 'node:fs/promises'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import test from 'ava'
import { FilterFile } from '../../lib/durable/filter-file.ts'
import { diskError } from '../helpers/memory-disk.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const filters = [
  { filter: 'a/+', since: 'start' },
  { filter: '$share/g/b', since: 'later', life: 2 },
  { filter: 'c', since: 'ended', life: 1 },
] as const

test('what was remembered is recalled by the next process, and nothing before', async (t) => {
  const folder = join(temporaryFolder(t), 'state')
  const options = { folder, clientId: 'greenhouse', broker: 'mqtt://localhost:1883' }
  t.deepEqual(await new FilterFile(options).recall(), [])
  await new FilterFile(options).remember([])
  await new FilterFile(options).remember(filters)
  t.deepEqual(await new FilterFile(options).recall(), filters)
  t.is(statSync(folder).mode & 0o777, 0o700)
  t.is(readdirSync(folder).length, 1)
})

test.serial('filters are remembered on Windows too, where a folder can not be synced', async (t) => {
  const folder = temporaryFolder(t)
  const { open } = promises
  const platform = Object.getOwnPropertyDescriptor(process, 'platform') ?? {}
  promises.open = async (path, ...more) => {
    if (path === folder) throw diskError('EPERM')
    return await open(path, ...more)
  }
  Object.defineProperty(process, 'platform', { ...platform, value: 'win32' })
  syncBuiltinESMExports()
  const file = new FilterFile({ folder, clientId: 'greenhouse', broker: 'mqtt://localhost:1883' })
  try {
    await t.notThrowsAsync(file.remember(filters))
  } finally {
    promises.open = open
    Object.defineProperty(process, 'platform', platform)
    syncBuiltinESMExports()
  }
  t.deepEqual(await file.recall(), filters)
})

test('each client id at each broker has a file of its own, that says whose it is', async (t) => {
  const folder = temporaryFolder(t)
  for (const clientId of ['a', 'b']) {
    for (const broker of ['mqtt://one', 'mqtt://two']) {
      const file = new FilterFile({ folder, clientId, broker })
      await file.remember(filters)
      t.like(JSON.parse(readFileSync(file.path, 'utf8')), { version: 1, clientId, broker })
    }
  }
  t.is(readdirSync(folder).length, 4)
})

test('a file that can not be read rejects', async (t) => {
  const file = new FilterFile({ folder: temporaryFolder(t), clientId: 'a', broker: 'b' })
  for (const text of [
    '',
    '{}',
    '[]',
    '1',
    '{"version":1}',
    '{"version":1,"filters":[1]}',
    '{"version":1,"filters":[{"filter":"a","since":"x"}]}',
    '{"version":1,"filters":[{}]}',
    '{"version":1,"filters":[{"filter":"a","since":"start","life":0}]}',
  ]) {
    writeFileSync(file.path, text)
    await t.throwsAsync(file.recall(), undefined, text)
  }
  await t.throwsAsync(new FilterFile({ folder: `${file.path}/x`, clientId: 'a', broker: 'b' }).recall())
})

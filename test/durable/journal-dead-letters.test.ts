// Dead letters on disk: the contract, and two processes at one folder.
import test, { type ExecutionContext } from 'ava'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { MqttasgiError } from '../../lib/core/errors.ts'
import { DurableMap } from '../../lib/durable/durable-map.ts'
import { diskFiles, type JournalFiles } from '../../lib/durable/journal-files.ts'
import { JournalDeadLetters } from '../../lib/durable/journal-dead-letters.ts'
import {
  archiveContract,
  type ArchiveSetup,
  contractMaximum,
  lettersOf,
  storeContract,
} from '../contract/dead-letter-store.ts'
import { letter } from '../helpers/letters.ts'
import { failingFiles } from '../helpers/failing-files.ts'
import { diskError } from '../helpers/memory-disk.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

async function open(t: ExecutionContext): Promise<ArchiveSetup> {
  const folder = join(temporaryFolder(t), 'dead-letters')
  let isBroken = false
  const files = failingFiles('sync', () => (isBroken ? diskError('EIO') : undefined))
  const make = (): JournalDeadLetters => {
    const store = journal(folder, files)
    t.teardown(() => store.close())
    return store
  }
  const store = make()
  return {
    store,
    reopen: async () => {
      await store.close()
      return make()
    },
    breakDown: async () => void (isBroken = true),
    mend: async () => void (isBroken = false),
    plant: async (id, bytes) => {
      // As another process that has a journal beside this one.
      const map = await DurableMap.open({ folder: join(folder, '2') })
      await map.put(id, bytes)
      await map.close()
    },
  }
}

function journal(folder: string, files: JournalFiles = diskFiles): JournalDeadLetters {
  return new JournalDeadLetters({ folder, maxMessages: contractMaximum, maxBytes: 1_000_000, files })
}

storeContract(test, 'journal', open)
archiveContract(test, 'journal', open)

test('the folder is made when the first letter is kept, and not before', async (t) => {
  const stateDir = temporaryFolder(t)
  const store = journal(join(stateDir, 'dead-letters'))
  t.deepEqual(await lettersOf(store), [])
  t.is(await store.remove(['x']), 0)
  t.deepEqual(readdirSync(stateDir), [])
  await store.keep(letter())
  t.deepEqual(readdirSync(join(stateDir, 'dead-letters')), ['1'])
  await store.close()
})

test('letters that come at once are kept in the order they came, so that the ones in front have the room there is', async (t) => {
  // What overtakes does so once in a while only.
  for (let round = 0; round < 60; round++) {
    const folder = join(temporaryFolder(t), 'dead-letters')
    const store = new JournalDeadLetters({ folder, maxMessages: 20, maxBytes: 1_000_000 })
    const letters = Array.from({ length: 40 }, (_, at) => letter({ topic: `a/${at}` }))
    const kept = await Promise.allSettled(letters.map((one) => store.keep(one)))
    await store.close()
    t.deepEqual(
      kept.map(({ status }) => status === 'fulfilled'),
      letters.map((_, at) => at < 20),
    )
  }
})

test('more bytes than there may be are refused', async (t) => {
  const store = journal(join(temporaryFolder(t), 'dead-letters'))
  await store.keep(letter({ payload: Buffer.alloc(900_000) }))
  const error = await t.throwsAsync(store.keep(letter({ payload: Buffer.alloc(200_000) })), {
    instanceOf: MqttasgiError,
  })
  t.is(error.code, 'ERR_DEAD_LETTERS_FULL')
  t.regex(error.message, /at most 5 letters and 1000000 bytes/)
  await store.close()
})

test('another one reads and removes letters while they are kept, and makes room that way', async (t) => {
  const folder = join(temporaryFolder(t), 'dead-letters')
  const server = journal(folder)
  const command = journal(folder)
  const letters = Array.from({ length: contractMaximum }, () => letter())
  for (const one of letters) await server.keep(one)
  t.deepEqual(await lettersOf(command), letters)
  const [first, second, ...others] = letters.map(({ id }) => id)
  t.is(await command.remove([first ?? '', second ?? '']), 2)
  t.is(await command.remove([first ?? '']), 0)
  t.is((await lettersOf(command)).length, others.length)
  t.is((await lettersOf(server)).length, others.length)
  // The wish is granted with the next letter, which could not be kept otherwise.
  await server.keep(letter())
  t.deepEqual(readdirSync(join(folder, '1', 'removed')), [])
  t.is((await lettersOf(command)).length, others.length + 1)
  await server.close()
  t.is(await command.remove(others), others.length)
  t.is((await lettersOf(command)).length, 1)
  await command.close()
})

test('a wish that its owner did not come to grant is granted by the next one', async (t) => {
  const folder = join(temporaryFolder(t), 'dead-letters')
  const server = journal(folder)
  const one = letter()
  await server.keep(one)
  const command = journal(folder)
  await command.remove([one.id])
  await server.close()
  t.deepEqual(await lettersOf(command), [])
  const next = journal(folder)
  await next.keep(letter())
  t.is((await lettersOf(next)).length, 1)
  t.deepEqual(readdirSync(join(folder, '1', 'removed')), [])
  await next.close()
})

test('servers beside each other have a journal each, and all letters are found', async (t) => {
  const folder = join(temporaryFolder(t), 'dead-letters')
  const servers = [journal(folder), journal(folder), journal(folder)]
  const letters = [letter(), letter(), letter(), letter(), letter(), letter()]
  for (const [i, one] of letters.entries()) await servers[i % 3]?.keep(one)
  t.deepEqual(readdirSync(folder).sort(), ['1', '2', '3'])
  const command = journal(folder)
  t.deepEqual(await lettersOf(command), letters)
  await servers[1]?.close()
  t.is(await command.remove(letters.map(({ id }) => id)), 6)
  t.deepEqual(await lettersOf(command), [])
  for (const one of [...servers, command]) await one.close()
})

test('what does not belong there is left alone', async (t) => {
  const folder = join(temporaryFolder(t), 'dead-letters')
  mkdirSync(join(folder, 'notes'), { recursive: true })
  writeFileSync(join(folder, 'notes', '00000001.journal'), 'mine')
  const store = journal(folder)
  await store.keep(letter())
  t.is((await lettersOf(store)).length, 1)
  t.deepEqual(readdirSync(folder).sort(), ['1', 'notes'])
  await store.close()
})

test('letters can be kept again when the folder can be made again', async (t) => {
  const stateDir = temporaryFolder(t, { 'dead-letters': 'a file in the way' })
  const store = journal(join(stateDir, 'dead-letters'))
  const error = await t.throwsAsync(store.keep(letter()), { instanceOf: MqttasgiError })
  t.is(error.code, 'ERR_JOURNAL_OPEN')
  rmSync(join(stateDir, 'dead-letters'))
  await t.notThrowsAsync(store.keep(letter()))
  await store.close()
})

test('letters that can not be read are told of, and all others are there', async (t) => {
  const folder = join(temporaryFolder(t), 'dead-letters')
  const first = journal(folder)
  const letters = [letter(), letter(), letter()]
  for (const one of letters) await first.keep(one)
  await first.close()
  const file = join(folder, '1', '00000001.journal')
  const bytes = readFileSync(file)
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1
  writeFileSync(file, bytes)
  const said: string[] = []
  const store = new JournalDeadLetters({
    folder,
    maxMessages: 10,
    maxBytes: 1e6,
    warn: (message) => said.push(message),
  })
  await store.keep(letter())
  t.is(said.length, 1)
  t.regex(said[0] ?? '', /^\d+ bytes of the dead letters in .*\/1 can not be read/)
  const there = (await lettersOf(store)).map(({ id }) => id)
  t.deepEqual(there.slice(0, 2), [letters[0]?.id, letters[2]?.id] as string[])
  await store.close()
})

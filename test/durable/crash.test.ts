// Real processes and real disks: kill -9 in the middle of writing, a disk that is full, an fsync that fails.
import test, { type ExecutionContext } from 'ava'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { MqttasgiError } from '../../lib/core/errors.ts'
import { DurableMap } from '../../lib/durable/durable-map.ts'
import { JournalDeadLetters } from '../../lib/durable/journal-dead-letters.ts'
import { lettersOf } from '../contract/dead-letter-store.ts'
import { findExecutable } from '../helpers/executable.ts'
import { endWithUs } from '../helpers/guard.ts'
import { letter } from '../helpers/letters.ts'
import { loader } from '../helpers/loader.ts'
import { SeededRandom } from '../helpers/seeded-random.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const program = join(import.meta.dirname, 'programs/writing.ts')

/** Runs the program until it has said so many bytes, kills it, and gives its words; the last one may be cut. */
async function killedAfter(
  t: ExecutionContext,
  bytes: number,
  { folder, first }: { folder: string; first: number },
): Promise<readonly string[]> {
  const args = ['--import', loader, program, folder, `${first}`]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  endWithUs(child)
  t.teardown(() => child.kill('SIGKILL'))
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text
    if (said.length >= bytes) child.kill('SIGKILL')
  })
  await once(child, 'close')
  return said.split('\n').slice(0, -1)
}

test('a process that is killed in the middle of writing has lost nothing that it said to be stored', async (t) => {
  const folder = join(temporaryFolder(t), 'journal')
  const random = new SeededRandom(7)
  const state = new Map<number, 'stored' | 'gone'>()
  for (let round = 0; round < 4; round++) {
    const words = await killedAfter(t, 200 + random.below(6_000), { folder, first: round * 1_000_000 })
    for (const word of words) {
      const [, what, number] = /^(stored|gone) (\d+)$/.exec(word) ?? []
      if (what !== undefined) state.set(Number(number), what as 'stored' | 'gone')
    }
    const map = await DurableMap.open({ folder })
    for (const [number, what] of state) {
      const value = (await map.get(`${number}`))?.toString()
      // An odd number may be on its way out when the process dies.
      if (what === 'stored' && number % 2 === 0) t.is(value, `value of ${number} `.repeat(20))
      else if (what === 'gone') t.is(value, undefined)
      else t.true(value === undefined || value.startsWith(`value of ${number} `))
    }
    await map.close()
  }
  t.true(state.size > 100, `${state.size}`)
})

// --- a disk that is full ------------------------------------------------------------------------

function smallDisk(t: ExecutionContext): string | undefined {
  const folder = temporaryFolder(t)
  const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder])
  if (mount.status !== 0) return undefined
  t.teardown(() => spawnSync('umount', ['-l', folder]))
  return folder
}

const canMount = (() => {
  if (process.getuid?.() !== 0) return false
  const made = spawnSync('unshare', ['-m', 'mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', '/mnt'])
  return made.status === 0
})()
const onSmallDisk = canMount ? test.serial : test.skip

onSmallDisk(
  'a full disk takes no letter that is not kept, and letters again when it has room (F57; needs mount)',
  async (t) => {
    const folder = smallDisk(t)
    if (folder === undefined) return t.fail('The disk could not be mounted.')
    const store = new JournalDeadLetters({
      folder: join(folder, 'dead-letters'),
      maxMessages: 1e6,
      maxBytes: 1e9,
    })
    const kept: string[] = []
    let refusal: unknown
    while (refusal === undefined) {
      const one = letter({ payload: Buffer.alloc(1_500, kept.length) })
      try {
        await store.keep(one)
        kept.push(one.id)
      } catch (error) {
        refusal = error
      }
    }
    t.true(refusal instanceof MqttasgiError)
    t.is((refusal as MqttasgiError).code, 'ERR_JOURNAL_WRITE')
    t.regex((refusal as MqttasgiError).message, /ENOSPC/)
    t.true(kept.length > 10)
    t.deepEqual(
      (await lettersOf(store)).map(({ id }) => id),
      kept,
    )
    // As somebody makes room who mounts a larger disk.
    t.is(spawnSync('mount', ['-o', 'remount,size=256k', folder]).status, 0)
    const more = letter({ payload: Buffer.alloc(1_500) })
    await store.keep(more)
    await store.close()
    const again = new JournalDeadLetters({
      folder: join(folder, 'dead-letters'),
      maxMessages: 1e6,
      maxBytes: 1e9,
    })
    t.deepEqual(
      (await lettersOf(again)).map(({ id }) => id),
      [...kept, more.id],
    )
  },
)

// --- an fsync that fails ------------------------------------------------------------------------

const canTrace = (() => {
  const strace = findExecutable('strace')
  return strace !== undefined && spawnSync(strace, ['-f', '-o', '/dev/null', 'true']).status === 0
})()
const underStrace = canTrace ? test : test.skip

underStrace(
  'an fsync that fails is heard of, and nothing it was for is said to be stored (F57; needs strace)',
  async (t) => {
    const folder = temporaryFolder(t)
    const file = join(folder, 'put.mts')
    const engine = join(import.meta.dirname, '../../lib/durable/durable-map.ts')
    writeFileSync(
      file,
      `import { DurableMap } from ${JSON.stringify(engine)}
     const map = await DurableMap.open({ folder: ${JSON.stringify(join(folder, 'journal'))} })
     for (const key of ['a', 'b', 'c']) {
       await map.put(key, Buffer.from(key)).then(() => console.log('stored ' + key), (error) => console.log(error.code + ' ' + error.message))
     }
     await map.close()`,
    )
    const strace = [
      '-f',
      '-qq',
      '-o',
      '/dev/null',
      '-e',
      'trace=fsync',
      '-e',
      'inject=fsync:error=EIO:when=4',
    ]
    const run = spawnSync('strace', [...strace, process.execPath, '--import', loader, file], {
      encoding: 'utf8',
      // strace counts for each thread.
      env: { ...process.env, UV_THREADPOOL_SIZE: '1' },
    })
    const lines = run.stdout.trim().split('\n')
    t.is(lines.length, 3, run.stdout + run.stderr)
    const failed = lines.filter((line) => line.startsWith('ERR_JOURNAL_WRITE') && line.includes('EIO'))
    t.is(failed.length, 1, run.stdout)
    const map = await DurableMap.open({ folder: join(folder, 'journal') })
    const stored = lines.flatMap((line) => /^stored (.)$/.exec(line)?.[1] ?? [])
    t.deepEqual(map.keys(), stored)
    t.deepEqual(stored, ['a', 'c'])
    await map.close()
  },
)

// What only the kernel can do to us: a full disk, a disk that fails, a lossy network, a clock that jumps by a year.
import { execFile, execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { JournalDeadLetters } from '../../lib/durable/journal-dead-letters.ts'
import { findExecutable } from '../helpers/executable.ts'
import { loader } from '../helpers/loader.ts'
import { mosquittoPath } from '../helpers/mosquitto.ts'
import { flow } from './flow.ts'
import { flowFaults } from './mixed.ts'
import { faults, pause, type Soak, type SoakResult } from './soak.ts'

function program(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url))
}

interface Said {
  readonly exitCode: number
  readonly lines: readonly string[]
}

/** Runs it to its end, whatever that is. */
function said(file: string, args: readonly string[]): Promise<Said> {
  return new Promise((resolve) => {
    execFile(file, [...args], { maxBuffer: 1e8 }, (error, stdout) => {
      const exitCode = error === null ? 0 : typeof error.code === 'number' ? error.code : 1
      resolve({ exitCode, lines: stdout.split('\n').filter((line) => line !== '') })
    })
  })
}

/** True when this command succeeds here. */
function works(file: string, ...args: string[]): boolean {
  try {
    execFileSync(file, args, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** Every letter that was said to be kept is in the journal, and something was refused. */
async function lettersOf(folder: string, { lines }: Said): Promise<SoakResult> {
  const kept = lines.flatMap((line) => (line.startsWith('kept ') ? line.slice(5) : []))
  const refusals = lines.filter((line) => line.startsWith('refused '))
  const there = new Set<string>()
  const journal = new JournalDeadLetters({ folder, maxMessages: 1, maxBytes: 1 })
  for await (const { id } of journal.letters()) there.add(id)
  await journal.close()
  const missing = kept.filter((id) => !there.has(id)).length
  return {
    figures: { kept: kept.length, refused: refusals.length, 'refused with': refusals[0] ?? '-', missing },
    faults: faults({
      'something was kept': kept.length > 0,
      'something was refused': refusals.length > 0,
      'nothing that was kept is missing': missing === 0,
    }),
  }
}

async function inFolder<T>(run: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'mqttasgi-kernel-'))
  try {
    return await run(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

export const fullDisk: Soak = {
  name: 'full disk',
  about: 'dead letters on a tmpfs of 64 KiB: what was said to be kept is kept, the rest is refused',
  lacks: () => (process.getuid?.() === 0 ? undefined : 'root, to mount a tmpfs'),
  run: () =>
    inFolder(async (parent) => {
      const folder = join(parent, 'disk')
      await mkdir(folder)
      if (!works('mount', '-t', 'tmpfs', '-o', 'size=64k', 'none', folder)) {
        return { figures: {}, faults: ['the kernel mounts no tmpfs'] }
      }
      try {
        const letters = join(folder, 'letters')
        const all = await said(process.execPath, ['--import', loader, program('letters.ts'), letters, '200'])
        return await lettersOf(letters, all)
      } finally {
        works('umount', folder)
      }
    }),
}

export const failingDisk: Soak = {
  name: 'failing disk',
  about: 'every fsync and fdatasync fails from the twentieth on: nothing counts as kept that is not',
  lacks: () => {
    if (findExecutable('strace') === undefined) return 'strace'
    return works('strace', '-o', '/dev/null', 'true') ? undefined : 'a kernel that lets strace trace'
  },
  run: () =>
    inFolder(async (parent) => {
      const letters = join(parent, 'letters')
      const inject = ['-f', '-qq', '-o', '/dev/null', '-e', 'trace=fsync,fdatasync']
      const fail = ['-e', 'inject=fsync,fdatasync:error=EIO:when=20+']
      const run = [process.execPath, '--import', loader, program('letters.ts'), letters, '200']
      return await lettersOf(letters, await said('strace', [...inject, ...fail, ...run]))
    }),
}

export const lossyNetwork: Soak = {
  name: 'lossy network',
  about: 'the mixed soak in a network namespace that drops five packets in a hundred',
  lacks: () => {
    if (findExecutable('iptables') === undefined) return 'iptables'
    return works('unshare', '-n', 'true') ? undefined : 'network namespaces'
  },
  run: async ({ minutes }) => {
    const drop = 'iptables -A INPUT -i lo -p tcp -m statistic --mode random --probability 0.05 -j DROP'
    const main = ['--import', loader, program('main.ts'), '--only', 'mixed']
    const script = `ip link set lo up && ${drop} && exec "$@"`
    const command = [
      '-n',
      'sh',
      '-c',
      script,
      'sh',
      process.execPath,
      ...main,
      '--minutes',
      String(Math.min(2, minutes)),
    ]
    const { exitCode, lines } = await said('unshare', command)
    return {
      figures: Object.fromEntries(
        lines.flatMap((line) => {
          const [, name, value] = /^ {2}(.*?) {2,}(.*)$/.exec(line) ?? []
          return name === undefined || value === undefined ? [] : [[name, value]]
        }),
      ),
      faults: faults({ 'the mixed soak passed': exitCode === 0 }),
    }
  },
}

const libraries = ['x86_64-linux-gnu', 'aarch64-linux-gnu'].map(
  (machine) => `/usr/lib/${machine}/faketime/libfaketimeMT.so.1`,
)

export const jumpingClock: Soak = {
  name: 'jumping clock',
  about: 'the time of day jumps by a year, forth and back: the connection stays, and nothing is lost',
  lacks: () => {
    if (mosquittoPath() === undefined) return 'mosquitto'
    return libraries.some((library) => existsSync(library)) ? undefined : 'faketime'
  },
  run: async () => {
    let connections = 0
    const result = await flow({
      seconds: 30,
      perSecond: 100,
      act: async (scene, isOver) => {
        const clock = join(scene.folder, 'clock')
        await writeFile(clock, '+0')
        await scene.consumer(
          'clock',
          { keepalive: 2 },
          {
            LD_PRELOAD: libraries.find((library) => existsSync(library)) ?? '',
            FAKETIME_TIMESTAMP_FILE: clock,
            FAKETIME_NO_CACHE: '1',
            FAKETIME_DONT_FAKE_MONOTONIC: '1',
            DONT_FAKE_MONOTONIC: '1',
          },
        )
        for (let jump = 0; !isOver(); jump++) {
          await pause(5_000)
          await writeFile(clock, jump % 2 === 0 ? '+365d' : '-365d')
        }
        connections = scene.proxy.connections
      },
    })
    return {
      figures: { ...result.account, connections },
      faults: [...flowFaults(result), ...faults({ 'the connection stayed': connections === 1 })],
    }
  },
}

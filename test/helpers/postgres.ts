// Starts the machine's own PostgreSQL on a free loopback port, with a data folder of its own.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, readdirSync, readFileSync, realpathSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { findExecutable, isExecutable } from './executable.ts'
import { freePort } from './free-port.ts'
import { endWithUs } from './guard.ts'

/** A running server, whose only user is let in without a password. */
export interface Postgres {
  readonly url: string
  /** At once, with no word to anybody and nothing tidied up; what was committed is on its disk. */
  kill(): Promise<void>
  /** Up again with the same port and data. */
  restart(): Promise<void>
  stop(): Promise<void>
}

/** Where the server is, or undefined. Debian has it beside its other versions, not on the PATH. */
export function postgresPath(): string | undefined {
  return findExecutable('postgres') ?? debianPath('/usr/lib/postgresql')
}

function debianPath(folder: string): string | undefined {
  try {
    return readdirSync(folder)
      .map((version) => join(folder, version, 'bin/postgres'))
      .find((file) => isExecutable(file))
  } catch {
    return undefined
  }
}

/** Resolves when it takes connections. */
export async function startPostgres(): Promise<Postgres> {
  const folder = await mkdtemp(join(tmpdir(), 'mqttasgi-postgres-'))
  const user = someUser()
  if (user !== undefined) chownSync(folder, user.uid, user.gid)
  // Beside the server, which may be a link on the PATH.
  const programs = dirname(realpathSync(postgresPath() ?? 'postgres'))
  const settings = ['--username=postgres', '--auth=trust', '--no-sync', '--encoding=UTF8', '--locale=C']
  const init = spawn(join(programs, 'initdb'), ['-D', folder, ...settings], { ...user, stdio: 'ignore' })
  endWithUs(init)
  const [code] = (await once(init, 'close')) as unknown[]
  if (code !== 0) throw new Error(`initdb has ended with ${String(code)}.`)
  for (let attempt = 1; ; attempt++) {
    const server = new PostgresProcess(join(programs, 'postgres'), folder, await freePort(), user)
    try {
      await server.restart()
      return server
    } catch (error) {
      if (attempt === 5) throw error
    }
  }
}

interface User {
  readonly uid: number
  readonly gid: number
}

/** Somebody else where we are root, whom PostgreSQL does not obey. */
function someUser(): User | undefined {
  if (process.getuid?.() !== 0) return undefined
  const lines = readFileSync('/etc/passwd', 'utf8').split('\n')
  const line =
    lines.find((one) => one.startsWith('postgres:')) ?? lines.find((one) => one.startsWith('nobody:'))
  const [, , uid, gid] = line?.split(':') ?? []
  return { uid: Number(uid), gid: Number(gid) }
}

class PostgresProcess implements Postgres {
  readonly url: string
  readonly #file: string
  readonly #folder: string
  readonly #port: number
  readonly #user: User | undefined
  #child: ChildProcess | undefined

  constructor(file: string, folder: string, port: number, user: User | undefined) {
    this.#file = file
    this.#folder = folder
    this.#port = port
    this.#user = user
    this.url = `postgres://postgres@127.0.0.1:${port}/postgres`
  }

  async restart(): Promise<void> {
    const place = ['-D', this.#folder, '-h', '127.0.0.1', '-p', String(this.#port), '-k', '']
    const child = spawn(this.#file, [...place, '-c', 'fsync=off'], {
      ...this.#user,
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    this.#child = child
    endWithUs(child)
    let log = ''
    await new Promise<void>((resolve, reject) => {
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        log += text
        if (log.includes('ready to accept connections')) resolve()
      })
      child.once('error', reject)
      child.once('close', () => reject(new Error(`postgres did not start. Its log:\n${log}`)))
    })
  }

  async kill(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined) return
    const gone = once(child, 'close')
    // Its "immediate" end, as in a crash. After SIGKILL its children could still be there for the next start.
    child.kill('SIGQUIT')
    await gone
  }

  async stop(): Promise<void> {
    await this.kill()
    await rm(this.#folder, { recursive: true, force: true })
  }
}

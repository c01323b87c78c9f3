// Starts the machine's own redis-server on a free loopback port, so that tests talk to a real one.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findExecutable } from './executable.ts'
import { freePort } from './free-port.ts'
import { endWithUs } from './guard.ts'

/** A running server with its own folder; what it is told is on disk before it answers. */
export interface RedisServer {
  readonly url: string
  readonly password: string
  /** SIGSTOP: connections stay open and silent. */
  pause(): void
  resume(): void
  /** SIGKILL, and up again with the same port and data. */
  restart(): Promise<void>
  kill(): Promise<void>
  stop(): Promise<void>
}

/** Where the binary is, or undefined. */
export function redisPath(): string | undefined {
  return findExecutable('redis-server')
}

/** Resolves when it takes connections; `more` are further arguments, such as `--maxmemory`. */
export async function startRedis(more: readonly string[] = []): Promise<RedisServer> {
  const folder = await mkdtemp(join(tmpdir(), 'mqttasgi-redis-'))
  for (let attempt = 1; ; attempt++) {
    const server = new RedisProcess(folder, await freePort(), more)
    try {
      await server.launch()
      return server
    } catch (error) {
      if (attempt === 5) throw error
    }
  }
}

class RedisProcess implements RedisServer {
  readonly password = 'canary-of-redis'
  readonly url: string
  readonly #folder: string
  readonly #arguments: readonly string[]
  #child: ChildProcess | undefined

  constructor(folder: string, port: number, more: readonly string[]) {
    this.url = `redis://:${this.password}@127.0.0.1:${port}`
    this.#folder = folder
    const durable = ['--save', '', '--appendonly', 'yes', '--appendfsync', 'always']
    const place = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder]
    this.#arguments = [...place, '--requirepass', this.password, ...durable, ...more]
  }

  async launch(): Promise<void> {
    const child = spawn(redisPath() ?? 'redis-server', this.#arguments, {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    this.#child = child
    endWithUs(child)
    let log = ''
    await new Promise<void>((resolve, reject) => {
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        log += text
        if (log.includes('Ready to accept connections')) resolve()
      })
      child.once('error', reject)
      child.once('close', () => reject(new Error(`redis-server did not start. Its log:\n${log}`)))
    })
  }

  pause(): void {
    this.#child?.kill('SIGSTOP')
  }

  resume(): void {
    this.#child?.kill('SIGCONT')
  }

  async restart(): Promise<void> {
    await this.kill()
    await this.launch()
  }

  async kill(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined) return
    const gone = once(child, 'close')
    child.kill('SIGKILL')
    await gone
  }

  async stop(): Promise<void> {
    await this.kill()
    await rm(this.#folder, { recursive: true, force: true })
  }
}

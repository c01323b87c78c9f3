// Starts the machine's own mosquitto on a free loopback port, so that tests talk to a real broker.
import { spawn, type ChildProcess } from 'node:child_process'
import { pbkdf2Sync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { accessSync, constants } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { networkInterfaces, tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { freePort } from './free-port.ts'

/** How the broker is to be. Everything may be left out. */
export interface MosquittoOptions {
  /** One copy per matching subscription (true, mosquitto's default) or one per client. */
  readonly allowDuplicateMessages?: boolean
  /** Messages kept for a session beyond the window; 0, the default here, is no limit. */
  readonly maxQueuedMessages?: number
  /** Sessions and retained messages survive stop() and, saved at each change, nearly all of kill(). */
  readonly persistence?: boolean
  /** Unacknowledged messages per client when the client names no Receive Maximum. */
  readonly maxInflight?: number
  /** PEM files. `ca` is what client certificates are checked against. */
  readonly tls?: {
    readonly ca: string
    readonly cert: string
    readonly key: string
    readonly requireClientCertificate?: boolean
  }
  readonly websockets?: boolean
  /** Listens on a unix socket as well; `socketPath` says where. */
  readonly unixSocket?: boolean
  /** User and password; anonymous clients are refused then. */
  readonly passwords?: Readonly<Record<string, string>>
  /** More lines for the general part of its configuration file. */
  readonly extra?: readonly string[]
}

/** A running broker. */
export interface Mosquitto {
  readonly port: number
  /** With the scheme of the listener: mqtt, mqtts, ws or wss. Over TLS the host is `localhost`. */
  readonly url: string
  readonly socketPath: string | undefined
  readonly pid: number | undefined
  /** Ends it in peace and removes its files. */
  stop(): Promise<void>
  /** SIGKILL: nothing is saved, nobody is told. `restart` brings it back. */
  kill(): Promise<void>
  /** SIGSTOP: connections stay open and silent, as on a half-open link. */
  pause(): void
  resume(): void
  /** Up again with the same port and data; ends a running one in peace first. */
  restart(): Promise<void>
  /** All it has logged so far. */
  log(): string
}

/** Where the binary is, or undefined. Debian puts it in /usr/sbin, which is not on every PATH. */
export function mosquittoPath(): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  for (const folder of [...folders, '/usr/sbin', '/usr/local/sbin']) {
    if (folder === '') continue
    const file = join(folder, 'mosquitto')
    try {
      accessSync(file, constants.X_OK)
      return file
    } catch {
      // Not in this folder.
    }
  }
  return undefined
}

/** Resolves when it listens. Rejects with its log when it does not. */
export async function startMosquitto(options: MosquittoOptions = {}): Promise<Mosquitto> {
  const folder = await mkdtemp(join(tmpdir(), 'mqttasgi-mosquitto-'))
  const broker = new MosquittoProcess(folder, options)
  try {
    await broker.begin()
    return broker
  } catch (error) {
    await broker.stop()
    throw error
  }
}

class PortTaken extends Error {}

class MosquittoProcess implements Mosquitto {
  readonly #folder: string
  readonly #options: MosquittoOptions
  #child: ChildProcess | undefined
  #guard: ChildProcess | undefined
  #log = ''
  #port = 0

  constructor(folder: string, options: MosquittoOptions) {
    this.#folder = folder
    this.#options = options
  }

  get port(): number {
    return this.#port
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  get socketPath(): string | undefined {
    // mosquitto 2.0 does not start with a websocket listener alone (its issue 2284).
    const { unixSocket, websockets } = this.#options
    return unixSocket === true || websockets === true ? join(this.#folder, 'socket') : undefined
  }

  get url(): string {
    const { tls, websockets } = this.#options
    const scheme = websockets === true ? 'ws' : 'mqtt'
    return tls === undefined ? `${scheme}://127.0.0.1:${this.#port}` : `${scheme}s://localhost:${this.#port}`
  }

  log(): string {
    return this.#log
  }

  async begin(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      this.#port = await freePort()
      try {
        await this.#launch()
        return
      } catch (error) {
        if (!(error instanceof PortTaken) || attempt === 5) throw error
      }
    }
  }

  async restart(): Promise<void> {
    await this.#end('SIGTERM')
    await this.#launch()
  }

  async stop(): Promise<void> {
    await this.#end('SIGTERM')
    await rm(this.#folder, { recursive: true, force: true })
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  pause(): void {
    this.#child?.kill('SIGSTOP')
  }

  resume(): void {
    this.#child?.kill('SIGCONT')
  }

  async #launch(): Promise<void> {
    const binary = mosquittoPath()
    if (binary === undefined)
      throw new Error('mosquitto is not on PATH; on Debian: apt-get install mosquitto')
    const file = join(this.#folder, 'mosquitto.conf')
    await writeFile(file, configuration(this.#folder, this.#port, this.socketPath, this.#options))
    await writeFile(join(this.#folder, 'passwords'), passwordFile(this.#options.passwords ?? {}), {
      mode: 0o600,
    })
    const child = spawn(binary, ['-c', file], { stdio: ['ignore', 'ignore', 'pipe'] })
    this.#child = child
    this.#guard?.kill('SIGKILL')
    if (child.pid !== undefined) this.#guard = guard(child.pid, this.#folder)
    const begin = this.#log.length
    await new Promise<void>((resolve, reject) => {
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        this.#log += text
        if (this.#log.indexOf(' running\n', begin) >= 0) resolve()
      })
      child.once('error', reject)
      child.once('close', () => reject(this.#refusal(this.#log.slice(begin))))
    })
    await answers(this.#port)
  }

  #refusal(log: string): Error {
    if (log.includes('Address already in use')) return new PortTaken(`Port ${this.#port} is taken.`)
    return new Error(`mosquitto did not start. Its log:\n${log}`)
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = this.#child
    this.#guard?.kill('SIGKILL')
    this.#child = undefined
    if (child === undefined || child.pid === undefined) return
    if (child.exitCode !== null || child.signalCode !== null) return
    // 'close' and not 'exit': by then the whole log has been read.
    const gone = once(child, 'close')
    child.kill(signal)
    // A paused process takes only SIGKILL.
    child.kill('SIGCONT')
    const patience = setTimeout(() => child.kill('SIGKILL'), 3_000)
    await gone
    clearTimeout(patience)
  }
}

/**
 * Waits for the end of its input, which is the end of this process, however it ends: a test runner that
 * gives up on a test kills it, and then no code of ours runs any more.
 */
function guard(pid: number, folder: string): ChildProcess {
  const script = 'read -r nothing; kill -9 "$1"; rm -rf "$2"'
  const shell = spawn('/bin/sh', ['-c', script, 'guard', String(pid), folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  shell.unref()
  if (shell.stdin !== null && 'unref' in shell.stdin && typeof shell.stdin.unref === 'function') {
    shell.stdin.unref()
  }
  return shell
}

function configuration(
  folder: string,
  port: number,
  socketPath: string | undefined,
  options: MosquittoOptions,
): string {
  const { tls, passwords } = options
  const lines = [
    'log_dest stderr',
    ...['error', 'warning', 'notice', 'information'].map((type) => `log_type ${type}`),
    'set_tcp_nodelay true',
    `max_queued_messages ${options.maxQueuedMessages ?? 0}`,
    `allow_anonymous ${passwords === undefined}`,
  ]
  if (process.getuid?.() === 0) lines.push('user root')
  if (passwords !== undefined) lines.push(`password_file ${join(folder, 'passwords')}`)
  if (options.maxInflight !== undefined) lines.push(`max_inflight_messages ${options.maxInflight}`)
  if (options.allowDuplicateMessages !== undefined) {
    lines.push(`allow_duplicate_messages ${options.allowDuplicateMessages}`)
  }
  if (options.persistence === true) {
    lines.push('persistence true', `persistence_location ${folder}/`)
    lines.push('autosave_on_changes true', 'autosave_interval 1')
  }
  lines.push(...(options.extra ?? []))
  if (socketPath !== undefined) lines.push(`listener 0 ${socketPath}`)
  // Given an address, its websocket listener binds all of them (issue 2085); an interface it obeys.
  if (options.websockets === true) lines.push(`listener ${port} ${loopback()}`, 'protocol websockets')
  else lines.push(`listener ${port} 127.0.0.1`)
  if (tls !== undefined) {
    lines.push(`cafile ${tls.ca}`, `certfile ${tls.cert}`, `keyfile ${tls.key}`)
    lines.push(`require_certificate ${tls.requireClientCertificate === true}`)
  }
  return `${lines.join('\n')}\n`
}

function loopback(): string {
  for (const [name, addresses] of Object.entries(networkInterfaces())) {
    if (addresses?.some(({ address }) => address === '127.0.0.1') === true) return name
  }
  throw new Error('No network interface has the address 127.0.0.1.')
}

/** mosquitto's own form, `$7$`: PBKDF2 with SHA-512; so that mosquitto_passwd need not be there. */
function passwordFile(passwords: Readonly<Record<string, string>>): string {
  const iterations = 101
  return Object.entries(passwords)
    .map(([user, password]) => {
      const salt = randomBytes(12)
      const hash = pbkdf2Sync(password, salt, iterations, 64, 'sha512')
      return `${user}:$7$${iterations}$${salt.toString('base64')}$${hash.toString('base64')}\n`
    })
    .join('')
}

/** It says `running` after it has bound its ports, so one connection is enough to be sure. */
function answers(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.destroy()
      resolve()
    })
  })
}

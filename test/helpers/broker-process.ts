// Runs a broker as a process of the test's own, from its recipe: free ports, a folder, and an end in any case.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generate, parser } from 'mqtt-packet'
import type { Broker, Login } from './broker.ts'
import { freePort } from './free-port.ts'

/** Where one broker lives: its folder, and as many loopback ports as its recipe asks for. */
export interface Place {
  readonly folder: string
  readonly port: number
  readonly otherPorts: readonly number[]
}

export interface Command {
  readonly file: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

/** How a kind of broker is started. */
export interface Recipe {
  readonly name: string
  /** Ports besides the one for MQTT. */
  readonly otherPorts?: number
  readonly login?: Login
  readonly url: (place: Place) => string
  /** Writes its files. Called at each start: the data of the last one is still there. */
  readonly prepare: (place: Place) => Promise<Command>
  /** Runs before it and beside it, for as long as it does. */
  readonly companion?: (place: Place) => Command
  /** In its log when it listens. */
  readonly saysUp: string
  /** It accepts before it can answer: ask with a CONNECT until it says yes. Else one TCP connection will do. */
  readonly answersLate?: boolean
  /** How long an end in peace may take. */
  readonly patienceMs?: number
}

/** Resolves when it listens. Rejects with its log when it does not. */
export async function startBroker(recipe: Recipe): Promise<BrokerProcess> {
  const broker = new BrokerProcess(recipe, await mkdtemp(join(tmpdir(), `mqttasgi-${recipe.name}-`)))
  try {
    await broker.begin()
    return broker
  } catch (error) {
    await broker.stop()
    throw error
  }
}

class PortTaken extends Error {}

export class BrokerProcess implements Broker {
  readonly #recipe: Recipe
  #place: Place
  #child: ChildProcess | undefined
  #companion: ChildProcess | undefined
  #guard: ChildProcess | undefined
  #log = ''

  constructor(recipe: Recipe, folder: string) {
    this.#recipe = recipe
    this.#place = { folder, port: 0, otherPorts: [] }
  }

  get port(): number {
    return this.#place.port
  }

  get url(): string {
    return this.#recipe.url(this.#place)
  }

  get folder(): string {
    return this.#place.folder
  }

  get login(): Login | undefined {
    return this.#recipe.login
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  log(): string {
    return this.#log
  }

  async begin(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const [port = 0, ...otherPorts] = await freePorts(1 + (this.#recipe.otherPorts ?? 0))
      this.#place = { folder: this.#place.folder, port, otherPorts }
      try {
        await this.#launch()
        return
      } catch (error) {
        if (!(error instanceof PortTaken) || attempt === 5) throw error
        await this.kill()
      }
    }
  }

  async restart(): Promise<void> {
    await this.#end('SIGTERM')
    await this.#launch()
  }

  async stop(): Promise<void> {
    await this.#end('SIGTERM')
    await rm(this.#place.folder, { recursive: true, force: true, maxRetries: 3 })
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
    const command = await this.#recipe.prepare(this.#place)
    const beside = this.#recipe.companion?.(this.#place)
    if (beside !== undefined) this.#companion = run(beside)
    const child = run(command)
    this.#child = child
    this.#guard?.kill('SIGKILL')
    this.#guard = guard([child, this.#companion], this.#place.folder)
    const begin = this.#log.length
    await new Promise<void>((resolve, reject) => {
      for (const stream of [child.stdout, child.stderr]) {
        stream?.setEncoding('utf8').on('data', (text: string) => {
          this.#log += text
          if (this.#log.includes(this.#recipe.saysUp, begin)) resolve()
        })
      }
      child.once('error', reject)
      child.once('close', () => reject(this.#refusal(this.#log.slice(begin))))
    })
    await this.#answers()
  }

  async #answers(): Promise<void> {
    if (this.#recipe.answersLate !== true) return await accepts(this.port)
    for (let attempt = 1; !(await saysYes(this.port, this.login)); attempt++) {
      if (attempt === 200) throw new Error(`${this.#recipe.name} does not answer CONNECT.\n${this.#log}`)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  #refusal(log: string): Error {
    if (/already in use|eaddrinuse/i.test(log)) return new PortTaken(`Port ${this.port} is taken.`)
    return new Error(`${this.#recipe.name} did not start. Its log:\n${log}`)
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const [child, companion] = [this.#child, this.#companion]
    this.#guard?.kill('SIGKILL')
    this.#child = this.#companion = undefined
    await end(child, signal, this.#recipe.patienceMs ?? 3_000)
    await end(companion, 'SIGKILL', 0)
  }
}

async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>()
  while (ports.size < count) ports.add(await freePort())
  return [...ports]
}

function run({ file, args, env = {} }: Command): ChildProcess {
  return spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
}

async function end(
  child: ChildProcess | undefined,
  signal: 'SIGTERM' | 'SIGKILL',
  patienceMs: number,
): Promise<void> {
  if (child === undefined || child.pid === undefined) return
  if (child.exitCode !== null || child.signalCode !== null) return
  // 'close' and not 'exit': by then the whole log has been read.
  const gone = once(child, 'close')
  child.kill(signal)
  // A paused process takes only SIGKILL.
  child.kill('SIGCONT')
  const patience = setTimeout(() => child.kill('SIGKILL'), patienceMs)
  await gone
  clearTimeout(patience)
}

/**
 * Waits for the end of its input, which is the end of this process, however it ends: a test runner that
 * gives up on a test kills it, and then no code of ours runs any more.
 */
function guard(children: readonly (ChildProcess | undefined)[], folder: string): ChildProcess {
  const pids = children.flatMap((child) => (child?.pid === undefined ? [] : [String(child.pid)]))
  const script = 'folder=$1; shift; read -r nothing; kill -9 "$@"; rm -rf "$folder"'
  const shell = spawn('/bin/sh', ['-c', script, 'guard', folder, ...pids], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  shell.unref()
  if (shell.stdin !== null && 'unref' in shell.stdin && typeof shell.stdin.unref === 'function') {
    shell.stdin.unref()
  }
  return shell
}

/** For a broker that says it is up after it has bound its ports one connection is enough to be sure. */
function accepts(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.destroy()
      resolve()
    })
  })
}

/** True when it answers a CONNECT of MQTT 3.1.1 with yes. */
function saysYes(port: number, login: Login | undefined): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    const answer = parser({ protocolVersion: 4 })
    const over = (yes: boolean): void => {
      resolve(yes)
      socket.destroy()
    }
    answer.on('packet', (packet) => over(packet.cmd === 'connack' && packet.returnCode === 0))
    answer.on('error', () => over(false))
    socket.on('data', (bytes) => answer.parse(bytes))
    socket.once('error', () => over(false))
    socket.once('close', () => over(false))
    socket.setTimeout(2_000, () => over(false))
    const credentials =
      login === undefined ? {} : { username: login.username, password: Buffer.from(login.password) }
    socket.write(
      generate({
        cmd: 'connect',
        clientId: 'is-it-up',
        clean: true,
        keepalive: 0,
        protocolVersion: 4,
        ...credentials,
      }),
    )
  })
}

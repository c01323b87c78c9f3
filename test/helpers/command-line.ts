// Drives the command line: within this process, with streams and signals of its own, or as a process as users have it.
import { spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { main } from '../../lib/cli/main.ts'
import { endWithUs } from './guard.ts'
import { loader } from './loader.ts'

const root = join(import.meta.dirname, '../..')
const bin = join(root, 'bin/mqttasgi.ts')

/** Where and how to run a command. */
export interface CommandOptions {
  readonly cwd: string
  readonly env?: Readonly<Record<string, string>>
}

/** A command that runs, or has run. */
export interface RunningCommand {
  /** Everything printed so far, both streams. */
  output(): string
  stdout(): string
  /** Resolves with the match as soon as the output has it; rejects when the command ends without. */
  seen(pattern: RegExp): Promise<RegExpExecArray>
  signal(signal: 'SIGINT' | 'SIGTERM'): void
  /** The exit code. */
  readonly ended: Promise<number>
}

/** A command within this process. */
export interface CommandHere extends RunningCommand {
  /** The codes with which it would have ended the process at once. */
  readonly exits: readonly number[]
  /** What a process does with an error that nobody caught. */
  crash(error: unknown): void
}

/** Collects what is printed, and lets tests wait for it. */
class Output {
  text = ''
  stdout = ''
  readonly #events = new EventEmitter().setMaxListeners(0)

  add(text: string, isStdout: boolean): void {
    this.text += text
    if (isStdout) this.stdout += text
    this.#events.emit('text')
  }

  async seen(pattern: RegExp, ended: Promise<unknown>): Promise<RegExpExecArray> {
    let hasEnded = false
    const end = ended.then(() => (hasEnded = true))
    for (;;) {
      const found = pattern.exec(this.text)
      if (found !== null) return found
      if (hasEnded) throw new Error(`The command has ended without ${pattern}:\n${this.text}`)
      await Promise.race([once(this.#events, 'text'), end])
    }
  }
}

/** Runs the command line in this process. */
export function runHere(argv: readonly string[], { cwd, env = {} }: CommandOptions): CommandHere {
  const output = new Output()
  const process = Object.assign(new EventEmitter(), { title: '' })
  const exits: number[] = []
  const ended = main(argv, {
    cwd,
    env,
    bin,
    process,
    exit: (code) => exits.push(code),
    stdout: { write: (text: string) => output.add(text, true) },
    stderr: { write: (text: string) => output.add(text, false) },
  })
  return {
    ended,
    exits,
    output: () => output.text,
    stdout: () => output.stdout,
    seen: (pattern) => output.seen(pattern, ended),
    signal: (signal) => void process.emit(signal),
    crash: (error) => void process.emit('uncaughtException', error),
  }
}

/** Runs the command line as a process of its own, killed with the test at the latest. */
export function runProcess(
  t: ExecutionContext,
  argv: readonly string[],
  { cwd, env = {} }: CommandOptions,
): RunningCommand & { readonly pid: number } {
  const output = new Output()
  const child = spawn(process.execPath, ['--import', loader, bin, ...argv], {
    cwd,
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  endWithUs(child)
  const ended = once(child, 'close').then(([code, signal]: unknown[]) => {
    if (typeof code !== 'number')
      throw new Error(`The command was ended by ${String(signal)}:\n${output.text}`)
    return code
  })
  // Whoever waits for it sees it; a test that failed before does not wait.
  ended.catch(() => {})
  child.stdout.setEncoding('utf8').on('data', (text: string) => output.add(text, true))
  child.stderr.setEncoding('utf8').on('data', (text: string) => output.add(text, false))
  t.teardown(() => child.kill('SIGKILL'))
  return {
    ended,
    pid: child.pid ?? 0,
    output: () => output.text,
    stdout: () => output.stdout,
    seen: (pattern) => output.seen(pattern, ended),
    signal: (signal) => void child.kill(signal),
  }
}

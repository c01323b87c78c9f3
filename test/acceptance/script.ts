// Runs a file of the project as a process of its own, as somebody at a terminal would, and lets tests read along.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { ExecutionContext } from 'ava'
import { root } from './code-blocks.ts'

/** A process that runs, or has run. */
export interface Script {
  /** The lines of both streams so far. */
  readonly lines: readonly string[]
  /** Resolves with the first line, of those so far and to come, that matches. Rejects when the process ends without. */
  line(pattern: RegExp): Promise<string>
  signal(signal: 'SIGINT' | 'SIGTERM'): void
  /** The exit code. */
  readonly ended: Promise<number | null>
}

/** Starts `node --import tsx …args` in the project; it is killed with the test at the latest. */
export function startScript(t: ExecutionContext, args: readonly string[]): Script {
  const child = spawn(process.execPath, ['--import', 'tsx', ...args], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const lines: string[] = []
  const waiting: ((line: string) => void)[] = []
  for (const stream of [child.stdout, child.stderr]) {
    createInterface(stream).on('line', (line) => {
      lines.push(line)
      for (const see of waiting) see(line)
    })
  }
  const ended = once(child, 'close').then(([code]: unknown[]) => (typeof code === 'number' ? code : null))
  return {
    lines,
    ended,
    signal: (signal) => void child.kill(signal),
    line: (pattern) =>
      new Promise((resolve, reject) => {
        const see = (line: string): void => {
          if (pattern.test(line)) resolve(line)
        }
        for (const line of lines) see(line)
        waiting.push(see)
        void ended.then(() => reject(new Error(`It ended without ${pattern}:\n${lines.join('\n')}`)))
      }),
  }
}

// The victims of the kill harness as the harness sees them: processes that say what they have handled.
import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { loader } from '../helpers/loader.ts'
import type { VictimOptions } from './victim.ts'

const program = fileURLToPath(new URL('victim.ts', import.meta.url))

/** One process. It loads at once and connects when told to. */
export class Victim {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>
  readonly #said = new Set<string>()
  readonly #watchers = new Set<() => void>()
  #over = false

  /** `handled` is called for each message it says it has handled. */
  constructor(
    options: VictimOptions,
    handled: (number: string) => void,
    env: Readonly<Record<string, string>> = {},
  ) {
    const child = spawn(process.execPath, ['--import', loader, program, JSON.stringify(options)], {
      cwd: options.folder,
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    this.#child = child
    child.stdin.on('error', () => {})
    child.once('close', () => {
      this.#over = true
      this.#look()
    })
    createInterface(child.stdout).on('line', (line) => {
      if (/^\d+$/.test(line)) handled(line)
      else this.#said.add(line)
      this.#look()
    })
  }

  get isLoaded(): boolean {
    return this.#said.has('loaded')
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** Connects. Resolves when messages can come. */
  async serve(): Promise<void> {
    await this.until(() => this.#said.has('loaded'))
    this.#child.stdin.write('serve\n')
    await this.until(() => this.#said.has('serving'))
  }

  /** Resolves when it is so; asked whenever it has said something. Rejects when it has ended before. */
  async until(isSo: () => boolean): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const look = (): void => {
        if (!isSo() && !this.#over) return
        this.#watchers.delete(look)
        if (isSo()) resolve()
        else reject(new Error(`The consumer has ended by itself (${this.#child.exitCode}).`))
      }
      this.#watchers.add(look)
      look()
    })
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  async stop(): Promise<void> {
    await this.#end('SIGTERM')
  }

  async #end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    if (this.#over) return
    const closed = once(this.#child, 'close')
    this.#child.kill(signal)
    await closed
  }

  #look(): void {
    for (const look of this.#watchers) look()
  }
}

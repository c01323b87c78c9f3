// Starts the machine's own Chromium without a window, and talks to it over a pipe by its DevTools protocol.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { Deferred } from '../../lib/core/deferred.ts'
import { findExecutable } from './executable.ts'
import { endWithUs } from './guard.ts'

/** A page that is open. Nothing here waits longer than ten seconds. */
export interface Page {
  /** Resolves when this text can be read in the page. */
  shows(text: string): Promise<void>
  /** Moves the mouse to the first element that this selector finds, and presses. */
  click(selector: string): Promise<void>
  /** What an expression gives there. */
  evaluate(expression: string): Promise<unknown>
  close(): Promise<void>
}

export interface Chromium {
  open(url: string): Promise<Page>
  stop(): Promise<void>
}

export function chromiumPath(): string | undefined {
  return findExecutable('chromium')
}

const LONGEST_MS = 10_000

export async function startChromium(): Promise<Chromium> {
  const folder = await mkdtemp(join(tmpdir(), 'mqttasgi-chromium-'))
  const quiet = [
    '--no-first-run',
    '--disable-background-networking',
    '--disable-gpu',
    '--disable-dev-shm-usage',
  ]
  // Its sandbox refuses to run for root.
  const sandbox = process.getuid?.() === 0 ? ['--no-sandbox'] : []
  const args = [
    '--headless=new',
    '--remote-debugging-pipe',
    `--user-data-dir=${folder}`,
    ...quiet,
    ...sandbox,
  ]
  const child = spawn(chromiumPath() ?? 'chromium', args, {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
  })
  endWithUs(child)
  const devTools = new DevTools(child)
  return {
    open: (url) => openPage(devTools, url),
    stop: async () => {
      const gone = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined
      devTools.ask('Browser.close').catch(() => {})
      const timer = setTimeout(() => child.kill('SIGKILL'), LONGEST_MS)
      await gone
      clearTimeout(timer)
      // Its last children may still write.
      await rm(folder, { recursive: true, force: true, maxRetries: 10 })
    },
  }
}

async function openPage(devTools: DevTools, url: string): Promise<Page> {
  const { targetId } = await devTools.ask('Target.createTarget', { url: 'about:blank' })
  const { sessionId } = await devTools.ask('Target.attachToTarget', { targetId, flatten: true })
  const ask = (method: string, params: object = {}): Promise<Answer> =>
    devTools.ask(method, params, String(sessionId))
  await ask('Page.navigate', { url })
  const evaluate = async (expression: string): Promise<unknown> => {
    const answer = await ask('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true })
    if (answer['exceptionDetails'] !== undefined) throw new Error(JSON.stringify(answer))
    return (answer['result'] as Answer)['value']
  }
  // Resolves in the page when something is so, looking whenever the page has changed.
  const until = async (what: string): Promise<unknown> =>
    evaluate(`new Promise((resolve, reject) => {
      const look = () => { const found = ${what}; if (found) resolve(found) }
      new MutationObserver(look).observe(document, { subtree: true, childList: true, characterData: true })
      addEventListener('load', look)
      setTimeout(() => reject(new Error(document.body.innerText)), ${LONGEST_MS / 2})
      look()
    })`)
  return {
    evaluate,
    shows: async (text) => {
      await until(`document.body?.innerText.includes(${JSON.stringify(text)})`)
    },
    click: async (selector) => {
      const element = `document.querySelector(${JSON.stringify(selector)})`
      const place = `(box => ({ x: box.x + box.width / 2, y: box.y + box.height / 2 }))`
      const at = await until(`${element} && ${place}(${element}.getBoundingClientRect())`)
      for (const type of ['mousePressed', 'mouseReleased']) {
        await ask('Input.dispatchMouseEvent', { type, ...(at as object), button: 'left', clickCount: 1 })
      }
    },
    close: async () => {
      await devTools.ask('Target.closeTarget', { targetId })
    },
  }
}

type Answer = Readonly<Record<string, unknown>>

/** Commands go out on one pipe and answers come in on another, each ended by a zero. */
class DevTools {
  readonly #out: Writable
  readonly #open = new Map<number, Deferred<Answer>>()
  #last = 0
  #rest = ''

  constructor(child: ChildProcess) {
    this.#out = child.stdio[3] as Writable
    this.#out.on('error', () => {})
    ;(child.stdio[4] as Readable).setEncoding('utf8').on('data', (text: string) => this.#read(text))
    const over = (): void => {
      for (const answer of this.#open.values()) answer.reject(new Error('Chromium has ended.'))
    }
    child.once('exit', over).once('error', over)
  }

  async ask(method: string, params: object = {}, sessionId?: string): Promise<Answer> {
    const id = ++this.#last
    const answer = new Deferred<Answer>()
    this.#open.set(id, answer)
    const timer = setTimeout(() => answer.reject(new Error(`Chromium did not answer ${method}.`)), LONGEST_MS)
    this.#out.write(`${JSON.stringify({ id, method, params, sessionId })}\0`)
    try {
      return await answer.promise
    } finally {
      clearTimeout(timer)
      this.#open.delete(id)
    }
  }

  #read(text: string): void {
    const parts = (this.#rest + text).split('\0')
    this.#rest = parts.pop() ?? ''
    for (const part of parts) {
      const { id, result, error } = JSON.parse(part) as { id?: number; result?: Answer; error?: Answer }
      const answer = this.#open.get(id ?? 0)
      if (error === undefined) answer?.resolve(result ?? {})
      else answer?.reject(new Error(JSON.stringify(error)))
    }
  }
}

// Servers of ours for tests: connected to a broker, their log kept instead of printed, and gone when the test ends.
import type { ExecutionContext } from 'ava'
import { recorded } from '../helpers/recording.ts'
import type { WireRules } from '../helpers/wire-check.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { serve, type Logger, type ServeOptions, type Server } from '../../lib/index.ts'

/** What was logged, a line each: `warn The broker …`. */
export class KeptLog implements Logger {
  readonly lines: string[] = []

  readonly #watchers = new Set<() => void>()

  debug(message: string): void {
    this.#add(`debug ${message}`)
  }

  info(message: string): void {
    this.#add(`info ${message}`)
  }

  warn(message: string): void {
    this.#add(`warn ${message}`)
  }

  error(message: string): void {
    this.#add(`error ${message}`)
  }

  /** Resolves when a line matches. */
  said(pattern: RegExp): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!this.lines.some((line) => pattern.test(line))) return
        this.#watchers.delete(look)
        resolve()
      }
      this.#watchers.add(look)
      look()
    })
  }

  #add(line: string): void {
    this.lines.push(line)
    for (const look of this.#watchers) look()
  }
}

/** What can be served. */
export type Served = Parameters<typeof serve>[0]

/**
 * `serve` with a state folder of the test's own, and a stop at its end that waits for nobody. What goes over the wire
 * is recorded, and held against the rules when the test ends.
 */
export async function serving(
  t: ExecutionContext,
  app: Served,
  options: ServeOptions,
  rules?: WireRules,
): Promise<Server> {
  const { broker, transport } = options
  if (transport !== undefined || broker === undefined) return servingDirectly(t, app, options)
  return servingDirectly(t, app, { ...options, broker: await recorded(t, broker, rules) })
}

/** The same with nobody between: for a broker that checks by itself, or a test that counts each byte. */
export async function servingDirectly(
  t: ExecutionContext,
  app: Served,
  options: ServeOptions,
): Promise<Server> {
  const server = await serve(app, { log: new KeptLog(), stateDir: temporaryFolder(t), ...options })
  t.teardown(() => server.stop({ drainTimeoutMs: 0 }))
  return server
}

let clients = 0

/** A client id nobody else has. */
export function newClientId(): string {
  return `test-${process.pid}-${++clients}`
}

/** Between the two, both included: how long a handler is to take. */
export function latency(fromMs: number, toMs: number): Promise<void> {
  const ms = fromMs + Math.random() * (toMs - fromMs)
  return new Promise((resolve) => setTimeout(resolve, ms))
}

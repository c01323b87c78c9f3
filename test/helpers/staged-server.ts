// A server on a broker in memory and a clock that stands still, for tests that move both.
import type { ExecutionContext } from 'ava'
import { ApplicationNode, type Application } from '../../lib/core/application.ts'
import type { Logger } from '../../lib/core/log.ts'
import { Server } from '../../lib/server/server.ts'
import type { ServerParts } from '../../lib/server/server-parts.ts'
import { MemoryTransport } from '../../lib/testing/memory-transport.ts'
import { FakeClock } from './fake-clock.ts'

export interface StagedServer {
  readonly server: Server
  readonly transport: MemoryTransport
  readonly clock: FakeClock
  /** What was logged, level first. */
  readonly lines: string[]
}

/** Further receivers: workers of the same process, by id, each with its mount. */
export interface StagedWorker {
  readonly id: string
  readonly mount: string
  readonly app: Application
}

export interface StageParts extends Partial<ServerParts> {
  readonly workers?: readonly StagedWorker[]
}

/** Not started. When the test ends it is stopped, and must not have left a timer. */
export function stageServer(
  t: Pick<ExecutionContext, 'teardown'>,
  app: Application,
  parts: StageParts = {},
): StagedServer {
  const { workers = [], ...given } = parts
  const transport = new MemoryTransport()
  const clock = new FakeClock()
  const lines: string[] = []
  const log = logTo(lines)
  const server = new Server({
    transport,
    receivers: [
      node(app).receiver({ id: 'application', log }),
      ...workers.map(({ app: worker, id, mount }) => node(worker).receiver({ id, mount, log })),
    ],
    policy: { retries: 0, protocolVersion: 'auto', backoff: () => 100 },
    window: { maxInFlight: 32, maxWaitingBytes: 1_000_000 },
    outbox: { maxMessages: 100, maxBytes: 100_000 },
    sessionLasts: false,
    drainTimeoutMs: 1_000,
    log,
    clock,
    ...given,
  })
  const detach = node(app).attach({ ready: () => server.ready() })
  t.teardown(async () => {
    detach()
    const stopping = server.stop()
    // Whatever still runs is given up.
    for (let i = 0; i < 20 && server.state !== 'closed'; i++) {
      await new Promise((resolve) => setImmediate(resolve))
      clock.advance(1_000)
    }
    await stopping
    if (clock.timers > 0) throw new Error(`${clock.timers} timers are left.`)
  })
  return { server, transport, clock, lines }
}

function node(app: Application): ApplicationNode {
  if (app instanceof ApplicationNode) return app
  throw new TypeError('An application is expected to be made by mqttasgi().')
}

function logTo(lines: string[]): Logger {
  const at =
    (level: string) =>
    (text: string): void =>
      void lines.push(`${level}: ${text}`)
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

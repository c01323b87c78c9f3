// A started server on a broker in memory, gone when the test ends.
import type { ExecutionContext } from 'ava'
import type { Application } from '../../lib/core/application.ts'
import type { Clock } from '../../lib/core/clock.ts'
import { silentLog } from '../../lib/core/log.ts'
import { asApplication } from '../../lib/core/application.ts'
import { Server } from '../../lib/server/server.ts'
import type { ServerParts } from '../../lib/server/server-parts.ts'
import { MemoryTransport } from '../../lib/testing/memory-transport.ts'

/** What is waited for is over in the next turn, but for limits that are not to be reached. */
const impatientClock: Clock = {
  now: () => performance.now(),
  after: (ms, callback) => {
    if (ms > 10_000) {
      const timer = setTimeout(callback, ms)
      return () => clearTimeout(timer)
    }
    const immediate = setImmediate(callback)
    return () => clearImmediate(immediate)
  },
}

/** One application, connected to again at once, with limits that few tests come near. */
export function plainParts(
  app: Application,
): Pick<ServerParts, 'receivers' | 'policy' | 'window' | 'outbox' | 'log'> {
  return {
    receivers: [asApplication(app, 'The application').receiver({ id: 'application', log: silentLog })],
    policy: { retries: 0, protocolVersion: 5, backoff: () => 0 },
    window: { maxInFlight: 32, maxWaitingBytes: 1_000_000 },
    outbox: { maxMessages: 100, maxBytes: 100_000 },
    log: silentLog,
  }
}

export interface MemoryServer {
  readonly server: Server
  readonly transport: MemoryTransport
}

export async function startMemoryServer(
  t: ExecutionContext,
  app: Application,
  parts: Partial<ServerParts> = {},
): Promise<MemoryServer> {
  const transport = new MemoryTransport()
  const server = new Server({
    transport,
    ...plainParts(app),
    sessionLasts: false,
    drainTimeoutMs: 0,
    clock: impatientClock,
    ...parts,
  })
  await server.start()
  t.teardown(() => server.stop())
  return { server, transport }
}

/** Lets everything happen that needs nobody from outside. */
export async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
}

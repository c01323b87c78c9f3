// A whole server on a broker in memory, whose workers may run in threads of the tests' own.
import type { ExecutionContext } from 'ava'
import { resolveOptions } from '../../lib/config/load.ts'
import { createServer } from '../../lib/serve.ts'
import { MemoryTransport } from '../../lib/testing/index.ts'
import type { Workplace } from '../../lib/workplace.ts'
import { KeptLog, type Served } from '../integration/serving.ts'

export interface CrewedServer {
  readonly server: Workplace
  readonly transport: MemoryTransport
  readonly log: KeptLog
}

/** Started, and gone when the test ends. */
export async function crewedServer(
  t: ExecutionContext,
  app: Served,
  options: Parameters<typeof resolveOptions>[0] = {},
): Promise<CrewedServer> {
  const transport = new MemoryTransport()
  const log = new KeptLog()
  const server = await createServer(app, resolveOptions(options), {
    log,
    transport,
    loader: { load: (file) => import(file) as Promise<unknown>, files: () => [] },
    threadEntry: new URL('../workers/programs/thread.ts', import.meta.url),
  })
  await server.start()
  t.teardown(() => server.stop({ drainTimeoutMs: 0 }))
  return { server, transport, log }
}

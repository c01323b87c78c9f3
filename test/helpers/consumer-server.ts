// A started server on a broker in memory that runs a consumer, or whatever else can be run.
import type { ExecutionContext } from 'ava'
import { asHostable } from '../../lib/consumer/hostable.ts'
import type { HostedReceiver, ReceiverIdentity } from '../../lib/core/hosted.ts'
import { silentLog } from '../../lib/core/log.ts'
import { mqttasgi } from '../../lib/core/application.ts'
import { masterScope } from '../../lib/core/scope.ts'
import { systemClock } from '../../lib/system-clock.ts'
import type { ServerParts } from '../../lib/server/server-parts.ts'
import { startMemoryServer, type MemoryServer } from './memory-server.ts'

/** As a host makes one, without a server. */
export function hosted(application: unknown, identity: Partial<ReceiverIdentity> = {}): HostedReceiver {
  return asHostable(application, 'The application').receiver({
    id: 'application',
    mount: '',
    scope: masterScope,
    log: silentLog,
    clock: systemClock,
    ...identity,
  })
}

export interface ConsumerServer extends MemoryServer {
  readonly receiver: HostedReceiver
}

export async function startConsumerServer(
  t: ExecutionContext,
  application: unknown,
  identity: Partial<ReceiverIdentity> = {},
  parts: Partial<ServerParts> = {},
): Promise<ConsumerServer> {
  const receiver = hosted(application, identity)
  const started = await startMemoryServer(t, mqttasgi(), { receivers: [receiver], ...parts })
  void started.server.closed.then(() => receiver.release())
  return { ...started, receiver }
}

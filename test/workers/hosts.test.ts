// Both hosts keep the same promises.
import test from 'ava'
import { silentLog } from '../../lib/core/log.ts'
import type { ReceiverIdentity } from '../../lib/core/hosted.ts'
import { asHostable } from '../../lib/consumer/hostable.ts'
import { InProcessHost } from '../../lib/workers/in-process.ts'
import { workerHostContract } from '../contract/worker-host.ts'
import { systemClock } from '../../lib/system-clock.ts'
import { threadHost } from '../helpers/thread-stage.ts'
import * as applications from './programs/contract.ts'

const programs = new URL('programs/', import.meta.url).pathname

function identityOf(more: Partial<ReceiverIdentity>): ReceiverIdentity {
  const scope = { type: 'mqtt', appId: 'hosted', instanceType: 'worker', params: {} } as const
  return { id: 'hosted', mount: '', log: silentLog, scope, clock: systemClock, ...more }
}

workerHostContract(test, 'in this thread', (identity, name = 'app') => {
  const application: unknown = Reflect.get(applications, name)
  return new InProcessHost(asHostable(application, 'It'), identityOf(identity))
})

workerHostContract(test, 'in a thread', (identity, name = 'app') =>
  threadHost({ application: `${programs}contract.ts#${name}`, identity: identityOf(identity) }),
)

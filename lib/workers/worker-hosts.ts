// Finds out where a worker runs, and loads what is to run there.
import type { Hostable, ReceiverIdentity } from '../core/hosted.ts'
import { forbiddingWorkforce } from '../core/refusing-workforce.ts'
import { absoluteSpec, loadApplication } from '../config/application-file.ts'
import type { ModuleLoader } from '../config/modules.ts'
import type { WorkerHost } from './host.ts'
import { InProcessHost, startFailure } from './in-process.ts'
import { checkApplication, type WorkerOrder } from './orders.ts'
import { ThreadHost } from './thread.ts'

/** What the workers of one server have in common. */
export interface WorkerSurroundings {
  readonly identity: Pick<ReceiverIdentity, 'log' | 'rules' | 'channels' | 'countEvent' | 'ready' | 'clock'>
  readonly loader: ModuleLoader
  /** Makes something that can be run of what a file exports. */
  readonly asHostable: (value: unknown, what: string) => Hostable
  /** The file that runs in a thread. */
  readonly threadEntry: URL
}

/** The host of one worker. Codes: `ERR_WORKER_APPLICATION`, `ERR_APPLICATION_*`. */
export async function workerHost(
  order: WorkerOrder,
  { asHostable, identity: common, loader, threadEntry }: WorkerSurroundings,
): Promise<WorkerHost> {
  const { application, id, instances, memoryMb, mount, params, thread } = order
  const identity: ReceiverIdentity = {
    ...common,
    id,
    mount,
    instances,
    scope: { type: 'mqtt', appId: id, instanceType: 'worker', params },
    workforce: forbiddingWorkforce(id),
  }
  checkApplication(order)
  const hostOf = (exported: unknown): WorkerHost =>
    new InProcessHost(asHostable(exported, `The application of worker "${id}"`), identity)
  if (typeof application !== 'string') return hostOf(application)
  const from = process.cwd()
  if (!thread) return hostOf(await loaded(identity, () => loadApplication(application, from, loader)))
  const spec = absoluteSpec(application, from)
  return new ThreadHost({ identity, application: spec, memoryMb, entry: threadEntry })
}

async function loaded(identity: ReceiverIdentity, load: () => Promise<unknown>): Promise<unknown> {
  try {
    return await load()
  } catch (cause) {
    throw startFailure(identity, cause)
  }
}

// Finds out where a worker runs, and loads what is to run there.
import { MqttasgiError } from '../core/errors.ts'
import type { Hostable, ReceiverIdentity } from '../core/hosted.ts'
import { forbiddingWorkforce } from '../core/refusing-workforce.ts'
import { absoluteSpec, loadApplication } from '../config/application-file.ts'
import type { ModuleLoader } from '../config/modules.ts'
import type { WorkerOrder } from './orders.ts'
import type { WorkerHost } from './host.ts'
import { InProcessHost } from './in-process.ts'
import { ThreadHost } from './thread.ts'

/** What the workers of one server have in common. */
export interface WorkerSurroundings {
  readonly identity: Pick<ReceiverIdentity, 'log' | 'rules' | 'channels' | 'ready' | 'clock'>
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
  const from = process.cwd()
  if (typeof application === 'string') refusePythonPath(id, application)
  if (thread) {
    if (typeof application !== 'string') throw refused(id, 'a thread can only load a file')
    const spec = absoluteSpec(application, from)
    return new ThreadHost({ identity, application: spec, memoryMb, entry: threadEntry })
  }
  const loaded =
    typeof application === 'string' ? await loadApplication(application, from, loader) : application
  return new InProcessHost(asHostable(loaded, `The application of worker "${id}"`), identity)
}

// The form of the Python server, or of a dotted import.
function refusePythonPath(id: string, spec: string): void {
  const path = /^(?<module>[\w.]+):(?<name>[\w.]+)$/.exec(spec)?.groups
  if (path === undefined) return
  const file = `./${(path['module'] ?? '').replaceAll('.', '/')}.ts`
  throw refused(id, `"${spec}" is a path of Python. Write the file and its export: ${file}#${path['name']}`)
}

function refused(id: string, why: string): MqttasgiError {
  return new MqttasgiError(
    'ERR_WORKER_APPLICATION',
    `Worker "${id}" can not run what it was given: ${why}${why.includes('#') ? '' : ": './file.ts#name'"}.`,
    { receiver: id },
  )
}

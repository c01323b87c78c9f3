// The application and the workers in their places, and what each of them is known to subscribe to before it runs.
import type { WorkerSettings } from '../config/settings.ts'
import { isConsumerClass } from '../consumer/consumer.ts'
import { ApplicationNode } from '../core/application.ts'
import type { Interest } from '../core/receiver.ts'
import { startFailure } from '../workers/in-process.ts'
import { duplicate, isMasterId } from '../workers/orders.ts'
import { WorkerGroup } from '../workers/worker-group.ts'
import { applicationOf, type Configured, loadedOf, nodeOf } from './command.ts'

/** An application as one receiver has it: under its mount, with its id. */
export interface Placed {
  readonly id: string
  readonly mount: string
  /** The group that all it subscribes to is shared with. */
  readonly share: string | undefined
  /** Its routes, as far as they are known beforehand. */
  readonly application: ApplicationNode | undefined
  /** What it is, where it may subscribe to more once it runs. */
  readonly open: 'a consumer' | 'a raw application' | undefined
}

/** The application and the workers, loaded and in their places. */
export async function placedApplications(configured: Configured): Promise<readonly Placed[]> {
  const master = { id: 'application', mount: '', share: undefined }
  const placed: Placed[] = [{ ...master, ...knownOf(await applicationOf(configured)) }]
  for (const worker of configured.settings.workers) {
    const { id, mount, share } = worker
    placed.push({ id, mount, share, ...(await workerOf(worker, configured)) })
  }
  return placed
}

/** Refuses what a server would refuse before it connects. */
async function workerOf(
  { id, mount, application }: Pick<WorkerSettings, 'id' | 'mount' | 'application'>,
  { loader }: Configured,
): Promise<Pick<Placed, 'application' | 'open'>> {
  if (isMasterId(id)) throw duplicate(id)
  try {
    const known = knownOf(await loadedOf(application, `The application of worker "${id}"`, loader))
    const stands = known.application ?? new ApplicationNode('', {})
    stands.receiver({ id, mount }).release()
    return known
  } catch (cause) {
    throw startFailure({ id, mount }, cause)
  }
}

/** What it asks for at its start, as the server tells the broker. Code: `ERR_WORKER_OPTION`. */
export function interestsOf({ id, mount, share, application }: Placed): readonly Interest[] {
  if (application === undefined) return []
  const receiver = application.receiver({ id, mount })
  try {
    const interests = receiver.interests()
    if (share === undefined) return interests
    const group = new WorkerGroup(id, share)
    const conflict = group.conflict(interests)
    if (conflict !== undefined) throw conflict
    return group.shared(interests)
  } finally {
    receiver.release()
  }
}

/** The application, or a worker with its mount and its group. */
export function titleOf({ id, mount, share }: Placed): string {
  if (id === 'application') return id
  return `worker ${id}${mount === '' ? '' : ` at ${mount}`}${share === undefined ? '' : `, shared as ${share}`}`
}

/** What stands for the filters where none is known. */
export function noneKnown(placed: readonly Placed[]): string | undefined {
  return placed.some(({ open }) => open !== undefined) ? 'nothing that is known beforehand' : undefined
}

/** A line on what nobody knows beforehand; undefined where all is known. */
export function knownLater({ application, open }: Placed): string | undefined {
  if (open === undefined) return undefined
  return `   ${open}: what ${application === undefined ? 'it' : 'else it'} subscribes to is known once it runs`
}

function knownOf(application: object): Pick<Placed, 'application' | 'open'> {
  const node = nodeOf(application)
  if (node !== undefined) return { application: node, open: undefined }
  if (!isConsumerClass(application)) return { application: undefined, open: 'a raw application' }
  const { options, routes } = application
  if (routes === undefined) return { application: undefined, open: 'a consumer' }
  // As the consumer does it itself when it is made.
  return { application: new ApplicationNode('static options: ', options).use(routes), open: 'a consumer' }
}

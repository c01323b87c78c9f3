// A worker of a test that has several instances or a group: they stand behind the receiver that a server has of it.
import { Deferred } from '../core/deferred.ts'
import { MqttasgiError } from '../core/errors.ts'
import type { Hostable, HostedReceiver, ReceiverIdentity } from '../core/hosted.ts'
import { failedOutcome } from '../workers/refusals.ts'
import type { Seat } from '../workers/seat.ts'
import { WorkerReceiver } from '../workers/worker-receiver.ts'
import type { MqttCommunicatorOptions } from './communicator-options.ts'

/** It ends with the first instance that does, for nothing is started again. Throws `ERR_WORKER_OPTION`. */
export function receiverOf(
  hostable: Hostable,
  identity: ReceiverIdentity,
  { instances = 1, share }: Pick<MqttCommunicatorOptions, 'instances' | 'share'>,
): HostedReceiver {
  if (instances === 1 && share === undefined) return hostable.receiver(identity)
  const { clock, id } = identity
  const worker = new WorkerReceiver({ id, instances, share, now: () => clock.now() })
  const own = new Map<Seat, HostedReceiver>()
  const ended = new Deferred<Error | undefined>()
  const release = (): void => {
    for (const instance of own.values()) instance.release()
  }
  const end = (seat: Seat, error: Error | undefined): void => {
    const why =
      error ?? new MqttasgiError('ERR_WORKER_STOPPED', `Worker "${id}" has ended.`, { receiver: id })
    seat.refuse(failedOutcome(why))
    ended.resolve(error)
  }
  for (const seat of worker.seats) {
    const instance = hostable.receiver({ ...identity, instances })
    own.set(seat, instance)
    const conflict = worker.conflictOf(instance)
    if (conflict !== undefined) {
      release()
      throw conflict
    }
    seat.occupy(instance, undefined)
    void instance.ended?.then((error) => end(seat, error))
  }
  // As on a server: a route that comes later and does not go together with the group fails its instance.
  worker.onInterests(() => {
    for (const [seat, instance] of own) {
      const conflict = worker.conflictOf(instance)
      if (conflict !== undefined) queueMicrotask(() => end(seat, conflict))
    }
  })
  return Object.assign(worker, { ended: ended.promise, release })
}

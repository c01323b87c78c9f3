// What a worker with a group subscribes to: each of its interests as the broker is told it.
import { MqttasgiError } from '../core/errors.ts'
import type { Interest } from '../core/receiver.ts'

/** The interest, shared with the group of the worker `id`. Code: `ERR_WORKER_OPTION` where it can not be. */
export function sharedInterest(interest: Interest, group: string, id: string): Interest {
  if (interest.share === group || interest.noLocal) {
    const what = interest.noLocal
      ? 'noLocal does not go together with a group [MQTT-3.8.3-4]'
      : `it names the group "${group}" itself, which all of the worker shares already`
    throw new MqttasgiError(
      'ERR_WORKER_OPTION',
      `Route "${interest.source}" of worker "${id}": ${what}. Leave it out there.`,
      { receiver: id },
    )
  }
  return interest.share === undefined ? { ...interest, share: group } : interest
}

// What becomes of a message that a worker does not take, or whose worker has gone.
import { MqttasgiError } from '../core/errors.ts'
import type { Outcome, Plan } from '../core/receiver.ts'
import type { Refusal } from './seat.ts'

/** It fails for good. */
export function failedOutcome(error: Error): Refusal {
  return ({ routes }: Plan): Outcome => ({ type: 'failed', error, route: routes[0] })
}

/** It has not been begun, and whoever comes next gets it. */
export function notTakenOutcome(error: Error): Refusal {
  return ({ routes }: Plan): Outcome => ({ type: 'notTaken', error, route: routes[0] })
}

/** It is left to the process that comes after this one, or kept where nobody would send it again. */
export function crashedOutcome(id: string, cause: Error): Refusal {
  const message = `Worker "${id}" has ended the server, and was not done with this message.`
  const error = new MqttasgiError('ERR_WORKER_CRASHED', message, { cause, receiver: id })
  return ({ routes }: Plan): Outcome => ({ type: 'retry', afterMs: undefined, error, route: routes[0] })
}

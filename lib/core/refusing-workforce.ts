// The workforce of whoever has none: of workers, who may not spawn, and of receivers that no server runs.
import { MqttasgiError } from './errors.ts'
import type { Workforce } from './workforce.ts'

/** Of the worker with this id. */
export function forbiddingWorkforce(id: string): Workforce {
  return refusing(
    (what) =>
      new MqttasgiError(
        'ERR_WORKER_FORBIDDEN',
        `Worker "${id}" asked to ${what}, which only the application itself may. Let it tell the application.`,
        { receiver: id },
      ),
  )
}

/** Of an application that no server runs. */
export const unattachedWorkforce: Workforce = refusing(
  (what) =>
    new MqttasgiError(
      'ERR_NOT_ATTACHED',
      `Can not ${what}: the application is attached to no server. Wait for serve() first.`,
    ),
)

function refusing(errorOf: (what: string) => MqttasgiError): Workforce {
  return {
    spawn: (id) => Promise.reject(errorOf(`spawn "${id}"`)),
    kill: (id) => Promise.reject(errorOf(`end "${id}"`)),
    workers: () => [],
  }
}

// The client of a receiver that no server runs: everything asked of it is refused with the reason.
import { MqttasgiError } from './errors.ts'
import type { Client } from './receiver.ts'

export const unattachedClient: Client = Object.freeze({
  publish: (topic: string) => refuse(`publish to "${topic}"`),
  subscribe: (filter: string) => refuse(`subscribe to "${filter}"`),
  unsubscribe: (filter: string) => refuse(`unsubscribe from "${filter}"`),
})

function refuse(what: string): Promise<never> {
  return Promise.reject(
    new MqttasgiError(
      'ERR_NOT_ATTACHED',
      `Can not ${what}: the application is attached to no connected server. Wait for serve() first.`,
    ),
  )
}

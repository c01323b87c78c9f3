// A client and a workforce that note what is asked of them, and then do it.
import type { Payload, PublishOptions, SubscribeOptions } from '../core/message.ts'
import { encodePayload } from '../core/payload.ts'
import { checkPublishOptions } from '../core/publish-options.ts'
import type { Client } from '../core/receiver.ts'
import type { KillOptions, WorkerApplication, WorkerOptions, Workforce } from '../core/workforce.ts'
import type { CommunicatorOutput } from './outputs.ts'

type Note = (output: CommunicatorOutput) => void

export function recordedClient(client: Client, note: Note): Client {
  return {
    publish: async (topic: string, payload: Payload, options: PublishOptions = {}) => {
      checkPublishOptions(topic, options)
      const { properties, qos = 1, retain = false } = options
      const bytes = encodePayload(payload, topic)
      const given = properties === undefined ? {} : { properties }
      note({ type: 'mqtt.pub', mqtt: { topic, payload: bytes, qos, retain, ...given } })
      return client.publish(topic, bytes, options)
    },
    subscribe: (topic: string, options: SubscribeOptions = {}) => {
      note({ type: 'mqtt.sub', mqtt: { topic, ...options, qos: options.qos ?? 1 } })
      return client.subscribe(topic, options)
    },
    unsubscribe: (topic: string) => {
      note({ type: 'mqtt.usub', mqtt: { topic } })
      return client.unsubscribe(topic)
    },
  }
}

export function recordedWorkforce(workforce: Workforce, note: Note): Workforce {
  return {
    spawn: (id: string, application: WorkerApplication, options?: WorkerOptions) => {
      // Also of what is refused behind this.
      const { params, ...rest } = { ...options }
      const command = {
        app_id: id,
        consumer_path: application,
        ...(params === undefined ? {} : { consumer_params: params }),
        ...(Object.keys(rest).length === 0 ? {} : { options: rest }),
      }
      note({ type: 'mqttasgi.worker.spawn', command })
      return workforce.spawn(id, application, options)
    },
    kill: (id: string, options?: KillOptions) => {
      note({ type: 'mqttasgi.worker.kill', command: { app_id: id } })
      return workforce.kill(id, options)
    },
    workers: () => workforce.workers(),
  }
}

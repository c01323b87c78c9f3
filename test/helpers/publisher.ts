// A plain MQTT.js publisher: the other side of a test, that knows nothing of this project.
import { connectAsync, type IClientOptions, type IClientPublishOptions, type MqttClient } from 'mqtt'

export interface Publisher {
  /** Resolves on PUBACK or PUBCOMP; at once for QoS 0. QoS 1 unless told otherwise. */
  publish(topic: string, payload: string | Buffer, options?: IClientPublishOptions): Promise<void>
  /** `count` messages, `topicOf(i)` and `payloadOf(i)`, at most 100 of them unacknowledged at once. */
  many(count: number, topicOf: (i: number) => string, payloadOf?: (i: number) => string): Promise<void>
  close(): Promise<void>
}

/** Resolves when it is connected; fails at once when it can not connect. */
export async function startPublisher(url: string, options: IClientOptions = {}): Promise<Publisher> {
  const client = await connectAsync(url, { reconnectPeriod: 0, ...options }, false)
  withoutNagle(client)
  const publish: Publisher['publish'] = async (topic, payload, publishOptions) => {
    await client.publishAsync(topic, payload, { qos: 1, ...publishOptions })
  }
  return {
    publish,
    many: async (count, topicOf, payloadOf = String) => {
      let next = 0
      const work = async (): Promise<void> => {
        for (let i = next++; i < count; i = next++) await publish(topicOf(i), payloadOf(i))
      }
      await Promise.all(Array.from({ length: Math.min(100, count) }, work))
    },
    close: () => client.endAsync(),
  }
}

/** MQTT.js leaves Nagle's algorithm on: a second small packet then waits 40 ms for the other side's ACK. */
export function withoutNagle(client: MqttClient): void {
  const { stream } = client
  if ('setNoDelay' in stream && typeof stream.setNoDelay === 'function') stream.setNoDelay(true)
}

// The client of a receiver that stands under a mount: what it subscribes to lies under it, as its routes do.
import type { SubscribeOptions } from './message.ts'
import { joinPatterns, pattern } from './pattern.ts'
import type { Client } from './receiver.ts'
import { assertFilter } from './topic.ts'

/** `filter` under `mount`, as the broker is told it: without the names that either may have. */
export function mountedFilter(mount: string, filter: string): string {
  const whole = pattern<string>(joinPatterns(mount, filter))
  return whole.share === undefined ? whole.filter : `$share/${whole.share}/${whole.filter}`
}

/** Topics to publish to are whole topics and stay as they are. */
export function mountedClient(client: Client, mount: string): Client {
  if (mount === '') return client
  return {
    publish: (topic, payload, options) => client.publish(topic, payload, options),
    subscribe: async (filter: string, options?: SubscribeOptions) => {
      assertFilter(filter)
      return { ...(await client.subscribe(mountedFilter(mount, filter), options)), filter }
    },
    unsubscribe: async (filter) => {
      assertFilter(filter)
      await client.unsubscribe(mountedFilter(mount, filter))
    },
  }
}

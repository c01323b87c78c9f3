// What runs at a replay: it handles dead letters, and says and does nothing that a server does when it comes and goes.
import { asHostable } from '../consumer/hostable.ts'
import { ApplicationReceiver } from '../core/application-receiver.ts'
import { MqttasgiError } from '../core/errors.ts'
import type { Hostable, HostedReceiver } from '../core/hosted.ts'
import type { Client, DisconnectReason, SessionInfo } from '../core/receiver.ts'
import type { Workforce } from '../core/workforce.ts'

/** As `asHostable`. Throws `ERR_APPLICATION_INVALID`. */
export function asReplayed(value: unknown, what: string): Hostable {
  const hostable = asHostable(value, what)
  return {
    receiver: (identity) => {
      const hush = new Hush()
      const receiver = hostable.receiver({ ...identity, workforce: hush.workforce })
      return receiver instanceof ApplicationReceiver ? untold(receiver) : hush.around(receiver)
    },
  }
}

// Of the connection: its handlers need only what they publish with.
function untold(receiver: ApplicationReceiver): HostedReceiver {
  return Object.assign(receiver, {
    connected: async (client: Client) => void receiver.useClient(client),
    disconnected: async () => {},
  })
}

/** A consumer must hear of the connection, for then it subscribes and becomes what it is. What it says meanwhile is lost. */
class Hush {
  #isOn = false

  /** It has no workers, for they would get the letters too. */
  readonly workforce: Workforce = {
    spawn: async (id) => {
      this.#refuseUnlessOn(`"${id}" is not spawned`)
      return { id, ended: new Promise(() => {}) }
    },
    kill: async (id) => this.#refuseUnlessOn(`"${id}" is not ended`),
    workers: () => [],
  }

  around(receiver: HostedReceiver): HostedReceiver {
    const connected = receiver.connected.bind(receiver)
    const disconnected = receiver.disconnected.bind(receiver)
    return Object.assign(receiver, {
      connected: async (client: Client, session: SessionInfo) => {
        this.#isOn = true
        await connected(this.#clientOf(client), session)
        this.#isOn = false
      },
      disconnected: async (reason: DisconnectReason) => {
        this.#isOn = true
        await disconnected(reason)
      },
    })
  }

  #clientOf(client: Client): Client {
    return {
      publish: async (topic, payload, options) =>
        this.#isOn ? { reasonCode: 0 } : client.publish(topic, payload, options),
      subscribe: (filter, options) => client.subscribe(filter, options),
      unsubscribe: (filter) => client.unsubscribe(filter),
    }
  }

  // In the chain of a letter it is not lost: the letter stays.
  #refuseUnlessOn(what: string): void {
    if (this.#isOn) return
    throw new MqttasgiError(
      'ERR_WORKER_FORBIDDEN',
      `${what} at a replay: it would end with that. Replay with --to broker where a server runs.`,
    )
  }
}

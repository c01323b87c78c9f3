// A broker inside this process, for development and tests: aedes, with the settings it needs to behave.
import { createServer, type Server, type Socket } from 'node:net'
import type { Aedes, AedesOptions, Client } from 'aedes'
import { MqttasgiError, toError } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'
import type { Payload, PublishOptions } from '../core/message.ts'
import { encodePayload } from '../core/payload.ts'
import { assertTopic } from '../core/topic.ts'
import { capQos, type Granted } from './granted-qos.ts'
import { brokerUrl, checkOptions, refusal, type BrokerOptions } from './listen-options.ts'
import { nameSubscriptions, type Identified } from './subscription-identifiers.ts'

/** How the embedded broker publishes by itself. */
export type BrokerPublishOptions = Pick<PublishOptions, 'qos' | 'retain'>

/** A running embedded broker. */
export interface EmbeddedBroker {
  readonly port: number
  /** For clients: `mqtt://127.0.0.1:1883`. */
  readonly url: string
  /** How many clients are connected. */
  readonly clients: number
  /**
   * Publishes as the broker itself, with QoS 1 unless told otherwise. Resolves when the message was handed
   * to all subscribers that are connected and queued for the sessions that are not.
   *
   * Rejects with ERR_TOPIC_INVALID, ERR_PAYLOAD_TYPE, or ERR_BROKER_CLOSED after `close()`.
   *
   * @example
   * await broker.publish('sensors/hall/temp', { celsius: 21 }, { retain: true })
   */
  publish(topic: string, payload: Payload, options?: BrokerPublishOptions): Promise<void>
  /**
   * Disconnects all clients, forgets all sessions and retained messages, and frees the port. Resolves when
   * nothing is left, without waiting for clients that do not read. Can be called again.
   */
  close(): Promise<void>
  /** The same as `close()`. */
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * Starts an MQTT broker (aedes) in this process. **For development and tests only**: it keeps everything
 * in memory, checks no passwords, and therefore listens on loopback only. With aedes 2.0.0-beta.1 it
 * speaks MQTT 5, 3.1.1 and 3.1, with aedes 1.2 the last two; neither has shared subscriptions, which are
 * refused at SUBSCRIBE.
 *
 * Rejects with ERR_PEER_MISSING (aedes is not installed; the message has the command), ERR_BROKER_OPTION
 * (an option is wrong) or ERR_BROKER_PORT (the port is taken or not allowed).
 *
 * @example
 * import { startBroker } from 'mqttasgi/broker'
 *
 * const broker = await startBroker({ port: 0 })
 * console.log(broker.url)
 * await broker.close()
 */
export function startBroker(options: BrokerOptions = {}): Promise<EmbeddedBroker> {
  return startBrokerWith(() => import('aedes'), options)
}

/** The same, with what gets aedes given: it is an optional peer and may not be there. */
export async function startBrokerWith(
  importAedes: () => Promise<unknown>,
  options: BrokerOptions,
): Promise<EmbeddedBroker> {
  const { port, address, log } = checkOptions(options)
  const aedes = await createAedes(importAedes)
  const broker = new AedesBroker(aedes, log)
  try {
    await broker.listen(port, address)
  } catch (error) {
    await broker.close()
    throw error
  }
  log.info(
    `Embedded broker on ${broker.url}. For development only: it keeps everything in memory and asks nobody for a password.`,
  )
  return broker
}

// The exact version is part of the command because MQTT 5 is in this one only, and no dist-tag leads to it.
const install = 'npm install --save-exact aedes@2.0.0-beta.1'

const settings: AedesOptions = {
  // A client that stops reading stalls all others until then; the default is a minute.
  drainTimeout: 5_000,
  authorizeForward: (client, packet) => {
    const subscriptions = subscriptionsOf(client)
    capQos(subscriptions, packet)
    nameSubscriptions({ id: client.id, subscriptions }, packet)
    return packet
  },
  // aedes grants a shared subscription to a 3.1.1 client and then delivers nothing (its issue 228).
  authorizeSubscribe: (_client, subscription, callback) => {
    callback(null, subscription.topic.startsWith('$share/') ? null : subscription)
  },
}

/** Public on the client, but not in its types. */
function subscriptionsOf(
  client: Client & { readonly subscriptions?: Granted & Identified },
): Granted & Identified {
  return client.subscriptions ?? {}
}

async function createAedes(importAedes: () => Promise<unknown>): Promise<Aedes> {
  let found: unknown
  try {
    found = await importAedes()
  } catch (cause) {
    throw new MqttasgiError(
      'ERR_PEER_MISSING',
      `The embedded broker needs the package aedes, which can not be loaded (${toError(cause).message}). Install it with: ${install}`,
      { cause },
    )
  }
  if (isAedes(found)) return await found.Aedes.createBroker(settings)
  throw new MqttasgiError(
    'ERR_PEER_MISSING',
    `The installed aedes is too old for the embedded broker: expected 2.0.0-beta.1 or 1.2. Install it with: ${install}`,
  )
}

/** What is used of the package. */
interface AedesModule {
  readonly Aedes: { createBroker(options: AedesOptions): Promise<Aedes> }
}

function isAedes(found: unknown): found is AedesModule {
  return (
    typeof found === 'object' &&
    found !== null &&
    'Aedes' in found &&
    typeof found.Aedes === 'function' &&
    'createBroker' in found.Aedes
  )
}

class AedesBroker implements EmbeddedBroker {
  readonly #aedes: Aedes
  readonly #log: Logger
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #port = 0
  #url = ''
  #closed: Promise<void> | undefined

  constructor(aedes: Aedes, log: Logger) {
    this.#aedes = aedes
    this.#log = log
    // Nagle's algorithm would hold every second small packet back for 40 ms.
    this.#server = createServer({ noDelay: true }, (socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
      aedes.handle(socket)
    })
    // Not in its types, but without a listener it would end the process.
    aedes.addListener('error', (error: Error) => log.error(`Embedded broker: ${error.message}`))
    aedes.on('clientError', (client, error) => this.#complain(`client "${client.id}"`, error))
    aedes.on('connectionError', (_client, error) => this.#complain('a client before its CONNECT', error))
  }

  get port(): number {
    return this.#port
  }

  get url(): string {
    return this.#url
  }

  get clients(): number {
    return this.#closed === undefined ? this.#aedes.connectedClients : 0
  }

  listen(port: number, address: string): Promise<void> {
    const server = this.#server
    return new Promise((resolve, reject) => {
      server.once('error', (error) => reject(refusal(error, port, address)))
      server.listen({ port, host: address, exclusive: true }, () => {
        server.removeAllListeners('error')
        server.on('error', (error) => this.#log.error(`Embedded broker: ${error.message}`))
        const bound = server.address()
        this.#port = bound !== null && typeof bound === 'object' ? bound.port : port
        this.#url = brokerUrl(address, this.#port)
        resolve()
      })
    })
  }

  async publish(topic: string, payload: Payload, options: BrokerPublishOptions = {}): Promise<void> {
    assertTopic(topic)
    if (this.#closed !== undefined) {
      const message = `The embedded broker is closed; it can not publish to "${topic}".`
      throw new MqttasgiError('ERR_BROKER_CLOSED', message, { topic })
    }
    const { qos = 1, retain = false } = options
    const bytes = encodePayload(payload, topic)
    await new Promise<void>((resolve, reject) => {
      this.#aedes.publish({ cmd: 'publish', topic, payload: bytes, qos, retain, dup: false }, (error) =>
        error ? reject(toError(error)) : resolve(),
      )
    })
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    const portIsFree = this.#server.listening
      ? new Promise<void>((resolve) => this.#server.close(() => resolve()))
      : undefined
    // Tells MQTT 5 clients with a DISCONNECT, as far as they read, and cuts the connections.
    await new Promise<void>((resolve) => this.#aedes.close(resolve))
    // Those that never sent CONNECT are unknown to aedes.
    for (const socket of this.#sockets) socket.destroy()
    await portIsFree
  }

  #complain(who: string, error: Error): void {
    if (this.#closed === undefined) this.#log.warn(`Embedded broker: ${who}: ${error.message}`)
  }
}

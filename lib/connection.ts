// Makes the connection that the settings ask for: where it leads, over what, and who we are there.
import { currentCredentials } from './config/credentials.ts'
import type { BrokerSettings, Settings, TlsSettings, WillSettings } from './config/settings.ts'
import type { ExchangeStore } from './core/exchange-store.ts'
import { MqttTransport } from './transport/mqtt-transport.ts'
import type { BrokerAddress, TlsOptions } from './transport/socket.ts'
import type { Transport } from './transport/transport.ts'

/** What a connection is made with besides the settings. */
export interface ConnectionSurroundings {
  /** Is told each password that was read from a file or a function, so that nothing prints it. */
  readonly secret?: ((password: string) => void) | undefined
  /** Where QoS 2 messages that were done with are remembered. */
  readonly exchanges?: ExchangeStore | undefined
  /** One message at a time, whatever `maxInFlight` says: a route is strict. */
  readonly isStrict?: boolean | undefined
  /** Only the server's own connection has one: the end of any other would say that the server is gone. */
  readonly will?: WillSettings | undefined
}

/** Nothing is connected yet. */
export function connectionTo(
  { broker, maxInFlight, maxPacketBytes }: Settings,
  { secret, exchanges, isStrict = false, will }: ConnectionSurroundings,
): Transport {
  return new MqttTransport({
    address: addressOf(broker),
    clientId: broker.clientId,
    clean: broker.clean,
    credentials: () => currentCredentials(broker, secret),
    keepaliveSeconds: broker.keepaliveSeconds,
    sessionExpirySeconds: broker.sessionExpirySeconds,
    will,
    receiveMaximum: isStrict ? 1 : maxInFlight,
    maxPacketBytes,
    connectTimeoutMs: broker.connectTimeoutMs,
    exchanges,
  })
}

function addressOf(broker: BrokerSettings): BrokerAddress {
  const { host, port } = broker
  if (broker.transport === 'unix') return { type: 'unix', path: broker.socketPath ?? '' }
  const tls = broker.tls === undefined ? undefined : tlsOptions(broker.tls)
  if (broker.transport === 'tcp') return { type: 'tcp', host, port, tls }
  return { type: 'websocket', host, port, path: broker.wsPath, tls }
}

function tlsOptions({ ca, cert, key, servername, alpn }: TlsSettings): TlsOptions {
  const bytes = (text: string | undefined): Buffer | undefined =>
    text === undefined ? undefined : Buffer.from(text)
  return { ca: bytes(ca), cert: bytes(cert), key: bytes(key?.reveal()), servername, alpn }
}

// Opens the stream of bytes to a broker: tcp, tls, a unix socket or a websocket. The one door to ws.
import { connect as connectTcp, isIP } from 'node:net'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'
import type { Duplex } from 'node:stream'
import { createWebSocketStream, WebSocket } from 'ws'

/** How the broker is to prove who it is, and how we do. The broker's certificate is always verified. */
export interface TlsOptions {
  /** The name the certificate must carry, sent as SNI; the host unless told otherwise. */
  readonly servername?: string | undefined
  /** Application protocols to offer (ALPN), for brokers that share port 443. Not for websockets. */
  readonly alpn?: readonly string[] | undefined
  /** PEM. Trusted instead of the authorities Node.js brings. */
  readonly ca?: Buffer | undefined
  /** PEM. Our own certificate; needs `key`. */
  readonly cert?: Buffer | undefined
  readonly key?: Buffer | undefined
}

/** Where the broker listens, and how it is spoken to. */
export type BrokerAddress =
  | {
      readonly type: 'tcp'
      readonly host: string
      readonly port: number
      readonly tls?: TlsOptions | undefined
    }
  | { readonly type: 'unix'; readonly path: string }
  | {
      readonly type: 'websocket'
      readonly host: string
      readonly port: number
      /** With its leading slash, and a query where the broker wants one. */
      readonly path: string
      readonly tls?: TlsOptions | undefined
    }

/**
 * Begins to connect. What goes wrong comes as the stream's `error`; bad PEM throws at once.
 *
 * `connect` is emitted when bytes can flow (over TLS: before the handshake, which ends in `secureConnect`).
 *
 * @example
 * const stream = openSocket({ type: 'tcp', host: '127.0.0.1', port: 1883 })
 */
export function openSocket(address: BrokerAddress): Duplex {
  if (address.type === 'unix') return connectTcp({ path: address.path })
  if (address.type === 'websocket') return openWebSocket(address)
  const { host, port, tls } = address
  const socket =
    tls === undefined ? connectTcp({ host, port }) : connectTls({ host, port, ...tlsSettings(host, tls) })
  // Nagle's algorithm holds a small packet back until the one before it is acknowledged: 40 ms a round trip.
  return socket.setNoDelay(true)
}

function tlsSettings(host: string, tls: TlsOptions): ConnectionOptions {
  const { alpn, ca, cert, key } = tls
  // An IP address is never sent as SNI (RFC 6066, section 3).
  const servername = tls.servername ?? (isIP(host) === 0 ? host : undefined)
  return {
    // Said aloud, because NODE_TLS_REJECT_UNAUTHORIZED would change the default.
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
    ...(servername === undefined ? {} : { servername }),
    ...(alpn === undefined ? {} : { ALPNProtocols: [...alpn] }),
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  }
}

function openWebSocket(address: BrokerAddress & { type: 'websocket' }): Duplex {
  const { host, path, port, tls } = address
  const url = `${tls === undefined ? 'ws' : 'wss'}://${hostText(host)}:${port}${path}`
  const settings = tls === undefined ? {} : tlsSettings(host, { ...tls, alpn: undefined })
  // [MQTT-6.0.0-3]: the subprotocol is "mqtt" for every version. ws turns Nagle's algorithm off itself.
  const websocket = new WebSocket(url, 'mqtt', { ...settings, perMessageDeflate: false })
  // The stream listens only to the first error; a second one must not end the process.
  websocket.on('error', () => {})
  const stream = createWebSocketStream(websocket)
  websocket.once('open', () => stream.emit('connect'))
  return stream
}

/** The address as people write it. A websocket's query is left out: it may hold a token. */
export function addressText(address: BrokerAddress): string {
  if (address.type === 'unix') return `unix://${address.path}`
  const place = `${hostText(address.host)}:${address.port}`
  const secure = address.tls === undefined ? '' : 's'
  if (address.type === 'tcp') return `mqtt${secure}://${place}`
  return `ws${secure}://${place}${address.path.replace(/[?#].*$/s, '')}`
}

function hostText(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}

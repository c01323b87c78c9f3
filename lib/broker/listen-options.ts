// Where the embedded broker may listen, and what to say when it can not.
import { isIPv4, isIPv6 } from 'node:net'
import { MqttasgiError } from '../core/errors.ts'
import { silentLog, type Logger } from '../core/log.ts'

/** Where the embedded broker listens. */
export interface BrokerOptions {
  /** TCP port; 0 takes any free one. Default 1883. */
  readonly port?: number | undefined
  /** A loopback address: `127.0.0.1` (the default), `::1` or `localhost`. Others are refused. */
  readonly host?: string | undefined
  /** Told where it listens, and of clients that break the protocol. Default: nobody. */
  readonly log?: Logger | undefined
}

/** The same with every default in place. */
export interface CheckedOptions {
  readonly port: number
  readonly address: string
  readonly log: Logger
}

/** Throws ERR_BROKER_OPTION for what can not be meant. */
export function checkOptions(options: BrokerOptions): CheckedOptions {
  for (const name of Object.keys(options)) {
    if (name === 'port' || name === 'host' || name === 'log') continue
    throw new MqttasgiError(
      'ERR_BROKER_OPTION',
      `startBroker() has no option "${name}". Expected port, host or log.`,
    )
  }
  const { port = 1883, host = '127.0.0.1', log = silentLog } = options
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new MqttasgiError(
      'ERR_BROKER_OPTION',
      `Expected a port from 0 (any free one) to 65535 for the embedded broker, got ${String(port)}.`,
    )
  }
  return { port, address: loopbackAddress(host), log }
}

/**
 * The loopback address that `host` means, or ERR_BROKER_OPTION.
 *
 * Names other than localhost are refused without a look-up, and localhost itself is not looked up: a
 * hosts file could send it anywhere.
 */
function loopbackAddress(host: string): string {
  if (host === 'localhost') return '127.0.0.1'
  if (host === '::1' || host === '[::1]') return '::1'
  if (isIPv4(host) && host.startsWith('127.')) return host
  throw new MqttasgiError(
    'ERR_BROKER_OPTION',
    `The embedded broker listens on loopback only: it has no authentication. Expected 127.0.0.1, ::1 or localhost as host, got "${host}". To be reached from other machines, run a broker that can be secured, such as mosquitto.`,
  )
}

/** Host and port as they stand in a URL. */
export function brokerUrl(address: string, port: number): string {
  return `mqtt://${isIPv6(address) ? `[${address}]` : address}:${port}`
}

/** Why listening failed, in words that help. */
export function refusal(error: NodeJS.ErrnoException, port: number, address: string): MqttasgiError {
  const place = `port ${port} of ${address}`
  if (error.code === 'EADDRINUSE') {
    return new MqttasgiError(
      'ERR_BROKER_PORT',
      `The embedded broker needs ${place}, but something listens there already, most likely another broker. Stop it, connect to it (${brokerUrl(address, port)}) instead of starting one, or give another port; 0 takes any free one.`,
      { cause: error },
    )
  }
  const hint =
    error.code === 'EACCES'
      ? 'Ports below 1024 are for privileged users; give a higher one.'
      : 'Give another port or host.'
  return new MqttasgiError(
    'ERR_BROKER_PORT',
    `The embedded broker can not listen on ${place}: ${error.message}. ${hint}`,
    {
      cause: error,
    },
  )
}

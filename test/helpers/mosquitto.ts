// Starts the machine's own mosquitto on a free loopback port, so that tests talk to a real broker.
import { pbkdf2Sync, randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import type { Broker } from './broker.ts'
import { startBroker, type Command, type Place } from './broker-process.ts'
import { findExecutable } from './executable.ts'

/** How the broker is to be. Everything may be left out. */
export interface MosquittoOptions {
  /** One copy per matching subscription (true, mosquitto's default) or one per client. */
  readonly allowDuplicateMessages?: boolean
  /** Messages kept for a session beyond the window; 0, the default here, is no limit. */
  readonly maxQueuedMessages?: number
  /** Sessions and retained messages survive stop() and, saved at each change, nearly all of kill(). */
  readonly persistence?: boolean
  /** Unacknowledged messages per client when the client names no Receive Maximum. */
  readonly maxInflight?: number
  /** PEM files. `ca` is what client certificates are checked against. */
  readonly tls?: {
    readonly ca: string
    readonly cert: string
    readonly key: string
    readonly requireClientCertificate?: boolean
  }
  readonly websockets?: boolean
  /** Listens on a unix socket as well; `socketPath` says where. */
  readonly unixSocket?: boolean
  /** User and password; anonymous clients are refused then. */
  readonly passwords?: Readonly<Record<string, string>>
  /** More lines for the general part of its configuration file. */
  readonly extra?: readonly string[]
}

/** A running mosquitto. Over TLS the host of its url is `localhost`. */
export interface Mosquitto extends Broker {
  readonly socketPath: string | undefined
  /** Other users and passwords from now on (SIGHUP). Who is connected stays. */
  changePasswords(passwords: Readonly<Record<string, string>>): Promise<void>
}

export function mosquittoPath(): string | undefined {
  return findExecutable('mosquitto')
}

/** Resolves when it listens. Rejects with its log when it does not. */
export async function startMosquitto(options: MosquittoOptions = {}): Promise<Mosquitto> {
  const { tls, websockets, unixSocket } = options
  const scheme = websockets === true ? 'ws' : 'mqtt'
  const broker = await startBroker({
    name: 'mosquitto',
    url: ({ port }) =>
      tls === undefined ? `${scheme}://127.0.0.1:${port}` : `${scheme}s://localhost:${port}`,
    prepare: (place) => prepare(place, options),
    saysUp: ' running\n',
  })
  const socketPath = unixSocket === true || websockets === true ? join(broker.folder, 'socket') : undefined
  const changePasswords = async (passwords: Readonly<Record<string, string>>): Promise<void> => {
    const said = broker.log().length
    await writeFile(join(broker.folder, 'passwords'), passwordFile(passwords), { mode: 0o600 })
    if (broker.pid !== undefined) process.kill(broker.pid, 'SIGHUP')
    // Its log has no event of its own.
    while (!broker.log().slice(said).includes('Reloading config')) {
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
  return Object.assign(broker, { socketPath, changePasswords })
}

async function prepare({ folder, port }: Place, options: MosquittoOptions): Promise<Command> {
  const file = join(folder, 'mosquitto.conf')
  const { unixSocket, websockets } = options
  // mosquitto 2.0 does not start with a websocket listener alone (its issue 2284).
  const socketPath = unixSocket === true || websockets === true ? join(folder, 'socket') : undefined
  await writeFile(file, configuration(folder, port, socketPath, options))
  await writeFile(join(folder, 'passwords'), passwordFile(options.passwords ?? {}), { mode: 0o600 })
  return { file: mosquittoPath() ?? 'mosquitto', args: ['-c', file] }
}

function configuration(
  folder: string,
  port: number,
  socketPath: string | undefined,
  options: MosquittoOptions,
): string {
  const { tls, passwords } = options
  const lines = [
    'log_dest stderr',
    ...['error', 'warning', 'notice', 'information'].map((type) => `log_type ${type}`),
    'set_tcp_nodelay true',
    `max_queued_messages ${options.maxQueuedMessages ?? 0}`,
    `allow_anonymous ${passwords === undefined}`,
  ]
  if (process.getuid?.() === 0) lines.push('user root')
  if (passwords !== undefined) lines.push(`password_file ${join(folder, 'passwords')}`)
  if (options.maxInflight !== undefined) lines.push(`max_inflight_messages ${options.maxInflight}`)
  if (options.allowDuplicateMessages !== undefined) {
    lines.push(`allow_duplicate_messages ${options.allowDuplicateMessages}`)
  }
  if (options.persistence === true) {
    lines.push('persistence true', `persistence_location ${folder}/`)
    lines.push('autosave_on_changes true', 'autosave_interval 1')
  }
  lines.push(...(options.extra ?? []))
  if (socketPath !== undefined) lines.push(`listener 0 ${socketPath}`)
  // Given an address, its websocket listener binds all of them (issue 2085); an interface it obeys.
  if (options.websockets === true) lines.push(`listener ${port} ${loopback()}`, 'protocol websockets')
  else lines.push(`listener ${port} 127.0.0.1`)
  if (tls !== undefined) {
    lines.push(`cafile ${tls.ca}`, `certfile ${tls.cert}`, `keyfile ${tls.key}`)
    lines.push(`require_certificate ${tls.requireClientCertificate === true}`)
  }
  return `${lines.join('\n')}\n`
}

function loopback(): string {
  for (const [name, addresses] of Object.entries(networkInterfaces())) {
    if (addresses?.some(({ address }) => address === '127.0.0.1') === true) return name
  }
  throw new Error('No network interface has the address 127.0.0.1.')
}

/** mosquitto's own form, `$7$`: PBKDF2 with SHA-512; so that mosquitto_passwd need not be there. */
function passwordFile(passwords: Readonly<Record<string, string>>): string {
  const iterations = 101
  return Object.entries(passwords)
    .map(([user, password]) => {
      const salt = randomBytes(12)
      const hash = pbkdf2Sync(password, salt, iterations, 64, 'sha512')
      return `${user}:$7$${iterations}$${salt.toString('base64')}$${hash.toString('base64')}\n`
    })
    .join('')
}

// Starts the machine's own rabbitmq-server with its MQTT plugin: MQTT 3.1.1, honest prefetch, new packet ids at each redelivery.
import { readdirSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Broker } from './broker.ts'
import { startBroker, type Command, type Place } from './broker-process.ts'
import { findExecutable, isExecutable } from './executable.ts'

/** How the broker is to be. Everything may be left out. */
export interface RabbitmqOptions {
  /** Unacknowledged messages per client; 10 by default. */
  readonly prefetch?: number
}

const debian = '/usr/lib/rabbitmq/lib'

/** The script that becomes the server. Debian's own on the PATH is a wrapper, which changes the user. */
export function rabbitmqPath(): string | undefined {
  let versions: string[] = []
  try {
    versions = readdirSync(debian)
  } catch {
    // Not installed by Debian.
  }
  const scripts = versions.map((version) => join(debian, version, 'sbin', 'rabbitmq-server'))
  return scripts.find((file) => isExecutable(file)) ?? findExecutable('rabbitmq-server')
}

/** It takes about ten seconds: start one for a whole file. Sessions survive stop() and kill(). */
export async function startRabbitmq(options: RabbitmqOptions = {}): Promise<Broker> {
  return await startBroker({
    name: 'rabbitmq',
    // For Erlang's own connections, and for the daemon that tells their ports.
    otherPorts: 2,
    url: ({ port }) => `mqtt://127.0.0.1:${port}`,
    companion: portMapper,
    prepare: (place) => prepare(place, options),
    saysUp: 'Server startup complete',
    answersLate: true,
    patienceMs: 10_000,
  })
}

/** Started by hand, so that it does not become a daemon and ends with the broker. */
function portMapper({ otherPorts: [, port] }: Place): Command {
  return {
    file: findExecutable('epmd') ?? 'epmd',
    args: ['-port', String(port), '-address', '127.0.0.1'],
  }
}

async function prepare(place: Place, { prefetch = 10 }: RabbitmqOptions): Promise<Command> {
  const { folder, port, otherPorts } = place
  const settings = [
    'listeners.tcp = none',
    `mqtt.listeners.tcp.1 = 127.0.0.1:${port}`,
    'mqtt.allow_anonymous = true',
    'mqtt.default_user = guest',
    'mqtt.default_pass = guest',
    `mqtt.prefetch = ${prefetch}`,
  ]
  await mkdir(join(folder, 'home'), { recursive: true })
  await writeFile(join(folder, 'rabbitmq.conf'), `${settings.join('\n')}\n`)
  await writeFile(join(folder, 'plugins'), '[rabbitmq_mqtt].\n')
  await writeFile(join(folder, 'environment'), '')
  return {
    file: rabbitmqPath() ?? 'rabbitmq-server',
    args: [],
    env: {
      // Any word: the script then becomes the server instead of starting it, and signals reach it.
      detached: 'yes',
      // Erlang keeps its cookie there.
      HOME: join(folder, 'home'),
      ERL_EPMD_ADDRESS: '127.0.0.1',
      ERL_EPMD_PORT: String(otherPorts[1]),
      RABBITMQ_NODENAME: 'lab@localhost',
      RABBITMQ_DIST_PORT: String(otherPorts[0]),
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1}',
      RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq.conf'),
      RABBITMQ_CONF_ENV_FILE: join(folder, 'environment'),
      RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'plugins'),
      RABBITMQ_MNESIA_BASE: join(folder, 'mnesia'),
      RABBITMQ_LOG_BASE: join(folder, 'log'),
      RABBITMQ_LOGS: '-',
    },
  }
}

// Starts the machine's own ejabberd with mod_mqtt: MQTT 3.1.1 and 5, one message in flight, no shared subscriptions.
import { readdirSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Broker } from './broker.ts'
import { startBroker, type Command, type Place } from './broker-process.ts'
import { findExecutable } from './executable.ts'

const libraries = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/lib']
const login = { username: 'lab@localhost', password: 'pw' }

/** The folder of its compiled modules, where there is an Erlang to run them. */
export function ejabberdPath(): string | undefined {
  if (findExecutable('erl') === undefined) return undefined
  for (const library of libraries) {
    for (const entry of entries(library)) {
      const folder = join(library, entry, 'ebin')
      if (entry.startsWith('ejabberd') && entries(folder).includes('mod_mqtt.beam')) return folder
    }
  }
  return undefined
}

function entries(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

/** It forgets its sessions at stop() and kill(), and keeps retained messages. */
export async function startEjabberd(): Promise<Broker> {
  return await startBroker({
    name: 'ejabberd',
    login,
    url: ({ port }) => `mqtt://127.0.0.1:${port}`,
    prepare,
    saysUp: 'Start accepting TCP connections',
    answersLate: true,
    patienceMs: 10_000,
  })
}

async function prepare({ folder, port }: Place): Promise<Command> {
  const config = join(folder, 'ejabberd.yml')
  const data = join(folder, 'data')
  await mkdir(data, { recursive: true })
  await writeFile(config, configuration(port))
  const [user, host] = login.username.split('@')
  const register = `ejabberd_auth:try_register(<<"${user}">>,<<"${host}">>,<<"${login.password}">>)`
  const begin = `{ok, _} = application:ensure_all_started(ejabberd), ${register}.`
  return {
    file: findExecutable('erl') ?? 'erl',
    // Without a node name: no port mapper is started, and nothing but MQTT listens.
    args: ['-noinput', '-pa', ejabberdPath() ?? '', '-mnesia', 'dir', JSON.stringify(data), '-eval', begin],
    env: {
      HOME: folder,
      EJABBERD_CONFIG_PATH: config,
      EJABBERD_LOG_PATH: join(folder, 'log', 'ejabberd.log'),
      ERL_CRASH_DUMP_SECONDS: '0',
      SPOOL_DIR: data,
    },
  }
}

function configuration(port: number): string {
  return [
    'loglevel: info',
    'hosts: ["localhost"]',
    'auth_method: [internal]',
    'listen:',
    `  - {port: ${port}, ip: "127.0.0.1", module: mod_mqtt}`,
    'modules:',
    '  mod_mqtt: {access_publish: {}, access_subscribe: {}, max_queue: 5000, session_expiry: 1 hour}',
    '',
  ].join('\n')
}

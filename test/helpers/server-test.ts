// Tests that need a real server: run where it is, skipped by name where it is not, failed where it is demanded.
import test, { type ExecutionContext } from 'ava'
import { chromiumPath } from './chromium.ts'
import { ejabberdPath } from './ejabberd.ts'
import { mosquittoPath } from './mosquitto.ts'
import { natsPath } from './nats.ts'
import { postgresPath } from './postgres.ts'
import { rabbitmqPath } from './rabbitmq.ts'
import { redisPath } from './redis.ts'

/** The servers a test can ask for, and how to see that one is there. */
const servers = {
  mosquitto: { find: mosquittoPath, install: 'apt-get install mosquitto' },
  'nats-server': { find: natsPath, install: 'apt-get install nats-server' },
  'rabbitmq-server': { find: rabbitmqPath, install: 'apt-get install rabbitmq-server' },
  ejabberd: { find: ejabberdPath, install: 'apt-get install ejabberd' },
  'redis-server': { find: redisPath, install: 'apt-get install redis-server' },
  chromium: { find: chromiumPath, install: 'apt-get install chromium' },
  postgres: { find: postgresPath, install: 'apt-get install postgresql' },
} as const

export type ServerName = keyof typeof servers

type Implementation = ((t: ExecutionContext) => void) | ((t: ExecutionContext) => Promise<void>)

/** `(title, implementation)`, as AVA's own; `serial` for tests that need the machine for themselves. */
export interface ServerTest {
  (title: string, implementation: Implementation): void
  serial(title: string, implementation: Implementation): void
}

/**
 * AVA counts what is skipped and prints each title. With MQTTASGI_REQUIRE_SERVERS=1, as in the
 * continuous build, a missing server fails the test instead. MQTTASGI_WITHOUT_SERVERS=1 makes believe
 * that none is there.
 */
export function serverTest(name: ServerName): ServerTest {
  const { find, install } = servers[name]
  if (process.env['MQTTASGI_WITHOUT_SERVERS'] !== '1' && find() !== undefined) {
    const run = (title: string, implementation: Implementation): void => test(title, implementation)
    const serial = (title: string, implementation: Implementation): void => test.serial(title, implementation)
    return Object.assign(run, { serial })
  }
  const absent = process.env['MQTTASGI_REQUIRE_SERVERS'] === '1' ? failing(name, install) : skipping(name)
  return Object.assign(absent, { serial: absent })
}

function skipping(name: ServerName): (title: string, implementation: Implementation) => void {
  return (title, implementation) =>
    test.skip(`${title} (needs ${name}, which is not on PATH)`, implementation)
}

function failing(name: ServerName, install: string): (title: string, implementation: Implementation) => void {
  return (title) =>
    test(`${title} (needs ${name}, which is not on PATH)`, (t) => {
      t.fail(`MQTTASGI_REQUIRE_SERVERS=1, but there is no ${name}: ${install}`)
    })
}

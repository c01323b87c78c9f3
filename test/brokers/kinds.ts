// The brokers that a suite is run on, and what each of them can not do, so that what is skipped has its reason.
import type { Broker } from '../helpers/broker.ts'
import { startEjabberd } from '../helpers/ejabberd.ts'
import { startMosquitto } from '../helpers/mosquitto.ts'
import { startNats } from '../helpers/nats.ts'
import { startRabbitmq } from '../helpers/rabbitmq.ts'
import type { ServerName } from '../helpers/server-test.ts'
import type { WireRules } from '../helpers/wire-check.ts'
import { startStrictBroker } from './strict/broker.ts'
import type { Violation } from './strict/violation.ts'

export type BrokerName = 'mosquitto' | 'mosquitto-merging' | 'nats' | 'rabbitmq' | 'ejabberd' | 'strict'

export interface KindOptions {
  /** How soon a broker that resends by itself does so; Go's words. */
  readonly ackWait?: string
}

/** What a suite needs of a broker. */
export interface TestBroker extends Pick<Broker, 'port' | 'url' | 'login' | 'stop'> {
  /** What clients did wrong, where the broker tells. */
  readonly violations: readonly Violation[]
}

export interface Kind {
  readonly name: BrokerName
  /** The program; undefined for our own. */
  readonly server: ServerName | undefined
  readonly versions: readonly (4 | 5)[]
  /** How many it has in flight at most on MQTT 3.1.1, where no client can say so: a setting of its own. */
  readonly inFlight?: number
  readonly start: (options?: KindOptions) => Promise<TestBroker>
  /** What it can not do, each with the reason why a test on it is skipped. */
  readonly lacks: {
    readonly share?: string
    /** In-flight messages never exceed what the client has announced, or the broker's own setting. */
    readonly window?: string
    /** Several messages in flight at once. */
    readonly concurrency?: string
  }
}

/** Nobody to tell it. */
async function plain(broker: Promise<Broker>): Promise<TestBroker> {
  return Object.assign(await broker, { violations: [] })
}

/** One copy for each filter that matches, or one for all of them. */
function mosquitto(name: BrokerName, allowDuplicateMessages: boolean): Kind {
  return {
    name,
    server: 'mosquitto',
    versions: [5, 4],
    start: () => plain(startMosquitto({ maxQueuedMessages: 0, allowDuplicateMessages })),
    lacks: { window: 'mosquitto 2.0.11 sends more than Receive Maximum allows' },
  }
}

export const kinds: Readonly<Record<BrokerName, Kind>> = {
  mosquitto: mosquitto('mosquitto', true),
  'mosquitto-merging': mosquitto('mosquitto-merging', false),
  nats: {
    name: 'nats',
    server: 'nats-server',
    versions: [4],
    start: ({ ackWait = '30s' } = {}) => plain(startNats({ ackWait, maxAckPending: 100 })),
    lacks: {
      share: 'nats-server grants $share and delivers nothing',
      // Nor does it send again at once: what comes before is new to us.
      window: 'nats-server sends up to max_ack_pending, and again only after ack_wait',
    },
  },
  rabbitmq: {
    name: 'rabbitmq',
    server: 'rabbitmq-server',
    versions: [4],
    inFlight: 20,
    start: () => plain(startRabbitmq({ prefetch: 20 })),
    lacks: { share: 'rabbitmq 3.10 grants $share and delivers nothing' },
  },
  ejabberd: {
    name: 'ejabberd',
    server: 'ejabberd',
    versions: [5, 4],
    inFlight: 1,
    start: () => plain(startEjabberd()),
    lacks: {
      share: 'ejabberd answers no SUBSCRIBE with $share',
      concurrency: 'ejabberd has one message in flight',
    },
  },
  strict: {
    name: 'strict',
    server: undefined,
    versions: [5, 4],
    start: async () => Object.assign(await startStrictBroker(), { login: undefined }),
    lacks: {},
  },
}

/** What the wire is to be held against: the window, where this broker keeps to one. */
export function windowOf({ inFlight, lacks }: Kind, version: 4 | 5): Pick<WireRules, 'window'> {
  if (lacks.window !== undefined) return {}
  if (version === 5) return { window: 'announced' }
  return inFlight === undefined ? {} : { window: inFlight }
}

export function isBrokerName(name: string): name is BrokerName {
  return Object.hasOwn(kinds, name)
}

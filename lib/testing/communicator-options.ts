// The options of MqttCommunicator: who the consumer is and what it finds, and what each of them must be.
import type { ChannelLayer } from '../core/channel-layer.ts'
import type { Clock } from '../core/clock.ts'
import { MqttasgiError } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'
import type { ScopeParams } from '../core/scope.ts'
import { faultBy, isWhole, type Rule } from '../config/rules.ts'
import { isPlain, workerRules } from '../config/worker.ts'
import { MemoryBroker } from './memory-broker.ts'

/** Who the consumer is, and what it finds. */
export interface MqttCommunicatorOptions {
  /** Default: 0. */
  readonly appId?: string | number
  /** Only a `master` may spawn. Default: worker. */
  readonly instanceType?: 'master' | 'worker'
  readonly params?: ScopeParams
  /** The pattern under which its routes and subscriptions lie. */
  readonly mount?: string
  /** How many of a worker run side by side: each key's messages go to one of them. Default: 1. */
  readonly instances?: number
  /** All subscriptions of a worker are shared with this group. */
  readonly share?: string
  /** Shared by several communicators. Default: one of its own. */
  readonly broker?: MemoryBroker
  /** Shared by several communicators. Default: one in memory of its own. */
  readonly channels?: ChannelLayer
  /** The time of the consumer, as of its retries and time limits; a `FakeClock`. Default: that of the machine. */
  readonly clock?: Clock
  /** How often a message is tried at most. Default: 1. */
  readonly attempts?: number
  /** What stands for the files that are named at `spawn()`. */
  readonly applications?: Readonly<Record<string, object>>
  readonly log?: Logger
}

const { instances, mount, params, share } = workerRules

const rules: Readonly<Record<keyof MqttCommunicatorOptions, Rule>> = {
  appId: [
    'a text that is not empty, or a number',
    (value) => typeof value === 'number' || (typeof value === 'string' && value !== ''),
  ],
  instanceType: ["'master' or 'worker'", (value) => value === 'master' || value === 'worker'],
  params,
  mount,
  instances,
  share,
  broker: ['a MemoryBroker', (value) => value instanceof MemoryBroker],
  channels: ['a channel layer, such as new InMemoryChannelLayer()', isObject],
  clock: ['a clock, such as new FakeClock()', isObject],
  attempts: ['a whole number, 1 or more', isWhole(1, 1_000_000)],
  applications: ["an object such as { './pump.ts#Pump': Pump }", isPlain],
  log: ['a logger', isObject],
}

/** Throws `ERR_CONFIG_KEY`, `ERR_CONFIG_VALUE` and `ERR_CONFIG_CONFLICT` for what can not be meant. */
export function checkCommunicatorOptions(options: MqttCommunicatorOptions): void {
  if (!isPlain(options)) {
    throw new MqttasgiError('ERR_CONFIG_VALUE', 'MqttCommunicator expects an object such as { appId: 1 }.')
  }
  const fault = faultBy(rules, options, 'MqttCommunicator')
  if (fault !== undefined) {
    const code = fault.isUnknown ? 'ERR_CONFIG_KEY' : 'ERR_CONFIG_VALUE'
    throw new MqttasgiError(code, `${fault.key} (MqttCommunicator): ${fault.what}`)
  }
  const { instances: count = 1, instanceType, share: group } = options
  if (instanceType !== 'master' || (count === 1 && group === undefined)) return
  throw new MqttasgiError(
    'ERR_CONFIG_CONFLICT',
    'MqttCommunicator: instances and share are for a worker, and a master runs once. Leave them out.',
  )
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null
}

// What a consumer can reach from the moment it runs: the server it runs on, and what it is there.
import { firstRouteOf, type ChainPlan } from '../core/chain-plan.ts'
import { MqttasgiError } from '../core/errors.ts'
import { hopsOf, oneHopOn } from '../core/hops.ts'
import type { ReceiverIdentity } from '../core/hosted.ts'
import type { Message, Payload, PublishOptions, PublishResult } from '../core/message.ts'
import type { Client } from '../core/receiver.ts'
import { forbiddingWorkforce, unattachedWorkforce } from '../core/refusing-workforce.ts'
import { unattachedClient } from '../core/unattached-client.ts'
import type { Workforce } from '../core/workforce.ts'
import type { ConsumerChannels } from './consumer-channels.ts'
import type { ConsumerPlans } from './consumer-plans.ts'
import type { HeldSubscriptions } from './held-subscriptions.ts'

/** The parts of one consumer. */
export interface ConsumerSessionParts {
  readonly identity: ReceiverIdentity
  readonly subscriptions: HeldSubscriptions
  readonly plans: ConsumerPlans
  readonly channels: ConsumerChannels
}

export class ConsumerSession implements ConsumerSessionParts {
  readonly identity: ReceiverIdentity
  readonly subscriptions: HeldSubscriptions
  readonly plans: ConsumerPlans
  readonly channels: ConsumerChannels
  /** Of the connection, with whole filters: mounts are the subscriptions' own concern. */
  client: Client = unattachedClient
  /** The message whose handler runs, and its way. */
  running: { readonly message: Message; readonly plan: ChainPlan } | undefined = undefined

  constructor({ channels, identity, plans, subscriptions }: ConsumerSessionParts) {
    this.identity = identity
    this.subscriptions = subscriptions
    this.plans = plans
    this.channels = channels
  }

  publish(topic: string, payload: Payload, options?: PublishOptions): Promise<PublishResult> {
    const { client, identity, plans, running } = this
    if (running === undefined) return client.publish(topic, payload, options)
    const { message, plan } = running
    // Which of its routes has control the consumer itself does not say: the first one counts.
    const refusal = plans.application.rates.refusal(firstRouteOf(plan.layers), topic)
    if (refusal !== undefined) return Promise.reject(refusal)
    if (identity.rules?.countHops !== true) return client.publish(topic, payload, options)
    return client.publish(topic, payload, oneHopOn(hopsOf(message.properties), options))
  }

  get workforce(): Workforce {
    const { id, scope, workforce } = this.identity
    if (scope.instanceType === 'worker') return forbiddingWorkforce(id)
    return workforce ?? unattachedWorkforce
  }
}

const sessions = new WeakMap<object, ConsumerSession>()

export function attachSession(consumer: object, session: ConsumerSession): void {
  sessions.set(consumer, session)
}

/** Throws `ERR_NOT_ATTACHED` for a consumer that nothing runs. */
export function sessionOf(consumer: object): ConsumerSession {
  const session = sessions.get(consumer)
  if (session !== undefined) return session
  throw new MqttasgiError(
    'ERR_NOT_ATTACHED',
    `${consumer.constructor.name} is run by no server yet. Give its class to serve(), workers or spawn(), and use its methods from connect() on.`,
  )
}

// The routes of an application in another thread, as plain data, and the plans that the server makes of them here.
import { PlanFamily, type ChainPlan, type PlanSource } from '../core/chain-plan.ts'
import { resolveDelivery, type ResolvedDelivery } from '../core/delivery-options.ts'
import { MqttasgiError } from '../core/errors.ts'
import type { HostedReceiver } from '../core/hosted.ts'
import { Layer } from '../core/layer.ts'
import { silentLog } from '../core/log.ts'
import type { ContextHost } from '../core/message-context.ts'
import type { Message } from '../core/message.ts'
import { pattern } from '../core/pattern.ts'
import type { Interest, RetryPolicy } from '../core/receiver.ts'
import type { ResolvedRouteOptions } from '../core/route.ts'
import type { FlatRoute } from '../core/router.ts'
import { masterScope } from '../core/scope.ts'
import { topicTree, type TopicIndex } from '../core/topic-tree.ts'
import { unattachedClient } from '../core/unattached-client.ts'
import { FinalRemoteError } from './wire-error.ts'

/** How the messages of a route are run, without what can not cross: functions and classes. */
export interface WireDelivery extends Omit<ResolvedDelivery, 'key' | 'retry'> {
  readonly key: string | undefined
  readonly retry: Omit<RetryPolicy, 'never'>
}

/** One route. */
export interface RouteRow {
  readonly pattern: string
  readonly options: Omit<ResolvedRouteOptions, 'delivery'>
  readonly delivery: WireDelivery
}

export interface RouteTable {
  readonly rows: readonly RouteRow[]
  /** Of messages that none of the routes matches. */
  readonly unmatched: WireDelivery
}

const unlessToldOtherwise: WireDelivery = wireDelivery(resolveDelivery({}, {}))

/** Of a receiver that has not said anything yet. */
export const emptyTable: RouteTable = { rows: [], unmatched: unlessToldOtherwise }

/** The table of a receiver. Throws `ERR_WORKER_THREAD_KEY` for a key that is a function. */
export function routeTable(
  receiver: Pick<HostedReceiver, 'id' | 'interests' | 'routes' | 'unmatchedDelivery'>,
): RouteTable {
  const rows =
    receiver.routes === undefined
      ? receiver.interests().map(rowOfInterest)
      : receiver.routes().map((route) => rowOf(route, receiver.id))
  const { unmatchedDelivery } = receiver
  return {
    rows,
    unmatched: unmatchedDelivery === undefined ? unlessToldOtherwise : wireDelivery(unmatchedDelivery),
  }
}

function rowOf({ delivery, options, pattern: text }: FlatRoute, id: string): RouteRow {
  if (typeof delivery.key === 'function') {
    throw new MqttasgiError(
      'ERR_WORKER_THREAD_KEY',
      `Route "${text}" of worker "${id}" has a key function, and order is kept in another thread than its own. Name a parameter of the pattern instead: key: 'room'.`,
      { receiver: id },
    )
  }
  const { delivery: _, ...subscribing } = options
  return { pattern: text, options: subscribing, delivery: wireDelivery(delivery) }
}

function wireDelivery({ key, retry, ...rest }: ResolvedDelivery): WireDelivery {
  const { never: _, ...policy } = retry
  return { ...rest, key: typeof key === 'string' ? key : undefined, retry: policy }
}

// A receiver without routes says what it subscribes to, and runs it as all is run unless told otherwise.
function rowOfInterest(interest: Interest): RouteRow {
  const { filter, noLocal, qos, retainAsPublished, retainHandling, share } = interest
  return {
    pattern: filter,
    options: { qos, noLocal, retainHandling, retainAsPublished, share, description: undefined },
    delivery: unlessToldOtherwise,
  }
}

// Nothing is run here: plans are made, and keys are names.
const nobody = { errorHandlers: [], unmatchedHandlers: [] }
const nowhere: ContextHost = {
  app: { topic: () => undefined, ready: async () => {} },
  scope: masterScope,
  log: silentLog,
  client: unattachedClient,
}

/** The plans of one table. */
export class TablePlans {
  readonly #tree: TopicIndex<Layer>
  readonly #source: PlanSource
  readonly #families = new WeakMap<readonly Layer[], PlanFamily>()

  constructor({ rows, unmatched }: RouteTable) {
    this.#tree = topicTree(rows.map((row) => ({ filter: pattern(row.pattern).filter, value: layerOf(row) })))
    this.#source = { ...nobody, unmatchedDelivery: deliveryOf(unmatched) }
  }

  of(message: Message): ChainPlan {
    const matched = this.#tree.match(message.topic)
    let family = this.#families.get(matched)
    if (family === undefined) {
      family = new PlanFamily(matched, this.#source, nowhere)
      this.#families.set(matched, family)
    }
    return family.of(message.share)
  }
}

function layerOf({ delivery, options, pattern: text }: RouteRow): Layer {
  const whole = pattern<string>(text)
  return new Layer({
    handler: function inAnotherThread() {},
    pattern: whole,
    filter: whole.filter,
    route: { ...options, delivery: {} },
    delivery: deliveryOf(delivery),
    owners: [nobody],
  })
}

function deliveryOf(delivery: WireDelivery): ResolvedDelivery {
  return { ...delivery, retry: { ...delivery.retry, never: [FinalRemoteError] } }
}

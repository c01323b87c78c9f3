// mqttasgi routes: what is registered, as a tree, and what the broker would be told.
import { defaultRetry, defaultTimeoutMs, type ResolvedDelivery } from '../core/delivery-options.ts'
import type { Interest } from '../core/receiver.ts'
import type { FlatRoute } from '../core/router.ts'
import { planSubscriptions } from '../server/subscriptions.ts'
import { type Command, configure } from './command.ts'
import { exitCodes } from './exit-codes.ts'
import { interestsOf, knownLater, noneKnown, type Placed, placedApplications, titleOf } from './placed.ts'
import { drawTree } from './tree.ts'

/** Prints the routes of the application and of each worker, and the filters; connects to nothing. */
export const routes: Command = async (context) => {
  const { terminal } = context
  const configured = await configure(context)
  const placed = await placedApplications(configured)
  for (const one of placed) {
    terminal.print(titleOf(one))
    terminal.print(linesOf(one))
    terminal.print('')
  }
  const subscriptions = planSubscriptions(placed.flatMap(interestsOf), {
    highestQoS: configured.settings.qos2 === 'durable' ? 2 : 1,
  })
  terminal.print('subscribed at the broker')
  const width = Math.max(0, ...subscriptions.map(({ request }) => request.filter.length))
  for (const { request } of subscriptions) {
    terminal.print(`   ${request.filter.padEnd(width)}  qos ${request.qos}${flagsOf(request)}`)
  }
  if (subscriptions.length === 0) terminal.print(`   ${noneKnown(placed) ?? 'nothing'}`)
  return exitCodes.clean
}

function linesOf(placed: Placed): string {
  const { application, mount } = placed
  const tree = application === undefined ? [] : drawTree(application.routes(mount).map(entryOf))
  const later = knownLater(placed)
  if (later !== undefined) return [...tree, later].join('\n')
  return tree.length === 0 ? '   no routes: app.topic(pattern, handler) adds one' : tree.join('\n')
}

function entryOf({ pattern, options, delivery, handlers }: FlatRoute): {
  pattern: string
  cells: readonly string[]
} {
  const { qos, share, description } = options
  const about = [`qos ${qos}`, ...(share === undefined ? [] : [`share ${share}`]), ...deliveryWords(delivery)]
  const flags = flagsOf(options)
  return { pattern, cells: [about.join(', ') + flags, handlers.join(', '), description ?? ''] }
}

// What is not as it is unless told otherwise.
function deliveryWords(delivery: ResolvedDelivery): string[] {
  const {
    concurrency,
    deadLetter,
    debounceMs,
    maxPublishRate,
    order,
    overflow,
    retry,
    throttleMs,
    timeoutMs,
  } = delivery
  return [
    ...(timeoutMs === defaultTimeoutMs ? [] : [timeoutMs === 0 ? 'no timeout' : `timeout ${timeoutMs} ms`]),
    ...(order === 'topic' ? [] : [`order ${order}`]),
    ...(concurrency === undefined ? [] : [`concurrency ${concurrency}`]),
    ...(overflow === 'block' ? [] : [`overflow ${overflow}`]),
    ...(throttleMs === 0 ? [] : [`throttle ${throttleMs} ms`]),
    ...(debounceMs === 0 ? [] : [`debounce ${debounceMs} ms`]),
    ...(maxPublishRate === 0 ? [] : [`${maxPublishRate} publications/s`]),
    ...(retry.attempts === defaultRetry.attempts
      ? []
      : [`${retry.attempts} ${retry.attempts === 1 ? 'attempt' : 'attempts'}`]),
    ...(deadLetter ? [] : ['no dead letters']),
  ]
}

function flagsOf({
  noLocal,
  retainHandling,
  retainAsPublished,
}: Pick<Interest, 'noLocal' | 'retainHandling' | 'retainAsPublished'>): string {
  return [
    noLocal ? ', noLocal' : '',
    retainHandling === 0 ? '' : `, retainHandling ${retainHandling}`,
    retainAsPublished ? ', retainAsPublished' : '',
  ].join('')
}

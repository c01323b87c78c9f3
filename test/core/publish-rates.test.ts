import test from 'ava'
import { resolveDelivery } from '../../lib/core/delivery-options.ts'
import { Layer } from '../../lib/core/layer.ts'
import { silentLog } from '../../lib/core/log.ts'
import { pattern } from '../../lib/core/pattern.ts'
import { PublishRates } from '../../lib/core/publish-rates.ts'
import { resolveRouteOptions } from '../../lib/core/route.ts'
import { FakeClock } from '../helpers/fake-clock.ts'

interface Stage {
  readonly clock: FakeClock
  readonly warnings: string[]
  /** How many of so many publications in one moment are sent. */
  readonly sent: (route: Layer | undefined, count: number) => number
  readonly refusals: () => number
  readonly rates: PublishRates
}

function stage(): Stage {
  const clock = new FakeClock()
  const warnings: string[] = []
  let refused = 0
  const log = { ...silentLog, warn: (message: string) => void warnings.push(message) }
  const rates = new PublishRates({ clock, log, refused: () => void refused++ })
  return {
    clock,
    warnings,
    rates,
    sent: (route, count) =>
      Array.from({ length: count }, () => rates.refusal(route, 'out')).filter((error) => error === undefined)
        .length,
    refusals: () => refused,
  }
}

function route(text: string, maxPublishRate?: number): Layer {
  const whole = pattern<string>(text)
  return new Layer({
    handler: () => {},
    pattern: whole,
    filter: whole.filter,
    route: resolveRouteOptions(text, {}, undefined),
    delivery: resolveDelivery(maxPublishRate === undefined ? {} : { maxPublishRate }, {}),
    owners: [],
  })
}

/** The same route as it stands elsewhere, or flattened anew. */
function under(text: string, { delivery, handler, owners, route }: Layer): Layer {
  const whole = pattern<string>(text)
  return new Layer({ handler, pattern: whole, filter: whole.filter, route, delivery, owners })
}

test('without a limit, and outside of routes, nothing is refused', (t) => {
  const { refusals, sent, warnings } = stage()
  t.is(sent(route('a'), 10_000), 10_000)
  t.is(sent(route('a', 0), 10_000), 10_000)
  t.is(sent(undefined, 10_000), 10_000)
  t.is(refusals(), 0)
  t.deepEqual(warnings, [])
})

test('as many as the limit go out within a second, in each second', (t) => {
  const { clock, sent, refusals } = stage()
  const one = route('a', 5)
  for (let second = 0; second < 30; second++) {
    t.is(sent(one, 2), 2)
    clock.advance(500)
    t.is(sent(one, 3), 3)
    clock.advance(500)
  }
  t.is(refusals(), 0)
})

test('one more closes the route for ten seconds, is said once and counted, and then it is open again', (t) => {
  const { clock, rates, refusals, sent, warnings } = stage()
  const one = route('a/+x', 5)
  t.is(sent(one, 8), 5)
  t.is(refusals(), 3)
  t.is(warnings.length, 1)
  t.regex(
    warnings[0] ?? '',
    /"a\/\+x" have published more than 5 messages within a second \(maxPublishRate\).*10 s/,
  )
  clock.advance(9_999)
  const error = rates.refusal(one, 'out')
  t.is(error?.code, 'ERR_PUBLISH_RATE')
  t.is(error?.topic, 'out')
  t.regex(error?.message ?? '', /"out" was not published: the handlers of "a\/\+x".*more than 5 messages/)
  clock.advance(1)
  t.is(sent(one, 6), 5)
  t.is(warnings.length, 2)
})

test('routes are counted each for itself', (t) => {
  const { sent } = stage()
  const first = route('a', 2)
  t.is(sent(first, 5), 2)
  t.is(sent(route('b', 3), 5), 3)
  t.is(sent(route('c'), 5), 5)
  // Two with one pattern are two.
  t.is(sent(route('a', 2), 5), 2)
  // Flattened anew it is the same route, and mounted elsewhere it is another one.
  t.is(sent(under('a', first), 5), 0)
  t.is(sent(under('hall/a', first), 5), 2)
})

import test from 'ava'
import { ApplicationNode, mqttasgi, type Application } from '../../lib/core/application.ts'
import { followedBy, type ChainPlan } from '../../lib/core/chain-plan.ts'
import type { Attempt } from '../../lib/core/receiver.ts'
import type { Message } from '../../lib/core/message.ts'
import { Deferred } from '../../lib/core/deferred.ts'
import { Router } from '../../lib/core/router.ts'

function message(topic: string, payload = ''): Message {
  return { topic, payload: Buffer.from(payload), qos: 1, retain: false, dup: false, properties: {} }
}

function planOf(app: Application, topic: string): ChainPlan {
  if (!(app instanceof ApplicationNode)) throw new TypeError('no application')
  return app.receiver().plan(message(topic))
}

const handler = (): void => {}

test('of several routes the least time counts, and the strictest order', (t) => {
  const app = mqttasgi()
  app.topic('a/+', { timeoutMs: 500, holdMs: 9_000, order: 'none' }, handler)
  app.topic('a/b', { timeoutMs: 0, holdMs: 3_000 }, handler)
  app.topic('a/#', { order: 'strict' }, handler)
  t.like(planOf(app, 'a/b'), {
    timeoutMs: 500,
    holdMs: 3_000,
    order: 'strict',
    routes: ['a/+', 'a/b', 'a/#'],
  })
})

test('where no route matches the times of the application count, and messages of one topic wait for each other', (t) => {
  const inOrder = { order: 'topic', routes: [], limits: [], shedding: undefined } as const
  t.like(planOf(mqttasgi(), 'x'), { timeoutMs: 30_000, holdMs: 60_000, ...inOrder })
  const more = { order: 'none', concurrency: 1, overflow: 'latest' } as const
  const app = mqttasgi({ timeoutMs: 100, holdMs: 300, ...more })
  const inner = Router({ timeoutMs: 7, holdMs: 9 })
  inner.use(handler)
  app.use('x', inner)
  app.topic('a', { timeoutMs: 8, holdMs: 10 }, handler)
  t.like(planOf(app, 'x'), { timeoutMs: 100, holdMs: 300, ...inOrder })
  t.like(planOf(mqttasgi({ timeoutMs: 0 }), 'x'), { timeoutMs: 0, holdMs: 60_000 })
})

test('what follows a plan is one layer more, and changes nothing of how the message is run', (t) => {
  const app = mqttasgi()
  app.topic('a', { timeoutMs: 500 }, handler)
  const [last] = planOf(mqttasgi().topic('#', { timeoutMs: 5, order: 'strict' }, handler), 'a').layers
  const plan = planOf(app, 'a')
  const { ending: _, layers, ...rest } = followedBy(plan, last!)
  t.deepEqual(layers, [...plan.layers, last!])
  t.like(plan, rest)
})

test('without any limit of their own all wait for the hold of the message', (t) => {
  const app = mqttasgi({ timeoutMs: 0 })
  app.topic('a', handler)
  t.like(planOf(app, 'a'), { timeoutMs: 0, holdMs: 60_000 })
})

test('a key sees the message with the parameters of its route; the first one counts', (t) => {
  const app = mqttasgi()
  app.topic('a/+', handler)
  app.topic('+kind/+id', { key: (ctx) => `${ctx.params.kind}-${ctx.params.id}-${ctx.text()}` }, handler)
  app.topic('a/#', { key: () => 'never' }, handler)
  const plan = planOf(app, 'a/7')
  t.is(plan.order, 'key')
  t.is(plan.keyOf?.(message('a/7', 'x')), 'a-7-x')
})

test('a key that is no text is refused, and what a promise for one rejects with ends nothing', (t) => {
  const app = mqttasgi()
  const wrong = (key: () => unknown): { key: () => string } => ({ key: key as () => string })
  app.topic(
    'a',
    wrong(() => Promise.reject(new Error('no'))),
    handler,
  )
  app.topic(
    'b',
    wrong(() => undefined),
    handler,
  )
  for (const [topic, what] of [
    ['a', 'a promise'],
    ['b', 'a value of type undefined'],
  ] as const) {
    t.throws(() => planOf(app, topic).keyOf?.(message(topic)), {
      code: 'ERR_ROUTE_OPTION',
      message: `The key function of route "${topic}" returned ${what}, expected a text.`,
    })
  }
})

test('limits are sorted by their routes, whatever the order of registration', (t) => {
  const app = mqttasgi()
  app.topic('b/#', { concurrency: 2 }, handler, handler)
  app.topic('b/+', { concurrency: 3 }, handler)
  app.topic('+/x', { concurrency: 1 }, handler)
  t.deepEqual(planOf(app, 'b/x').limits, [
    { name: '+/x', most: 1 },
    { name: 'b/#', most: 2 },
    { name: 'b/+', most: 3 },
  ])
})

test('messages are shed only where all their routes can do without them', (t) => {
  const app = mqttasgi()
  app.topic('a/+', { overflow: 'latest', throttleMs: 100 }, handler)
  app.topic('a/b', { overflow: 'drop-oldest', maxWaiting: 5 }, handler)
  app.topic('a/c', handler)
  t.like(planOf(app, 'a/b').shedding, { name: 'a/+', overflow: 'latest', throttleMs: 100 })
  t.is(planOf(app, 'a/c').shedding, undefined)
})

test('what follows a failure is up to the route that failed; else to the first', (t) => {
  const app = mqttasgi({ retry: { attempts: 2 } })
  const inner = Router({ retry: { attempts: 7 }, deadLetter: false })
  inner.topic('+', handler)
  app.topic('a/#', handler)
  app.use('a', inner)
  const { failurePolicy } = planOf(app, 'a/b')
  t.like(failurePolicy('a/#', 1), { retry: { attempts: 2 }, deadLetter: true })
  t.like(failurePolicy('a/+', 1), { retry: { attempts: 7 }, deadLetter: false })
  t.like(failurePolicy(undefined, 1), { retry: { attempts: 2 }, deadLetter: true })
})

test('what follows a failure without a route is up to the application', (t) => {
  class Hopeless extends Error {}
  const app = mqttasgi({ retry: { attempts: 4, never: [Hopeless] }, deadLetter: false })
  app.use(Router({ retry: { attempts: 9 }, deadLetter: true }).use(handler))
  app.topic('a', { retry: { attempts: 2 }, deadLetter: true }, handler)
  const { failurePolicy } = planOf(app, 'none')
  t.like(failurePolicy(undefined, 1), { retry: { attempts: 4, never: [Hopeless] }, deadLetter: false })
  t.like(failurePolicy(undefined, 0), { retry: { attempts: 1 }, deadLetter: false })
  const silent = planOf(mqttasgi(), 'none')
  t.like(silent.failurePolicy(undefined, 1), { retry: { attempts: 3 }, deadLetter: true })
  t.like(silent.failurePolicy(undefined, 0), { retry: { attempts: 1 }, deadLetter: false })
})

test('two routes with one pattern are two routes: what each asks for counts', (t) => {
  const app = mqttasgi()
  app.topic('a', { overflow: 'latest', order: 'none', concurrency: 3 }, handler, handler)
  app.topic('a', { order: 'topic', timeoutMs: 100, concurrency: 2, deadLetter: false }, handler)
  app.topic('a', { retry: { attempts: 9 } }, handler)
  app.topic('a', handler)
  const plan = planOf(app, 'a')
  t.like(plan, { routes: ['a'], order: 'topic', timeoutMs: 100, shedding: undefined })
  t.deepEqual(plan.limits, [{ name: 'a', most: 2 }])
  t.like(plan.failurePolicy('a', 1), { retry: { attempts: 9 }, deadLetter: true })
  t.like(plan.failurePolicy('a', 0), { retry: { attempts: 9 }, deadLetter: false })
})

test('QoS 0 is neither tried again nor kept, unless the route itself says so', (t) => {
  const app = mqttasgi({ retry: { attempts: 5 }, deadLetter: true })
  app.topic('a', handler)
  app.topic('b', { retry: { attempts: 4 }, deadLetter: true }, handler)
  t.like(planOf(app, 'a').failurePolicy('a', 0), { retry: { attempts: 1 }, deadLetter: false })
  t.like(planOf(app, 'b').failurePolicy('b', 0), { retry: { attempts: 4 }, deadLetter: true })
})

test('where nobody can tell whose subscription brought a message, all routes that match run', (t) => {
  const app = mqttasgi()
  app.topic('a/+', handler)
  app.topic('$share/team/a/#', handler)
  if (!(app instanceof ApplicationNode)) throw new TypeError('no application')
  const receiver = app.receiver()
  const routesOf = (share: string | null | undefined): readonly string[] =>
    receiver.plan({ ...message('a/b'), share }).routes
  t.deepEqual(routesOf(undefined), ['a/+'])
  t.deepEqual(routesOf('team'), ['a/#'])
  t.deepEqual(routesOf(null), ['a/+', 'a/#'])
})

test('onError hears of an attempt that was given up once, whatever its handler ends in later', async (t) => {
  const app = mqttasgi()
  const heard: string[] = []
  const ended = new Deferred()
  app.topic('a', () => ended.promise)
  app.onError((error) => void heard.push(error.message))
  if (!(app instanceof ApplicationNode)) throw new TypeError('no application')
  const receiver = app.receiver()
  const attempt: Attempt = { number: 1, signal: new AbortController().signal, chain: undefined, extend() {} }
  const outcome = receiver.receive(message('a'), receiver.plan(message('a')), attempt)
  const late = new Error('too late')
  t.like(await attempt.chain?.giveUp(late), { type: 'failed', error: late })
  ended.reject(new Error('it can not'))
  t.like(await outcome, { type: 'failed', error: { message: 'it can not' } })
  t.deepEqual(heard, ['too late'])
})

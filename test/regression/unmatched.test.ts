// Messages that no route matches fail, take too long and are kept as all others are: by what their application says.
import { Deferred } from '../../lib/core/deferred.ts'
import { Drop, mqttasgi, Reject, Retry, Router, type Application } from '../../lib/index.ts'
import type { Served } from '../integration/serving.ts'
import { Tally } from '../integration/tally.ts'
import { finding, settled, type StrictScene } from './strict-scene.ts'

/** Serves what has asked for `mw/#` by hand. */
async function listening({ serve }: StrictScene, app: Served, maxInFlight = 32): ReturnType<typeof serve> {
  const server = await serve(app, { maxInFlight })
  await server.subscribe('mw/#')
  return server
}

const brief = { retry: { attempts: 4, minDelayMs: 1, maxDelayMs: 2 } }

finding('a middleware that throws is run again, and its message becomes a dead letter', async (t, on) => {
  const runs = new Tally()
  const app = mqttasgi(brief)
  app.use((ctx) => {
    runs.add(ctx.attempt)
    throw new Error('the database is away')
  })
  const server = await listening(on, app)
  on.broker.publish('mw/1', 'x')
  await settled(on.broker, 1)
  t.deepEqual(runs.keys, ['1', '2', '3', '4'])
  t.like(server.counters, { retried: 3, deadLettered: 1, failed: 0, unmatched: 0 })
})

finding('without a word it is run three times, and one that ends well then is unmatched', async (t, on) => {
  const runs = new Tally()
  const app = mqttasgi()
  app.use(async (ctx, next) => {
    runs.add(ctx.attempt)
    if (ctx.attempt < 3) throw new Retry({ afterMs: 1 })
    await next()
  })
  const server = await listening(on, app)
  on.broker.publish('mw/1', 'x')
  await settled(on.broker, 1)
  t.deepEqual(runs.keys, ['1', '2', '3'])
  t.like(server.counters, { retried: 2, deadLettered: 0, unmatched: 1 })
})

class Hopeless extends Error {}

const ways: readonly (readonly [name: string, thrown: () => Error, counted: object])[] = [
  ['Reject', () => new Reject('no', { reasonCode: 0x99 }), { retried: 0, deadLettered: 1 }],
  ['Drop', () => new Drop('nobody needs it'), { retried: 0, dropped: 1 }],
  ['Retry', () => new Retry({ afterMs: 1 }), { retried: 3, deadLettered: 1 }],
  ['an error of retry.never', () => new Hopeless(), { retried: 0, deadLettered: 1 }],
]

for (const [name, thrown, counted] of ways) {
  finding(`${name} in onUnmatched counts as in a route`, async (t, on) => {
    const app = mqttasgi({ retry: { ...brief.retry, never: [Hopeless] } })
    app.onUnmatched(() => {
      throw thrown()
    })
    const server = await listening(on, app)
    on.broker.publish('mw/1', 'x')
    await settled(on.broker, 1)
    t.like(server.counters, { ...counted, failed: 0, unmatched: 0 })
  })
}

finding('an application that wants no dead letters gets none of these either', async (t, on) => {
  const app = mqttasgi({ ...brief, deadLetter: false })
  app.onUnmatched(() => Promise.reject(new Error('no')))
  const server = await listening(on, app)
  on.broker.publish('mw/1', 'x')
  await settled(on.broker, 1)
  t.like(server.counters, { retried: 3, deadLettered: 0, failed: 1 })
})

finding('of QoS 0 it is neither run again nor kept', async (t, on) => {
  const handled = new Tally()
  const app = mqttasgi({ ...brief, deadLetter: true })
  app.topic('next', () => handled.add('next'))
  app.onUnmatched(() => Promise.reject(new Error('no')))
  const server = await listening(on, app)
  on.broker.publish('mw/1', 'x', { qos: 0 })
  on.broker.publish('next', 'x')
  await handled.untilTotal(1)
  await server.stop()
  t.like(server.counters, { retried: 0, deadLettered: 0, failed: 1 })
})

finding('middleware that does not end is given up, and leaves its places to others', async (t, on) => {
  const handled = new Tally()
  const errors = new Tally()
  const never = new Deferred()
  const app = mqttasgi({ timeoutMs: 50, holdMs: 150, retry: { attempts: 2, minDelayMs: 1 } })
  app.use('mw', () => never.promise)
  app.topic('ok', () => handled.add('ok'))
  app.onError((error) => errors.add(error.message))
  const server = await listening(on, app, 4)
  for (let i = 0; i < 4; i++) on.broker.publish(`mw/${i}`, 'x')
  on.broker.publish('ok', 'x')
  await settled(on.broker, 5)
  t.is(handled.total, 1)
  t.like(server.counters, { deadLettered: 4 })
  t.is(errors.keys[0], 'The chain for "mw/0" has not ended within 50 ms (timeoutMs of the application).')
  never.resolve()
})

finding('where a router is run by itself its options are those of the application', async (t, on) => {
  const router = Router({ retry: { attempts: 2, minDelayMs: 1 } })
  router.use(() => Promise.reject(new Error('no')))
  const server = await listening(on, router)
  on.broker.publish('mw/1', 'x')
  await settled(on.broker, 1)
  t.like(server.counters, { retried: 1, deadLettered: 1 })
})

finding('at a worker its own application says', async (t, on) => {
  const worker: Application = mqttasgi({ retry: { attempts: 2, minDelayMs: 1 } })
  worker.onConnect((client) => client.subscribe('mw/#'))
  worker.onUnmatched(() => Promise.reject(new Error('no')))
  const app = mqttasgi({ retry: { attempts: 7 } })
  const server = await on.serve(app)
  await server.spawn('worker', worker, { mount: 'at' })
  on.broker.publish('at/mw/1', 'x')
  await settled(on.broker, 1)
  t.like(server.counters, { retried: 1, deadLettered: 1 })
})

import test from 'ava'
import {
  checkDeliveryOptions,
  inheritDelivery,
  resolveDelivery,
  type DeliveryOptions,
  type ResolvedDelivery,
} from '../../lib/core/delivery-options.ts'
import { asApplication } from '../../lib/core/application.ts'
import { MqttasgiError } from '../../lib/core/errors.ts'
import { mqttasgi, Router } from '../../lib/index.ts'
import { memoryArrival } from '../../lib/testing/memory-arrival.ts'

test('nothing said, every option has its default', (t) => {
  t.deepEqual(resolveDelivery({}, {}), {
    timeoutMs: 30_000,
    holdMs: 60_000,
    retry: { attempts: 3, minDelayMs: 200, maxDelayMs: 5_000, jitter: true, never: [] },
    deadLetter: true,
    asks: { retry: false, deadLetter: false },
    order: 'topic',
    key: undefined,
    concurrency: undefined,
    overflow: 'block',
    maxWaiting: 1_000,
    throttleMs: 0,
    debounceMs: 0,
    maxPublishRate: 0,
  })
})

test('what is inside says more than what is around it, part by part of retry', (t) => {
  const key = (): string => 'k'
  const around = { timeoutMs: 1_000, retry: { attempts: 9, jitter: false }, key } as const
  t.deepEqual(inheritDelivery(around, { timeoutMs: 5, retry: { minDelayMs: 1 } }), {
    timeoutMs: 5,
    retry: { attempts: 9, jitter: false, minDelayMs: 1 },
    key,
  })
  const undefinedOnes = { timeoutMs: undefined, retry: { attempts: undefined } } as unknown as DeliveryOptions
  t.deepEqual(inheritDelivery(around, undefinedOnes), around)
  t.deepEqual(inheritDelivery({}, {}), {})
})

test('an order inside takes the place of a key around it, and a key that of an order', (t) => {
  const key = (): string => 'k'
  t.is(resolveDelivery(inheritDelivery({ key }, { order: 'none' }), {}).order, 'none')
  t.is(inheritDelivery({ key }, { order: 'none' }).key, undefined)
  t.is(resolveDelivery(inheritDelivery({ order: 'none' }, { key }), {}).order, 'key')
  t.is(resolveDelivery(inheritDelivery({ key }, {}), {}).order, 'key')
})

test('a longer time for one attempt makes room for two, unless the whole is limited', (t) => {
  t.is(resolveDelivery({ timeoutMs: 50_000 }, {}).holdMs, 100_000)
  t.is(resolveDelivery({ timeoutMs: 50_000, holdMs: 70_000 }, {}).holdMs, 70_000)
  t.is(resolveDelivery({ timeoutMs: 2_147_483_647 }, {}).holdMs, 2_147_483_647)
})

test('throttled and debounced routes want the newest, unless they say otherwise', (t) => {
  t.is(resolveDelivery({ throttleMs: 5 }, {}).overflow, 'latest')
  t.is(resolveDelivery({ debounceMs: 5 }, {}).overflow, 'latest')
  t.is(resolveDelivery({ throttleMs: 5, overflow: 'drop-newest' }, {}).overflow, 'drop-newest')
})

const wrong: readonly (readonly [DeliveryOptions | Record<string, unknown>, RegExp])[] = [
  [{ timeoutMs: -1 }, /timeoutMs is -1/],
  [{ holdMs: 0 }, /holdMs is 0/],
  [{ retry: 3 }, /retry is 3.*an object/],
  [{ retry: { attempts: 0 } }, /retry\.attempts is 0/],
  [{ retry: { attempt: 3 } }, /"attempt" is not an option.*attempts, minDelayMs/],
  [{ retry: { never: ['Error'] } }, /list of error classes/],
  [{ retry: { never: [(error: Error) => error.message === 'x'] } }, /list of error classes/],
  [{ deadLetter: 'yes' }, /true or false/],
  [{ order: 'random' }, /order is "random", expected 'topic', 'key', 'strict' or 'none'/],
  [{ order: 'key' }, /without a key/],
  [{ order: 'none', key: () => '' }, /key does not go together with order 'none'/],
  [{ concurrency: 0 }, /concurrency is 0/],
  [{ overflow: 'drop' }, /overflow is "drop"/],
  [{ maxWaiting: 5 }, /maxWaiting is for overflow/],
  [{ overflow: 'block', throttleMs: 5 }, /overflow 'block' does not go together with throttleMs/],
  [{ throttleMs: 5, debounceMs: 5 }, /exclude each other/],
  [{ debounceMs: 60_000 }, /debounceMs is 60000.*holdMs/],
  [{ throttleMs: 500, holdMs: 400 }, /throttleMs is 500.*holdMs/],
  [{ maxPublishRate: -1 }, /maxPublishRate is -1 \(number\), expected a whole number, 0/],
  [{ nonsense: 1 }, /"nonsense" is not an option/],
]

for (const [options, words] of wrong) {
  test(`${JSON.stringify(options)} is refused, of a route, a router and an application`, (t) => {
    const acts = [
      () => checkDeliveryOptions('x: ', options),
      () => Router(options),
      () => mqttasgi(options),
      () => mqttasgi().topic('a', options, () => {}),
    ]
    for (const act of acts) {
      const error = t.throws(act, { instanceOf: MqttasgiError, message: words })
      t.is(error?.code, 'ERR_ROUTE_OPTION')
    }
    t.regex(t.throws(() => mqttasgi(options))?.message ?? '', /^mqttasgi\(\): /)
  })
}

test('what may not be said together in one place does not stay from outside, and what is too long together is refused', (t) => {
  const deliveryOf = (outer: DeliveryOptions, inner: DeliveryOptions): ResolvedDelivery =>
    resolveDelivery(inheritDelivery(outer, inner), inner)
  t.like(deliveryOf({ overflow: 'block' }, { throttleMs: 100 }), { overflow: 'latest', throttleMs: 100 })
  t.like(deliveryOf({ throttleMs: 100 }, { debounceMs: 200 }), { throttleMs: 0, debounceMs: 200 })
  t.like(deliveryOf({ debounceMs: 100 }, { throttleMs: 200 }), { throttleMs: 200, debounceMs: 0 })
  t.like(deliveryOf({ throttleMs: 100 }, { overflow: 'block' }), { overflow: 'block', throttleMs: 0 })
  t.like(deliveryOf({ overflow: 'drop-newest' }, { debounceMs: 9 }), {
    overflow: 'drop-newest',
    maxWaiting: 1_000,
  })
  const few = { overflow: 'drop-oldest', maxWaiting: 5 } as const
  t.like(deliveryOf(few, { throttleMs: 100 }), { ...few, throttleMs: 100 })
  t.like(deliveryOf({ ...few, throttleMs: 9 }, { holdMs: 100 }), { ...few, throttleMs: 9, holdMs: 100 })
  const expected = { code: 'ERR_ROUTE_OPTION', message: /throttleMs is 50000, and holdMs 1000/ }
  t.throws(() => mqttasgi({ throttleMs: 50_000 }).topic('a', { holdMs: 1_000 }, () => {}), expected)
  const router = Router().topic('a', { holdMs: 1_000 }, () => {})
  const app = mqttasgi({ throttleMs: 50_000 }).use(router)
  t.throws(() => asApplication(app, 'app').receiver(), expected)
})

test('a key may be the name of a parameter, and is then what stands at its place in the topic', (t) => {
  const app = mqttasgi()
  app.topic('rooms/+room/+what', { key: 'room' }, () => {})
  app.topic('logs/#rest', { key: 'rest' }, () => {})
  const receiver = asApplication(app, 'app').receiver()
  const keyOf = (topic: string): unknown => {
    const arrived = memoryArrival(topic, Buffer.alloc(0), {})
    return receiver.plan(arrived).keyOf?.(arrived)
  }
  t.is(keyOf('rooms/hall/temp'), 'hall')
  t.is(keyOf('logs/a/b'), 'a/b')
})

test('a key that is no parameter is said where the route is registered, or where its server starts', (t) => {
  const app = mqttasgi()
  const expected = { code: 'ERR_ROUTE_OPTION', message: /key is "flat".* no parameter/ }
  const options = { key: 'flat' } as object
  t.throws(() => app.topic('rooms/+room', options, () => {}), expected)
  const router = Router(options)
  router.topic('rooms/+room', () => {})
  app.use('floors/+floor', router)
  t.throws(() => asApplication(app, 'app').receiver(), expected)
  t.notThrows(() => asApplication(mqttasgi().use('+flat', router), 'app').receiver())
})

test('a route that comes later and has no parameter for the key around it is named when a message comes', (t) => {
  const app = mqttasgi({ order: 'key', key: 'floor' } as object)
  app.topic('floors/+floor', () => {})
  const receiver = asApplication(app, 'app').receiver()
  app.topic('rooms/+room', () => {})
  const arrived = memoryArrival('rooms/7', Buffer.alloc(0), {})
  t.throws(() => receiver.plan(arrived).keyOf?.(arrived), {
    code: 'ERR_ROUTE_OPTION',
    message: /"rooms\/\+room": key is "floor"/,
  })
})

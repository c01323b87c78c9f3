import test, { type ExecutionContext } from 'ava'
import { silentLog } from '../../lib/core/log.ts'
import { MqttasgiError, mqttasgi, Reject, Router, type ErrorCode } from '../../lib/index.ts'
import { dispatch } from '../../lib/testing/index.ts'

function throwsCode(t: ExecutionContext, act: () => unknown, code: ErrorCode, words?: RegExp): void {
  const error = t.throws(act, { instanceOf: MqttasgiError, ...(words ? { message: words } : {}) })
  t.is(error?.code, code)
}

test('layers run in registration order, and control comes back the other way', async (t) => {
  const app = mqttasgi()
  const seen: string[] = []
  app.use(async (_ctx, next) => {
    seen.push('in 1')
    await next()
    seen.push('out 1')
  })
  app.topic('a/+x', (_ctx, next) => {
    seen.push('first')
    return next()
  })
  app.use((_ctx, next) => {
    seen.push('in 2')
    return next()
  })
  app.topic('a/b', () => void seen.push('second'))
  const { handled, routes, error } = await dispatch(app, 'a/b')
  t.is(error, undefined)
  t.true(handled)
  t.deepEqual(routes, ['a/+x', 'a/b'])
  t.deepEqual(seen, ['in 1', 'first', 'in 2', 'second', 'out 1'])
})

test('a handler that does not call next ends the chain', async (t) => {
  const app = mqttasgi()
  app.topic('a', () => {})
  app.topic('a', () => t.fail())
  const { handled } = await dispatch(app, 'a')
  t.true(handled)
})

test('several handlers of one route run one after the other', async (t) => {
  const app = mqttasgi()
  const seen: number[] = []
  app.topic(
    'a',
    async (_ctx, next) => {
      seen.push(1)
      await next()
      seen.push(3)
    },
    () => void seen.push(2),
  )
  await dispatch(app, 'a')
  t.deepEqual(seen, [1, 2, 3])
})

test('next called twice throws a coded error, and no layer runs twice', async (t) => {
  const app = mqttasgi()
  let runs = 0
  app.use(async (_ctx, next) => {
    await next()
    await next()
  })
  app.topic('a', () => void runs++)
  const { error } = await dispatch(app, 'a')
  t.is((error as MqttasgiError).code, 'ERR_NEXT_CALLED_TWICE')
  t.is(runs, 1)
})

test('next called after the chain has ended rejects and runs nothing', async (t) => {
  const app = mqttasgi()
  const late: { next?: () => Promise<void> } = {}
  app.use((_ctx, next) => {
    late.next = next
  })
  app.topic('a', () => t.fail())
  await dispatch(app, 'a')
  const error = await t.throwsAsync(async () => late.next?.())
  t.is((error as MqttasgiError).code, 'ERR_NEXT_TOO_LATE')
})

test('a message is not done before what was neither awaited nor returned is done', async (t) => {
  const app = mqttasgi()
  let done = false
  app.use((_ctx, next) => {
    void next()
  })
  app.topic('a', async () => {
    await new Promise((resolve) => setImmediate(resolve))
    done = true
  })
  await dispatch(app, 'a')
  t.true(done)
})

test('an error in what nobody awaited fails the message and does not end the process', async (t) => {
  const app = mqttasgi()
  app.use((_ctx, next) => {
    void next()
  })
  app.topic('a', async () => {
    await new Promise((resolve) => setImmediate(resolve))
    throw new Error('late')
  })
  const { error } = await dispatch(app, 'a')
  t.is(error?.message, 'late')
})

test('params, route and state belong to the layer that has control', async (t) => {
  const app = mqttasgi()
  const seen: unknown[] = []
  app.use(async (ctx, next) => {
    seen.push({ ...ctx.params }, ctx.route)
    await next()
    seen.push({ ...ctx.params }, ctx.route, ctx.state)
  })
  app.use('a/+x', async (ctx, next) => {
    seen.push({ ...ctx.params })
    ctx.state['from'] = 'x'
    await next()
    seen.push({ ...ctx.params })
  })
  app.topic('a/+y/#rest', async (ctx) => {
    await Promise.resolve()
    seen.push({ ...ctx.params }, ctx.route)
  })
  await dispatch(app, 'a/1/2/3')
  t.deepEqual(seen, [
    {},
    'a/+y/#rest',
    { x: '1' },
    { y: '1', rest: ['2', '3'] },
    'a/+y/#rest',
    { x: '1' },
    {},
    'a/+y/#rest',
    { from: 'x' },
  ])
})

test('params have no prototype', async (t) => {
  const app = mqttasgi()
  app.topic('a/+x', (ctx) => t.is(Object.getPrototypeOf(Object.getPrototypeOf(ctx.params) ?? null), null))
  const { error } = await dispatch(app, 'a/__proto__')
  t.is(error, undefined)
})

test('a router is mounted under a pattern, at any depth and more than once', async (t) => {
  const seen: string[] = []
  const rooms = Router<{ floor: string }>()
  rooms.topic('+room/temp', (ctx) => void seen.push(`${ctx.route} ${ctx.params.floor} ${ctx.params.room}`))
  rooms.topic('', (ctx) => void seen.push(`${ctx.route} ${ctx.params.floor}`))
  const floors = Router()
  floors.use('floor/+floor', rooms)
  const app = mqttasgi()
  app.use('north', floors)
  app.use('south', floors)
  await dispatch(app, 'north/floor/2/hall/temp')
  await dispatch(app, 'south/floor/3/hall/temp')
  await dispatch(app, 'south/floor/3')
  t.deepEqual(seen, [
    'north/floor/+floor/+room/temp 2 hall',
    'south/floor/+floor/+room/temp 3 hall',
    'south/floor/+floor 3',
  ])
})

test('what is registered later in a mounted router is there', async (t) => {
  const router = Router()
  const app = mqttasgi()
  app.use('a', router)
  t.false((await dispatch(app, 'a/b')).handled)
  router.topic('b', () => {})
  t.true((await dispatch(app, 'a/b')).handled)
})

test('a prefix covers itself and all below, and a leading slash is an empty level', async (t) => {
  const app = mqttasgi()
  let count = 0
  app.use('a', (_ctx, next) => {
    count++
    return next()
  })
  app.topic('#', () => {})
  app.use(
    'b',
    Router().topic('/c', () => {}),
  )
  await dispatch(app, 'a')
  await dispatch(app, 'a/')
  await dispatch(app, 'a/b/c')
  await dispatch(app, 'ab')
  t.is(count, 3)
  t.deepEqual((await dispatch(app, 'b//c')).routes, ['#', 'b//c'])
  t.deepEqual((await dispatch(app, 'b/c')).routes, ['#'])
})

test('middleware without a pattern sees $-topics, wildcards at the front do not', async (t) => {
  const app = mqttasgi()
  let seen = 0
  app.use((_ctx, next) => {
    seen++
    return next()
  })
  app.topic('#', () => t.fail())
  app.topic('$SYS/+what', () => {})
  const { routes } = await dispatch(app, '$SYS/uptime')
  t.is(seen, 1)
  t.deepEqual(routes, ['$SYS/+what'])
})

test('what can not be a prefix throws where it is mounted', (t) => {
  const app = mqttasgi()
  throwsCode(t, () => app.use('a/#', () => {}), 'ERR_MOUNT_INVALID')
  throwsCode(t, () => app.use('a/#rest', Router()), 'ERR_MOUNT_INVALID')
  throwsCode(t, () => app.use('$share/g/a', Router()), 'ERR_MOUNT_INVALID')
  throwsCode(t, () => app.use('a+', Router()), 'ERR_PATTERN_INVALID')
  throwsCode(t, () => app.topic('', () => {}), 'ERR_PATTERN_INVALID')
  throwsCode(t, () => app.use(Router().topic('', () => {})), 'ERR_PATTERN_INVALID')
})

test('a name that prefix and route both use throws at the mount, or where it is added later', (t) => {
  const router = Router().topic('b/+x', () => {})
  throwsCode(t, () => mqttasgi().use('a/+x', router), 'ERR_MOUNT_INVALID', /x/)
  const nested = Router().use('c', router)
  throwsCode(t, () => mqttasgi().use('a/+x', nested), 'ERR_MOUNT_INVALID')
  const late = Router()
  const outer = Router()
  outer.use('m/+y', late)
  mqttasgi().use('a/+x', outer)
  throwsCode(t, () => late.topic('+x', () => {}), 'ERR_MOUNT_INVALID')
  throwsCode(t, () => late.use('+y', () => {}), 'ERR_MOUNT_INVALID')
  t.notThrows(() => late.topic('+z', () => {}))
})

test('a router can not hold itself', (t) => {
  const inner = Router()
  const outer = Router().use('a', inner)
  throwsCode(t, () => inner.use('b', outer), 'ERR_MOUNT_INVALID')
  throwsCode(t, () => outer.use('b', outer), 'ERR_MOUNT_INVALID')
})

test('what is no handler throws at registration and says what came', (t) => {
  const app = mqttasgi()
  throwsCode(t, () => app.topic('a'), 'ERR_HANDLER_INVALID', /nothing/)
  // @ts-expect-error a string is no handler
  throwsCode(t, () => app.topic('a', 'b'), 'ERR_HANDLER_INVALID', /string/)
  // @ts-expect-error an object is no middleware
  throwsCode(t, () => app.use({ a: 1 }), 'ERR_HANDLER_INVALID', /object/)
  // @ts-expect-error null is no middleware
  throwsCode(t, () => app.use(null), 'ERR_HANDLER_INVALID', /null/)
  throwsCode(t, () => app.use(), 'ERR_HANDLER_INVALID')
  // @ts-expect-error no function
  throwsCode(t, () => app.onError(1), 'ERR_HANDLER_INVALID')
  // @ts-expect-error no function
  throwsCode(t, () => app.onUnmatched(1), 'ERR_HANDLER_INVALID')
})

test('route options are checked', (t) => {
  const app = mqttasgi()
  const handler = (): void => {}
  // @ts-expect-error a typing mistake
  throwsCode(t, () => app.topic('a', { quos: 1 }, handler), 'ERR_ROUTE_OPTION', /quos.*qos/)
  // @ts-expect-error there is no 3
  throwsCode(t, () => app.topic('a', { qos: 3 }, handler), 'ERR_ROUTE_OPTION', /3.*0, 1 or 2/)
  throwsCode(t, () => app.topic('a', { timeoutMs: -1 }, handler), 'ERR_ROUTE_OPTION')
  throwsCode(t, () => app.topic('a', { share: 'a/b' }, handler), 'ERR_ROUTE_OPTION')
  throwsCode(t, () => app.topic('a', { share: 'g', noLocal: true }, handler), 'ERR_ROUTE_OPTION')
  throwsCode(t, () => app.topic('$share/g/a', { noLocal: true }, handler), 'ERR_ROUTE_OPTION')
  throwsCode(t, () => app.topic('$share/g/a', { share: 'h' }, handler), 'ERR_ROUTE_OPTION')
})

test('onError observes from the inner router outwards, and only Retry, Reject and Drop change the outcome', async (t) => {
  const seen: string[] = []
  const inner = Router()
  inner.topic('x', () => {
    throw new Error('first')
  })
  inner.onError((error, ctx) => void seen.push(`inner ${error.message} ${ctx.route}`))
  inner.onError(() => {
    throw new Error('a mistake of onError')
  })
  inner.onError(() => {
    throw new Reject('second')
  })
  const app = mqttasgi()
  app.onError(async (error) => {
    seen.push(`app ${error.message}`)
    return 'ignored'
  })
  app.use('a', inner)
  const lines: string[] = []
  const log = { ...silentLog, error: (line: string) => void lines.push(line) }
  const { error, handled } = await dispatch(app, 'a/x', '', { log })
  t.deepEqual(seen, ['inner first a/x', 'app second'])
  t.regex(lines.join('\n'), /onError failed for "a\/x": a mistake of onError/)
  t.is(error?.message, 'second')
  t.false(handled)
})

test('an error that middleware catches is no error', async (t) => {
  const app = mqttasgi()
  app.use(async (_ctx, next) => {
    try {
      await next()
    } catch {
      // it was expected
    }
  })
  app.onError(() => t.fail())
  app.topic('a', async () => {
    throw new Error('caught')
  })
  const { error, handled } = await dispatch(app, 'a')
  t.is(error, undefined)
  t.true(handled)
})

test('the error handlers of a router do not see what fails outside of it', async (t) => {
  const app = mqttasgi()
  const router = Router().topic('x', (_ctx, next) => next())
  router.onError(() => t.fail())
  app.use(router)
  app.topic('x', () => {
    throw new Error('outside')
  })
  const { error } = await dispatch(app, 'x')
  t.is(error?.message, 'outside')
})

test('a thrown value that is no error becomes one', async (t) => {
  const app = mqttasgi()
  app.topic('a', () => {
    // oxlint-disable-next-line no-throw-literal, typescript/only-throw-error -- users do it
    throw 'text'
  })
  const { error } = await dispatch(app, 'a')
  t.is(error?.message, 'text')
})

test('onUnmatched is told after the middleware, and only without a route', async (t) => {
  const app = mqttasgi()
  const seen: string[] = []
  app.use((ctx, next) => {
    seen.push(`use ${ctx.topic}`)
    return next()
  })
  app.onUnmatched(async (ctx) => void seen.push(`unmatched ${ctx.topic} ${String(ctx.route)}`))
  app.topic('a', () => {})
  t.true((await dispatch(app, 'a')).handled)
  const { handled, routes } = await dispatch(app, 'b')
  t.false(handled)
  t.deepEqual(routes, [])
  t.deepEqual(seen, ['use a', 'use b', 'unmatched b undefined'])
})

test('a shared delivery runs its group and the middleware before it', async (t) => {
  const app = mqttasgi()
  const seen: string[] = []
  const note =
    (name: string) =>
    (_ctx: unknown, next: () => Promise<void>): Promise<void> => {
      seen.push(name)
      return next()
    }
  app.use(note('before'))
  app.topic('$share/g/a/+x', note('group g'))
  app.topic('a/+x', note('own'))
  app.topic('a/b', { share: 'h' }, note('group h'))
  app.use(note('after'))
  await dispatch(app, 'a/b')
  t.deepEqual(seen.splice(0), ['before', 'own', 'after'])
  t.deepEqual((await dispatch(app, 'a/b', '', { share: 'g' })).routes, ['a/+x'])
  t.deepEqual(seen.splice(0), ['before', 'group g'])
  await dispatch(app, 'a/b', '', { share: 'h' })
  t.deepEqual(seen.splice(0), ['before', 'group h'])
})

test('an error that a middleware has caught can be seen, and one that nobody looked at fails the message', async (t) => {
  const app = mqttasgi()
  const lines: string[] = []
  const log = { debug: (line: string) => void lines.push(line), info() {}, warn() {}, error() {} }
  app.use('caught', async (_ctx, next) => {
    await next().catch(() => {})
  })
  app.use('lost', async (_ctx, next) => {
    void next()
    await new Promise((resolve) => setImmediate(resolve))
  })
  app.topic('+', async () => {
    throw new Error('no')
  })
  t.is((await dispatch(app, 'caught', '', { log })).error, undefined)
  t.deepEqual(lines, ['The chain for "caught" ended well, though a layer of it failed: no.'])
  t.is((await dispatch(app, 'lost', '', { log })).error?.message, 'no')
})

test('ready resolves at once when no server runs the application', async (t) => {
  await t.notThrowsAsync(mqttasgi().ready())
})

test('onError hears of a chain that is out of time, and no layer is entered any more', async (t) => {
  const app = mqttasgi()
  const seen: string[] = []
  const late: { next?: () => Promise<void> } = {}
  app.onError((error, ctx) => void seen.push(`${(error as MqttasgiError).code} ${ctx.route}`))
  app.topic('a', { timeoutMs: 1 }, (_ctx, next) => {
    late.next = next
    return new Promise(() => {})
  })
  app.topic('a', () => t.fail())
  const { error } = await dispatch(app, 'a')
  t.is((error as MqttasgiError).code, 'ERR_HANDLER_TIMEOUT')
  t.deepEqual(seen, ['ERR_HANDLER_TIMEOUT a'])
  await t.throwsAsync(async () => late.next?.())
})

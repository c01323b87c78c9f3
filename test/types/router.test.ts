// What the compiler says of routes, routers and middleware: parameters, prefixes, and nothing of type any.
import test from 'ava'
import { expectTypeOf } from 'expect-type'
import {
  mqttasgi,
  Router,
  type Context,
  type Handler,
  type Mountable,
  type Next,
  type RouteOptions,
} from '../../lib/index.ts'

/** The same keys and values, written as one object: the compiler keeps an intersection with object. */
type Flat<T> = { [K in keyof T]: T[K] }

const anyContext = async (_ctx: Context, next: Next): Promise<void> => next()
const wantsFloor = (ctx: Context<{ floor: string }>, next: Next): Promise<void> => {
  expectTypeOf(ctx.params.floor).toEqualTypeOf<string>()
  return next()
}

test('a handler gets the parameters of its literal', (t) => {
  const app = mqttasgi()
  app.topic('sensors/+room/temp/#rest', (ctx, next) => {
    expectTypeOf<Flat<typeof ctx.params>>().toEqualTypeOf<{ room: string; rest: string[] }>()
    expectTypeOf(next).toEqualTypeOf<Next>()
    // @ts-expect-error the pattern has no such name
    return ctx.params.floor
  })
  app.topic('plain/+/#', (ctx) => expectTypeOf<keyof typeof ctx.params>().toEqualTypeOf<never>())
  app.topic('$share/group/a/+id', (ctx) =>
    expectTypeOf<Flat<typeof ctx.params>>().toEqualTypeOf<{ id: string }>(),
  )
  app.topic('a/+id', { qos: 0 }, (ctx) =>
    expectTypeOf<Flat<typeof ctx.params>>().toEqualTypeOf<{ id: string }>(),
  )
  app.use('house/+room', (ctx, next) => {
    expectTypeOf<Flat<typeof ctx.params>>().toEqualTypeOf<{ room: string }>()
    return next()
  })
  t.pass()
})

test('every handler of one route gets them, and a chain of calls keeps its type', (t) => {
  const app = mqttasgi()
  app.topic(
    'a/+id',
    (ctx, next) => {
      expectTypeOf(ctx.params.id).toEqualTypeOf<string>()
      return next()
    },
    (ctx) => expectTypeOf(ctx.params.id).toEqualTypeOf<string>(),
  )
  expectTypeOf(app.use(anyContext).topic('a', anyContext)).toEqualTypeOf(app)
  t.pass()
})

test('a pattern that is only known at run time gives parameters that may be missing', (t) => {
  const text: string = 'a/+id'
  mqttasgi().topic(text, (ctx) =>
    expectTypeOf(ctx.params['id']).toEqualTypeOf<string | string[] | undefined>(),
  )
  t.pass()
})

test('a router has the parameters of its prefix in its middleware and its routes', (t) => {
  const floors = Router<{ floor: string }>()
  floors.use((ctx, next) => {
    expectTypeOf<Flat<typeof ctx.params>>().toEqualTypeOf<{ floor: string }>()
    return next()
  })
  floors.topic('+room/#rest', (ctx) => {
    expectTypeOf(ctx.params.floor).toEqualTypeOf<string>()
    expectTypeOf(ctx.params.room).toEqualTypeOf<string>()
    expectTypeOf(ctx.params.rest).toEqualTypeOf<string[]>()
  })
  t.pass()
})

test('a router is accepted where its parameters are, and refused where they are not', (t) => {
  const app = mqttasgi()
  const floors = Router<{ floor: string }>()
  app.use('building/+floor', floors)
  app.use('building/+floor/wing/+wing', floors)
  app.use('building/+floor', wantsFloor, floors)
  // @ts-expect-error there is no prefix, and so no floor
  app.use(floors)
  // @ts-expect-error the prefix has no floor
  app.use('building', floors)
  // @ts-expect-error a typing mistake in the name
  app.use('building/+flor', floors)
  // @ts-expect-error an unnamed wildcard is no parameter
  app.use('building/+', floors)
  // @ts-expect-error a middleware that reads floor needs it as well
  app.use('building', wantsFloor)
  // @ts-expect-error so does a handler
  app.topic('building', wantsFloor)
  t.pass()
})

test('a router in a router has what both prefixes bring', (t) => {
  const rooms = Router<{ floor: string; room: string }>()
  const floors = Router<{ floor: string }>()
  floors.use('+room', rooms)
  // @ts-expect-error the room is missing
  floors.use('hall', rooms)
  // @ts-expect-error an application brings nothing by itself
  mqttasgi().use('+room', rooms)
  t.pass()
})

test('what is written for any context fits everywhere', (t) => {
  const app = mqttasgi()
  app.use(anyContext)
  app.use('a/+x', anyContext)
  app.topic('a/+x/#rest', anyContext)
  app.topic('a', { timeoutMs: 5 }, anyContext, anyContext)
  app.use('a/+floor', Router())
  Router<{ floor: string }>().use(anyContext).topic('+room', anyContext)
  const handler: Handler = anyContext
  app.topic('b/+x', handler)
  const typed: Handler<{ x: string }> = handler
  app.topic('b/+x', typed)
  t.pass()
})

test('a router and an application can be mounted, and middleware is no router', (t) => {
  expectTypeOf<Router<{ floor: string }>>().toExtend<Mountable<{ floor: string }>>()
  expectTypeOf<Router>().toExtend<Mountable<{ floor: string }>>()
  expectTypeOf<Router<{ floor: string }>>().not.toExtend<Mountable<object>>()
  mqttasgi().use('old', mqttasgi())
  t.pass()
})

test('options are known by name and value', (t) => {
  const app = mqttasgi()
  expectTypeOf<RouteOptions['qos']>().toEqualTypeOf<0 | 1 | 2 | undefined>()
  // @ts-expect-error there is no QoS 3
  t.throws(() => app.topic('a', { qos: 3 }, anyContext))
  // @ts-expect-error a typing mistake in the name
  t.throws(() => app.topic('a', { timeout: 3 }, anyContext))
})

test('handlers may be synchronous and may return anything', (t) => {
  mqttasgi()
    .topic('a', () => 1)
    .topic('a', async () => 'text')
    .topic('a', () => {})
  t.pass()
})

// What is told to the broker of subscriptions when the connection comes back.
import test from 'ava'
import { mqttasgi } from '../../lib/core/application.ts'
import { Router } from '../../lib/core/router.ts'
import { startMemoryServer, turns } from '../helpers/memory-server.ts'

test('in a session that goes on all is told again, without bringing retained messages again, for a broker may have lost some in a crash', async (t) => {
  const app = mqttasgi()
  for (const pattern of ['a', '$share/group/b', 'c/#']) app.topic(pattern, () => {})
  const { server, transport } = await startMemoryServer(t, app)
  transport.info = { ...transport.info, sessionPresent: true }
  transport.calls.length = 0
  transport.lose()
  await turns()
  await server.ready()
  t.deepEqual(transport.calls, ['connect 5', 'subscribe a', 'subscribe $share/group/b', 'subscribe c/#'])
  t.deepEqual(
    [...transport.subscriptions.values()].map(({ retainHandling }) => retainHandling),
    [1, 1, 1],
  )
  app.topic('d', () => {})
  await server.ready()
  t.deepEqual(transport.calls.slice(4), ['subscribe d'])
  t.is(transport.subscriptions.get('d')?.retainHandling, 0)
})

test('on 3.1.1, where that would bring all retained messages again, only shared ones are told again', async (t) => {
  const app = mqttasgi()
  for (const pattern of ['a', '$share/group/b', 'c/#']) app.topic(pattern, () => {})
  const { server, transport } = await startMemoryServer(t, app, {
    policy: { retries: 0, protocolVersion: 4, backoff: () => 0 },
  })
  transport.info = { ...transport.info, sessionPresent: true }
  transport.calls.length = 0
  transport.lose()
  await turns()
  await server.ready()
  t.deepEqual(transport.calls, ['connect 4', 'subscribe $share/group/b'])
})

test('a filter that is held stays beside a new one that covers it, so that no message comes twice or not at all', async (t) => {
  const ran: string[] = []
  const app = mqttasgi()
  app.topic('a/b', async (ctx, next) => {
    ran.push(`a/b ${ctx.text()}`)
    await next()
  })
  const { server, transport } = await startMemoryServer(t, app)
  app.topic('+/b', (ctx) => ran.push(`+/b ${ctx.text()}`))
  await server.ready()
  t.deepEqual([...transport.subscriptions.keys()], ['a/b', '+/b'])
  for (const { identifier = 0 } of transport.subscriptions.values()) {
    transport.deliver('a/b', '1', { subscriptionIdentifiers: [identifier] })
  }
  await turns()
  t.deepEqual(ran, ['a/b 1', '+/b 1'])
  // Where all is subscribed anew the one that is covered is left out.
  transport.lose()
  await turns()
  await server.ready()
  t.deepEqual([...transport.subscriptions.keys()], ['+/b'])
})

test('a retained message that a late filter brings is no copy, though it comes before SUBACK is looked at', async (t) => {
  const ran: string[] = []
  const app = mqttasgi()
  app.topic('a/#', async (ctx, next) => {
    ran.push(`a/# ${ctx.text()}`)
    await next()
  })
  const { server, transport } = await startMemoryServer(t, app)
  const bringRetained = (filter: string): void => {
    const identifier = transport.subscriptions.get(filter)?.identifier ?? 0
    transport.deliver('a/b', 'kept', { retain: true, subscriptionIdentifiers: [identifier] })
  }
  bringRetained('a/#')
  await turns()
  const { grant } = transport
  transport.grant = (request) => {
    queueMicrotask(() => bringRetained(request.filter))
    return grant(request)
  }
  app.topic('+/b', (ctx) => ran.push(`+/b ${ctx.text()}`))
  await server.ready()
  await turns()
  t.deepEqual(ran, ['a/# kept', 'a/# kept', '+/b kept'])
})

test('a message that the broker had queued before a late filter, though that stands first, is no copy', async (t) => {
  const ran: string[] = []
  const [app, router] = [mqttasgi(), Router()]
  app.use(router)
  app.topic('a/#', (ctx) => ran.push(ctx.text()))
  const { server, transport } = await startMemoryServer(t, app)
  router.topic('+/b', (_ctx, next) => next())
  await server.ready()
  const bring = (filter: string, payload: string): void => {
    const identifier = transport.subscriptions.get(filter)?.identifier ?? 0
    transport.deliver('a/b', payload, { subscriptionIdentifiers: [identifier] })
  }
  bring('a/#', 'queued')
  for (const filter of ['+/b', 'a/#']) bring(filter, 'new')
  await turns()
  t.deepEqual(ran, ['queued', 'new'])
})

test('where the broker has no identifiers the new filter takes the place of the one it covers', async (t) => {
  const app = mqttasgi()
  app.topic('a/b', () => {})
  const policy = { retries: 0, protocolVersion: 4, backoff: () => 0 } as const
  const { server, transport } = await startMemoryServer(t, app, { policy })
  app.topic('+/b', () => {})
  await server.ready()
  t.deepEqual([...transport.subscriptions.keys()], ['+/b'])
})

test('a session that was lost is subscribed to again as a whole', async (t) => {
  const app = mqttasgi()
  for (const pattern of ['a', '$share/group/b', 'c/#']) app.topic(pattern, () => {})
  const { server, transport } = await startMemoryServer(t, app)
  await server.subscribe('d')
  transport.calls.length = 0
  transport.lose()
  await turns()
  await server.ready()
  t.deepEqual(transport.calls.toSorted(), [
    'connect 5',
    'subscribe $share/group/b',
    'subscribe a',
    'subscribe c/#',
    'subscribe d',
  ])
})

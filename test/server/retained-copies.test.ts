// Retained messages over filters that are new beside filters that the session has had for long.
import test from 'ava'
import { mqttasgi } from '../../lib/core/application.ts'
import { MemoryTransport } from '../../lib/testing/memory-transport.ts'
import { startMemoryServer, turns } from '../helpers/memory-server.ts'

test('what a route brings that was registered while the broker was away is no copy of what the session had', async (t) => {
  const app = mqttasgi()
  const seen: string[] = []
  app.topic('a/+', async (ctx, next) => {
    seen.push(ctx.text())
    await next()
  })
  const { server, transport } = await startMemoryServer(t, app)
  transport.info = { ...transport.info, sessionPresent: true }
  transport.lose()
  app.topic('+/b', (ctx) => void seen.push(`new ${ctx.text()}`))
  await server.ready()
  t.is(transport.count('connect'), 2)
  // The broker is told of both filters, and sends what is retained for the new one only.
  t.is(transport.subscriptions.get('a/+')?.retainHandling, 1)
  t.is(transport.subscriptions.get('+/b')?.retainHandling, 0)
  const identifier = transport.subscriptions.get('+/b')?.identifier ?? 0
  transport.deliver('a/b', 'kept', { retain: true, subscriptionIdentifiers: [identifier] })
  await turns()
  t.deepEqual(seen, ['kept', 'new kept'])
})

test('what a new filter brings is no copy of one that is asked for again, for that brings nothing', async (t) => {
  const app = mqttasgi()
  const seen: string[] = []
  app.topic('a/+', { retainHandling: 1, qos: 0 }, (ctx) => void seen.push(ctx.text()))
  const { server, transport } = await startMemoryServer(t, app)
  app.topic('a/+', { retainHandling: 1, qos: 1 }, () => {})
  app.topic('+/b', { retainHandling: 1 }, () => {})
  await server.ready()
  t.is(transport.subscriptions.get('a/+')?.qos, 1)
  const identifier = transport.subscriptions.get('+/b')?.identifier ?? 0
  transport.deliver('a/b', 'kept', { retain: true, subscriptionIdentifiers: [identifier] })
  await turns()
  t.deepEqual(seen, ['kept'])
})

test('in the session of an older process, that may have had a filter before, nothing retained is a copy of it', async (t) => {
  const app = mqttasgi()
  const seen: string[] = []
  app.topic('a/+', { retainHandling: 1 }, async (ctx, next) => {
    seen.push(ctx.text())
    await next()
  })
  app.topic('+/b', { retainHandling: 1 }, () => {})
  const transport = new MemoryTransport()
  transport.info = { ...transport.info, sessionPresent: true }
  await startMemoryServer(t, app, { transport })
  const idOf = (filter: string): number => transport.subscriptions.get(filter)?.identifier ?? 0
  // The session has had this one.
  transport.deliver('a/x', 'queued', { subscriptionIdentifiers: [idOf('a/+')] })
  // And not that one, so only it brings what is retained.
  transport.deliver('a/b', 'kept', { retain: true, subscriptionIdentifiers: [idOf('+/b')] })
  await turns()
  t.deepEqual(seen, ['queued', 'kept'])
})

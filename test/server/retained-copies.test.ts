// Retained messages over filters that are new beside filters that the session has had for long.
import test from 'ava'
import { mqttasgi } from '../../lib/core/application.ts'
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

// When more comes than may wait the socket is not read; but never while a handler needs the broker's answer.
import test from 'ava'
import { mqttasgi, type Application } from '../../lib/core/application.ts'
import { Deferred } from '../../lib/core/deferred.ts'
import type { Server } from '../../lib/server/server.ts'
import { startMemoryServer, turns } from '../helpers/memory-server.ts'

const window = { maxInFlight: 1, maxWaitingBytes: 100 }

/** An application whose first message waits for a sign and then does its work; what comes behind it waits. */
function busy(work: (app: Application) => unknown): { app: Application; go: Deferred; done: Deferred } {
  const [go, done] = [new Deferred(), new Deferred()]
  const app = mqttasgi()
  app.topic('first', async () => {
    await go.promise
    await work(app)
    done.resolve()
  })
  app.topic('later', () => {})
  return { app, go, done }
}

const works: Record<string, (app: Application, server: Server) => unknown> = {
  publishes: (_app, server) => server.publish('out', 'x'),
  subscribes: (_app, server) => server.subscribe('more/#'),
  unsubscribes: (_app, server) => server.unsubscribe('extra'),
  'registers a route and waits until it is ready': (app, server) => {
    app.topic('new', () => {})
    return server.ready()
  },
}

for (const [what, work] of Object.entries(works)) {
  test(`a handler that ${what} is answered, though so much waits that the socket is not read`, async (t) => {
    let ours: Server | undefined
    const { app, go, done } = busy(() => ours && work(app, ours))
    const { server, transport } = await startMemoryServer(t, app, { window })
    ours = server
    await server.subscribe('extra')
    transport.deliver('first')
    for (let i = 0; i < 10; i++) transport.deliver('later')
    await turns()
    t.true(transport.paused)
    go.resolve()
    await turns()
    t.true(done.settled)
  })
}

test('a single message larger than all that may wait is no reason to cut the connection', async (t) => {
  const { app, go } = busy(() => {})
  const { server, transport } = await startMemoryServer(t, app, { window })
  transport.deliver('first')
  transport.deliver('later', 'x'.repeat(1_000))
  await turns()
  t.true(transport.paused)
  t.is(server.counters.overflows, 0)
  go.resolve()
  await turns()
  t.is(server.counters.handled, 2)
  t.false(transport.paused)
})

test('what waits from an older connection does not cut the next one before it could do anything', async (t) => {
  const { app, go } = busy(() => {})
  const { server, transport } = await startMemoryServer(t, app, { window })
  transport.deliver('first')
  transport.deliver('later', 'x'.repeat(1_000))
  await turns()
  transport.lose()
  await turns()
  await server.ready()
  t.is(server.counters.connects, 2)
  t.is(server.counters.overflows, 0)
  go.resolve()
  await turns()
  t.is(server.counters.handled, 2)
})

test('more than four times what may wait cuts the connection while an answer is awaited', async (t) => {
  const { app } = busy(() => {})
  const { server, transport } = await startMemoryServer(t, app, { window })
  transport.holdAnswers = true
  void server.publish('out', 'x').catch(() => {})
  transport.deliver('first')
  for (let i = 0; i < 40; i++) transport.deliver('later')
  await turns()
  t.is(server.counters.overflows, 1)
  t.is(server.counters.acknowledged, 0)
})

// T17: every queue has a limit in number or bytes. Each is exceeded ten times here. What reads JSON is in T7, topics in T18.
import { EventEmitter, once } from 'node:events'
import { join } from 'node:path'
import test from 'ava'
import { Deferred } from '../../lib/core/deferred.ts'
import { mqttasgi, Reject, type MqttasgiError } from '../../lib/index.ts'
import { serveToHostileSide } from '../helpers/hostile-side.ts'
import type { Script } from '../helpers/scripted-broker.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

/** A broker that acknowledges no publication. */
const silent: Script = { publish: () => {} }

test('of ten times as many messages as the window has places, no more run at once, whatever the broker sends', async (t) => {
  let running = 0
  let most = 0
  const app = mqttasgi().topic('#', async () => {
    most = Math.max(most, ++running)
    await new Promise((resolve) => setImmediate(resolve))
    running--
  })
  const { link, untilAcked } = await serveToHostileSide(t, app, { maxInFlight: 16 })
  for (let id = 1; id <= 160; id++) link.deliver(`a/${id}`, 'x', { qos: 1, messageId: id })
  await untilAcked(160)
  t.is(most, 16)
  t.deepEqual(
    link.acked(),
    Array.from({ length: 160 }, (_, index) => index + 1),
  )
})

test('ten times the bytes that may wait are not taken off the socket, and nothing is lost when they are', async (t) => {
  const gate = new Deferred<undefined>()
  const app = mqttasgi().topic('#', () => gate.promise)
  const limit = 1_048_576
  const options = { maxInFlight: 1, maxInFlightBytes: limit }
  const { link, server, untilAcked } = await serveToHostileSide(t, app, options)
  const size = 10_000
  const count = Math.ceil((10 * limit) / size)
  for (let id = 1; id <= count; id++) link.deliver(`a/${id}`, 'x'.repeat(size), { qos: 1, messageId: id })
  // The server has taken all that it will: the rest stays with the sender.
  let seen = -1
  while (seen !== server.counters.received) {
    seen = server.counters.received
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
  }
  t.true(server.counters.received > 0)
  // One chunk of the socket can come on top.
  t.true(server.counters.received * size < 2 * limit, String(server.counters.received))
  gate.resolve(undefined)
  await untilAcked(count)
  t.is(server.counters.handled, count)
  t.is(server.counters.connects, 1)
})

test('of ten times as many publications as the outbox holds, the others are refused at once', async (t) => {
  const { server } = await serveToHostileSide(t, mqttasgi(), { script: silent })
  const codes = new Map<string, number>()
  const publications = Array.from({ length: 10_000 }, (_, index) =>
    server.publish(`a/${index}`, 'x').catch((error: MqttasgiError) => {
      codes.set(error.code, (codes.get(error.code) ?? 0) + 1)
    }),
  )
  await new Promise((resolve) => setImmediate(resolve))
  t.deepEqual([...codes], [['ERR_OUTBOX_FULL', 9_000]])
  await server.stop()
  await Promise.all(publications)
  t.is(
    [...codes.values()].reduce((sum, count) => sum + count),
    10_000,
  )
})

test('of ten times as many bytes as the outbox holds, the others are refused at once', async (t) => {
  const { server } = await serveToHostileSide(t, mqttasgi(), { script: silent })
  let refused = 0
  const publications = Array.from({ length: 160 }, () =>
    server.publish('a', Buffer.alloc(1_048_576)).catch((error: MqttasgiError) => {
      if (error.code === 'ERR_OUTBOX_FULL') refused++
    }),
  )
  await new Promise((resolve) => setImmediate(resolve))
  // Each takes a little beside its payload.
  t.true(refused >= 144 && refused <= 146, String(refused))
  await server.stop()
  await Promise.all(publications)
})

test('a handler that waits for its own publication is no way around the limit: the connection is cut', async (t) => {
  const events = new EventEmitter()
  const app = mqttasgi().topic('#', (ctx) => ctx.publish('never/answered', 'x'))
  const limit = 65_536
  const options = { maxInFlight: 1, maxInFlightBytes: limit, broker: { retries: 5 }, script: silent }
  const { link, server } = await serveToHostileSide(t, app, options)
  void link.gone.then(() => events.emit('gone'))
  const gone = once(events, 'gone')
  for (let id = 1; id <= 1_000; id++) link.deliver(`a/${id}`, 'x'.repeat(1_000), { qos: 1, messageId: id })
  await gone
  t.is(server.counters.overflows, 1)
  t.deepEqual(link.acked(), [])
})

for (const overflow of ['drop-oldest', 'drop-newest'] as const) {
  test(`of ten times as many messages as may wait for a route with ${overflow}, the others are dropped and counted`, async (t) => {
    const gate = new Deferred<undefined>()
    const seen: string[] = []
    const app = mqttasgi().topic('state/#', { overflow, maxWaiting: 10 }, async (ctx) => {
      seen.push(ctx.text())
      await gate.promise
    })
    const { link, server, untilAcked } = await serveToHostileSide(t, app, { maxInFlight: 1_000 })
    for (let id = 1; id <= 101; id++) link.deliver('state/a', String(id), { qos: 1, messageId: id })
    while (server.counters.received < 101) await new Promise((resolve) => setImmediate(resolve))
    gate.resolve(undefined)
    await untilAcked(101)
    t.is(server.counters.shed, 90)
    const kept = overflow === 'drop-oldest' ? 92 : 2
    t.deepEqual(seen, ['1', ...Array.from({ length: 10 }, (_, index) => String(kept + index))])
  })
}

test('of ten times as many dead letters as may be kept none is lost: they stay with the broker, and the server says so', async (t) => {
  const app = mqttasgi().topic('#', () => {
    throw new Reject('no')
  })
  const stateDir = join(temporaryFolder(t), 'state')
  const deadLetter = { store: 'journal', maxMessages: 10 } as const
  const options = { maxInFlight: 16, deadLetter, stateDir }
  const { acked, link, server, untilAcked, lines } = await serveToHostileSide(t, app, options)
  for (let id = 1; id <= 100; id++) link.deliver(`a/${id}`, 'x', { qos: 1, messageId: id })
  await untilAcked(10)
  while (server.health.ready) await new Promise((resolve) => setImmediate(resolve))
  t.is(acked(), 10)
  t.is(server.counters.deadLettered, 10)
  t.true(lines.some((line) => /Dead letters can not be kept/.test(line)))
  t.is(server.counters.connects, 1)
})

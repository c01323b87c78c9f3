import test from 'ava'
import { mqttasgi } from '../../lib/core/application.ts'
import { Deferred } from '../../lib/core/deferred.ts'
import { settled } from '../helpers/fake-clock.ts'
import { stageServer } from '../helpers/staged-server.ts'

test('at the start a SUBSCRIBE that is never answered is an error', async (t) => {
  const app = mqttasgi()
  for (const pattern of ['$share/g/a', 'b']) app.topic(pattern, () => {})
  const { clock, server, transport } = stageServer(t, app)
  transport.subscribe = () => new Promise(() => {})
  const starting = t.throwsAsync(server.start(), {
    code: 'ERR_REQUEST_TIMEOUT',
    message: /did not answer SUBSCRIBE for "\$share\/g\/a" and 1 more within 30 s/,
  })
  await settled()
  clock.advance(29_999)
  await settled()
  t.is(server.state, 'connected')
  clock.advance(1)
  await starting
  t.is((await server.closed).error?.code, 'ERR_REQUEST_TIMEOUT')
})

test('later it ends the connection, and the next one is asked again', async (t) => {
  const app = mqttasgi()
  app.topic('a', () => {})
  const { clock, lines, server, transport } = stageServer(t, app)
  await server.start()
  transport.pause()
  app.topic('b', () => {})
  const ready = app.ready()
  await settled()
  clock.advance(29_999)
  await settled()
  t.is(server.state, 'connected')
  clock.advance(1)
  await settled()
  t.is(server.state, 'waiting')
  t.regex(lines.at(-1) ?? '', /^warn: The broker did not answer SUBSCRIBE for "b" within 30 s/)
  clock.advance(100)
  await ready
  t.deepEqual([...transport.subscriptions.keys()], ['a', 'b'])
  t.is(clock.timers, 0)
})

test('an UNSUBSCRIBE has the same limit, and an answer in time ends it', async (t) => {
  const { clock, lines, server, transport } = stageServer(t, mqttasgi())
  await server.start()
  await server.subscribe('a')
  t.is(clock.timers, 0)
  transport.pause()
  const gone = server.unsubscribe('a')
  await settled()
  clock.advance(30_000)
  await settled()
  t.regex(lines.at(-1) ?? '', /UNSUBSCRIBE for "a" within 30 s/)
  clock.advance(100)
  await gone
  t.deepEqual([...transport.subscriptions.keys()], [])
})

test('while the socket is not read the answer may be there, and is waited for on', async (t) => {
  const app = mqttasgi({ timeoutMs: 0, holdMs: 120_000 })
  const release = new Deferred()
  app.topic('a/#', async () => release.promise)
  const parts = { window: { maxInFlight: 1, maxWaitingBytes: 100 }, sessionLasts: true }
  const { clock, server, transport } = stageServer(t, app, parts)
  transport.info = { ...transport.info, sessionPresent: true }
  let answer = (_codes: readonly number[]): void => {}
  transport.subscribe = () => new Promise((resolve) => (answer = resolve))
  const starting = server.start()
  await settled()
  for (let i = 0; i < 20; i++) transport.deliver(`a/${i}`, 'x'.repeat(20))
  await settled()
  t.true(transport.paused, 'a backlog is not taken into memory for the sake of SUBACK')
  clock.advance(29_000)
  await settled()
  clock.advance(5_000)
  await settled()
  t.is(server.state, 'connected')
  release.resolve()
  await settled()
  t.false(transport.paused)
  answer([1])
  await starting
  t.is(server.counters.overflows, 0)
  t.is(server.counters.handled, 20)
})

test('where a handler waits for a subscription the socket is read, however much waits', async (t) => {
  const app = mqttasgi()
  app.topic('a/#', async (ctx) => void (await ctx.subscribe('more')))
  const { server, transport } = stageServer(t, app, { window: { maxInFlight: 1, maxWaitingBytes: 100 } })
  await server.start()
  const subscribe = transport.subscribe.bind(transport)
  const isPausedWhileAsking: boolean[] = []
  transport.subscribe = async (requests) => {
    for (let i = 0; i < 3; i++) transport.deliver(`a/${i}`, 'x'.repeat(20))
    await settled()
    isPausedWhileAsking.push(transport.paused)
    return subscribe(requests)
  }
  transport.deliver('a/first')
  await settled()
  await settled()
  t.deepEqual(isPausedWhileAsking, [false])
  t.is(server.counters.handled, 4)
})

import test from 'ava'
import { mqttasgi } from '../../lib/core/application.ts'
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

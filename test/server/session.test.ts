import test, { type ExecutionContext } from 'ava'
import { mqttasgi } from '../../lib/core/application.ts'
import type { SessionInfo } from '../../lib/core/receiver.ts'
import { Session } from '../../lib/server/session.ts'
import { unlimited } from '../../lib/transport/broker-limits.ts'
import type { ConnectionInfo } from '../../lib/transport/transport.ts'
import { settled } from '../helpers/fake-clock.ts'
import { stageServer, type StageParts } from '../helpers/staged-server.ts'

const fresh: ConnectionInfo = {
  sessionPresent: false,
  protocolVersion: 5,
  receiveMaximum: 10,
  maximumPacketSize: undefined,
  subscriptionIdentifiers: true,
  sharedSubscriptions: true,
  limits: unlimited,
}
const kept: ConnectionInfo = { ...fresh, sessionPresent: true }

test('a session is lost when it was to last, was there, and is not any more', (t) => {
  const lasting = new Session({ lasts: true, expirySeconds: 60 })
  t.false(lasting.connected(fresh).lost)
  t.false(lasting.connected(kept).lost)
  t.true(lasting.connected(fresh).lost)
  t.true(lasting.connected(fresh).lost)
  const clean = new Session({ lasts: false, expirySeconds: 0 })
  t.false(clean.connected(fresh).lost)
  t.false(clean.connected(fresh).lost)
})

test('each connection says its version and whether the session goes on', (t) => {
  const session = new Session({ lasts: true, expirySeconds: undefined })
  const texts = [fresh, kept, { ...kept, protocolVersion: 4 } as const, fresh].map((info) =>
    session.connected(info).notices.map(({ text }) => text),
  )
  t.deepEqual(texts, [
    ['Connected with MQTT 5.'],
    ['Connected with MQTT 5, the session goes on.'],
    ['Connected with MQTT 3.1.1, the session goes on.'],
    [
      'Connected with MQTT 5.',
      'The broker has lost the session, and with it what it kept for us. All is subscribed again.',
    ],
  ])
})

test('what the broker gives less of is said once', (t) => {
  const session = new Session({ lasts: true, expirySeconds: 3_600 })
  const limits = { ...unlimited, sessionExpirySeconds: 60, maximumQoS: 0, retainAvailable: false } as const
  const warned = (): string[] =>
    session
      .connected({ ...kept, limits })
      .notices.flatMap(({ level, text }) => (level === 'warn' ? [text] : []))
  const [expiry, qos, retain, ...more] = warned()
  t.regex(expiry ?? '', /for 60 s, not for 3600 s/)
  t.regex(qos ?? '', /QoS 0 only/)
  t.regex(retain ?? '', /no retained messages/)
  t.deepEqual(more, [])
  t.deepEqual(warned(), [])
})

test('a session that is kept for as long as asked, or longer, or that is not to last, is nothing to say', (t) => {
  const notices = (lasts: boolean, asked: number | undefined, sessionExpirySeconds: number): number =>
    new Session({ lasts, expirySeconds: asked }).connected({
      ...fresh,
      limits: { ...unlimited, sessionExpirySeconds },
    }).notices.length
  t.is(notices(true, 60, 60), 1)
  t.is(notices(true, 60, 3_600), 1)
  t.is(notices(false, 60, 30), 1)
  t.is(notices(true, undefined, 30), 1)
})

async function loseSession(
  t: ExecutionContext,
  parts: StageParts,
): Promise<ReturnType<typeof stageServer> & { readonly sessions: SessionInfo[] }> {
  const sessions: SessionInfo[] = []
  const app = mqttasgi().topic('a', () => {})
  app.onConnect((_client, session) => void sessions.push(session))
  const stage = stageServer(t, app, { sessionLasts: true, ...parts })
  await stage.server.start()
  stage.transport.lose()
  await settled()
  stage.clock.advance(100)
  await settled()
  return { ...stage, sessions }
}

test('a lost session is counted, told to the application, and all is subscribed again', async (t) => {
  const { server, sessions, transport } = await loseSession(t, {})
  await server.ready()
  t.deepEqual(sessions, [
    { present: false, lost: false },
    { present: false, lost: true },
  ])
  t.is(server.counters.sessionsLost, 1)
  t.deepEqual([...transport.subscriptions.keys()], ['a'])
})

test('a server that is not to go on without its session ends with ERR_SESSION_LOST', async (t) => {
  const { server, transport } = await loseSession(t, { onSessionLoss: 'stop' })
  const { error } = await server.closed
  t.is(error?.code, 'ERR_SESSION_LOST')
  t.is(server.counters.sessionsLost, 1)
  t.deepEqual([...transport.subscriptions.keys()], [])
})

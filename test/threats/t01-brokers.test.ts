// T1, on the brokers that are known to forward what others refuse: what comes through is acknowledged, and nothing ends.
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { ExecutionContext } from 'ava'
import { generate } from 'mqtt-packet'
import { mqttasgi, serve } from '../../lib/index.ts'
import { silentLog } from '../../lib/core/log.ts'
import type { Broker } from '../helpers/broker.ts'
import { startMosquitto } from '../helpers/mosquitto.ts'
import { startNats } from '../helpers/nats.ts'
import { startRabbitmq } from '../helpers/rabbitmq.ts'
import { recordedUrl } from '../helpers/recording.ts'
import { serverTest } from '../helpers/server-test.ts'
import { startPublisher } from '../helpers/publisher.ts'

/** What no client library would send, one connection each, for brokers end it. */
const texts = 'a/+/b,+,#,a/#,a b,a.b,//,/,$SYS/x,$share/g/x,a\nb,a\u001b[2J,é,*,>,a/*/b,a\0b,'
const hostile = texts.split(',').map((text) => Buffer.from(text))
const damaged = ['ff', '61eda08062', 'c0af'].map((hex) => Buffer.from(hex, 'hex'))

async function tell(t: ExecutionContext, broker: Broker, topic: Buffer): Promise<void> {
  const socket: Socket = connect(broker.port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  socket.on('error', () => {})
  const closed = once(socket, 'close')
  await once(socket, 'connect')
  const { username, password } = broker.login ?? {}
  const login = username === undefined ? {} : { username, password: Buffer.from(password ?? '') }
  const clientId = `hostile-${topic.toString('hex').slice(0, 16)}`
  socket.write(
    generate({ cmd: 'connect', clientId, protocolVersion: 4, clean: true, keepalive: 0, ...login }),
  )
  await Promise.race([once(socket, 'data'), closed])
  const frame = Buffer.concat([
    Buffer.from([0x32, topic.length + 4, 0, topic.length]),
    topic,
    Buffer.from([0, 7]),
  ])
  socket.write(frame)
  await Promise.race([once(socket, 'data'), closed])
  socket.end(generate({ cmd: 'disconnect' }))
}

async function holds(t: ExecutionContext, broker: Broker): Promise<void> {
  t.teardown(() => broker.stop())
  const { url, login } = broker
  // What has an invalid topic is acknowledged, and nobody is done with it.
  const connection = { url: await recordedUrl(t, url, {}), ...login, protocolVersion: 4 } as const
  const seen: string[] = []
  let resolve = (): void => {}
  const fence = new Promise<void>((done) => (resolve = done))
  const app = mqttasgi().topic('#', (ctx) => {
    seen.push(ctx.topic)
    if (ctx.topic === 'fence') resolve()
  })
  const server = await serve(app, { broker: connection, log: silentLog })
  t.teardown(() => server.stop())
  for (const topic of [...hostile, ...damaged]) await tell(t, broker, topic)
  const publisher = await startPublisher(url, { ...login, protocolVersion: 4 })
  t.teardown(() => publisher.close())
  await publisher.publish('fence', 'x')
  await fence
  t.log(`${server.counters.invalidTopics} invalid topics came through, ${seen.length} were routed`)
  t.false(seen.some((topic) => topic.startsWith('$') || /[+#\0]/.test(topic)))
  t.is(server.counters.connects, 1)
  t.is(server.counters.failed, 0)
}

serverTest('mosquitto')('mosquitto forwards what it forwards', async (t) => holds(t, await startMosquitto()))
serverTest('nats-server')('nats forwards what it forwards', async (t) => holds(t, await startNats()))
serverTest('rabbitmq-server')(
  'rabbitmq forwards topics with wildcards, and they are not routed',
  async (t) => {
    await holds(t, await startRabbitmq())
  },
)

// What broke in the original server between it and the broker, and how it goes here. The numbers are those of docs/parity.md.
import { setTimeout as wait } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { mqttasgi, serve, type ErrorCode, type ServeOptions } from '../../lib/index.ts'
import { certificates } from '../helpers/certificates.ts'
import { startMosquitto, type Mosquitto, type MosquittoOptions } from '../helpers/mosquitto.ts'
import { startPublisher } from '../helpers/publisher.ts'
import { recording } from '../helpers/recording.ts'
import { serverTest } from '../helpers/server-test.ts'
import { KeptLog, serving } from '../integration/serving.ts'
import { Tally, within } from '../integration/tally.ts'
import { finding, settled } from './strict-scene.ts'

const withMosquitto = serverTest('mosquitto')

async function mosquitto(t: ExecutionContext, options?: MosquittoOptions): Promise<Mosquitto> {
  const broker = await startMosquitto(options)
  t.teardown(() => broker.stop())
  return broker
}

withMosquitto('2. after a restart of the broker messages come again, with a clean session', async (t) => {
  const broker = await mosquitto(t)
  const seen = new Tally()
  const app = mqttasgi().topic('a/+i', (ctx) => seen.add(ctx.text()))
  const server = await serving(t, app, { broker: { url: broker.url, retries: 0 } })
  await server.subscribe('a/#')
  await broker.restart()
  await within(10_000, 'subscribed again', server.ready())
  const publisher = await startPublisher(broker.url)
  t.teardown(() => publisher.close())
  await publisher.publish('a/1', 'after')
  await seen.untilTotal(1)
  t.is(server.counters.connects, 2)
})

withMosquitto('8. a wrong password at the start is an error at once, without a second attempt', async (t) => {
  const broker = await mosquitto(t, { passwords: { hall: 'right' } })
  const proxy = await recording(t, broker.port)
  const log = new KeptLog()
  const connectedTo = { url: proxy.url, username: 'hall', password: 'wrong', retries: 0 }
  const app = mqttasgi()
  app.onConnect(() => t.fail('It has not connected.'))
  await t.throwsAsync(serve(app, { broker: connectedTo, log }), { code: 'ERR_CONNECT_CREDENTIALS' })
  t.is(proxy.connections, 1)
})

withMosquitto('8. a password that is refused later is tried again after a long while', async (t) => {
  const broker = await mosquitto(t, { passwords: { hall: 'right' } })
  const proxy = await recording(t, broker.port)
  const log = new KeptLog()
  const connectedTo = { url: proxy.url, username: 'hall', password: 'right', retries: 0 }
  const server = await serving(t, mqttasgi(), { broker: connectedTo, log })
  await broker.changePasswords({ hall: 'another' })
  proxy.cut()
  await within(10_000, () => log.lines.join('\n'), log.said(/refused the connection/))
  const ms = Number(/Next try in (\d+) ms/.exec(log.lines.at(-1) ?? '')?.[1])
  t.true(ms >= 30_000 && ms <= 60_000, log.lines.join('\n'))
  t.is(server.state, 'waiting')
  t.is(proxy.connections, 2)
})

withMosquitto('9. an authority alone turns TLS on, and it is the one that counts', async (t) => {
  const { ca, otherCa, server } = await certificates()
  const tls = { ca: ca.certFile, cert: server.certFile, key: server.keyFile }
  const broker = await mosquitto(t, { tls })
  const host = { host: 'localhost', port: broker.port, retries: 1 }
  const ours = await serving(t, mqttasgi(), { broker: { ...host, tls: { ca: ca.certFile } } })
  t.is(ours.state, 'connected')
  const log = new KeptLog()
  for (const wrong of [{ ca: otherCa.certFile }, true] as const) {
    await t.throwsAsync(serve(mqttasgi(), { broker: { ...host, tls: wrong }, log }), {
      code: 'ERR_CONNECT_TLS',
    })
  }
})

test('9. half of a client certificate, or one that is not there, is refused before anything is connected', async (t) => {
  const { client, server } = await certificates()
  const halves: readonly (readonly [NonNullable<ServeOptions['broker']>['tls'], ErrorCode])[] = [
    [{ cert: client.certFile }, 'ERR_CONFIG_INCOMPLETE'],
    [{ key: client.keyFile }, 'ERR_CONFIG_INCOMPLETE'],
    [{ cert: client.certFile, key: server.keyFile }, 'ERR_CONFIG_TLS'],
    [{ cert: '/nowhere/client.crt', key: '/nowhere/client.key' }, 'ERR_CONFIG_TLS'],
    [{ ca: '/nowhere/ca.crt' }, 'ERR_CONFIG_TLS'],
  ]
  for (const [tls, code] of halves) {
    await t.throwsAsync(serve(mqttasgi(), { broker: { tls }, log: new KeptLog() }), { code })
  }
})

finding(
  '16. while the broker is away handlers and timers go on, and what they finish is acknowledged later',
  async (t, { broker, serve: start }) => {
    const entered = new Tally()
    const finished = new Tally()
    const app = mqttasgi()
    const server = await start(app)
    app.topic('a', async () => {
      entered.add('a')
      while (server.state === 'connected') await wait(1)
      for (let i = 0; i < 20; i++) await wait(1)
      finished.add(server.state)
    })
    await server.ready()
    broker.publish('a', '')
    await entered.untilTotal(1)
    await broker.stop()
    await finished.untilTotal(1)
    t.false(finished.keys.includes('connected'))
    await broker.listen()
    await settled(broker, 1)
    t.is(entered.total, 1)
  },
)

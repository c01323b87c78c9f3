import { randomBytes } from 'node:crypto'
import type { ExecutionContext } from 'ava'
import type { ServeOptions } from '../../lib/index.ts'
import type { MqttTransportOptions } from '../../lib/transport/mqtt-transport.ts'
import type { BrokerAddress } from '../../lib/transport/socket.ts'
import { wanted } from '../contract/transport.ts'
import { certificates } from '../helpers/certificates.ts'
import { startMosquitto, type Mosquitto, type MosquittoOptions } from '../helpers/mosquitto.ts'
import { startPublisher } from '../helpers/publisher.ts'
import { recorded, recordedUrl } from '../helpers/recording.ts'
import { serverTest } from '../helpers/server-test.ts'
import { setupTransport, type TransportSetup } from '../helpers/transport-setup.ts'

const mosquittoTest = serverTest('mosquitto')
const payload = Buffer.from('x')

async function start(t: ExecutionContext, options: MosquittoOptions = {}): Promise<Mosquitto> {
  const broker = await startMosquitto(options)
  t.teardown(() => broker.stop())
  return broker
}

/** Behind a proxy that watches, of which there is one for a test. */
async function tcp(t: ExecutionContext, broker: Mosquitto): Promise<BrokerAddress> {
  return { type: 'tcp', host: '127.0.0.1', port: await watchedPort(t, { url: broker.url }) }
}

/** The transport is told by the test what to acknowledge: no server is done with anything. */
async function watchedPort(
  t: ExecutionContext,
  broker: NonNullable<ServeOptions['broker']>,
): Promise<number> {
  const { url = '' } = await recorded(t, broker, {})
  return Number(new URL(url).port)
}

/** Publishes to itself and acknowledges what comes. */
async function roundTrip(
  t: ExecutionContext,
  setup: TransportSetup,
  version: 4 | 5,
  size = 200_000,
): Promise<void> {
  const { connect, recorder, transport } = setup
  const { protocolVersion } = await connect(version)
  t.is(protocolVersion, version)
  t.deepEqual(await transport.subscribe([wanted('hall/+')]), [1])
  const userProperties = { a: ['1', '2'] }
  const large = randomBytes(size)
  await transport.publish('hall/temp', large, { properties: { userProperties } })
  const arrival = await recorder.nth(recorder.arrivals, 1)
  t.like(arrival, { topic: 'hall/temp', qos: 1, invalid: undefined })
  t.true(arrival.payload.equals(large))
  if (version === 5) t.deepEqual({ ...arrival.properties.userProperties }, userProperties)
  transport.acknowledge([arrival.packetId])
  await transport.unsubscribe(['hall/+'])
  const unheard = await transport.publish('hall/temp', payload, {})
  t.is(unheard.reasonCode, version === 5 ? 0x10 : 0)
  await transport.close(2_000)
  t.deepEqual(recorder.log, ['connected', 'arrived', 'closed'])
}

mosquittoTest('over TCP, on MQTT 5 and 3.1.1', async (t) => {
  const broker = await start(t)
  await roundTrip(t, setupTransport(t, { address: await tcp(t, broker) }), 5)
  await roundTrip(t, setupTransport(t, { address: await tcp(t, broker) }), 4)
})

mosquittoTest('over a unix socket', async (t) => {
  const { socketPath } = await start(t, { unixSocket: true })
  const path = new URL(await recordedUrl(t, `unix://${socketPath}`, {})).pathname
  await roundTrip(t, setupTransport(t, { address: { type: 'unix', path } }), 5)
})

mosquittoTest('over websockets', async (t) => {
  const { url } = await start(t, { websockets: true })
  const port = await watchedPort(t, { url })
  const address = { type: 'websocket', host: '127.0.0.1', port, path: '/mqtt' } as const
  // mosquitto 2.0.11 takes seconds for large messages over websockets, whoever the client is.
  await roundTrip(t, setupTransport(t, { address }), 5, 2_000)
})

mosquittoTest(
  'over TLS with a client certificate; without one, and with a stranger, it is a tls failure',
  async (t) => {
    const { ca, client, otherClient, server } = await certificates()
    const broker = await start(t, {
      tls: { ca: ca.certFile, cert: server.certFile, key: server.keyFile, requireClientCertificate: true },
    })
    const over = (tls: object, port = broker.port): TransportSetup =>
      setupTransport(t, {
        address: { type: 'tcp', host: 'localhost', port, tls: { ca: ca.cert, ...tls } },
      })
    const files = { ca: ca.certFile, cert: client.certFile, key: client.keyFile }
    const watched = await watchedPort(t, { url: broker.url, tls: files })
    await roundTrip(t, over({ cert: client.cert, key: client.key }, watched), 5)
    for (const tls of [{}, { cert: otherClient.cert, key: otherClient.key }]) {
      const failure = await over(tls).fail()
      t.is(failure.type, 'tls', failure.message)
      t.regex(failure.message, /wants a client certificate/)
    }
  },
)

mosquittoTest('a wrong password is a credentials failure on both versions', async (t) => {
  const broker = await start(t, { passwords: { user: 'right' } })
  const as = (password: string): Partial<MqttTransportOptions> => ({
    credentials: () => ({ username: 'user', password }),
  })
  for (const version of [4, 5] as const) {
    const failure = await setupTransport(t, { address: await tcp(t, broker), ...as('wrong') }).fail(version)
    t.is(failure.type, 'credentials')
    t.false(failure.message.includes('wrong'))
    await setupTransport(t, { address: await tcp(t, broker), ...as('right') }).connect(version)
  }
})

for (const version of [4, 5] as const) {
  mosquittoTest(
    `what was acknowledged before close() never comes again, though more was unread (${version})`,
    async (t) => {
      const broker = await start(t)
      const options = {
        address: await tcp(t, broker),
        clean: false,
        clientId: 'keeper',
        receiveMaximum: 1_000,
      }
      const first = setupTransport(t, options)
      await first.connect(version)
      await first.transport.subscribe([wanted('a')])
      const publisher = await startPublisher(broker.url)
      await first.transport.close(2_000)
      await publisher.many(
        1_000,
        () => 'a',
        (i) => `${i} ${'x'.repeat(2_000)}`,
      )
      const second = setupTransport(t, options)
      t.true((await second.connect(version)).sessionPresent)
      await second.recorder.nth(second.recorder.arrivals, 10)
      second.transport.pause()
      const acked = second.recorder.arrivals.slice(0, 10)
      second.transport.acknowledge(acked.map(({ packetId }) => packetId))
      await second.transport.close(2_000)
      const third = setupTransport(t, options)
      await third.connect(version)
      await third.recorder.nth(third.recorder.arrivals, 1)
      const again = third.recorder.arrivals[0]
      t.false(acked.some((one) => again !== undefined && one.equals(again)))
      t.is(again?.payload.toString().split(' ')[0], '10')
      await publisher.close()
    },
  )
}

mosquittoTest('a publication under way when the broker is killed is answered by the next one', async (t) => {
  const broker = await start(t)
  const { connect, recorder, transport } = setupTransport(t, { address: await tcp(t, broker) })
  await connect(5)
  broker.pause()
  const open = transport.publish('a', payload, {})
  await broker.kill()
  t.true(['closed', 'network'].includes((await recorder.nth(recorder.failures, 1)).type))
  await broker.restart()
  await connect(5)
  t.like(await open, { reasonCode: 0x10 })
})

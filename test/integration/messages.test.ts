// What travels: over every transport, large and many, with its properties, through a real broker untouched.
import { randomBytes } from 'node:crypto'
import type { ExecutionContext } from 'ava'
import { mqttasgi, type Context, type ServeOptions } from '../../lib/index.ts'
import { certificates } from '../helpers/certificates.ts'
import { startMosquitto, type Mosquitto, type MosquittoOptions } from '../helpers/mosquitto.ts'
import { startPublisher } from '../helpers/publisher.ts'
import { serverTest } from '../helpers/server-test.ts'
import { newClientId, serving } from './serving.ts'
import { Tally, within } from './tally.ts'

const withMosquitto = serverTest('mosquitto')

async function started(t: ExecutionContext, options: MosquittoOptions = {}): Promise<Mosquitto> {
  const broker = await startMosquitto(options)
  t.teardown(() => broker.stop())
  return broker
}

type Transport = () => Promise<{
  readonly mosquitto: MosquittoOptions
  readonly broker: ServeOptions['broker']
}>

const transports: Record<string, Transport> = {
  'TLS with a CA of ours': async () => {
    const { ca, server } = await certificates()
    const tls = { ca: ca.certFile, cert: server.certFile, key: server.keyFile }
    return { mosquitto: { tls }, broker: { tls: { ca: ca.certFile } } }
  },
  'TLS in both directions': async () => {
    const { ca, client, server } = await certificates()
    const tls = {
      ca: ca.certFile,
      cert: server.certFile,
      key: server.keyFile,
      requireClientCertificate: true,
    }
    const ours = { ca: ca.certFile, cert: client.certFile, key: client.keyFile }
    return { mosquitto: { tls }, broker: { tls: ours } }
  },
  websockets: async () => ({ mosquitto: { websockets: true }, broker: {} }),
  'websockets over TLS': async () => {
    const { ca, server } = await certificates()
    const tls = { ca: ca.certFile, cert: server.certFile, key: server.keyFile }
    return { mosquitto: { websockets: true, tls }, broker: { tls: { ca: ca.certFile } } }
  },
  'a unix socket': async () => ({ mosquitto: { unixSocket: true }, broker: {} }),
  'TCP, with user and password': async () => ({
    mosquitto: { passwords: { alice: 'secret' } },
    broker: { username: 'alice', password: 'secret' },
  }),
}

for (const [name, transport] of Object.entries(transports)) {
  withMosquitto(`a message goes out and comes in over ${name}`, async (t) => {
    const { broker: settings, mosquitto } = await transport()
    const broker = await started(t, mosquitto)
    const { socketPath } = broker
    const overSocket = mosquitto.unixSocket === true && socketPath !== undefined
    const address = overSocket ? { url: `unix://${socketPath}` } : { url: broker.url }
    const came = new Tally()
    const app = mqttasgi().topic('there/+and', (ctx) => came.add(`${ctx.params.and} ${ctx.text()}`))
    const server = await serving(t, app, { broker: { ...address, ...settings } })
    t.deepEqual(await server.publish('there/back', 'again'), { reasonCode: 0 })
    await came.untilTotal(1)
    t.deepEqual(came.keys, ['back again'])
    await server.stop()
    t.is(server.counters.acknowledged, 1)
  })
}

for (const protocolVersion of [5, 4] as const) {
  withMosquitto(
    `ten megabytes of noise arrive as they were sent (protocol level ${protocolVersion})`,
    async (t) => {
      const broker = await started(t)
      const noise = randomBytes(10_000_000)
      const came = new Tally()
      const app = mqttasgi().topic('noise', (ctx) => came.add(noise.equals(ctx.payload) ? 'same' : 'other'))
      const server = await serving(t, app, { broker: { url: broker.url, protocolVersion } })
      await server.publish('noise', noise)
      await came.untilTotal(1)
      t.deepEqual(came.keys, ['same'])
    },
  )

  withMosquitto(
    `of 1,000 messages queued before the start none comes before its route is there (protocol level ${protocolVersion})`,
    async (t) => {
      const broker = await started(t)
      const session = { url: broker.url, clientId: newClientId(), clean: false, protocolVersion }
      const came = new Tally()
      const app = mqttasgi().topic('queued/+i', (ctx) => came.add(ctx.params.i))
      const first = await serving(t, app, { broker: session })
      await first.stop()
      const publisher = await startPublisher(broker.url)
      t.teardown(() => publisher.close())
      await publisher.many(1_000, (i) => `queued/${i}`)
      const second = await serving(t, app, { broker: session })
      await came.untilTotal(1_000)
      await second.stop()
      t.deepEqual(came.missing(1_000), [])
      t.is(came.total, 1_000)
      const { acknowledged, unmatched } = second.counters
      t.deepEqual({ acknowledged, unmatched }, { acknowledged: 1_000, unmatched: 0 })
    },
  )
}

for (const qos of [0, 1] as const) {
  withMosquitto(`a mass of 20,000 messages of QoS ${qos} is handled to the last`, async (t) => {
    const broker = await started(t)
    const came = new Tally()
    const app = mqttasgi().topic('mass/+i', { qos }, async (ctx) => {
      await Promise.resolve()
      came.add(ctx.params.i)
    })
    const server = await serving(t, app, { broker: { url: broker.url } })
    const publisher = await startPublisher(broker.url)
    t.teardown(() => publisher.close())
    const before = performance.now()
    let next = 0
    const work = async (): Promise<void> => {
      for (let i = next++; i < 20_000; i = next++) await publisher.publish(`mass/${i}`, 'x', { qos })
    }
    await Promise.all(Array.from({ length: 100 }, work))
    await came.untilTotal(20_000)
    t.log(`${Math.round(20_000 / ((performance.now() - before) / 1_000))} messages/s through the broker`)
    t.is(came.distinct, 20_000)
    await server.stop()
    t.is(server.counters.acknowledged, qos * 20_000)
  })
}

withMosquitto('properties go round, and a reply finds its way back with the correlation data', async (t) => {
  const broker = await started(t)
  const asked = new Tally()
  let question: Context['properties'] = {}
  let answer: { readonly text: string; readonly properties: Context['properties'] } | undefined
  const app = mqttasgi()
  app.topic('ask', async (ctx) => {
    question = ctx.properties
    const { reasonCode } = await ctx.reply({ yes: true }, { properties: { contentType: 'application/json' } })
    asked.add(reasonCode)
  })
  app.topic('answers/mine', (ctx) => {
    answer = { text: ctx.text(), properties: ctx.properties }
    asked.add('answered')
  })
  const server = await serving(t, app, { broker: { url: broker.url, protocolVersion: 5 } })
  const correlationData = Buffer.from([0, 1, 0xff])
  const sent = {
    responseTopic: 'answers/mine',
    correlationData,
    contentType: 'text/plain',
    payloadFormatIndicator: true,
    userProperties: { trace: ['a', 'b'], one: 'only', __proto__x: 'name like any other' },
  }
  await server.publish('ask', 'really?', { properties: sent })
  await asked.untilTotal(2)
  const { userProperties = {}, ...rest } = question
  t.deepEqual(
    { ...userProperties },
    {
      trace: ['a', 'b'],
      one: ['only'],
      __proto__x: ['name like any other'],
    },
  )
  t.is(rest.responseTopic, 'answers/mine')
  t.deepEqual(rest.correlationData, correlationData)
  t.is(rest.contentType, 'text/plain')
  t.is(rest.payloadFormatIndicator, true)
  t.is(asked.of(0), 1)
  t.is(answer?.text, '{"yes":true}')
  t.deepEqual(answer?.properties.correlationData, correlationData)
  t.is(answer?.properties.contentType, 'application/json')
})

withMosquitto('a publication nobody subscribes to is told by its reason code, over MQTT 5', async (t) => {
  const broker = await started(t)
  const five = await serving(t, mqttasgi(), { broker: { url: broker.url, protocolVersion: 5 } })
  t.deepEqual(await five.publish('to/nobody', 'x'), { reasonCode: 0x10 })
  const four = await serving(t, mqttasgi(), { broker: { url: broker.url, protocolVersion: 4 } })
  t.deepEqual(await four.publish('to/nobody', 'x'), { reasonCode: 0 })
})

withMosquitto('two servers in one process do not disturb each other', async (t) => {
  const [one, two] = [await started(t), await started(t)]
  const came = new Tally()
  const app = mqttasgi().topic('a/+b', (ctx) => came.add(ctx.text()))
  const first = await serving(t, app, { broker: { url: one.url } })
  const second = await serving(
    t,
    mqttasgi().topic('a/+b', (ctx) => came.add(`other ${ctx.text()}`)),
    {
      broker: { url: two.url },
    },
  )
  await first.publish('a/b', '1')
  await came.untilTotal(1)
  await first.stop()
  await within(10_000, 'the other server', second.publish('a/b', '2'))
  await came.untilTotal(2)
  t.deepEqual(came.keys, ['1', 'other 2'])
})

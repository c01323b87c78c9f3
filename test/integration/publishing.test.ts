// Publications on a real broker: what waits while it is away, what it does not take, and what must not take us down.
import type { ExecutionContext } from 'ava'
import { mqttasgi, type MqttasgiError, type PublishResult } from '../../lib/index.ts'
import { startMosquitto, type Mosquitto, type MosquittoOptions } from '../helpers/mosquitto.ts'
import { startPublisher } from '../helpers/publisher.ts'
import { serverTest } from '../helpers/server-test.ts'
import { latency, newClientId, serving } from './serving.ts'
import { Tally, within } from './tally.ts'

const withMosquitto = serverTest('mosquitto')

async function start(t: ExecutionContext, options: MosquittoOptions = {}): Promise<Mosquitto> {
  const broker = await startMosquitto({ persistence: true, ...options })
  t.teardown(() => broker.stop())
  return broker
}

interface Came {
  readonly topic: string
  readonly text: string
  readonly expiry: number | undefined
}

/** A session that keeps what comes while nobody is there, also over the end of the broker. Resolves with all of it. */
async function listen(
  t: ExecutionContext,
  broker: Mosquitto,
  filter: string,
): Promise<() => Promise<Came[]>> {
  const came: Came[] = []
  const ends = new Tally()
  const app = mqttasgi()
  app.topic(filter, (ctx) => {
    const { messageExpiryInterval: expiry } = ctx.properties
    if (ctx.text() === 'the end') ends.add('end')
    else came.push({ topic: ctx.topic, text: ctx.text(), expiry })
  })
  const session = { url: broker.url, clientId: newClientId(), clean: false }
  const server = await serving(t, app, { broker: session })
  await server.stop()
  return async () => {
    const again = await serving(t, app, { broker: session })
    const publisher = await startPublisher(broker.url)
    await publisher.publish(filter.replace('#', 'end'), 'the end')
    await publisher.close()
    await ends.untilTotal(1)
    await again.stop()
    return came
  }
}

/** Codes of what was refused, `ok` for what was not, each with how often it was. */
async function outcomes(promises: readonly Promise<PublishResult>[]): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const settled of await Promise.allSettled(promises)) {
    const name = settled.status === 'fulfilled' ? 'ok' : (settled.reason as MqttasgiError).code
    counts[name] = (counts[name] ?? 0) + 1
  }
  return counts
}

for (const protocolVersion of [5, 4] as const) {
  withMosquitto(
    `500 publications that wait three seconds for the broker all arrive, once, in the order of their topic (${protocolVersion})`,
    async (t) => {
      const broker = await start(t)
      const heard = await listen(t, broker, 'wait/#')
      const server = await serving(t, mqttasgi(), {
        broker: { url: broker.url, retries: 0, protocolVersion },
      })
      await broker.kill()
      const results = Array.from({ length: 500 }, (_, i) => server.publish(`wait/${i % 5}`, `${i}`))
      await latency(3_000, 3_000)
      await broker.restart()
      t.deepEqual(await within(20_000, 'all answers', outcomes(results)), { ok: 500 })
      const came = await heard()
      for (let topic = 0; topic < 5; topic++) {
        const numbers = came.filter((one) => one.topic === `wait/${topic}`).map(({ text }) => Number(text))
        t.deepEqual(
          numbers,
          Array.from({ length: 100 }, (_, i) => i * 5 + topic),
        )
      }
      t.is(server.counters.published, 500)
    },
  )
}

withMosquitto('beyond ten times the limit is refused, and what was taken arrives', async (t) => {
  const broker = await start(t)
  const heard = await listen(t, broker, 'flood/#')
  const server = await serving(t, mqttasgi(), { broker: { url: broker.url, retries: 0 } })
  await broker.kill()
  const before = process.memoryUsage.rss()
  const payload = 'x'.repeat(1_024)
  const results: Promise<PublishResult>[] = []
  for (let i = 0; i < 10_000; i++) {
    const result = server.publish('flood/a', `${i} ${payload}`)
    result.catch(() => {})
    results.push(result)
  }
  t.log(`10,000 publications of 1 KiB took ${Math.round((process.memoryUsage.rss() - before) / 2 ** 20)} MiB`)
  await broker.restart()
  t.deepEqual(await within(20_000, 'all answers', outcomes(results)), { ERR_OUTBOX_FULL: 9_000, ok: 1_000 })
  t.is(server.counters.outboxFull, 9_000)
  t.is((await heard()).length, 1_000)
})

withMosquitto('QoS 0 that nobody awaits is bounded on a broker that does not read', async (t) => {
  const broker = await start(t)
  const server = await serving(t, mqttasgi(), {
    broker: { url: broker.url, retries: 0 },
    outbox: { maxBytes: 1_048_576 },
  })
  broker.pause()
  const before = process.memoryUsage.rss()
  const payload = Buffer.alloc(1_024)
  const counts = { full: 0, other: 0 }
  for (let i = 0; i < 100_000; i++) {
    server.publish('flood/a', payload, { qos: 0 }).catch((error: MqttasgiError) => {
      counts[error.code === 'ERR_OUTBOX_FULL' ? 'full' : 'other']++
    })
    if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  const grown = Math.round((process.memoryUsage.rss() - before) / 2 ** 20)
  t.log(`refused ${counts.full} of 100,000, and took ${grown} MiB`)
  // The kernel's own buffers take a few thousand.
  t.true(counts.full > 80_000)
  t.is(counts.other, 0)
  broker.resume()
  // It reads again, and there is room again.
  await within(10_000, 'an answer', server.publish('flood/b', 'x'))
  t.deepEqual(await server.publish('flood/b', 'x', { qos: 0 }), { reasonCode: 0 })
})

withMosquitto(
  'a publication that waits loses of its Message Expiry Interval what it has waited',
  async (t) => {
    const broker = await start(t)
    const heard = await listen(t, broker, 'expiry/#')
    const server = await serving(t, mqttasgi(), { broker: { url: broker.url, retries: 0 } })
    await broker.kill()
    // What is sent into the connection that is about to end does not expire any more.
    while (server.state === 'connected') await new Promise((resolve) => setImmediate(resolve))
    const waits = server.publish('expiry/long', 'a', { properties: { messageExpiryInterval: 60 } })
    const expires = server.publish('expiry/short', 'b', { properties: { messageExpiryInterval: 1 } })
    await t.throwsAsync(within(5_000, 'the expiry', expires), { code: 'ERR_PUBLISH_EXPIRED' })
    await latency(1_000, 1_000)
    await broker.restart()
    await within(10_000, 'the answer', waits)
    const [came, ...others] = await heard()
    t.deepEqual(others, [])
    t.true((came?.expiry ?? 99) <= 58, String(came?.expiry))
  },
)

withMosquitto('a publication that is of use for 0 seconds gets to a broker that is there', async (t) => {
  const broker = await start(t)
  const server = await serving(t, mqttasgi(), { broker: { url: broker.url } })
  const properties = { messageExpiryInterval: 0 }
  for (const qos of [0, 1, 2] as const) await server.publish('expiry/none', 'x', { qos, properties })
  t.is(server.counters.published, 3)
})

withMosquitto(
  'what is larger than the broker takes is refused, and the connection stays (MQTT 5)',
  async (t) => {
    const broker = await start(t, { extra: ['max_packet_size 2000'] })
    const server = await serving(t, mqttasgi(), { broker: { url: broker.url, protocolVersion: 5 } })
    const error = await t.throwsAsync(server.publish('a', Buffer.alloc(2_000)), {
      code: 'ERR_PUBLISH_TOO_LARGE',
    })
    t.regex(error.message, /2000 at most/)
    t.is((await server.publish('a', 'small')).reasonCode, 0x10)
    t.is(server.counters.connects, 1)
    t.is(server.counters.publishRefused, 1)
  },
)

withMosquitto('a broker that keeps no retained messages is asked for none', async (t) => {
  const broker = await start(t, { extra: ['retain_available false'] })
  const server = await serving(t, mqttasgi(), { broker: { url: broker.url, protocolVersion: 5, retries: 0 } })
  await t.throwsAsync(server.publish('a', 'x', { retain: true }), {
    code: 'ERR_PUBLISH_REFUSED',
    message: /keeps no retained messages/,
  })
  await broker.kill()
  // Nor while it is away: it has said so.
  await t.throwsAsync(server.publish('a', 'x', { retain: true }), { code: 'ERR_PUBLISH_REFUSED' })
  t.is(server.counters.connects, 1)
})

withMosquitto(
  'where the broker can not say so it is given up after three connections, and what stands behind it arrives (3.1.1)',
  async (t) => {
    const broker = await start(t, { extra: ['max_packet_size 2000'] })
    const heard = await listen(t, broker, 'behind/#')
    const server = await serving(t, mqttasgi(), {
      broker: { url: broker.url, protocolVersion: 4, retries: 0 },
    })
    const large = server.publish('a', Buffer.alloc(2_000))
    const small = server.publish('behind/a', 'small')
    await t.throwsAsync(within(20_000, 'the large one', large), { code: 'ERR_PUBLISH_QUARANTINED' })
    await within(10_000, 'the small one', small)
    t.deepEqual(
      (await heard()).map(({ text }) => text),
      ['small'],
    )
    // More only where one of them took its time to end: that does not count.
    t.true(server.counters.connects >= 4)
    t.is(server.counters.quarantined, 1)
  },
)

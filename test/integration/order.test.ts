// Order per key on a real broker, with connections that are cut: no two of a key at once, and the first runs in order.
import { mqttasgi } from '../../lib/index.ts'
import { startMosquitto } from '../helpers/mosquitto.ts'
import { startPublisher } from '../helpers/publisher.ts'
import { recording } from '../helpers/recording.ts'
import { serverTest } from '../helpers/server-test.ts'
import { latency, newClientId, serving } from './serving.ts'
import { Tally } from './tally.ts'

const KEYS = 100
const MESSAGES = 3_000
const CUTS = 20

serverTest('mosquitto')(
  'over twenty cuts no two messages of one key are handled at once, and each key is first handled in order',
  async (t) => {
    const broker = await startMosquitto()
    t.teardown(() => broker.stop())
    const proxy = await recording(t, broker.port)
    const publisher = await startPublisher(broker.url)
    t.teardown(() => publisher.close())
    const running = new Set<string>()
    const firsts = new Map<string, number[]>()
    const handled = new Tally()
    const problems: string[] = []
    const app = mqttasgi({ timeoutMs: 0 })
    app.topic('shop/+shop/+thing', { key: (ctx) => ctx.params.shop }, async (ctx) => {
      const { shop } = ctx.params
      if (running.has(shop)) problems.push(`two of ${shop} at once`)
      running.add(shop)
      await latency(0, 6)
      running.delete(shop)
      if (handled.of(ctx.text()) === 0) {
        const seen = firsts.get(shop) ?? []
        firsts.set(shop, seen)
        seen.push(Number(ctx.text()))
      }
      handled.add(ctx.text())
    })
    const broken = { url: proxy.url, clientId: newClientId(), clean: false, retries: 0 }
    const server = await serving(t, app, { broker: broken, maxInFlight: 64 })
    // Each shop gets its messages over changing topics, so that only the key keeps them in order.
    const publishing = publisher.many(MESSAGES, (i) => `shop/${i % KEYS}/${i % 7}`)
    for (let cut = 1; cut <= CUTS; cut++) {
      await handled.untilDistinct(Math.floor((MESSAGES * cut) / (CUTS + 2)))
      proxy.cut()
    }
    await publishing
    await handled.untilDistinct(MESSAGES, 40_000)
    await server.stop()
    t.deepEqual(problems, [])
    for (const [shop, seen] of firsts)
      t.deepEqual(
        seen,
        seen.toSorted((a, b) => a - b),
        `shop ${shop}`,
      )
    t.deepEqual(handled.missing(MESSAGES), [])
    t.log(`run twice: ${handled.total - MESSAGES}, joined: ${server.counters.joined}`)
  },
)

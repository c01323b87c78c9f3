// A broker that goes away and comes back: messages come again soon, on all filters, whatever it has forgotten.
import type { ExecutionContext } from 'ava'
import { mqttasgi } from '../../lib/index.ts'
import { startMosquitto, type Mosquitto } from '../helpers/mosquitto.ts'
import { startPublisher } from '../helpers/publisher.ts'
import { serverTest } from '../helpers/server-test.ts'
import { KeptLog, latency, newClientId, serving } from './serving.ts'
import { Tally, within } from './tally.ts'

const withMosquitto = serverTest('mosquitto')

/** Twice what is promised, for a machine that does other things as well. */
const PROMISED_MS = 2_000
const SLACK = 2

const topics = ['a/1', 'b/2/3', 'c', 'd/4', 'e/5', 'f/6']

interface Sessions {
  readonly clean: boolean
  /** The broker keeps its sessions over a restart. */
  readonly persistence: boolean
}

/** Publishes one round to every topic each 20 ms until all have been handled; says when the first was. */
async function measure(broker: Mosquitto, handled: Tally): Promise<number> {
  const listening = performance.now()
  const publisher = await startPublisher(broker.url)
  const first = handled.untilTotal(1).then(() => performance.now() - listening)
  for (let i = 0; handled.distinct < topics.length && performance.now() - listening < 10_000; i++) {
    await Promise.all(topics.map((topic) => publisher.publish(topic, `after ${i}`)))
    await latency(20, 20)
  }
  await publisher.close()
  return await first
}

async function outage(t: ExecutionContext, downMs: number, { clean, persistence }: Sessions): Promise<void> {
  const broker = await startMosquitto({ persistence })
  t.teardown(() => broker.stop())
  const handled = new Tally()
  const app = mqttasgi()
  for (const pattern of ['a/+i', 'b/#rest', 'c', '$share/group/d/+i']) {
    app.topic(pattern, (ctx) => handled.add(ctx.topic))
  }
  app.use(
    'e',
    mqttasgi().topic('+i', (ctx) => handled.add(ctx.topic)),
  )
  app.use((ctx) => {
    if (ctx.topic.startsWith('f/')) handled.add(ctx.topic)
  })
  const log = new KeptLog()
  const options = { url: broker.url, clientId: newClientId(), clean, retries: 0 }
  const server = await serving(t, app, { broker: options, log })
  await server.subscribe('f/+')
  await broker.kill()
  await latency(downMs, downMs)
  await broker.restart()
  const ms = await measure(broker, handled)
  await within(1_000, 'ready', server.ready())
  t.log(`first message after ${Math.round(ms)} ms`)
  t.true(ms < PROMISED_MS * SLACK)
  t.deepEqual(handled.keys.toSorted(), topics)
  t.is(server.counters.connects, 2)
  t.is(
    log.lines.some((line) => line.includes('the session goes on')),
    !clean && persistence,
  )
}

const sessions: readonly (readonly [string, Sessions])[] = [
  ['with a clean session', { clean: true, persistence: false }],
  ['with a session that the broker has forgotten', { clean: false, persistence: false }],
  ['with a session that the broker has kept', { clean: false, persistence: true }],
]

for (const seconds of [1, 5]) {
  for (const [which, kept] of sessions) {
    withMosquitto(`after ${seconds} s without a broker messages come again on all filters, ${which}`, (t) =>
      outage(t, seconds * 1_000, kept),
    )
  }
}

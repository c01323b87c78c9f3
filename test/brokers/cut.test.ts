// The connection is cut after every byte of a session, in both directions: no crash, no loss, and it connects again.
import test, { type ExecutionContext } from 'ava'
import { mqttasgi } from '../../lib/index.ts'
import { systemClock } from '../../lib/system-clock.ts'
import { MqttTransport } from '../../lib/transport/mqtt-transport.ts'
import { stageServer } from '../helpers/staged-server.ts'
import { Tally } from '../integration/tally.ts'
import { startStrictBroker, type StrictBroker } from './strict/broker.ts'
import type { StrictFaults } from './strict/faults.ts'

const messages = ['1', '2', 'a somewhat longer one', '4', '', '6']

interface Played {
  readonly broker: StrictBroker
  readonly handled: Tally
  readonly connects: number
}

/** One session from CONNECT to DISCONNECT: messages of QoS 1 and 0 come, and one of QoS 1 goes for each. */
async function play(t: ExecutionContext, version: 4 | 5, faults: Partial<StrictFaults>): Promise<Played> {
  const broker = await startStrictBroker({ faults })
  const ends: (() => unknown)[] = []
  const handled = new Tally()
  const app = mqttasgi()
  app.topic('a/+i', async (ctx) => {
    handled.add(`${ctx.params.i} ${ctx.text()}`)
    await ctx.publish(`b/${ctx.params.i}`, 'seen', { qos: 1 })
  })
  app.topic('now', { qos: 0 }, () => {})
  const transport = new MqttTransport({
    address: { type: 'tcp', host: '127.0.0.1', port: broker.port },
    clientId: 'one',
    clean: false,
    keepaliveSeconds: 60,
    sessionExpirySeconds: 3_600,
    receiveMaximum: 16,
    maxPacketBytes: 1_048_576,
  })
  const stage = { teardown: (end: () => unknown) => void ends.push(end) }
  const { server } = stageServer(stage, app, {
    transport,
    // What comes again comes at once.
    policy: { retries: 0, protocolVersion: version, backoff: () => 0 },
    sessionLasts: true,
    clock: systemClock,
  })
  const started = server.start()
  await broker.until(() => broker.subscriptions.filters('one').length === 2)
  messages.forEach((text, i) => broker.publish(`a/${i}`, text))
  broker.publish('now', 'or never', { qos: 0 })
  await broker.until(() => broker.settled.length === messages.length && broker.unsettled('one') === 0)
  await started
  t.deepEqual(await server.stop(), { clean: true, unsettled: 0 })
  await Promise.all(ends.map((end) => end()))
  await broker.stop()
  return { broker, handled, connects: server.counters.connects }
}

for (const version of [5, 4] as const) {
  test(`cut after each byte, nothing is lost and no rule broken (protocol level ${version})`, async (t) => {
    t.timeout(120_000)
    const { broker: whole } = await play(t, version, {})
    const sizes = { up: whole.links[0]?.up ?? 0, down: whole.links[0]?.down ?? 0 }
    t.log(`${sizes.up} bytes up, ${sizes.down} bytes down`)
    let reconnected = 0
    for (const direction of ['up', 'down'] as const) {
      for (let afterBytes = 1; afterBytes <= sizes[direction]; afterBytes++) {
        const { broker, connects, handled } = await play(t, version, { cut: { direction, afterBytes } })
        const what = `cut after ${afterBytes} bytes ${direction}`
        t.deepEqual(broker.violations, [], what)
        t.deepEqual(
          handled.keys.toSorted(),
          messages.map((text, i) => `${i} ${text}`),
          what,
        )
        if (connects > 1 || broker.links.length > 1) reconnected++
      }
    }
    // The last bytes are those of DISCONNECT, after which nobody comes back.
    t.true(reconnected > (sizes.up + sizes.down) * 0.9)
  })

  test(`one byte at a time is the same as all at once (protocol level ${version})`, async (t) => {
    const { broker, connects, handled } = await play(t, version, { chunked: true })
    t.deepEqual(broker.violations, [])
    t.deepEqual(
      handled.keys.toSorted(),
      messages.map((text, i) => `${i} ${text}`),
    )
    t.is(connects, 1)
  })
}

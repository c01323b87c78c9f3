// The matrix of overlaps on every broker that starts here.
import test from 'ava'
import { startBroker } from '../../lib/broker/index.ts'
import { kinds } from '../brokers/kinds.ts'
import { serverTest } from '../helpers/server-test.ts'
import { runOverlapMatrix } from './overlap-matrix.ts'

for (const name of ['mosquitto', 'mosquitto-merging'] as const) {
  for (const protocolVersion of [5, 4] as const) {
    serverTest('mosquitto')(`${name}, MQTT ${protocolVersion}`, async (t) => {
      t.timeout(60_000)
      const broker = await kinds[name].start()
      t.teardown(() => broker.stop())
      await runOverlapMatrix(t, { url: broker.url, protocolVersion })
    })
  }
}

for (const name of ['nats', 'rabbitmq', 'ejabberd'] as const) {
  const { lacks, server, start, versions } = kinds[name]
  serverTest(server ?? 'mosquitto')(`${name}, MQTT ${versions.join(' and ')}`, async (t) => {
    t.timeout(120_000)
    // After an UNSUBSCRIBE nats-server may stand still for as long as that.
    const broker = await start({ ackWait: '1s' })
    t.teardown(() => broker.stop())
    const noRetained = name === 'rabbitmq' ? 'rabbitmq 3.10 sends nothing retained to wildcards' : undefined
    // [MQTT-3.10.4-2] lets it; what only the narrower filter had brought is lost with it.
    const noBacklog = name === 'nats' ? 'nats-server gives up at UNSUBSCRIBE what it has not sent' : undefined
    for (const protocolVersion of versions) {
      const { login, url } = broker
      t.log(`MQTT ${protocolVersion}`)
      await runOverlapMatrix(t, { url, login, protocolVersion, noShare: lacks.share, noRetained, noBacklog })
    }
  })
}

for (const protocolVersion of [5, 4] as const) {
  test(`the embedded broker, MQTT ${protocolVersion}`, async (t) => {
    t.timeout(60_000)
    const broker = await startBroker({ port: 0 })
    t.teardown(() => broker.close())
    await runOverlapMatrix(t, { url: broker.url, protocolVersion, noShare: 'the embedded broker has none' })
  })
}

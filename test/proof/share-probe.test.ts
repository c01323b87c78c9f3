// Shared subscriptions over MQTT 3.1.1 on real brokers: those that only pretend are found out at the start.
import { startBroker } from '../../lib/broker/index.ts'
import { mqttasgi, type Application } from '../../lib/index.ts'
import { kinds, type BrokerName } from '../brokers/kinds.ts'
import { serverTest } from '../helpers/server-test.ts'
import { KeptLog, newClientId, serving } from '../integration/serving.ts'
import test from 'ava'

function sharing(): Application {
  const app = mqttasgi()
  app.topic('$share/team/jobs/+', () => {})
  return app
}

for (const name of ['mosquitto', 'nats', 'rabbitmq', 'ejabberd'] as const satisfies readonly BrokerName[]) {
  const { lacks, server, start } = kinds[name]
  serverTest(server ?? 'mosquitto')(
    `${name} over 3.1.1: shared routes ${lacks.share === undefined ? 'start' : `are refused, for ${lacks.share}`}`,
    async (t) => {
      t.timeout(60_000)
      const broker = await start()
      t.teardown(() => broker.stop())
      const options = {
        broker: { url: broker.url, protocolVersion: 4, clientId: newClientId(), ...broker.login },
        log: new KeptLog(),
      } as const
      if (lacks.share === undefined) await t.notThrowsAsync(serving(t, sharing(), options))
      else await t.throwsAsync(serving(t, sharing(), options), { code: 'ERR_SHARED_UNSUPPORTED' })
    },
  )
}

test('the embedded broker refuses shared routes over 3.1.1, as over 5', async (t) => {
  const broker = await startBroker({ port: 0 })
  t.teardown(() => broker.close())
  for (const protocolVersion of [4, 5] as const) {
    const error = await t.throwsAsync(
      serving(t, sharing(), { broker: { url: broker.url, protocolVersion }, log: new KeptLog() }),
    )
    t.log(error?.message)
  }
})

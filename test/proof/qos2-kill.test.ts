// Consumers of QoS 2 that are killed while messages come lose none of them, whatever they make of it.
import { killHarness } from '../kill/harness.ts'
import { serverTest } from '../helpers/server-test.ts'

const withMosquitto = serverTest('mosquitto')
const size = { broker: 'mosquitto', cycles: 20, messages: 600, handlerMs: 20, maxInFlight: 32 } as const

// MQTT 3.1.1, and other sizes, with `npm run kill -- --qos 2 --qos2 durable --protocol 4`.
for (const qos2 of ['durable', 'downgrade'] as const) {
  withMosquitto.serial(`twenty times SIGKILL during 600 QoS 2 messages loses none (${qos2})`, async (t) => {
    t.timeout(110_000)
    const report = await killHarness({ ...size, qos: 2, qos2, protocolVersion: 5 })
    const { bound, duplicated, kills: _kills, seconds, ...rest } = report
    t.log(`duplicated ${duplicated}, seconds ${seconds}`)
    t.deepEqual(rest, {
      attempted: 600,
      acknowledged: 600,
      lost: 0,
      unexpected: 0,
      recovered: 0,
      deadLettered: 0,
      violations: [],
    })
    t.true(duplicated <= bound)
  })
}

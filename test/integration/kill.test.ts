// Consumers that are killed while messages come lose none of them.
import test from 'ava'
import { account, killHarness, type KillReport } from '../kill/harness.ts'
import { serverTest } from '../helpers/server-test.ts'

const withMosquitto = serverTest('mosquitto')
const size = { cycles: 10, messages: 2_000, handlerMs: 30, maxInFlight: 32 }

function inWords(report: KillReport): string {
  return Object.entries(report)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ')
}

for (const [protocolVersion, name] of [
  [5, 'MQTT 5'],
  [4, 'MQTT 3.1.1'],
] as const) {
  withMosquitto(`ten times SIGKILL during 2,000 QoS 1 messages over ${name} loses none`, async (t) => {
    t.timeout(55_000)
    const report = await killHarness({ ...size, protocolVersion })
    t.log(inWords(report))
    const { attempted, acknowledged, lost, unexpected, recovered } = report
    t.deepEqual(
      { attempted, acknowledged, lost, unexpected, recovered },
      { attempted: 2_000, acknowledged: 2_000, lost: 0, unexpected: 0, recovered: 0 },
    )
    // Only what was in the window can have been handled and not acknowledged.
    t.true(report.duplicated <= size.cycles * size.maxInFlight)
  })
}

test('the account tells lost, duplicated, unexpected and recovered messages apart', (t) => {
  const attempted = new Set(['kept', 'lost', 'unheard', 'recovered', 'twice'])
  const acknowledged = new Set(['kept', 'lost', 'twice'])
  const runs = ['kept', 'recovered', 'twice', 'stranger', 'twice', 'twice']
  t.deepEqual(account({ attempted, acknowledged, runs }), {
    attempted: 5,
    acknowledged: 3,
    lost: 1,
    duplicated: 2,
    unexpected: 1,
    recovered: 1,
  })
})

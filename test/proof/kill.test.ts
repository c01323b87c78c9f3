// Consumers that are killed while messages come lose none of them.
import test from 'ava'
import { account, killHarness, type KillReport } from '../kill/harness.ts'
import { serverTest } from '../helpers/server-test.ts'

const size = { cycles: 5, messages: 500, handlerMs: 30, maxInFlight: 32 }

function inWords(report: KillReport): string {
  return Object.entries(report)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ')
}

// The pipeline makes it twenty times and 2,000, and on the other brokers; any size with `npm run kill`.
for (const [broker, server, protocolVersion] of [
  ['mosquitto', 'mosquitto', 5],
  ['nats', 'nats-server', 4],
] as const) {
  const withServer = serverTest(server)
  const where = `${broker} (protocol level ${protocolVersion})`
  withServer.serial(`five times SIGKILL during 500 QoS 1 messages loses none on ${where}`, async (t) => {
    t.timeout(110_000)
    const report = await killHarness({ ...size, broker, protocolVersion })
    t.log(inWords(report))
    const { bound, duplicated, kills: _kills, seconds: _seconds, ...rest } = report
    t.deepEqual(rest, {
      attempted: 500,
      acknowledged: 500,
      lost: 0,
      unexpected: 0,
      recovered: 0,
      deadLettered: 0,
      violations: [],
    })
    // Only what was in the window can have been handled and not acknowledged.
    t.true(duplicated <= bound)
  })
}

test('the account tells lost, duplicated, unexpected, recovered and buried messages apart', (t) => {
  const attempted = new Set(['kept', 'lost', 'unheard', 'recovered', 'twice', 'buried'])
  const acknowledged = new Set(['kept', 'lost', 'twice', 'buried'])
  const runs = ['kept', 'recovered', 'twice', 'stranger', 'twice', 'twice']
  const deadLetters = new Set(['buried', 'twice'])
  t.deepEqual(account({ attempted, acknowledged, runs, deadLetters }), {
    attempted: 6,
    acknowledged: 4,
    lost: 1,
    duplicated: 2,
    unexpected: 1,
    recovered: 1,
    deadLettered: 1,
  })
})

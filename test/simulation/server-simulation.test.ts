// Some hundred seeds of the simulation of a whole server.
import test from 'ava'
import { ServerSimulation } from './server-simulation.ts'

const seeds = Number(process.env['MQTTASGI_SERVER_SEEDS'] ?? 400)
const first = Number(process.env['MQTTASGI_SERVER_FIRST_SEED'] ?? 0)

test('whenever a server is stopped it ends in time, answers whoever asked, and leaves nothing behind', async (t) => {
  t.timeout(Math.max(10_000, 100 * seeds))
  const unhandled: unknown[] = []
  const note = (reason: unknown): number => unhandled.push(reason)
  process.on('unhandledRejection', note)
  t.teardown(() => process.off('unhandledRejection', note))
  let delivered = 0
  for (let seed = first; seed < first + seeds; seed++) {
    try {
      const trace = seeds === 1 ? (line: string): void => t.log(line) : undefined
      delivered += await new ServerSimulation(seed, trace).run()
    } catch (error) {
      const what = error instanceof Error ? error.stack : String(error)
      t.fail(`MQTTASGI_SERVER_SEEDS=1 MQTTASGI_SERVER_FIRST_SEED=${seed}: ${what}`)
      return
    }
    if (unhandled.length > 0) {
      t.fail(`MQTTASGI_SERVER_SEEDS=1 MQTTASGI_SERVER_FIRST_SEED=${seed}: ${String(unhandled[0])}`)
      return
    }
  }
  t.log(`${seeds} servers, ${delivered} messages`)
  t.true(delivered > 0)
})

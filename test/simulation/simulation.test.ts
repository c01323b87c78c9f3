// Some thousands of seeds of the simulation with each test run; `npm run simulate -- --seeds 1000000` for long.
import test from 'ava'
import { simulateSeeds } from './seeds.ts'
import { tallyLine } from './tally.ts'

const seeds = Number(process.env['MQTTASGI_SIMULATION_SEEDS'] ?? 10_000)

test('no accident loses a message, acknowledges unfinished work, or breaks order, window and limits', async (t) => {
  // 10,000 in a minute, as was promised, with twice the slack: other tests run beside it. AVA waits as long for one that hangs.
  t.timeout(Math.max(20_000, 12 * seeds))
  const { failure, tally } = await simulateSeeds({ first: 0, seeds })
  t.log(tallyLine(tally))
  t.is(failure, undefined, failure)
  t.is(tally.lost, 0)
  t.is(tally.unexpected, 0)
})

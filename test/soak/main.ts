// The long runs: `npm run soak`, `npm run soak -- --only mixed --minutes 10 --reconnects 1000 --backlog 100000`.
import { parseArgs } from 'node:util'
import { backlog } from './backlog.ts'
import { failingDisk, fullDisk, jumpingClock, lossyNetwork } from './kernel.ts'
import { group, mixed } from './mixed.ts'
import { leftovers } from './leftovers.ts'

const all = [fullDisk, failingDisk, jumpingClock, leftovers, backlog, group, lossyNetwork, mixed]

const { values } = parseArgs({
  options: {
    /** One of them, by its name. */
    only: { type: 'string' },
    minutes: { type: 'string', default: '10' },
    reconnects: { type: 'string', default: '1000' },
    backlog: { type: 'string', default: '100000' },
  },
})
const chosen = all.filter(({ name }) => (values.only ?? name) === name)
if (chosen.length === 0) throw new Error(`--only is one of ${all.map(({ name }) => name).join(', ')}.`)
const options = {
  minutes: Number(values.minutes),
  reconnects: Number(values.reconnects),
  backlog: Number(values.backlog),
}

for (const { name, about, lacks, run } of chosen) {
  console.log(`${name}: ${about}`)
  const lacking = lacks()
  if (lacking !== undefined) {
    console.log(`  skipped: needs ${lacking}`)
    continue
  }
  const { faults, figures } = await run(options)
  for (const [figure, value] of Object.entries(figures)) console.log(`  ${figure.padEnd(20)}  ${value}`)
  for (const fault of faults) console.log(`  FAILED: ${fault}`)
  if (faults.length > 0) process.exitCode = 1
}

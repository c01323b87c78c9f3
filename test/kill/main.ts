// The kill harness by hand: `npm run kill -- --cycles 100 --messages 10000 --protocol 5`.
import { parseArgs } from 'node:util'
import { killHarness } from './harness.ts'

const { values } = parseArgs({
  options: {
    cycles: { type: 'string', default: '10' },
    messages: { type: 'string', default: '2000' },
    protocol: { type: 'string', default: '5' },
    'handler-ms': { type: 'string', default: '30' },
    'max-in-flight': { type: 'string', default: '32' },
  },
})

const report = await killHarness({
  cycles: Number(values.cycles),
  messages: Number(values.messages),
  protocolVersion: values.protocol === '4' ? 4 : 5,
  handlerMs: Number(values['handler-ms']),
  maxInFlight: Number(values['max-in-flight']),
})
for (const [name, value] of Object.entries(report)) console.log(`${name.padEnd(12)} ${value}`)
process.exitCode = report.lost === 0 && report.unexpected === 0 ? 0 : 1

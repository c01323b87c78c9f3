// The kill harness by hand: `npm run kill -- --broker nats --cycles 100 --messages 10000 --protocol 4`.
import { parseArgs } from 'node:util'
import { isBrokerName, kinds } from '../brokers/kinds.ts'
import { killHarness } from './harness.ts'

const { values } = parseArgs({
  options: {
    broker: { type: 'string', default: 'mosquitto' },
    cycles: { type: 'string', default: '10' },
    messages: { type: 'string', default: '2000' },
    // By default the newest that the broker speaks.
    protocol: { type: 'string' },
    'handler-ms': { type: 'string', default: '30' },
    'max-in-flight': { type: 'string', default: '32' },
    qos: { type: 'string', default: '1' },
    // With QoS 2: what the consumer makes of it, downgrade or durable.
    qos2: { type: 'string', default: 'downgrade' },
  },
})

const { broker } = values
if (!isBrokerName(broker)) throw new Error(`--broker is one of ${Object.keys(kinds).join(', ')}.`)
const { versions } = kinds[broker]
const protocolVersion = versions.find(
  (version) => String(version) === (values.protocol ?? String(versions[0])),
)
if (protocolVersion === undefined)
  throw new Error(`${broker} speaks protocol level ${versions.join(' and ')}.`)

const report = await killHarness({
  broker,
  protocolVersion,
  cycles: Number(values.cycles),
  messages: Number(values.messages),
  handlerMs: Number(values['handler-ms']),
  maxInFlight: Number(values['max-in-flight']),
  qos: values.qos === '2' ? 2 : 1,
  qos2: values.qos2 === 'durable' ? 'durable' : 'downgrade',
})
const { bound, duplicated, violations, ...rest } = report
const why = kinds[broker].lacks.window
const most = `of at most ${bound}, a window for each kill${why === undefined ? '' : `, to which nobody holds it: ${why}`}`
const lines = {
  ...rest,
  duplicated: `${duplicated} ${most}`,
  violations: [violations.length, ...violations].join('\n  '),
}
for (const [name, value] of Object.entries(lines)) console.log(`${name.padEnd(12)} ${value}`)
const isWithin = why !== undefined || duplicated <= bound
const isKept = rest.lost === 0 && rest.unexpected === 0 && violations.length === 0
process.exitCode = isKept && isWithin ? 0 : 1

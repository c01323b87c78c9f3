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
for (const [name, value] of Object.entries(report)) console.log(`${name.padEnd(12)} ${value}`)
process.exitCode = report.lost === 0 && report.unexpected === 0 && report.violations === 0 ? 0 : 1

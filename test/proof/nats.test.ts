// The suite that is the same on every broker, on nats.
import { kinds } from '../brokers/kinds.ts'
import { brokerSuite } from '../brokers/suite.ts'

brokerSuite(kinds.nats)

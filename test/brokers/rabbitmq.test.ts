// The suite that is the same on every broker, on rabbitmq.
import { kinds } from './kinds.ts'
import { brokerSuite } from './suite.ts'

brokerSuite(kinds.rabbitmq)

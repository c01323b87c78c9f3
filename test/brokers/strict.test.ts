// The suite that is the same on every broker, on the strict broker.
import { kinds } from './kinds.ts'
import { brokerSuite } from './suite.ts'

brokerSuite(kinds.strict)

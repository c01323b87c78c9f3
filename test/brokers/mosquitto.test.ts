// The suite that is the same on every broker, on mosquitto.
import { kinds } from './kinds.ts'
import { brokerSuite } from './suite.ts'

brokerSuite(kinds.mosquitto)

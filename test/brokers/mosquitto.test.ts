// The suite that is the same on every broker, on a mosquitto that sends a copy for each filter.
import { kinds } from './kinds.ts'
import { brokerSuite } from './suite.ts'

brokerSuite(kinds.mosquitto)

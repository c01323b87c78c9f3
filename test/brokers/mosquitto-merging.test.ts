// The suite that is the same on every broker, on a mosquitto that merges copies.
import { kinds } from './kinds.ts'
import { brokerSuite } from './suite.ts'

brokerSuite(kinds['mosquitto-merging'])

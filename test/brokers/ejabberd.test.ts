// The suite that is the same on every broker, on ejabberd.
import { kinds } from './kinds.ts'
import { brokerSuite } from './suite.ts'

brokerSuite(kinds.ejabberd)

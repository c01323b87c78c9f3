// The thread of the tests: applications only, loaded as the tests themselves are.
import { asHostable } from '../../../lib/consumer/hostable.ts'
import { runThread } from '../../../lib/workers/thread-main.ts'

await runThread({ load: (file) => import(file) as Promise<unknown>, files: () => [] }, asHostable)

// The thread of the tests: applications only, loaded as the tests themselves are.
import { asApplication } from '../../../lib/core/application.ts'
import { runThread } from '../../../lib/workers/thread-main.ts'

await runThread({ load: (file) => import(file) as Promise<unknown>, files: () => [] }, asApplication)

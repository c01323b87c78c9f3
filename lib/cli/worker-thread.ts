// What runs in the threads of workers under the command line: users' files are loaded as it loads them itself.
import { asHostable } from '../consumer/hostable.ts'
import { createLoader } from '../config/modules.ts'
import { runThread } from '../workers/thread-main.ts'
import { ownModules } from '../own-modules.ts'

await runThread(createLoader(ownModules, process.cwd()), asHostable)

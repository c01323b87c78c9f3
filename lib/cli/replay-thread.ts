// What runs in the threads of workers at a replay of dead letters.
import { createLoader } from '../config/modules.ts'
import { runThread } from '../workers/thread-main.ts'
import { ownModules } from '../own-modules.ts'
import { asReplayed } from './replayed.ts'

await runThread(createLoader(ownModules, process.cwd()), asReplayed)

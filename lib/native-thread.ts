// What runs in the threads of workers in a program.
import { createLoader } from './config/modules.ts'
import { asHostable } from './consumer/hostable.ts'
import { nativeOr } from './native-loader.ts'
import { ownModules } from './own-modules.ts'
import { runThread } from './workers/thread-main.ts'

await runThread(nativeOr(createLoader(ownModules, process.cwd())), asHostable)

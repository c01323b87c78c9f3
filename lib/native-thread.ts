// What runs in the threads of workers in a program.
import { asHostable } from './consumer/hostable.ts'
import { nativeLoader } from './native-loader.ts'
import { runThread } from './workers/thread-main.ts'

await runThread(nativeLoader, asHostable)

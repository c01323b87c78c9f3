// Loads users' files in a program: as the program itself was loaded, so TypeScript where the runtime reads it.
import { pathToFileURL } from 'node:url'
import type { ModuleLoader } from './config/modules.ts'

export const nativeLoader: ModuleLoader = {
  load: (file) => import(pathToFileURL(file).href) as Promise<unknown>,
  files: () => [],
}

/** What this thread can not read `other` loads: on Node 20 a program's hooks, such as those of tsx, do not reach its threads. */
export function nativeOr(other: ModuleLoader): ModuleLoader {
  return {
    load: async (file) => {
      try {
        return await nativeLoader.load(file)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ERR_UNKNOWN_FILE_EXTENSION') throw error
        return await other.load(file)
      }
    },
    files: () => [],
  }
}

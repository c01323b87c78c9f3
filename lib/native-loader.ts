// Loads users' files in a program: as the program itself was loaded, so TypeScript where the runtime reads it.
import { pathToFileURL } from 'node:url'
import type { ModuleLoader } from './config/modules.ts'

export const nativeLoader: ModuleLoader = {
  load: (file) => import(pathToFileURL(file).href) as Promise<unknown>,
  files: () => [],
}

// The version of this package, from its package.json.
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Such as 0.1.0. */
export function version(): string {
  // Beside lib in the sources, beside dist when built.
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const found = versionIn(join(folder, 'package.json'))
    if (found !== undefined || folder === dirname(folder)) return found ?? 'unknown'
  }
}

function versionIn(file: string): string | undefined {
  try {
    const read: unknown = JSON.parse(readFileSync(file, 'utf8'))
    if (typeof read !== 'object' || read === null || !('name' in read) || read.name !== 'mqttasgi')
      return undefined
    return 'version' in read ? String(read.version) : undefined
  } catch {
    return undefined
  }
}

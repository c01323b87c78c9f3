// Finds a program that a test needs: on the PATH, and where Debian puts servers.
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

/** The file, or undefined. /usr/sbin, where Debian has its servers, is not on every PATH. */
export function findExecutable(name: string): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  return [...folders, '/usr/sbin', '/usr/local/sbin']
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, name))
    .find((file) => isExecutable(file))
}

export function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

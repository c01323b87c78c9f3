// What others want to have taken out of a journal that is not theirs: a file for each wish, carried out by its owner.
import { randomUUID } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { diskFiles, isMissing } from './journal-files.ts'

const FOLDER = 'removed'
const ENDING = '.ids'

/** Wishes these keys gone; resolves when the wish outlives a crash. */
export async function wishGone(folder: string, keys: readonly string[]): Promise<void> {
  const place = join(folder, FOLDER)
  await mkdir(place, { recursive: true, mode: 0o700 })
  const draft = join(place, randomUUID())
  const file = await open(draft, 'wx', 0o600)
  try {
    await file.writeFile(keys.map((key) => `${key}\n`).join(''))
    await file.sync()
  } finally {
    await file.close()
  }
  // Whole or not at all.
  await rename(draft, `${draft}${ENDING}`)
  await diskFiles.syncFolder(place)
}

/** All keys that are wished gone. */
export async function wishedGone(folder: string): Promise<ReadonlySet<string>> {
  const keys = new Set<string>()
  for (const file of await wishesIn(folder)) for (const key of await keysOf(file)) keys.add(key)
  return keys
}

/** Gives each wish to `remove`, and forgets it when that has resolved. */
export async function grantWishes(
  folder: string,
  remove: (keys: readonly string[]) => Promise<unknown>,
): Promise<void> {
  for (const file of await wishesIn(folder)) {
    await remove(await keysOf(file))
    await unlink(file).catch(unlessMissing)
  }
}

async function wishesIn(folder: string): Promise<readonly string[]> {
  const place = join(folder, FOLDER)
  try {
    return (await readdir(place)).filter((name) => name.endsWith(ENDING)).map((name) => join(place, name))
  } catch (error) {
    unlessMissing(error)
    return []
  }
}

async function keysOf(file: string): Promise<readonly string[]> {
  try {
    return (await readFile(file, 'utf8')).split('\n').filter((key) => key !== '')
  } catch (error) {
    // Somebody has granted it meanwhile.
    unlessMissing(error)
    return []
  }
}

function unlessMissing(error: unknown): void {
  if (!isMissing(error)) throw error
}

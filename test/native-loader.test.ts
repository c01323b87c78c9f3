// Users' files in the threads of a program: read by the runtime, or by the other loader where it can not.
import test from 'ava'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ModuleLoader } from '../lib/config/modules.ts'
import { nativeOr } from '../lib/native-loader.ts'

test('what the runtime can not read the other loader reads, and nothing else', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'native-loader-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const asked: string[] = []
  const other: ModuleLoader = {
    load: (file) => Promise.resolve(asked.push(file)),
    files: () => [],
  }
  const loader = nativeOr(other)
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
  t.like(await loader.load(file('good.mjs', 'export const one = 1')), { one: 1 })
  await t.throwsAsync(loader.load(file('bad.mjs', 'throw new Error("it can not")')), {
    message: 'it can not',
  })
  t.deepEqual(asked, [])
  const unknown = file('good.other', 'export const one = 1')
  await loader.load(unknown)
  // A file that it can read may import one that it can not.
  const outer = file('outer.mjs', 'export * from "./good.other"')
  await loader.load(outer)
  t.deepEqual(asked, [unknown, outer])
  t.deepEqual(loader.files(), [])
})

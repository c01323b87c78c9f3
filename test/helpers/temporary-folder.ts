// A folder of a test's own with the files it needs, gone when the test has ended.
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { ExecutionContext } from 'ava'

/** Makes the folder and writes `files`, by their path in it. */
export function temporaryFolder(
  t: Pick<ExecutionContext, 'teardown'>,
  files: Readonly<Record<string, string>> = {},
): string {
  const folder = mkdtempSync(join(tmpdir(), 'mqttasgi-test-'))
  t.teardown(() => {
    rmSync(folder, { recursive: true, force: true })
  })
  for (const [path, content] of Object.entries(files)) {
    const file = join(folder, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, content)
    // Whatever the umask is, for files that others may write are refused.
    chmodSync(file, 0o644)
  }
  return folder
}

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import test from 'ava'
import { loader } from './loader.ts'

test('a process that is guarded ends with the one that has started it, even when that is killed', async (t) => {
  const script = `
    import { spawn } from 'node:child_process'
    import { endWithUs } from ${JSON.stringify(new URL('guard.ts', import.meta.url).href)}
    const child = spawn(process.execPath, ['-e', 'console.log("up"); setInterval(() => {}, 1000)'], { stdio: ['ignore', 'inherit', 'ignore'] })
    endWithUs(child)
  `
  const argv = ['--import', loader, '--input-type=module', '--eval', script]
  const parent = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => parent.kill('SIGKILL'))
  const [text]: unknown[] = await once(parent.stdout.setEncoding('utf8'), 'data')
  t.is(text, 'up\n')
  // Both hold its stream: it ends with the last of them.
  const end = Promise.all([once(parent, 'exit'), once(parent.stdout, 'close')])
  parent.kill('SIGKILL')
  await t.notThrowsAsync(end)
})

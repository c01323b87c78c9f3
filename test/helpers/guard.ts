// Ends what a test has started when the test itself is killed, and so can not.
import { type ChildProcess, spawn } from 'node:child_process'

/**
 * A shell that waits for the end of its input, which is the end of this process, however it ends: a test
 * runner that gives up on a test kills it, and then no code of ours runs any more.
 */
export function endWithUs(child: ChildProcess): void {
  if (child.pid === undefined) return
  const shell = spawn('/bin/sh', ['-c', 'read -r nothing; kill -9 "$1"', 'guard', String(child.pid)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    // Ctrl-C in a terminal is for all processes of a group.
    detached: true,
  })
  shell.unref()
  // The number may be given to another process from then on.
  child.once('exit', () => shell.kill('SIGKILL'))
}

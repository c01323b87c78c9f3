// The clock of the wall jumps by more than a year in a running process: keepalive, waits and time limits take no notice.
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { runProcess } from '../helpers/command-line.ts'
import { startMosquitto } from '../helpers/mosquitto.ts'
import { startPublisher } from '../helpers/publisher.ts'
import { recording } from '../helpers/recording.ts'
import { serverTest } from '../helpers/server-test.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { latency, newClientId } from './serving.ts'

/** Debian's place; it preloads a library that the file of a test tells the time. */
function fakeTime(): string | undefined {
  const root = '/usr/lib'
  if (!existsSync(root)) return undefined
  const files = readdirSync(root).map((folder) => join(root, folder, 'faketime/libfaketime.so.1'))
  return files.find((file) => existsSync(file))
}

const app = `
  import { mqttasgi } from 'mqttasgi'
  export const app = mqttasgi()
  app.topic('time', { timeoutMs: 2_000 }, async (ctx) => {
    await new Promise((resolve) => setTimeout(resolve, 300))
    ctx.log.warn('it is ' + new Date().getUTCFullYear())
  })
`

/** Whatever day it is, that is another year. */
const JUMP_DAYS = 400

function jump(cwd: string, days: number): void {
  writeFileSync(join(cwd, 'time'), `${days < 0 ? '' : '+'}${days}d`)
}

function yearIn(days: number): number {
  return new Date(Date.now() + days * 86_400_000).getUTCFullYear()
}

async function jumps(t: ExecutionContext, library: string): Promise<void> {
  const broker = await startMosquitto()
  t.teardown(() => broker.stop())
  const proxy = await recording(t, broker.port, {})
  const cwd = temporaryFolder(t, { 'app.ts': app, time: '+0' })
  const command = runProcess(
    t,
    ['--url', proxy.url, '-i', newClientId(), '-c', 'false', '--keepalive', '1', '-r', '0', './app.ts'],
    {
      cwd,
      env: {
        LD_PRELOAD: library,
        FAKETIME_TIMESTAMP_FILE: join(cwd, 'time'),
        FAKETIME_NO_CACHE: '1',
        // Only the wall's: the monotonic one never jumps.
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
        DONT_FAKE_MONOTONIC: '1',
      },
    },
  )
  await command.seen(/running/)
  const publisher = await startPublisher(broker.url)
  t.teardown(() => publisher.close())
  for (const days of [JUMP_DAYS, -JUMP_DAYS]) {
    jump(cwd, days)
    await publisher.publish('time', '')
    await command.seen(new RegExp(`it is ${yearIn(days)}`))
    // Two keepalives, and one and a half would end the connection.
    await latency(2_000, 2_000)
    t.notRegex(command.output(), /silent|Next try/)
  }
  jump(cwd, JUMP_DAYS)
  const before = proxy.connections
  proxy.cut()
  await command.seen(/Next try in \d+ ms/)
  jump(cwd, -JUMP_DAYS)
  await publisher.publish('time', '')
  await command.seen(new RegExp(`(it is ${yearIn(-JUMP_DAYS)}[^]*){2}`))
  t.is(proxy.connections, before + 1)
  t.notRegex(command.output(), /timeoutMs|failed/)
  command.signal('SIGTERM')
  t.is(await command.ended, 0)
}

const library = fakeTime()
const title = 'a clock that jumps by a year, and back, ends no connection, no wait and no handler'

if (library === undefined) test.skip(`${title} (needs libfaketime: apt-get install faketime)`, () => {})
else serverTest('mosquitto')(title, (t) => jumps(t, library))

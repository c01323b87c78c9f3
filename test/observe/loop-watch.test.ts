import test from 'ava'
import { silentLog } from '../../lib/core/log.ts'
import { serve, mqttasgi } from '../../lib/index.ts'
import { MemoryTransport } from '../../lib/testing/index.ts'
import { watchLoop } from '../../lib/observe/loop-watch.ts'

function block(ms: number): void {
  const end = performance.now() + ms
  while (performance.now() < end);
}

function turns(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

test.serial('a handler that does not let go of the thread is named soon after its end', async (t) => {
  const lines: string[] = []
  const log = { ...silentLog, warn: (line: string) => void lines.push(line) }
  const app = mqttasgi()
  app.topic('compute/+what', () => block(1_800))
  const transport = new MemoryTransport()
  const server = await serve(app, { transport, log, deadLetter: { store: 'none' } })
  t.teardown(() => server.stop())
  await turns(300)
  transport.deliver('compute/pi')
  await turns(800)
  const told = lines.filter((line) => line.includes('let go of the thread'))
  t.is(told.length, 1)
  t.regex(told[0] ?? '', /Nothing ran for 1\d{3} ms.*"compute\/\+what"/)
})

test.serial('what takes less than the limit is not told, and nothing is when it has ended', async (t) => {
  const lines: string[] = []
  const log = { ...silentLog, warn: (line: string) => void lines.push(line) }
  const stop = watchLoop({ log, lastRoutes: () => [], everyMs: 10, limitMs: 5_000 })
  block(100)
  await turns(50)
  stop()
  t.deepEqual(lines, [])
  const stopAgain = watchLoop({ log, lastRoutes: () => [], everyMs: 10, limitMs: 100 })
  await turns(20)
  block(400)
  await turns(50)
  stopAgain()
  t.is(lines.length, 1)
  t.notRegex(lines[0] ?? '', /started last/)
})

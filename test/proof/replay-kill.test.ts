// mqttasgi dlq replay, killed again and again in the middle of it: no letter is lost, and at most one a kill comes twice.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { connectAsync } from 'mqtt'
import { JournalDeadLetters } from '../../lib/durable/journal-dead-letters.ts'
import { lettersOf } from '../contract/dead-letter-store.ts'
import { endWithUs } from '../helpers/guard.ts'
import { letter } from '../helpers/letters.ts'
import { loader } from '../helpers/loader.ts'
import { startMosquitto } from '../helpers/mosquitto.ts'
import { recording } from '../helpers/recording.ts'
import { SeededRandom } from '../helpers/seeded-random.ts'
import { serverTest } from '../helpers/server-test.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { Tally } from '../integration/tally.ts'

const withMosquitto = serverTest('mosquitto')
const bin = join(import.meta.dirname, '../../bin/mqttasgi.ts')

withMosquitto('a replay that is killed loses no letter, and repeats at most one for each kill', async (t) => {
  const broker = await startMosquitto()
  t.teardown(() => broker.stop())
  const proxy = await recording(t, broker.port, {})
  const cwd = temporaryFolder(t)
  const archive = new JournalDeadLetters({
    folder: join(cwd, '.mqttasgi/dead-letters'),
    maxMessages: 1_000,
    maxBytes: 1e6,
  })
  const letters = Array.from({ length: 200 }, (_, i) => letter({ topic: `again/${i}` }))
  await Promise.all(letters.map((one) => archive.keep(one)))
  await archive.close()
  const came = new Tally()
  const subscriber = await connectAsync(broker.url)
  t.teardown(() => subscriber.endAsync(true))
  subscriber.on('message', (topic) => came.add(topic.slice('again/'.length)))
  await subscriber.subscribeAsync('again/#', { qos: 1 })

  const random = new SeededRandom(3)
  let kills = 0
  for (let code: unknown = null; code !== 0;) {
    const args = ['--import', loader, bin, 'dlq', 'replay', '--to', 'broker', '--url', proxy.url]
    const child = spawn(process.execPath, args, { cwd, stdio: ['ignore', 'pipe', 'ignore'] })
    endWithUs(child)
    t.teardown(() => child.kill('SIGKILL'))
    const patience = 1 + random.below(60)
    let replayed = 0
    child.stdout.on('data', (text: Buffer) => {
      replayed += text.toString().split('\n').length - 1
      if (kills < 4 && replayed >= patience) child.kill('SIGKILL')
    })
    const [exit]: unknown[] = await once(child, 'close')
    code = exit
    if (code === null) kills++
    else t.is(code, 0)
  }
  await came.untilDistinct(200)
  t.true(kills > 0)
  t.deepEqual(came.missing(200), [])
  t.true(came.total <= 200 + kills, `${came.total}`)
  t.deepEqual(await lettersOf(archive), [])
})

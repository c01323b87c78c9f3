// Killed again and again between the keeping of a dead letter and its PUBACK: each message is in one of the two, or in both.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { connectAsync } from 'mqtt'
import { decodeLetter } from '../../lib/durable/letter-bytes.ts'
import { JournalDeadLetters } from '../../lib/durable/journal-dead-letters.ts'
import { lettersOf } from '../contract/dead-letter-store.ts'
import { endWithUs } from '../helpers/guard.ts'
import { loader } from '../helpers/loader.ts'
import { startMosquitto } from '../helpers/mosquitto.ts'
import { startPublisher } from '../helpers/publisher.ts'
import { recording } from '../helpers/recording.ts'
import { SeededRandom } from '../helpers/seeded-random.ts'
import { serverTest } from '../helpers/server-test.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import type { WireEvent } from '../helpers/wire-log.ts'
import { latency, newClientId } from '../integration/serving.ts'
import { Tally } from '../integration/tally.ts'
import { acknowledged } from '../kill/wire.ts'

const withMosquitto = serverTest('mosquitto')
const program = join(import.meta.dirname, 'programs/burying.ts')

const KILLS = 20
const EACH = 30

/** Where the letters of a test go, and how often each message is among them now. */
interface Letters {
  readonly deadLetter: object
  readonly read: () => Promise<Tally>
}

function inJournal(stateDir: string): Letters {
  return {
    deadLetter: {},
    read: async () => {
      const folder = join(stateDir, 'dead-letters')
      const archive = new JournalDeadLetters({ folder, maxMessages: 1e6, maxBytes: 1e9 })
      const tally = new Tally()
      for (const { payload } of await lettersOf(archive)) tally.add(payload.toString())
      await archive.close()
      return tally
    },
  }
}

async function onTopic(t: ExecutionContext, url: string): Promise<Letters> {
  const heard = new Tally()
  const ends = new Tally()
  const reader = await connectAsync(url)
  t.teardown(() => reader.endAsync(true))
  reader.on('message', (topic, bytes) => {
    if (topic === 'the/end') ends.add('end')
    else heard.add(decodeLetter(bytes).payload.toString())
  })
  await reader.subscribeAsync(['dead/letters', 'the/end'], { qos: 1 })
  return {
    deadLetter: { store: 'topic', topic: 'dead/letters' },
    read: async () => {
      const end = ends.total + 1
      // It comes behind all letters.
      await reader.publishAsync('the/end', '', { qos: 1 })
      await ends.untilTotal(end)
      return heard
    },
  }
}

/** Messages that are neither acknowledged nor kept come again: those that are acknowledged must be kept. */
function unkept(acknowledgedOnes: ReadonlySet<string>, letters: Tally): string[] {
  return [...acknowledgedOnes].filter((payload) => letters.of(payload) === 0)
}

for (const store of ['journal', 'topic'] as const) {
  withMosquitto(
    `of ${KILLS * EACH} messages that can not be handled ${KILLS} kills lose none, each is kept at least once (${store})`,
    async (t) => {
      t.timeout(110_000)
      const broker = await startMosquitto()
      t.teardown(() => broker.stop())
      const proxy = await recording(t, broker.port, {})
      const publisher = await startPublisher(broker.url)
      t.teardown(() => publisher.close())
      const cwd = temporaryFolder(t)
      const letters = store === 'journal' ? inJournal(cwd) : await onTopic(t, broker.url)
      const options = JSON.stringify({
        broker: { url: proxy.url, clientId: newClientId(), clean: false, retries: 0 },
        deadLetter: letters.deadLetter,
        stateDir: cwd,
      })
      const begin = async (): Promise<() => Promise<void>> => {
        const child = spawn(process.execPath, ['--import', loader, program, options], {
          stdio: ['ignore', 'pipe', 'ignore'],
        })
        endWithUs(child)
        const gone = once(child, 'close')
        t.teardown(() => child.kill('SIGKILL'))
        await once(child.stdout, 'data')
        return async () => {
          child.kill('SIGKILL')
          await gone
          await proxy.log.until(() => proxy.open === 0)
        }
      }
      const random = new SeededRandom(21)
      for (let round = 0; round < KILLS; round++) {
        const kill = await begin()
        const come = proxy.log.packets('publish', 'down').length + 1 + random.below(EACH)
        const sent = publisher.many(
          EACH,
          (i) => `bad/${i}`,
          (i) => String(round * EACH + i),
        )
        await proxy.log.untilPackets('publish', 'down', come)
        // Some are being kept then, and some are kept and wait for those before them.
        await latency(0, 10)
        await kill()
        await sent
        t.deepEqual(unkept(acknowledged(proxy.log), await letters.read()), [], `kill ${round}`)
      }
      const end = await begin()
      const isAnswer = (event: WireEvent): boolean => event.type === 'packet' && event.packet.cmd === 'puback'
      await proxy.log.until((event) => isAnswer(event) && acknowledged(proxy.log).size === KILLS * EACH)
      await end()
      const kept = await letters.read()
      t.deepEqual(kept.missing(KILLS * EACH), [])
      t.log(`${kept.repeated().length} were kept, not acknowledged, and kept again`)
    },
  )
}

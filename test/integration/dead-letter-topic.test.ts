// Dead letters on a topic of a real broker: acknowledged only when somebody has them, and never sent in a circle.
import type { ExecutionContext } from 'ava'
import { join } from 'node:path'
import { mqttasgi, Reject, type Server } from '../../lib/index.ts'
import { decodeLetter } from '../../lib/durable/letter-bytes.ts'
import { JournalDeadLetters } from '../../lib/durable/journal-dead-letters.ts'
import type { DeadLetterInput } from '../../lib/config/index.ts'
import { lettersOf } from '../contract/dead-letter-store.ts'
import { startMosquitto, type MosquittoOptions } from '../helpers/mosquitto.ts'
import { startPublisher, type Publisher } from '../helpers/publisher.ts'
import { serverTest } from '../helpers/server-test.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { newClientId, serving } from './serving.ts'
import { within } from './tally.ts'

const withMosquitto = serverTest('mosquitto')
const deadLetter: DeadLetterInput = { store: 'topic', topic: 'dead/letters' }

interface Scene {
  readonly url: string
  readonly publisher: Publisher
  readonly stateDir: string
  readonly spool: JournalDeadLetters
}

async function scene(t: ExecutionContext, options: MosquittoOptions = {}): Promise<Scene> {
  const broker = await startMosquitto(options)
  t.teardown(() => broker.stop())
  const publisher = await startPublisher(broker.url)
  t.teardown(() => publisher.close())
  const stateDir = temporaryFolder(t)
  const folder = join(stateDir, 'dead-letters')
  const spool = new JournalDeadLetters({ folder, maxMessages: 1, maxBytes: 1 })
  t.teardown(() => spool.close())
  return { url: broker.url, publisher, stateDir, spool }
}

async function until(isSo: () => boolean, what: string): Promise<void> {
  const look = async (): Promise<void> => {
    while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 10))
  }
  await within(10_000, what, look())
}

/** A server in which everything on `bad/#` is rejected. */
function failing(
  t: ExecutionContext,
  { url, stateDir }: Scene,
  protocolVersion: 5 | 4 | 'auto' = 'auto',
): Promise<Server> {
  const app = mqttasgi()
  app.topic('bad/#', () => {
    throw new Reject('never')
  })
  const broker = { url, clientId: newClientId(), clean: false, protocolVersion }
  return serving(t, app, { broker, stateDir, deadLetter })
}

/** A reader of the dead letters. */
async function reader(
  t: ExecutionContext,
  { url, stateDir }: Scene,
  read: (payload: Buffer) => void,
): Promise<void> {
  const app = mqttasgi()
  app.topic('dead/letters', { retry: { attempts: 1 } }, (ctx) => read(Buffer.from(ctx.payload)))
  await serving(t, app, { broker: { url }, stateDir, deadLetter })
}

withMosquitto(
  'a letter that nobody subscribes to keeps its message unacknowledged, until somebody does (F22)',
  async (t) => {
    const at = await scene(t)
    const server = await failing(t, at)
    await at.publisher.publish('bad/1', 'x')
    await until(() => !server.health.ready, 'a server that is not ready')
    t.regex(server.health.reasons.join(), /Nobody subscribes to "dead\/letters"/)
    t.is(server.counters.acknowledged, 0)
    const letters: Buffer[] = []
    await reader(t, at, (payload) => letters.push(payload))
    await until(() => server.counters.acknowledged === 1, 'an acknowledgement')
    await until(() => letters.length > 0, 'a dead letter')
    const one = decodeLetter(letters[0] ?? Buffer.alloc(0))
    t.like(one, { topic: 'bad/1', cause: 'rejected', route: 'bad/#' })
    t.is(one.payload.toString(), 'x')
    t.true(server.health.ready)
  },
)

withMosquitto(
  'a letter above the size the broker takes is kept here, its digest there, and the connection stays (F24)',
  async (t) => {
    const at = await scene(t, { extra: ['max_packet_size 2000'] })
    const letters: string[] = []
    await reader(t, at, (payload) => letters.push(payload.toString()))
    const server = await failing(t, at)
    await at.publisher.publish('bad/large', 'y'.repeat(1_700))
    await at.publisher.publish('bad/small', 'z')
    await until(() => server.counters.acknowledged === 2, 'two acknowledgements')
    await until(() => letters.length === 2, 'two letters')
    t.is(server.counters.connects, 1)
    t.true(
      letters.some((text) =>
        /"topic":"bad\/large".*"bytes":1700,"sha256":"[0-9a-f]{64}","follows":false/.test(text),
      ),
    )
    const [kept, ...others] = await lettersOf(at.spool)
    t.is(kept?.payload.toString(), 'y'.repeat(1_700))
    t.deepEqual(others, [])
  },
)

withMosquitto(
  'a reader of dead letters that fails keeps them in the journal: they do not go round (F25)',
  async (t) => {
    const at = await scene(t)
    let reads = 0
    await reader(t, at, () => {
      reads++
      throw new Error('the reader is broken')
    })
    const server = await failing(t, at)
    await at.publisher.publish('bad/1', 'x')
    await until(() => server.counters.acknowledged === 1, 'an acknowledgement')
    let kept = await lettersOf(at.spool)
    for (; kept.length === 0; kept = await lettersOf(at.spool)) await new Promise(setImmediate)
    t.is(kept[0]?.topic, 'dead/letters')
    t.is(decodeLetter(kept[0]?.payload ?? Buffer.alloc(0)).topic, 'bad/1')
    // What went round would have come by now: this is behind it on the same topic's way.
    await at.publisher.publish('bad/2', 'x')
    await until(() => server.counters.acknowledged === 2, 'a second acknowledgement')
    await until(() => reads === 2, 'two letters read')
    t.is((await lettersOf(at.spool)).length <= 2, true)
    t.is(reads, 2)
  },
)

withMosquitto('on MQTT 3.1.1 nothing is acknowledged for a letter that may be lost unseen', async (t) => {
  const at = await scene(t, { extra: [] })
  const app = mqttasgi()
  app.topic('bad/#', () => {
    throw new Reject('never')
  })
  const broker = { url: at.url, clientId: newClientId(), clean: false, protocolVersion: 4 } as const
  await t.throwsAsync(async () => serving(t, app, { broker, stateDir: at.stateDir, deadLetter }), {
    code: 'ERR_CONFIG_CONFLICT',
  })
  const trusting = { ...deadLetter, unverified: true }
  const server = await serving(t, app, { broker, stateDir: at.stateDir, deadLetter: trusting })
  await at.publisher.publish('bad/1', 'x')
  await until(() => server.counters.acknowledged === 1, 'an acknowledgement')
})

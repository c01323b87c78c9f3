// A link that is dead without a word, and a broker that stands still: noticed in time, tried in time, and all is well after it.
import type { ExecutionContext } from 'ava'
import { mqttasgi, type Server } from '../../lib/index.ts'
import { startMosquitto } from '../helpers/mosquitto.ts'
import { startPublisher } from '../helpers/publisher.ts'
import { recording } from '../helpers/recording.ts'
import { serverTest } from '../helpers/server-test.ts'
import { KeptLog, newClientId, serving } from './serving.ts'
import { Tally, within } from './tally.ts'

const withMosquitto = serverTest('mosquitto')

const KEEPALIVE_S = 1
const CONNECT_TIMEOUT_S = 1
/** What is promised, and as much again for a machine that does other things as well. */
const NOTICED_MS = 2 * (1.5 * KEEPALIVE_S + 1) * 1_000
const TRIED_MS = 2 * CONNECT_TIMEOUT_S * 1_000

interface Scene {
  readonly server: Server
  readonly handled: Tally
  readonly log: KeptLog
  /** Milliseconds until the connection has ended, and until so many attempts have. */
  readonly ended: Promise<number>
  readonly tried: (attempts: number) => Promise<void>
}

/** Each warning is an end of a connection, or of an attempt. */
class CountingLog extends KeptLog {
  readonly #failures: Tally

  constructor(failures: Tally) {
    super()
    this.#failures = failures
  }

  override warn(message: string): void {
    super.warn(message)
    this.#failures.add(message)
  }
}

async function scene(t: ExecutionContext, url: string): Promise<Scene> {
  const handled = new Tally()
  const failures = new Tally()
  let end: () => void = () => {}
  const over = new Promise<void>((resolve) => (end = resolve))
  const app = mqttasgi().topic('a/+i', (ctx) => handled.add(ctx.params.i))
  app.onDisconnect(() => end())
  const log = new CountingLog(failures)
  const broker = { url, clientId: newClientId(), clean: false, retries: 0 }
  const limits = { keepalive: KEEPALIVE_S, connectTimeout: CONNECT_TIMEOUT_S }
  const server = await serving(t, app, { broker: { ...broker, ...limits }, log })
  const begin = performance.now()
  return {
    server,
    handled,
    log,
    ended: over.then(() => performance.now() - begin),
    tried: (attempts) => failures.untilTotal(failures.total + attempts),
  }
}

async function recovers({ handled, server }: Scene, url: string): Promise<void> {
  await within(20_000, 'ready', server.ready())
  const publisher = await startPublisher(url)
  await publisher.publish('a/after', '')
  await handled.untilTotal(1)
  await publisher.close()
}

withMosquitto('a broker that stands still is noticed within 1.5 keepalives and a second', async (t) => {
  const broker = await startMosquitto()
  t.teardown(() => broker.stop())
  const stage = await scene(t, broker.url)
  broker.pause()
  const noticedMs = await stage.ended
  const begin = performance.now()
  // The kernel goes on taking connections for it.
  await stage.tried(2)
  const triedMs = (performance.now() - begin) / 2
  broker.resume()
  await recovers(stage, broker.url)
  t.log(`noticed after ${Math.round(noticedMs)} ms, an attempt took ${Math.round(triedMs)} ms`)
  t.true(noticedMs < NOTICED_MS)
  t.true(triedMs < TRIED_MS)
  t.regex(stage.log.lines.join('\n'), /has been silent for 1\.5 s.*\n(.*\n)*.*did not answer within 1 s/)
})

withMosquitto('so is a link on which nothing arrives any more, in either direction', async (t) => {
  const broker = await startMosquitto()
  t.teardown(() => broker.stop())
  const proxy = await recording(t, broker.port)
  const stage = await scene(t, proxy.url)
  proxy.set('both', { type: 'swallow' })
  const noticedMs = await stage.ended
  proxy.set('both', { type: 'pass' })
  await recovers(stage, broker.url)
  t.log(`noticed after ${Math.round(noticedMs)} ms`)
  t.true(noticedMs < NOTICED_MS)
})

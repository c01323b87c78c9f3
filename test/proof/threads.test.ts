// Workers in threads on a real broker: what ends one hurts no other, and its messages come again or are kept.
import type { ExecutionContext } from 'ava'
import { performance } from 'node:perf_hooks'
import { mqttasgi, type Server, type ServeOptions } from '../../lib/index.ts'
import { startMosquitto } from '../helpers/mosquitto.ts'
import { startPublisher, type Publisher } from '../helpers/publisher.ts'
import { serverTest } from '../helpers/server-test.ts'
import { KeptLog, serving, servingDirectly } from '../integration/serving.ts'
import { Tally, within } from '../integration/tally.ts'

const withMosquitto = serverTest('mosquitto')
const programs = new URL('programs/', import.meta.url).pathname

/** When each line was said. */
class TimedLog extends KeptLog {
  readonly times: number[] = []

  override warn(message: string): void {
    this.times[this.lines.length] = performance.now()
    super.warn(message)
  }

  /** Of the first line that this is part of. */
  at(text: string): number {
    return this.times[this.lines.findIndex((line) => line.includes(text))] ?? Number.NaN
  }
}

interface Scene {
  readonly server: Server
  readonly publisher: Publisher
  readonly log: TimedLog
  /** Messages of the application in this thread, and how long each was on its way. */
  readonly own: Tally
  readonly latencies: number[]
  /** Messages of the worker beside the one that is looked at. */
  readonly other: Tally
}

type Worker = NonNullable<ServeOptions['workers']>[number]

async function scene(t: ExecutionContext, worker: Worker): Promise<Scene> {
  const broker = await startMosquitto()
  t.teardown(() => broker.stop())
  const publisher = await startPublisher(broker.url)
  t.teardown(() => publisher.close())
  const own = new Tally()
  const other = new Tally()
  const latencies: number[] = []
  const app = mqttasgi()
  app.topic('own/+n', (ctx) => {
    own.add(ctx.params.n)
    latencies.push(performance.now() - Number(ctx.text()))
  })
  app.topic('done/+id', (ctx) => other.add(ctx.text()))
  const log = new TimedLog()
  const steady = { id: 'steady', application: `${programs}workers.ts#steady`, thread: true }
  const server = await serving(t, app, {
    broker: { url: broker.url, retries: 0 },
    workers: [steady, worker],
    // Acknowledgements go in order: what is held stands in front of all behind it, until the window is full.
    maxInFlight: 2_000,
    log,
  })
  return { server, publisher, log, own, other, latencies }
}

/** Sends messages to everybody else until told to stop; resolves when they have been handled. */
function traffic({ publisher, own, other }: Scene): () => Promise<number> {
  const stopped = new AbortController()
  let sent = 0
  const sending = (async () => {
    while (!stopped.signal.aborted) {
      const n = String(sent++)
      await Promise.all([
        publisher.publish(`own/${n}`, String(performance.now())),
        publisher.publish(`steady/${n}`, ''),
      ])
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  })()
  return async () => {
    stopped.abort()
    await sending
    await own.untilDistinct(sent)
    await other.untilDistinct(sent)
    return sent
  }
}

async function until(isSo: () => boolean, what: string | (() => string), ms = 20_000): Promise<void> {
  const look = async (): Promise<void> => {
    while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 5))
  }
  await within(ms, what, look())
}

function stateOf(server: Server, id: string): string | undefined {
  return server.workers().find((worker) => worker.id === id)?.state
}

function longest(latencies: readonly number[]): number {
  return Math.round(Math.max(...latencies))
}

withMosquitto.serial(
  'F50: a loop without end in one worker is ended soon after its timeout, and nobody else notices',
  async (t) => {
    const stage = await scene(t, {
      id: 'spinner',
      application: `${programs}workers.ts#spinner`,
      thread: true,
    })
    const { server, publisher, log, latencies } = stage
    const stop = traffic(stage)
    await publisher.publish('spin/1', 'for ever')
    await publisher.publish('spin/2', 'once')
    await until(
      () => server.counters.deadLettered === 1,
      () => log.lines.join('\n'),
    )
    const sent = await stop()
    const took = log.at('Worker "spinner" has failed') - log.at('Attempt 1 for "spin/1" failed')
    t.log(`${Math.round(took)} ms from the timeout to the end of the thread`)
    t.log(`${sent} messages of each of two others beside it, the longest ${longest(latencies)} ms on its way`)
    t.true(took <= 250, `${took} ms`)
    await until(() => stateOf(server, 'spinner') === 'running', 'the spinner runs again')
    await publisher.publish('spin/3', 'once')
    await until(() => server.counters.handled >= 2 * sent + 2, 'the messages behind it are handled')
    t.is(server.counters.failed, 0)
  },
)

withMosquitto.serial('F50: a loop outside of any message is found by its silence', async (t) => {
  const stage = await scene(t, { id: 'spinner', application: `${programs}workers.ts#spinner`, thread: true })
  const { server, publisher, log } = stage
  const before = performance.now()
  await publisher.publish('timer', '')
  await until(() => log.lines.some((line) => line.includes('Worker "spinner" has failed')), 'it is found')
  t.true(server.counters.handled >= 1)
  t.log(`found after ${Math.round(performance.now() - before)} ms`)
  await until(() => stateOf(server, 'spinner') === 'running', 'it runs again')
})

for (const [topic, what] of [
  ['heap', 'a heap'],
  ['buffers', 'buffers'],
  ['crash', 'an exit'],
] as const) {
  withMosquitto.serial(
    `F51: ${what} without end ends the thread alone; its message runs again, and is a dead letter then`,
    async (t) => {
      const stage = await scene(t, {
        id: 'hoarder',
        application: `${programs}workers.ts#hoarder`,
        thread: true,
        memoryMb: 64,
      })
      const { server, publisher, log, latencies } = stage
      const stop = traffic(stage)
      await publisher.publish(topic, '')
      await publisher.publish('well', '')
      let rss = 0
      await until(
        () => {
          rss = Math.max(rss, process.memoryUsage.rss())
          return server.counters.deadLettered === 1
        },
        () => log.lines.join('\n'),
      )
      const sent = await stop()
      t.log(
        `${sent} messages of each of two others beside it, the longest ${longest(latencies)} ms on its way`,
      )
      t.log(`at most ${Math.round(rss / 1_048_576)} MB of the whole process`)
      // One that was in hand beside it may have been tried again too, but is not blamed for it.
      t.true(server.counters.retried <= 2)
      await until(() => stateOf(server, 'hoarder') === 'running', 'it runs again')
      await publisher.publish('well', '')
      await until(
        () => server.counters.handled >= 3 * sent + 2,
        () => `${server.counters.handled} of ${3 * sent + 2}`,
      )
    },
  )
}

withMosquitto.serial(
  'F52: a worker that ends again and again is given up: it can be seen, its messages are kept, and nobody else waits',
  async (t) => {
    const stage = await scene(t, {
      id: 'mayfly',
      application: `${programs}mayfly.ts#mayfly`,
      thread: true,
      maxRestarts: 3,
    })
    const { server, publisher, log } = stage
    const stop = traffic(stage)
    await until(
      () => stateOf(server, 'mayfly') === 'stopped',
      () => log.lines.join('\n'),
    )
    const restarts = log.lines.filter((line) => line.includes('started again in'))
    t.is(restarts.length, 3)
    const { ready, reasons } = server.health
    t.false(ready)
    t.regex(reasons.join(' '), /"mayfly" is stopped/)
    const before = server.counters.deadLettered
    await publisher.publish('mayfly/1', '')
    await until(() => server.counters.deadLettered === before + 1, 'what comes for it is kept')
    const sent = await stop()
    t.log(`given up after ${restarts.length} restarts; ${sent} messages of each of two others beside it`)
    const cpu = process.cpuUsage()
    await new Promise((resolve) => setTimeout(resolve, 500))
    const { system, user } = process.cpuUsage(cpu)
    t.log(`${Math.round((system + user) / 5_000)} % of a processor afterwards`)
    t.true(system + user < 250_000)
    t.is(server.workers().find(({ id }) => id === 'mayfly')?.restarts, 3)
  },
)

withMosquitto.serial('F52: with escalation exit the server ends with the reason', async (t) => {
  const { server, publisher, log } = await scene(t, {
    id: 'hoarder',
    application: `${programs}workers.ts#hoarder`,
    thread: true,
    maxRestarts: 0,
    escalation: 'exit',
  })
  await publisher.publish('crash', '')
  const { error } = await within(20_000, () => log.lines.join('\n'), server.closed)
  t.is(error?.code, 'ERR_WORKER_STOPPED')
  t.regex(error?.message ?? '', /"hoarder" has failed too often.*exit code 1/)
})

withMosquitto.serial(
  'F52: a worker that is given up before the server runs keeps it from starting',
  async (t) => {
    const mayfly = { id: 'mayfly', application: `${programs}mayfly.ts#mayfly`, thread: true }
    const workers: ServeOptions['workers'] = [{ ...mayfly, maxRestarts: 0, escalation: 'exit' }]
    // It ends before anything connects.
    const starting = servingDirectly(t, mqttasgi(), { broker: { url: 'mqtt://127.0.0.1:1' }, workers })
    await t.throwsAsync(starting, { code: 'ERR_WORKER_STOPPED' })
  },
)

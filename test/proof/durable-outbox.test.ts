// Publications on disk: a process that is killed, or stopped while the broker is away, and the one that comes after it.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { ExecutionContext } from 'ava'
import { mqttasgi, type ServeOptions } from '../../lib/index.ts'
import { loader } from '../helpers/loader.ts'
import { startMosquitto, type Mosquitto } from '../helpers/mosquitto.ts'
import { startPublisher } from '../helpers/publisher.ts'
import { recording } from '../helpers/recording.ts'
import { serverTest } from '../helpers/server-test.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { KeptLog, newClientId, serving } from '../integration/serving.ts'
import { Tally } from '../integration/tally.ts'

const withMosquitto = serverTest('mosquitto')
const program = join(import.meta.dirname, 'programs/publishing.ts')

interface Publishing {
  /** `serving`, `7 stored` … as it was said. */
  readonly said: Tally
  readonly publish: (from: number, to: number) => void
  readonly end: (signal: 'SIGKILL' | 'SIGTERM') => Promise<number | null>
}

async function publishing(t: ExecutionContext, options: ServeOptions): Promise<Publishing> {
  const args = ['--import', loader, program, JSON.stringify(options)]
  const child: ChildProcess = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'ignore'] })
  const gone = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await gone
  })
  const said = new Tally()
  if (child.stdout !== null) createInterface(child.stdout).on('line', (line) => said.add(line))
  await said.untilTotal(1)
  return {
    said,
    publish: (from, to) => void child.stdin?.write(`${from} ${to}\n`),
    end: async (signal) => {
      child.kill(signal)
      const [code] = (await gone) as [number | null]
      return code
    },
  }
}

interface Scene {
  readonly broker: Mosquitto
  readonly options: ServeOptions
  /** The numbers that came, in order, by topic. */
  readonly heard: () => Promise<Map<string, number[]>>
}

/** A broker that keeps what comes for a session that is away, and an outbox on disk. */
async function scene(t: ExecutionContext): Promise<Scene> {
  const broker = await startMosquitto({ persistence: true })
  t.teardown(() => broker.stop())
  const came = new Map<string, number[]>()
  const ends = new Tally()
  const app = mqttasgi()
  app.topic('durable/+topic', (ctx) => {
    if (ctx.params.topic === 'end') ends.add('end')
    else came.set(ctx.params.topic, [...(came.get(ctx.params.topic) ?? []), Number(ctx.text())])
  })
  // What the processes do nobody here hears of.
  const { url } = await recording(t, broker.port, {})
  const session = { url, clientId: newClientId(), clean: false }
  await (await serving(t, app, { broker: session })).stop()
  return {
    broker,
    options: {
      broker: { url, retries: 0 },
      outbox: { durable: true, maxMessages: 10_000 },
      stateDir: temporaryFolder(t),
    },
    heard: async () => {
      const server = await serving(t, app, { broker: session })
      const publisher = await startPublisher(broker.url)
      await publisher.publish('durable/end', '')
      await publisher.close()
      await ends.untilTotal(1)
      await server.stop()
      return came
    },
  }
}

function numbers(count: number, topic: number): number[] {
  return Array.from({ length: count / 5 }, (_, i) => i * 5 + topic)
}

withMosquitto(
  'a process that is killed while the broker is away loses nothing of what it had stored',
  async (t) => {
    const { broker, heard, options } = await scene(t)
    const first = await publishing(t, options)
    await broker.kill()
    first.publish(0, 500)
    await first.said.untilDistinct(501)
    t.is(first.said.keys.filter((line) => line.endsWith(' stored')).length, 500)
    await first.end('SIGKILL')
    await broker.restart()
    const log = new KeptLog()
    const second = await serving(t, mqttasgi(), { ...options, log })
    t.is(second.counters.outboxRestored, 500)
    // Behind all that is on disk.
    await second.publish('durable/0', '500')
    t.is(second.counters.published, 501)
    await second.stop()
    const came = await heard()
    for (let topic = 0; topic < 5; topic++) {
      const expected = [...numbers(500, topic), ...(topic === 0 ? [500] : [])]
      t.deepEqual(came.get(`${topic}`), expected)
    }
    const third = await serving(t, mqttasgi(), options)
    t.is(third.counters.outboxRestored, 0)
  },
)

withMosquitto(
  'a process that is killed again and again while it publishes loses nothing it had stored',
  async (t) => {
    const { heard, options } = await scene(t)
    let stored = 0
    const known = new Set<number>()
    for (let cycle = 0; cycle < 4; cycle++) {
      const victim = await publishing(t, options)
      victim.publish(cycle * 500, cycle * 500 + 500)
      // Somewhere in the middle.
      await victim.said.untilDistinct(50 + cycle * 100)
      await victim.end('SIGKILL')
      for (const line of victim.said.keys) if (line !== 'serving') known.add(Number(line.split(' ')[0]))
      stored += victim.said.keys.filter((line) => line.endsWith('stored')).length
    }
    const last = await serving(t, mqttasgi(), options)
    await last.publish('durable/0', '-1')
    await last.stop()
    const all = [...(await heard()).values()].flat()
    const duplicates = all.length - new Set(all).size
    t.log(`${known.size} known to be safe, ${stored} of them by the disk, ${duplicates} came twice`)
    for (const number of known) t.true(all.includes(number), `${number} was safe, and is lost`)
  },
)

withMosquitto(
  'a stop while the broker does not answer is clean, and what has no answer is published after the next start',
  async (t) => {
    const { broker, heard, options } = await scene(t)
    const log = new KeptLog()
    const server = await serving(t, mqttasgi(), { ...options, log, drainTimeout: 0.5 })
    broker.pause()
    const results = Array.from({ length: 10 }, (_, i) => server.publish(`durable/${i % 5}`, `${i}`))
    const refused = Promise.all(
      results.map((result) => t.throwsAsync(result, { message: /stays in .*outbox/ })),
    )
    t.deepEqual(await server.stop(), { clean: true, unsettled: 0 })
    await refused
    t.true(log.lines.some((line) => line.startsWith('warn 10 publications have no answer; they stay in')))
    broker.resume()
    const next = await serving(t, mqttasgi(), options)
    t.is(next.counters.outboxRestored, 10)
    await next.publish('durable/0', '-1')
    await next.stop()
    const came = await heard()
    // Those that were under way came with the old connection as well: twice is allowed, never is not.
    for (let topic = 0; topic < 5; topic++) {
      const distinct = [...new Set(came.get(`${topic}`))].filter((number) => number >= 0)
      t.deepEqual(distinct, numbers(10, topic))
    }
  },
)

withMosquitto(
  'what was meant for one broker is not published on another, and the start says so',
  async (t) => {
    const { broker, heard, options } = await scene(t)
    const server = await serving(t, mqttasgi(), options)
    await broker.kill()
    await server.publish('durable/0', '7', { until: 'stored' })
    await server.stop()
    const other = await startMosquitto()
    t.teardown(() => other.stop())
    const log = new KeptLog()
    const elsewhere = await serving(t, mqttasgi(), { ...options, broker: { url: other.url }, log })
    t.is(elsewhere.counters.outboxRestored, 0)
    t.true(log.lines.some((line) => /^warn What waits for another broker stays .*\(1\)/.test(line)))
    await elsewhere.stop()
    await broker.restart()
    const again = await serving(t, mqttasgi(), options)
    await again.publish('durable/1', '8')
    await again.stop()
    t.deepEqual([...(await heard()).values()].flat(), [7, 8])
  },
)

withMosquitto('SIGTERM while the broker is away ends with 0 when all is on disk', async (t) => {
  const { broker, heard, options } = await scene(t)
  const first = await publishing(t, options)
  await broker.kill()
  first.publish(0, 100)
  await first.said.untilDistinct(101)
  t.is(await first.end('SIGTERM'), 0)
  await broker.restart()
  const second = await publishing(t, options)
  second.publish(100, 105)
  await second.said.untilDistinct(6)
  t.is(await second.end('SIGTERM'), 0)
  const came = await heard()
  for (let topic = 0; topic < 5; topic++) t.deepEqual(came.get(`${topic}`), numbers(105, topic))
})

// Three processes on one broker and one Redis send group events to each other; SIGKILL of one loses none of the others'.
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { connectAsync, type MqttClient } from 'mqtt'
import type { ChannelsInput } from '../../lib/config/index.ts'
import { endWithUs } from '../helpers/guard.ts'
import { loader } from '../helpers/loader.ts'
import { mosquittoPath, startMosquitto } from '../helpers/mosquitto.ts'
import { recording } from '../helpers/recording.ts'
import { startRedis } from '../helpers/redis.ts'
import { serverTest } from '../helpers/server-test.ts'

const program = join(import.meta.dirname, 'programs/talking.ts')
const MESSAGES = 300

class Talker {
  readonly name: string
  readonly child: ChildProcess
  readonly lines: string[] = []
  #changed: () => void = () => {}

  constructor(t: ExecutionContext, name: string, options: object) {
    this.name = name
    const args = ['--import', loader, program, name, JSON.stringify(options)]
    this.child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    endWithUs(this.child)
    t.teardown(() => this.child.kill('SIGKILL'))
    let rest = ''
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      this.lines.push(...lines)
      this.#changed()
    })
  }

  /** The numbers of the lines that begin so. */
  numbers(begin: string): number[] {
    return this.lines.filter((line) => line.startsWith(begin)).map((line) => Number(line.slice(begin.length)))
  }

  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await new Promise<void>((resolve) => (this.#changed = resolve))
  }
}

async function prove(t: ExecutionContext, channels: ChannelsInput): Promise<void> {
  t.timeout(110_000)
  const broker = await startMosquitto()
  t.teardown(() => broker.stop())
  const names = ['a', 'b', 'c']
  const proxy = await recording(t, broker.port, {})
  const options = { broker: { url: proxy.url, retries: 0 }, channels: { capacity: 1_000, ...channels } }
  const talkers = names.map((name) => new Talker(t, name, options))
  const [a, b, c] = talkers as [Talker, Talker, Talker]
  await Promise.all(talkers.map((one) => one.until(() => one.lines.includes('serving'))))
  const publisher = await connectAsync(broker.url)
  t.teardown(() => publisher.endAsync(true))
  await allHear(talkers, publisher)

  for (let number = 1; number <= MESSAGES; number++) {
    for (const { name } of talkers) await publisher.publishAsync(`say/${name}`, String(number), { qos: 1 })
    if (number === MESSAGES / 3) c.child.kill('SIGKILL')
  }
  const survivors = [a, b]
  for (const one of survivors) {
    await one.until(() => one.numbers('sent ').filter((number) => number > 0).length >= MESSAGES)
    for (const { name } of survivors)
      await one.until(() => one.numbers(`got ${name} `).filter((number) => number > 0).length >= MESSAGES)
  }
  const all = Array.from({ length: MESSAGES }, (_, i) => i + 1)
  for (const one of survivors) {
    t.deepEqual(
      one.lines.filter((line) => line.startsWith('failed')),
      [],
    )
    for (const { name } of survivors) {
      const got = one.numbers(`got ${name} `).filter((number) => number > 0)
      t.deepEqual(
        got.toSorted((x, y) => x - y),
        all,
        `${one.name} from ${name}`,
      )
    }
    // What it has said that it has sent came to all others, and nothing came twice.
    const fromKilled = one.numbers('got c ').filter((number) => number > 0)
    t.is(new Set(fromKilled).size, fromKilled.length)
    const missing = c.numbers('sent ').filter((number) => number > 0 && !fromKilled.includes(number))
    t.deepEqual(missing, [])
  }
  t.is(c.child.signalCode, 'SIGKILL')
  t.true(c.numbers('sent ').length < MESSAGES)
}

// Groups are joined beside the connection: until everybody hears everybody.
async function allHear(talkers: readonly Talker[], publisher: MqttClient): Promise<void> {
  for (let number = -1; ; number--) {
    for (const { name } of talkers) await publisher.publishAsync(`say/${name}`, String(number), { qos: 1 })
    for (const one of talkers) await one.until(() => one.numbers('sent ').includes(number))
    await new Promise((resolve) => setTimeout(resolve, 100))
    const isHeard = talkers.every((one) =>
      talkers.every(({ name }) => one.numbers(`got ${name} `).includes(number)),
    )
    if (isHeard) return
  }
}

serverTest('mosquitto')(
  'three processes talk over the broker, and one that is killed takes nothing with it',
  (t) => prove(t, { layer: 'mqtt' }),
)

// Of two servers that may be missing, the one that is.
serverTest(mosquittoPath() === undefined ? 'mosquitto' : 'redis-server')(
  'three processes talk over Redis, and one that is killed takes nothing with it',
  async (t) => {
    const redis = await startRedis()
    t.teardown(() => redis.stop())
    await prove(t, { layer: 'redis', redis: redis.url })
  },
)

// Messages that come at a steady rate while something is done to the consumer, and the account of them at the end.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Broker } from '../helpers/broker.ts'
import type { FaultProxy } from '../helpers/fault-proxy.ts'
import { startMosquitto } from '../helpers/mosquitto.ts'
import { startPublisher } from '../helpers/publisher.ts'
import { startWatchedProxy } from '../helpers/wire-watch.ts'
import { account, type Account } from '../kill/harness.ts'
import type { VictimOptions } from '../kill/victim.ts'
import { Victim } from '../kill/victims.ts'
import { within } from '../integration/tally.ts'
import { pause, wireFaults } from './soak.ts'

/** What is there while messages flow. */
export interface Scene {
  readonly folder: string
  readonly broker: Broker
  readonly proxy: FaultProxy
  /** A consumer that runs and is connected; through the proxy. */
  readonly consumer: (
    clientId: string,
    more?: Partial<VictimOptions>,
    env?: Readonly<Record<string, string>>,
  ) => Promise<Victim>
  /** How many have been handled, each counted once. */
  readonly handled: () => number
}

export interface FlowOptions {
  readonly seconds: number
  readonly perSecond: number
  /** Begins before the messages and ends when they have; told when they are over. */
  readonly act: (scene: Scene, isOver: () => boolean) => Promise<void>
}

/** What became of the messages, and a sentence for each rule that was broken on the wire. */
export interface Flowed {
  readonly account: Account
  readonly violations: readonly string[]
}

const PATIENCE_MS = 30_000

/** Runs on a mosquitto of its own. */
export async function flow({ seconds, perSecond, act }: FlowOptions): Promise<Flowed> {
  const folder = await mkdtemp(join(tmpdir(), 'mqttasgi-soak-'))
  const file = join(folder, 'handled')
  await writeFile(file, '')
  const broker = await startMosquitto({ maxQueuedMessages: 0 })
  const proxy = await startWatchedProxy(broker.port)
  const said = new Set<string>()
  const consumers = new Set<Victim>()
  const scene: Scene = {
    folder,
    broker,
    proxy,
    handled: () => said.size,
    consumer: async (clientId, more = {}, env = {}) => {
      const victim = new Victim(
        {
          url: proxy.url,
          clientId,
          protocolVersion: 5,
          folder,
          file,
          handlerMs: 20,
          maxInFlight: 32,
          ...more,
        },
        (number) => said.add(number),
        env,
      )
      consumers.add(victim)
      await victim.serve()
      return victim
    },
  }
  try {
    const { attempted, acknowledged } = await publishWhile(scene, { seconds, perSecond, act })
    await silence(() => said.size, attempted.size)
    const runs = (await readFile(file, 'utf8')).split('\n').filter((line) => line !== '')
    return {
      account: account({ attempted, acknowledged, runs, deadLetters: new Set() }),
      violations: wireFaults(proxy.watch),
    }
  } finally {
    await within(
      10_000,
      'the end of the consumers',
      Promise.all([...consumers].map((victim) => victim.kill())),
    )
    await within(10_000, 'the end of the proxy', proxy.close())
    await broker.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

interface Published {
  readonly attempted: Set<string>
  readonly acknowledged: Set<string>
}

async function publishWhile(scene: Scene, { seconds, perSecond, act }: FlowOptions): Promise<Published> {
  const [attempted, acknowledged] = [new Set<string>(), new Set<string>()]
  const publisher = await startPublisher(scene.broker.url)
  let isOver = false
  let begin = (): void => {}
  const begun = new Promise<void>((resolve) => (begin = resolve))
  // The first consumer is there before the first message: its session keeps what comes later.
  const acting = act(
    { ...scene, consumer: async (...all) => begunWith(scene.consumer(...all), begin) },
    () => isOver,
  )
  await Promise.race([begun, acting])
  const sent: Promise<void>[] = []
  const from = performance.now()
  for (let due = 0; performance.now() - from < seconds * 1_000; await pause(10)) {
    due = ((performance.now() - from) / 1_000) * perSecond
    while (attempted.size < due) {
      const number = String(attempted.size)
      attempted.add(number)
      sent.push(
        publisher
          .publish(`kill/${number}`, 'x'.repeat(attempted.size % 500))
          .then(() => void acknowledged.add(number)),
      )
    }
  }
  await within(
    60_000,
    () => `an answer to ${sent.length} publications; there are ${acknowledged.size}`,
    Promise.all(sent),
  )
  isOver = true
  await within(60_000, 'the end of what is done to it', acting)
  await within(10_000, 'the end of the publisher', publisher.close())
  return { attempted, acknowledged }
}

async function begunWith(starting: Promise<Victim>, begin: () => void): Promise<Victim> {
  const victim = await starting
  begin()
  return victim
}

/** Waits for the rest; ends without complaint when nothing comes any more: the account tells. */
async function silence(count: () => number, wanted: number): Promise<void> {
  let before = -1
  for (
    let since = performance.now();
    count() < wanted && performance.now() - since < PATIENCE_MS;
    await pause(100)
  ) {
    if (count() !== before) since = performance.now()
    before = count()
  }
}

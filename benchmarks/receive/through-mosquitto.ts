// How fast messages are received through mosquitto, which is then the limit: beside mosquitto_sub, in one run.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mosquittoPath, startMosquitto } from '../../test/helpers/mosquitto.ts'
import type { Counted } from './consumer.ts'
import { inTurn, print, start, stop, type Measured } from './measuring.ts'

const consumers = {
  'MQTT.js on(message)': 'bare',
  'MQTT.js, async layers': 'bareAsync',
  'mqttasgi, sync': 'sync',
  'mqttasgi, async': 'async',
} as const

type Contender = keyof typeof consumers | 'mosquitto_sub'

const COUNT = 100_000
// mosquitto_sub prints the payload of each message, and a line end.
const BYTES_PER_LINE = 21

async function measure(contender: Contender, qos: 0 | 1): Promise<Measured> {
  const broker = await startMosquitto({ maxQueuedMessages: 0 })
  const publisher = await start('publisher', broker.url)
  const receive = contender === 'mosquitto_sub' ? withMosquittoSub : withConsumer(consumers[contender])
  const measured = await receive(broker, qos, async (count) => {
    publisher.send({ count, qos })
    await once(publisher, 'message')
  })
  await stop(publisher)
  await broker.stop()
  return measured
}

type Publish = (count: number) => Promise<void>

interface Broker {
  readonly url: string
  readonly port: number
}

function withConsumer(kind: string) {
  return async ({ url }: Broker, qos: 0 | 1, publish: Publish): Promise<Measured> => {
    const child = await start('consumer', kind, url, '5', String(qos))
    // The first time warms the process up.
    await count(child, COUNT / 5, publish)
    const { received, ms, cpuMs } = await count(child, COUNT, publish)
    await stop(child)
    return { perSecond: (received / ms) * 1000, cpuMicroseconds: (cpuMs / received) * 1000 }
  }
}

async function count(child: ChildProcess, messages: number, publish: Publish): Promise<Counted> {
  child.send({ type: 'count', count: messages })
  await once(child, 'message')
  const counted = once(child, 'message') as Promise<[Counted]>
  await publish(messages)
  child.send({ type: 'finish' })
  return (await counted)[0]
}

async function withMosquittoSub({ port }: Broker, qos: 0 | 1, publish: Publish): Promise<Measured> {
  // A retained message tells that the subscription stands.
  const marker = ['-h', '127.0.0.1', '-p', String(port), '-t', 'sensors/room-0/temp', '-r', '-m', 'x']
  await once(spawn('mosquitto_pub', marker, { stdio: 'ignore' }), 'exit')
  const args = [
    '-h',
    '127.0.0.1',
    '-p',
    String(port),
    '-t',
    'sensors/+/temp',
    '-q',
    String(qos),
    '-V',
    'mqttv5',
  ]
  const child = spawn('mosquitto_sub', args, { stdio: ['ignore', 'pipe', 'ignore'] })
  await once(child.stdout, 'data')
  let begin = 0
  let end = 0
  let bytes = 0
  child.stdout.on('data', (chunk: Buffer) => {
    end = performance.now()
    begin ||= end
    bytes += chunk.length
  })
  await publish(COUNT)
  for (let before = -1; before !== bytes;) {
    before = bytes
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
  child.kill()
  await once(child, 'exit')
  return { perSecond: (bytes / BYTES_PER_LINE / (end - begin)) * 1000, cpuMicroseconds: Number.NaN }
}

if (mosquittoPath() === undefined) {
  console.error('mosquitto is not on PATH: apt-get install mosquitto mosquitto-clients')
  process.exit(1)
}
for (const qos of [0, 1] as const) {
  const names: Contender[] = ['MQTT.js on(message)', 'mqttasgi, sync', 'mqttasgi, async', 'mosquitto_sub']
  print(`through mosquitto, MQTT 5 QoS ${qos}`, await inTurn(names, (name) => measure(name, qos)))
}

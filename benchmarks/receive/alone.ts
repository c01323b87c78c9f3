// How fast messages are received when the broker costs nothing: bare MQTT.js against mqttasgi, in one run.
import { once } from 'node:events'
import type { ChildProcess } from 'node:child_process'
import type { Counted } from './consumer.ts'
import { startFakeBroker, type FakeBroker } from './fake-broker.ts'
import { inTurn, print, start, stop, type Measured } from './measuring.ts'

const contenders = {
  'MQTT.js on(message)': 'bare',
  'MQTT.js, async layers': 'bareAsync',
  'mqttasgi, sync': 'sync',
  'mqttasgi, async': 'async',
} as const

type Contender = keyof typeof contenders

async function round(broker: FakeBroker, child: ChildProcess, count: number, qos: 0 | 1): Promise<Measured> {
  child.send({ type: 'count', count })
  await once(child, 'message')
  const counted = once(child, 'message') as Promise<[Counted]>
  const blast = await broker.blast({ count, qos })
  const [{ ms, cpuMs }] = await counted
  // At QoS 1 a message counts when its acknowledgement is back.
  const took = qos === 1 ? Math.max(ms, blast.ms) : ms
  return { perSecond: (count / took) * 1000, cpuMicroseconds: (cpuMs / count) * 1000 }
}

async function measure(contender: Contender, version: 4 | 5, qos: 0 | 1): Promise<Measured> {
  const broker = await startFakeBroker()
  const child = await start('consumer', contenders[contender], broker.url, String(version), String(qos))
  await broker.subscribed()
  // The first blast warms the process up.
  await round(broker, child, 100_000, qos)
  const measured = await round(broker, child, qos === 0 ? 1_000_000 : 300_000, qos)
  await stop(child)
  await broker.close()
  return measured
}

for (const version of [5, 4] as const) {
  for (const qos of [0, 1] as const) {
    const names = Object.keys(contenders) as Contender[]
    print(
      `MQTT ${version === 5 ? '5    ' : '3.1.1'} QoS ${qos}`,
      await inTurn(names, (name) => measure(name, version, qos)),
    )
  }
}

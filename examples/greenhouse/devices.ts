// The devices of the greenhouse, simulated: a plain MQTT client that knows nothing of mqttasgi.
import { connectAsync } from 'mqtt'

interface House {
  readonly name: string
  celsius: number
  window: 'open' | 'closed'
}

interface Bed {
  readonly name: string
  moisture: number
}

/** Devices that run. */
export interface Devices {
  /** Switches them off. */
  stop(): Promise<void>
}

/** Connects the devices and sends a reading every `everyMs` milliseconds, the same ones in each run. */
export async function startDevices(brokerUrl: string, everyMs: number): Promise<Devices> {
  const north: House = { name: 'north', celsius: 22, window: 'closed' }
  const south: House = { name: 'south', celsius: 27, window: 'closed' }
  const tomato: Bed = { name: 'tomato', moisture: 39 }
  const basil: Bed = { name: 'basil', moisture: 58 }

  const client = await connectAsync(brokerUrl, { clientId: 'greenhouse-devices' })
  const send = (topic: string, payload: string): void => void client.publish(topic, payload, { qos: 1 })

  client.on('message', (topic, payload) => {
    for (const house of [north, south]) {
      if (topic !== `house/${house.name}/window/set`) continue
      house.window = payload.toString() === 'open' ? 'open' : 'closed'
      send(`house/${house.name}/window`, house.window)
    }
    for (const bed of [tomato, basil]) if (topic === `bed/${bed.name}/water`) bed.moisture += 40
  })
  await client.subscribeAsync(['house/+/window/set', 'bed/+/water'], { qos: 1 })

  const random = randomFrom(7)
  const temperature = (house: House): void => {
    house.celsius += (house.window === 'open' ? -1.6 : 0.9) + random() * 0.4
    send(`house/${house.name}/temperature`, JSON.stringify({ celsius: house.celsius }))
  }
  const moisture = (bed: Bed): void => {
    bed.moisture -= 5 + Math.floor(random() * 3)
    send(`bed/${bed.name}/moisture`, String(bed.moisture))
  }
  const round = [
    () => temperature(north),
    () => temperature(south),
    () => moisture(tomato),
    () => temperature(south),
    () => moisture(basil),
  ]
  let turn = 0
  const timer = setInterval(() => round[turn++ % round.length]?.(), everyMs)
  return {
    async stop() {
      clearInterval(timer)
      await client.endAsync()
    },
  }
}

/** Numbers in [0, 1) that are the same in each run: a linear congruential generator. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32
    return state / 2 ** 32
  }
}

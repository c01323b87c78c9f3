// Does a window that is full of waiting handlers lose time? The throughput of each order beside window / time of a handler.
import { mqttasgi, serve, type Logger, type Order, type RouteOptions } from '../lib/index.ts'
import { MemoryTransport } from '../lib/testing/index.ts'

const WINDOW = 32
const MESSAGES = 6_000
const TOPICS = 1_000

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }

/** Messages a second, and the milliseconds a handler took on average. */
async function measure(
  order: Order,
  handlerMs: () => number,
): Promise<{ perSecond: number; meanMs: number }> {
  const transport = new MemoryTransport()
  const app = mqttasgi({ deadLetter: false })
  let handled = 0
  let spentMs = 0
  let finish = (): void => {}
  const finished = new Promise<void>((resolve) => (finish = resolve))
  const options: RouteOptions = order === 'key' ? { key: ({ topic }) => topic } : { order }
  app.topic('a/+', options, async () => {
    const before = performance.now()
    await new Promise((resolve) => setTimeout(resolve, handlerMs()))
    spentMs += performance.now() - before
    if (++handled === MESSAGES) finish()
  })
  const server = await serve(app, { transport, maxInFlight: WINDOW, maxInFlightBytes: 1e9, log: silent })
  const before = performance.now()
  for (let i = 0; i < MESSAGES; i++) transport.deliver(`a/${i % TOPICS}`, 'x')
  await finished
  const seconds = (performance.now() - before) / 1_000
  await server.stop()
  return { perSecond: MESSAGES / seconds, meanMs: spentMs / MESSAGES }
}

// A place in the window is free again when its acknowledgement is written, and those are written in order: so
// handlers that take unequal times wait for each other, whatever the order of the messages is.
const loads = [
  ['all 6 ms', () => 6],
  ['2 to 10 ms', () => 2 + Math.random() * 8],
] as const

for (const [name, handlerMs] of loads) {
  for (const order of ['none', 'topic', 'key'] as const) {
    const runs = []
    for (let i = 0; i < 3; i++) runs.push(await measure(order, handlerMs))
    const median = runs.sort((a, b) => a.perSecond - b.perSecond)[1]
    if (median === undefined) continue
    const possible = (WINDOW * 1_000) / median.meanMs
    const ratio = median.perSecond / possible
    console.log(
      `handlers ${name.padEnd(10)} order ${order.padEnd(5)} ${Math.round(median.perSecond)} messages/s of ${Math.round(possible)} possible  ratio ${ratio.toFixed(2)}`,
    )
  }
}

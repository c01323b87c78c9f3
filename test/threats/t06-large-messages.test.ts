// T6: a message that is too large is gone before it takes memory, and does not come back for ever.
import { once } from 'node:events'
import test from 'ava'
import { mqttasgi } from '../../lib/index.ts'
import { publishFrame, serveToHostileSide } from '../helpers/hostile-side.ts'

const MIB = 1_048_576

for (const protocolVersion of [5, 4] as const) {
  test(`version ${protocolVersion}: more than 16 MiB are skipped, acknowledged and counted, and what follows is handled`, async (t) => {
    const seen: string[] = []
    const app = mqttasgi().topic('#', (ctx) => void seen.push(`${ctx.topic} ${ctx.payload.length}`))
    const { server, link, untilAcked, lines } = await serveToHostileSide(t, app, {
      broker: { protocolVersion },
    })
    const sizes = { huge: 17 * MIB, large: 16 * MIB - 100, small: 10 }
    for (const [index, [topic, size]] of Object.entries(sizes).entries()) {
      link.deliver(topic, Buffer.alloc(size, 'x'), { qos: 1, messageId: index + 1 })
    }
    await untilAcked(3)
    t.deepEqual(seen, [`large ${16 * MIB - 100}`, 'small 10'])
    t.deepEqual(link.acked(), [1, 2, 3])
    t.is(server.counters.oversized, 1)
    t.is(server.counters.connects, 1)
    t.true(
      lines.some(
        (line) => line.includes('17825806 bytes on "huge"') || /178258\d\d bytes on "huge"/.test(line),
      ),
    )
  })
}

test('of the largest message that MQTT knows nothing is kept', async (t) => {
  const app = mqttasgi().topic('#', () => {})
  const { server, link, untilAcked } = await serveToHostileSide(t, app)
  // 256 MiB from one chunk, so that the sender takes no memory either.
  const chunk = Buffer.alloc(MIB, 'x')
  const whole = 255 * MIB
  const frame = publishFrame(Buffer.from('huge'), 1, Buffer.alloc(0))
  const length = frame.length - 2 + whole
  const sizes = [
    (length & 127) | 128,
    ((length >>> 7) & 127) | 128,
    ((length >>> 14) & 127) | 128,
    length >>> 21,
  ]
  const before = process.memoryUsage().rss
  let most = 0
  link.stream.write(Buffer.concat([Buffer.from([0x32, ...sizes]), frame.subarray(2)]))
  for (let sent = 0; sent < whole; sent += MIB) {
    if (!link.stream.write(chunk)) await once(link.stream, 'drain')
    most = Math.max(most, process.memoryUsage().rss - before)
  }
  await untilAcked(1)
  t.is(server.counters.oversized, 1)
  t.log(`at most ${Math.round(most / MIB)} MiB more`)
  t.true(most < 128 * MIB, `${most} bytes`)
})

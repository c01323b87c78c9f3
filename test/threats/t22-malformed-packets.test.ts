// T22: no packet ends the process, whoever parses it: what can not be read ends the connection, and the next one works.
// The list has the kinds that have crashed parsers of MQTT before (mqtt-packet 107, aedes 612, NSWG-ECO-500, CVE-2017-10910).
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { mqttasgi } from '../../lib/index.ts'
import { serveToHostileSide } from '../helpers/hostile-side.ts'

const file = join(import.meta.dirname, '../fixtures/malformed-packets.json')
const packets = JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>

for (const [what, hex] of Object.entries(packets)) {
  for (const isCut of [false, true]) {
    test(`${what}${isCut ? ', byte by byte,' : ''} leaves the server able to go on`, async (t) => {
      const seen: string[] = []
      const app = mqttasgi().topic('#', (ctx) => void seen.push(ctx.topic))
      const { server, link, nextLink, untilAcked } = await serveToHostileSide(t, app, {
        broker: { retries: 0 },
      })
      const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex')
      const parts = isCut ? [...bytes].map((byte) => Buffer.from([byte])) : [bytes]
      for (const part of parts) {
        link.stream.write(part)
        await new Promise((resolve) => setImmediate(resolve))
      }
      // What may still be read as the rest of that packet is not one of ours.
      link.deliver('fence', '', { qos: 1, messageId: 60_001 })
      await Promise.race([untilAcked(1), link.gone, link.until(() => (link.ended ? true : undefined))])
      if (seen.includes('fence')) return t.true(server.counters.connects === 1)
      link.stream.destroy()
      const next = await nextLink()
      await next.until(() => next.all('subscribe')[0])
      next.deliver('after', '', { qos: 1, messageId: 1 })
      await next.until(() => next.all('puback')[0])
      t.true(seen.includes('after'))
      t.is(server.counters.connects, 2)
    })
  }
}

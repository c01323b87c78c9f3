// T18: nothing that is kept grows with the number of topics that strangers think of.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import test from 'ava'
import { mqttasgi } from '../../lib/index.ts'
import { publishFrame, serveToHostileSide } from '../helpers/hostile-side.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

test('100,000 topics leave nothing behind: no memory, no counter, no label', async (t) => {
  const app = mqttasgi()
    .use('devices/+id', (_ctx, next) => next())
    .topic('devices/+id/status', () => {})
    .topic('+a/#rest', () => {})
    .topic('fails/#', { retry: { attempts: 1 } }, () => {
      throw new Error('no')
    })
  const { server, link, lines, untilAcked } = await serveToHostileSide(t, app)
  const names = Object.keys(server.counters)
  const used: number[] = []
  let sent = 0
  const round = async (count: number): Promise<void> => {
    for (let thousand = 0; thousand < count / 1_000; thousand++) {
      const frames = Array.from({ length: 1_000 }, () => {
        const topic = `${sent % 3 === 0 ? 'devices' : sent % 3 === 1 ? 'fails' : `t${sent}`}/${sent++}/status`
        return publishFrame(Buffer.from(topic), 1 + (sent % 60_000))
      })
      link.send(...frames)
      await untilAcked(sent)
      link.packets.length = 0
      link.chunks.length = 0
      ;(lines as string[]).length = 0
    }
    collectGarbage()
    used.push(process.memoryUsage().heapUsed)
  }
  await round(25_000)
  await round(50_000)
  await round(25_000)
  const [first = 0, , last = 0] = used
  t.log(`${Math.round((last - first) / 1_024)} KiB more after 75,000 further topics`)
  // 100 bytes a topic would be 7 MB.
  t.true(last - first < 3_000_000, `${last - first} bytes`)
  t.is(server.counters.received, 100_000)
  t.deepEqual(Object.keys(server.counters), names)
})

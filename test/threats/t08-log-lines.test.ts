// T8: nothing that a stranger sends can fake a line of the log or move the cursor. MQTTASGI_FUZZ=100000 for a long run.
import test from 'ava'
import { mqttasgi } from '../../lib/index.ts'
import { fuzzCount, publishFrame, serveToHostileSide } from '../helpers/hostile-side.ts'
import { SeededRandom } from '../helpers/seeded-random.ts'

const controls =
  '\n,\r,\t,\b,\u001b[2J,\u001b]0;title\u0007,\u007f,\u009b31m,\u0085,\u2028,\u2029,\u202e,\u2066,\u200f,\u061c'
const nasty = [controls.split(','), '12:00:00 info  all is well', 'a', '/', 'é', 'x'.repeat(400)].flat()
// oxlint-disable-next-line no-control-regex -- these are what must not be there
const raw = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/

test('no line of the log has a raw control character, more than 2,000 characters, or a payload', async (t) => {
  const app = mqttasgi()
    .topic('text/#', { retry: { attempts: 1 } }, (ctx) => {
      throw new Error(ctx.text())
    })
    .topic('json/#', (ctx) => ctx.json())
    .topic('tell/#', (ctx) => ctx.log.warn(`got ${ctx.topic}`, { topic: ctx.topic }))
  const { link, lines, untilAcked } = await serveToHostileSide(t, app)
  const random = new SeededRandom(8)
  const text = (most: number) => Array.from({ length: random.below(most) }, () => random.pick(nasty)).join('')
  const count = fuzzCount(5_000)
  for (let sent = 0; sent < count;) {
    const frames: Buffer[] = []
    for (let i = 0; i < 500 && sent < count; i++, sent++) {
      const topic = `${random.pick(['text', 'json', 'tell', 'none+']) ?? ''}/${text(6)}`
      const payload = topic.startsWith('json') ? `{"CANARY":${text(4)}}` : text(8)
      frames.push(publishFrame(Buffer.from(topic), 1 + (sent % 60_000), Buffer.from(payload)))
    }
    link.send(...frames)
    await untilAcked(sent)
    link.packets.length = 0
  }
  t.true(lines.length > count)
  for (const line of lines) {
    if (raw.test(line) || line.length > 2_050 || line.includes('CANARY')) t.fail(JSON.stringify(line))
    // A line of the log begins with its time and level; what belongs to the one before is set in.
    if (!/^(?:\d\d:\d\d:\d\d (?:debug|info |warn |error) | {4})/.test(line)) t.fail(JSON.stringify(line))
  }
})

test('of a topic 256 characters are shown', async (t) => {
  const app = mqttasgi().topic('#', (ctx) => ctx.json())
  const { link, lines, untilAcked } = await serveToHostileSide(t, app)
  link.send(publishFrame(Buffer.from('t'.repeat(60_000)), 1, Buffer.from('no JSON')))
  await untilAcked(1)
  const line = lines.find((one) => one.includes('ERR') || one.includes('is not JSON')) ?? ''
  t.regex(line, /"t{255}…" failed in route "#": The payload of "t{255}…" is not JSON/)
})

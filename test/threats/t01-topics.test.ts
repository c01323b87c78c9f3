// T1: a topic can be anything a hostile publisher or broker makes of it. MQTTASGI_FUZZ=1000000 for a long run.
import test from 'ava'
import { mqttasgi } from '../../lib/index.ts'
import { fuzzCount, publishFrame, serveToHostileSide } from '../helpers/hostile-side.ts'
import { SeededRandom } from '../helpers/seeded-random.ts'

const words = 'a,b/c,/,//,+,#,\0,$SYS,$share/g/x,__proto__, ,\n,\u001b[2J,\ufffd,é,😀,\ufeff,\u202e,\uffff'
const pieces = [...words.split(','), 'x'.repeat(300)].map((text) => Buffer.from(text))
const damaged = ['ff', 'c0af', 'e28228', 'eda080', 'f8888080', '80', 'f0908d'].map((hex) =>
  Buffer.from(hex, 'hex'),
)

/** By the letter of 1.5.4 and 4.7.3, without a line of the code under test. */
function isTopicOfTheStandard(bytes: Buffer): boolean {
  if (bytes.length === 0) return false
  try {
    return !/[+#\0]/.test(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    return false
  }
}

test('a message on a topic that is none is acknowledged, counted and not routed, and the connection stays', async (t) => {
  const seen: string[] = []
  const app = mqttasgi()
    .topic('#', (ctx) => void seen.push(ctx.topic))
    .topic('$SYS/#', (ctx) => void seen.push(ctx.topic))
  const { server, link, untilAcked } = await serveToHostileSide(t, app)
  const random = new SeededRandom(1)
  const count = fuzzCount(20_000)
  let bad = 0
  for (let sent = 0; sent < count;) {
    const frames: Buffer[] = []
    for (let i = 0; i < 1_000 && sent < count; i++, sent++) {
      const parts = Array.from({ length: random.below(5) }, () =>
        random.pick(random.chance(0.1) ? damaged : pieces),
      )
      const topic = Buffer.concat(parts.flatMap((part) => part ?? []))
      if (!isTopicOfTheStandard(topic)) bad++
      frames.push(publishFrame(topic, 1 + (sent % 60_000)))
    }
    link.send(...frames)
    await untilAcked(sent)
    link.packets.length = 0
  }
  t.is(server.counters.invalidTopics, bad)
  t.is(server.counters.received, count)
  t.is(server.counters.failed, 0)
  t.is(server.counters.connects, 1)
  t.true(bad > count / 4)
  t.true(seen.length > count / 8)
  t.false(seen.some((topic) => /[+#\0]/.test(topic)))
})

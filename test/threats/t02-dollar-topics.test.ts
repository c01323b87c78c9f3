// T2: what begins with $ is the broker's own, and no wildcard in front may bring it, whatever the broker sends.
import test from 'ava'
import { mqttasgi } from '../../lib/index.ts'
import { serveToHostileSide } from '../helpers/hostile-side.ts'

test('a route for # or + never gets a topic that begins with $, even when the broker sends one', async (t) => {
  const seen: string[] = []
  const app = mqttasgi()
  for (const pattern of ['#', '+', '+first/#rest', '+/+', '$SYS/#', '$SYS/+/load'] as const) {
    app.topic(pattern, async (ctx, next) => {
      seen.push(`${pattern} ${ctx.topic}`)
      await next()
    })
  }
  const { server, link, untilAcked } = await serveToHostileSide(t, app)
  const topics = ['$', '$SYS', '$SYS/broker/load', '$internal/secrets', '$SYS/x', 'a/$b']
  for (const [index, topic] of topics.entries()) link.deliver(topic, '', { qos: 1, messageId: index + 1 })
  await untilAcked(topics.length)
  t.deepEqual(seen, [
    '$SYS/# $SYS',
    '$SYS/# $SYS/broker/load',
    '$SYS/+/load $SYS/broker/load',
    '$SYS/# $SYS/x',
    '# a/$b',
    '+first/#rest a/$b',
    '+/+ a/$b',
  ])
  t.is(server.counters.unmatched, 2)
})

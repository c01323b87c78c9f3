// T3: a name, a payload or a response topic of a stranger's must not choose where we publish.
import test from 'ava'
import * as fc from 'fast-check'
import { matches, mqttasgi, MqttasgiError, pattern } from '../../lib/index.ts'
import { serveToHostileSide } from '../helpers/hostile-side.ts'

const alert = pattern('alerts/+room/temp')

for (const room of ['+', '#', 'a/b', '', 'a\0', 'x'.repeat(65_536), '+/#', 'a/../b', '\ud800']) {
  test(`a topic can not be filled with ${JSON.stringify(room.slice(0, 8))}`, (t) => {
    const error = t.throws(() => alert.fill({ room }), { instanceOf: MqttasgiError })
    t.is(error?.code, 'ERR_PATTERN_FILL')
  })
}

test('whatever a topic is filled with, it stays the topic it was made for', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 12 }), (room) => {
      let topic: string
      try {
        topic = alert.fill({ room })
      } catch {
        return
      }
      t.true(matches('alerts/+/temp', topic))
      t.is(alert.match(topic)?.room, room)
    }),
    { numRuns: 5_000 },
  )
})

test('nothing is published to wildcards, shared filters, or where a response topic with one of them leads', async (t) => {
  const errors: unknown[] = []
  const app = mqttasgi().topic('ask', async (ctx) => {
    for (const topic of ['a/+', '#', '', 'a\0', '$share/g/a', '$queue/a', 'x'.repeat(65_536)]) {
      await t.throwsAsync(ctx.publish(topic, 'x'), { code: 'ERR_TOPIC_INVALID' })
    }
    await ctx.reply('x').catch((error: unknown) => errors.push(error))
  })
  const { link, server, untilAcked } = await serveToHostileSide(t, app, {
    replyTopics: ['clients/+/replies'],
  })
  const responseTopics = ['clients/+/replies', '#', '$share/g/clients/a/replies', '$SYS/x', 'valve/open', '']
  for (const [index, responseTopic] of responseTopics.entries()) {
    link.deliver('ask', '', { qos: 1, messageId: index + 1, properties: { responseTopic } })
  }
  await untilAcked(responseTopics.length)
  t.deepEqual(
    errors.map((error) => (error instanceof MqttasgiError ? error.code : error)),
    [
      'ERR_NO_RESPONSE_TOPIC',
      'ERR_NO_RESPONSE_TOPIC',
      'ERR_TOPIC_INVALID',
      'ERR_REPLY_REFUSED',
      'ERR_REPLY_REFUSED',
      'ERR_NO_RESPONSE_TOPIC',
    ],
  )
  await t.throwsAsync(server.publish('$share/g/a', 'x'), { code: 'ERR_TOPIC_INVALID' })
  t.deepEqual(link.all('publish'), [])
})

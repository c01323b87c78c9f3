// T16: whoever may ask chooses where the answer goes; what the answer may do is ours to say.
import test from 'ava'
import { mqttasgi, type MqttasgiError, type ServeOptions } from '../../lib/index.ts'
import { serveToHostileSide } from '../helpers/hostile-side.ts'

const cases: Readonly<
  Record<
    string,
    {
      readonly topics: readonly string[]
      readonly options?: ServeOptions
      readonly answers: readonly string[]
    }
  >
> = {
  'any topic that does not begin with $, unless told otherwise': {
    topics: ['answers/1', 'valve/open', '$SYS/x', '$aws/things/x', '$share/g/x'],
    answers: ['answers/1', 'valve/open'],
  },
  'where replyTopics allow it': {
    topics: ['answers/1', 'valve/open', 'clients/a/replies', 'clients/a/replies/x', 'clients//replies'],
    options: { replyTopics: ['clients/+/replies', 'answers/#'] },
    answers: ['answers/1', 'clients/a/replies', 'clients//replies'],
  },
}

for (const [what, { topics, options = {}, answers }] of Object.entries(cases)) {
  test(`an answer goes to ${what}`, async (t) => {
    const errors: string[] = []
    const app = mqttasgi().topic('ask', (ctx) =>
      ctx.reply('yes').catch((error: MqttasgiError) => void errors.push(error.code)),
    )
    const { link, untilAcked } = await serveToHostileSide(t, app, options)
    for (const [index, responseTopic] of topics.entries()) {
      const properties = { responseTopic, correlationData: Buffer.from(String(index)) }
      link.deliver('ask', '', { qos: 1, messageId: index + 1, properties })
    }
    await untilAcked(topics.length)
    t.deepEqual(
      link.all('publish').map(({ topic }) => topic),
      [...answers],
    )
    t.is(errors.length, topics.length - answers.length)
  })
}

test('a request has one answer, which can not be made large', async (t) => {
  const errors: string[] = []
  const app = mqttasgi().topic('ask', async (ctx) => {
    for (const answer of ['x'.repeat(2_000_000), 'one', 'two', 'three']) {
      await ctx.reply(answer).catch((error: MqttasgiError) => void errors.push(error.message))
    }
  })
  const { link, untilAcked } = await serveToHostileSide(t, app)
  for (let id = 1; id <= 3; id++) {
    link.deliver('ask', '', { qos: 1, messageId: id, properties: { responseTopic: `answers/${id}` } })
  }
  await untilAcked(3)
  t.deepEqual(
    link
      .all('publish')
      .map(({ topic, payload }) => `${topic} ${payload.toString()}`)
      .sort(),
    ['answers/1 one', 'answers/2 one', 'answers/3 one'],
  )
  t.is(errors.filter((message) => /2000000 bytes, 1048576 are allowed/.test(message)).length, 3)
  t.is(errors.filter((message) => /there was one already/.test(message)).length, 6)
})

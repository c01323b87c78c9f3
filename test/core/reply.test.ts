import test from 'ava'
import { silentLog } from '../../lib/core/log.ts'
import type { Outcome } from '../../lib/core/receiver.ts'
import { MessageContext } from '../../lib/core/message-context.ts'
import type { Payload, PublishOptions } from '../../lib/core/message.ts'
import { masterScope } from '../../lib/core/scope.ts'

interface Stage {
  readonly ctx: MessageContext
  readonly published: (readonly [topic: string, bytes: number])[]
  /** What the next publications fail with. */
  readonly faults: Error[]
}

function stage(responseTopic: string, replyTopics?: readonly string[]): Stage {
  const published: [string, number][] = []
  const faults: Error[] = []
  const publish = async (topic: string, payload: Payload, options?: PublishOptions) => {
    const fault = faults.shift()
    if (fault !== undefined) throw fault
    published.push([topic, Buffer.isBuffer(payload) ? payload.length : -1])
    return { reasonCode: options?.qos ?? 0 }
  }
  const unused = (): never => {
    throw new Error('not asked for')
  }
  const host = {
    app: { topic: unused, ready: unused },
    scope: masterScope,
    log: silentLog,
    client: { publish, subscribe: unused, unsubscribe: unused },
    rules: { replyTopics, countHops: false },
  }
  const payload = Buffer.alloc(0)
  const message = {
    topic: 'ask',
    payload,
    qos: 1,
    retain: false,
    dup: false,
    properties: { responseTopic },
  } as const
  const outcome: Outcome = { type: 'done', handled: true }
  const attempt = { number: 1, signal: new AbortController().signal, chain: undefined, extend() {} }
  const ending = { done: () => outcome, failed: () => outcome }
  return { ctx: new MessageContext(host, message, { layers: [], ending }, attempt), published, faults }
}

const allowed: readonly (readonly [string, (readonly string[])?])[] = [
  ['answers/1'],
  ['clients/a/replies', ['clients/+/replies']],
  ['x', ['clients/+/replies', 'x']],
  ['$aws/things/a', ['$aws/#']],
]

for (const [topic, topics] of allowed) {
  test(`a reply may go to ${topic} where ${topics?.join(' and ') ?? 'nothing'} is allowed`, async (t) => {
    const { ctx, published } = stage(topic, topics)
    await ctx.reply('yes')
    t.deepEqual(published, [[topic, 3]])
  })
}

const refused: readonly (readonly [string, RegExp, (readonly string[])?])[] = [
  ['$SYS/broker/log', /begins with "\$".*replyTopics/],
  ['$share/group/a', /filter of a shared subscription/],
  ['$queue/a', /filter of a shared subscription/],
  ['valve/open', /replyTopics does not allow/, ['clients/+/replies']],
  ['$SYS/x', /replyTopics does not allow/, ['#']],
  ['clients/a/replies/more', /replyTopics does not allow/, ['clients/+/replies']],
  ['any', /replyTopics does not allow/, []],
]

for (const [topic, message, topics] of refused) {
  test(`no reply goes to ${topic} where ${topics?.join(' and ') ?? 'nothing'} is allowed`, async (t) => {
    const { ctx, published } = stage(topic, topics)
    await t.throwsAsync(ctx.reply('yes'), { message })
    t.deepEqual(published, [])
  })
}

test('a request has one answer', async (t) => {
  const { ctx, published } = stage('answers/1')
  const first = ctx.reply('one')
  await t.throwsAsync(ctx.reply('two'), { code: 'ERR_REPLY_REFUSED', message: /there was one already/ })
  await first
  await t.throwsAsync(ctx.reply('three'), { code: 'ERR_REPLY_REFUSED' })
  t.deepEqual(published, [['answers/1', 3]])
})

test('a reply that could not be sent may be sent again', async (t) => {
  const { ctx, published, faults } = stage('answers/1')
  faults.push(new Error('away'))
  await t.throwsAsync(ctx.reply('one'), { message: 'away' })
  await ctx.reply('one')
  t.is(published.length, 1)
})

test('a reply has at most 1 MiB', async (t) => {
  const { ctx, published } = stage('answers/1')
  const message = 'No reply was sent to the message on "ask": it has 1048577 bytes, 1048576 are allowed.'
  await t.throwsAsync(ctx.reply('x'.repeat(1_048_577)), { code: 'ERR_REPLY_REFUSED', message })
  await ctx.reply('x'.repeat(1_048_576))
  t.deepEqual(published, [['answers/1', 1_048_576]])
})

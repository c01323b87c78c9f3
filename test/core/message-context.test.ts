import test from 'ava'
import { MqttasgiError } from '../../lib/core/errors.ts'
import { Layer } from '../../lib/core/layer.ts'
import { silentLog } from '../../lib/core/log.ts'
import { MessageContext, type Chain, type ContextHost } from '../../lib/core/message-context.ts'
import type { Message, MessageProperties } from '../../lib/core/message.ts'
import { outcomeOf } from '../../lib/core/outcomes.ts'
import { pattern } from '../../lib/core/pattern.ts'
import type { Attempt } from '../../lib/core/receiver.ts'
import { resolveRouteOptions } from '../../lib/core/route.ts'
import { masterScope } from '../../lib/core/scope.ts'

interface Stage {
  readonly ctx: MessageContext
  readonly host: ContextHost
  readonly message: Message
  /** What was asked of the client. */
  readonly calls: unknown[][]
  readonly attempt: Attempt
}

function layer(text: string | undefined, isRoute: boolean): Layer {
  const whole = text === undefined ? undefined : pattern<string>(text)
  const route = isRoute ? resolveRouteOptions(text ?? '', {}, undefined) : undefined
  return new Layer({
    handler: () => {},
    pattern: whole,
    filter: whole?.filter,
    route,
    delivery: undefined,
    owners: [],
  })
}

function stage(properties: MessageProperties = {}): Stage {
  const calls: unknown[][] = []
  const host: ContextHost = {
    app: { topic: () => {}, ready: () => Promise.resolve() },
    scope: masterScope,
    log: silentLog,
    client: {
      publish: (...args) => {
        calls.push(['publish', ...args])
        return Promise.resolve({ reasonCode: 0 })
      },
      subscribe: (...args) => {
        calls.push(['subscribe', ...args])
        return Promise.resolve({ filter: args[0], qos: 1 })
      },
      unsubscribe: (...args) => {
        calls.push(['unsubscribe', ...args])
        return Promise.resolve()
      },
    },
  }
  const attempt: Attempt = {
    number: 2,
    signal: new AbortController().signal,
    chain: undefined,
    extend: (ms) => void calls.push(['extend', ms]),
  }
  const payload = Buffer.from('{"celsius":21}')
  const message: Message = { topic: 'a/hall/t', payload, qos: 1, retain: true, dup: true, properties }
  const ending: Chain['ending'] = {
    done: () => ({ type: 'done', handled: true }),
    failed: (error) => outcomeOf(error, undefined),
  }
  const layers = [layer(undefined, false), layer('a/+x/#', false), layer('a/+room/#rest', true)]
  return {
    ctx: new MessageContext(host, message, { layers, ending }, attempt),
    host,
    message,
    calls,
    attempt,
  }
}

test('it shows the message as it came', (t) => {
  const { attempt, ctx, host, message } = stage()
  t.is(ctx.topic, 'a/hall/t')
  t.is(ctx.payload, message.payload)
  t.is(ctx.text(), '{"celsius":21}')
  t.deepEqual(ctx.json(), { celsius: 21 })
  t.is(ctx.qos, 1)
  t.true(ctx.retain)
  t.true(ctx.dup)
  t.is(ctx.properties, message.properties)
  t.is(ctx.signal, attempt.signal)
  t.is(ctx.scope, masterScope)
  t.is(ctx.app, host.app)
  t.is(ctx.log, host.log)
})

test('params and route are those of the layer that has control', (t) => {
  const { ctx } = stage()
  t.deepEqual({ ...ctx.params }, {})
  t.is(ctx.route, 'a/+room/#rest')
  ctx.at = 1
  const params = ctx.params
  t.deepEqual({ ...params }, { x: 'hall' })
  t.is(ctx.params, params)
  ctx.at = 2
  t.deepEqual({ ...ctx.params }, { room: 'hall', rest: ['t'] })
  ctx.at = 0
  t.deepEqual({ ...ctx.params }, {})
  ctx.at = 3
  t.deepEqual({ ...ctx.params }, {})
  t.is(ctx.route, undefined)
})

test('its state is one object, made when it is first asked for', (t) => {
  const { ctx } = stage()
  ctx.state['user'] = 'x'
  t.deepEqual(ctx.state, { user: 'x' })
  t.is(ctx.state, ctx.state)
})

test('what it asks for is asked of its client', async (t) => {
  const { calls, ctx } = stage()
  t.deepEqual(await ctx.publish('out', 'x', { qos: 0 }), { reasonCode: 0 })
  t.deepEqual(await ctx.subscribe('more', { qos: 0 }), { filter: 'more', qos: 1 })
  await ctx.unsubscribe('more')
  t.deepEqual(calls, [
    ['publish', 'out', 'x', { qos: 0 }],
    ['subscribe', 'more', { qos: 0 }],
    ['unsubscribe', 'more'],
  ])
})

test('a reply goes to the response topic with the correlation data', async (t) => {
  const correlationData = Buffer.from('id')
  const { calls, ctx } = stage({ responseTopic: 'answers/1', correlationData })
  await ctx.reply('yes', { qos: 0, properties: { contentType: 'text' } })
  t.deepEqual(calls, [
    [
      'publish',
      'answers/1',
      Buffer.from('yes'),
      { qos: 0, properties: { contentType: 'text', correlationData } },
    ],
  ])
  const plain = stage({ responseTopic: 'answers/1' })
  await plain.ctx.reply('yes')
  t.deepEqual(plain.calls, [['publish', 'answers/1', Buffer.from('yes'), { properties: {} }]])
})

test('without a response topic that is a topic there is nowhere to reply to', async (t) => {
  for (const properties of [
    {},
    { responseTopic: 'answers/+' },
    { responseTopic: '' },
    { responseTopic: 'a\0' },
  ]) {
    const { calls, ctx } = stage(properties)
    const error = await t.throwsAsync(ctx.reply('yes'), { instanceOf: MqttasgiError })
    t.is(error?.code, 'ERR_NO_RESPONSE_TOPIC')
    t.is(error?.topic, 'a/hall/t')
    t.deepEqual(calls, [])
  }
})

test('it says which attempt this is, and asks for more time', (t) => {
  const { calls, ctx } = stage()
  t.is(ctx.attempt, 2)
  ctx.extend(500)
  t.deepEqual(calls, [['extend', 500]])
  for (const wrong of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
    t.throws(() => ctx.extend(wrong), { code: 'ERR_OUTCOME_INVALID', message: /milliseconds/ })
  }
})

test('a chain that is given up enters no further layer', async (t) => {
  const { ctx } = stage()
  const error = new Error('too long')
  t.deepEqual(await ctx.giveUp(error), { type: 'failed', error, route: undefined })
  t.true(ctx.ended)
  t.true(ctx.isGivenUp)
})

import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { mqttasgi, type Application } from '../../lib/core/application.ts'
import { MqttasgiError, type ErrorCode } from '../../lib/core/errors.ts'
import { Drop, Reject, Retry } from '../../lib/core/outcomes.ts'
import { dispatch } from '../../lib/testing/dispatch.ts'

const execute = promisify(execFile)

async function rejectsWith(t: ExecutionContext, promise: Promise<unknown>, code: ErrorCode): Promise<void> {
  t.is((await t.throwsAsync(promise, { instanceOf: MqttasgiError }))?.code, code)
}

test('it says what ran, what was published and what was subscribed', async (t) => {
  const app = mqttasgi()
  app.topic('sensors/+room/temp', async (ctx, next) => {
    await ctx.publish(`alerts/${ctx.params.room}`, ctx.json<{ celsius: number }>(), { qos: 0 })
    await ctx.subscribe('more/#', { qos: 2 })
    await ctx.unsubscribe('more/#')
    await next()
  })
  app.topic('sensors/#', (ctx) => ctx.publish('seen', Buffer.from([1, 2])))
  t.deepEqual(await dispatch(app, 'sensors/hall/temp', { celsius: 85 }), {
    handled: true,
    routes: ['sensors/+room/temp', 'sensors/#'],
    published: [
      { topic: 'alerts/hall', payload: Buffer.from('{"celsius":85}'), options: { qos: 0 } },
      { topic: 'seen', payload: Buffer.from([1, 2]), options: {} },
    ],
    subscribed: [{ filter: 'more/#', options: { qos: 2 } }],
    sent: [],
    outcome: 'handled',
    error: undefined,
  })
})

test('a message that no route matches is not handled, and that is no error', async (t) => {
  t.deepEqual(await dispatch(mqttasgi(), 'a'), {
    handled: false,
    routes: [],
    published: [],
    subscribed: [],
    sent: [],
    outcome: 'unmatched',
    error: undefined,
  })
})

test('what a handler throws is the error, unless onError decides otherwise', async (t) => {
  const app = mqttasgi()
  app.topic('a', async () => {
    throw new Error('first')
  })
  t.is((await dispatch(app, 'a')).error?.message, 'first')
  app.onError(() => {
    throw new Drop('second')
  })
  const { error, handled, outcome, routes } = await dispatch(app, 'a')
  t.is(error?.message, 'second')
  t.false(handled)
  t.is(outcome, 'dropped')
  t.deepEqual(routes, ['a'])
})

test('one attempt is made, or as many as the test and the route allow, without waiting', async (t) => {
  const attempts: number[] = []
  const app = mqttasgi()
  app.topic('a', { retry: { attempts: 4, minDelayMs: 60_000 } }, (ctx) => {
    attempts.push(ctx.attempt)
    if (ctx.attempt < 3) throw new Retry()
  })
  t.like(await dispatch(app, 'a'), { handled: false, outcome: 'deadLettered' })
  t.like(await dispatch(app, 'a', '', { attempts: 2 }), { handled: false, outcome: 'deadLettered' })
  t.like(await dispatch(app, 'a', '', { attempts: 9 }), { handled: true, outcome: 'handled' })
  t.deepEqual(attempts, [1, 1, 2, 1, 2, 3])
})

test('a chain that runs out of time fails as on a server: onError has its say', async (t) => {
  const app = mqttasgi()
  app.topic('slow', { timeoutMs: 1 }, () => new Promise(() => {}))
  app.onError(() => {})
  app.onError((error) => {
    throw new Reject('too slow', { cause: error })
  })
  t.is((await dispatch(app, 'slow')).error?.message, 'too slow')
})

test('the message comes as the options say', async (t) => {
  const app = mqttasgi()
  const seen: unknown[] = []
  app.topic('a', (ctx) => void seen.push([ctx.qos, ctx.retain, ctx.dup, ctx.properties, ctx.text()]))
  const properties = { contentType: 'text', userProperties: { a: ['1', '2'] } }
  await dispatch(app, 'a')
  await dispatch(app, 'a', 'x', { qos: 0, retain: true, dup: true, properties })
  t.deepEqual(seen, [
    [1, false, false, {}, ''],
    [0, true, true, properties, 'x'],
  ])
})

test('a share group, a mount and a scope are those of the options', async (t) => {
  const app = mqttasgi()
  const seen: unknown[] = []
  app.topic('$share/g/a', (ctx) => void seen.push(['group', ctx.scope.appId]))
  app.topic('a', (ctx) => void seen.push(['own', ctx.scope.instanceType, ctx.scope.params]))
  await dispatch(app, 'a', '', { share: 'g' })
  const scope = { appId: 'pump', instanceType: 'worker', params: { unit: 'C' } } as const
  const { routes } = await dispatch(app, 'house/a', '', { mount: 'house', scope })
  t.deepEqual(routes, ['house/a'])
  t.false((await dispatch(app, 'a', '', { mount: 'house' })).handled)
  t.deepEqual(seen, [
    ['group', 0],
    ['own', 'worker', { unit: 'C' }],
  ])
})

test('what handlers and middleware log goes to the log of the options', async (t) => {
  const lines: string[] = []
  const line = (text: string): void => void lines.push(text)
  const app = mqttasgi()
  app.topic('a', (ctx) => ctx.log.info('hello'))
  await dispatch(app, 'a', '', { log: { debug: line, info: line, warn: line, error: line } })
  t.deepEqual(lines, ['hello'])
})

test('a reply is a publication', async (t) => {
  const app = mqttasgi()
  app.topic('ask', (ctx) => ctx.reply('yes'))
  const { published } = await dispatch(app, 'ask', '', { properties: { responseTopic: 'answer' } })
  t.deepEqual(
    published.map(({ topic }) => topic),
    ['answer'],
  )
  const { error } = await dispatch(app, 'ask')
  t.is(error instanceof MqttasgiError ? error.code : undefined, 'ERR_NO_RESPONSE_TOPIC')
})

test('what can not be published or subscribed fails the chain as it would on a server', async (t) => {
  const app = mqttasgi()
  const codes: Record<string, (app: Application) => void> = {
    ERR_TOPIC_INVALID: () => app.topic('1', (ctx) => ctx.publish('a/+', '')),
    ERR_PAYLOAD_TYPE: () => app.topic('2', (ctx) => ctx.publish('a', () => {})),
    ERR_FILTER_INVALID: () => app.topic('3', (ctx) => ctx.subscribe('a/#/b')),
  }
  for (const register of Object.values(codes)) register(app)
  for (const [i, code] of Object.keys(codes).entries()) {
    const { error } = await dispatch(app, `${i + 1}`)
    t.is(error instanceof MqttasgiError ? error.code : error, code as ErrorCode)
  }
})

test('a route that takes longer than its time fails, and its signal is aborted', async (t) => {
  const app = mqttasgi()
  app.topic(
    'slow',
    { timeoutMs: 1 },
    (ctx) => new Promise((resolve) => ctx.signal.addEventListener('abort', resolve)),
  )
  const { error } = await dispatch(app, 'slow')
  t.is(error instanceof MqttasgiError ? error.code : error, 'ERR_HANDLER_TIMEOUT')
})

test('what can not be dispatched rejects', async (t) => {
  const app = mqttasgi()
  await rejectsWith(t, dispatch(app, 'a/+'), 'ERR_TOPIC_INVALID')
  await rejectsWith(
    t,
    dispatch(app, 'a', () => {}),
    'ERR_PAYLOAD_TYPE',
  )
  await rejectsWith(t, dispatch(app, 'a', '', { mount: 'a/#' }), 'ERR_MOUNT_INVALID')
  const error = await t.throwsAsync(dispatch({}, 'a'), { instanceOf: MqttasgiError })
  t.truthy(error?.message)
})

test('dispatching leaves nothing behind at the application', async (t) => {
  const app = mqttasgi()
  await dispatch(app, 'a', '', { mount: 'm/+n' })
  // A mount that is gone forbids no name any more.
  t.notThrows(() => app.topic('+n', () => {}))
})

test('it leaves no timer that would keep the process waiting', async (t) => {
  const dispatching = fileURLToPath(new URL('../../lib/testing/index.ts', import.meta.url))
  const application = fileURLToPath(new URL('../../lib/index.ts', import.meta.url))
  const program = `
    import { mqttasgi } from ${JSON.stringify(application)}
    import { dispatch } from ${JSON.stringify(dispatching)}
    const app = mqttasgi()
    app.topic('a', async () => {})
    await dispatch(app, 'a')
    console.log(process.getActiveResourcesInfo().includes('Timeout'))`
  const { stdout } = await execute(process.execPath, [
    '--import',
    'tsx',
    '--input-type=module',
    '--eval',
    program,
  ])
  t.is(stdout, 'false\n')
})

test('what a handler sends over the channel layer is seen, and goes through one in memory', async (t) => {
  const app = mqttasgi().topic('a', async (ctx) => {
    const channel = await ctx.channels.newChannel()
    await ctx.channels.groupAdd('alarms', channel)
    await ctx.channels.groupSend('alarms', { type: 'alarm.raised' })
    await ctx.channels.send('other', { type: await ctx.channels.receive(channel).then(({ type }) => type) })
  })
  const { sent, error } = await dispatch(app, 'a')
  t.is(error, undefined)
  t.deepEqual(sent, [
    { group: 'alarms', event: { type: 'alarm.raised' } },
    { channel: 'other', event: { type: 'alarm.raised' } },
  ])
})

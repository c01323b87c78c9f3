import test, { type ExecutionContext } from 'ava'
import { silentLog } from '../../lib/core/log.ts'
import { mqttasgi } from '../../lib/core/application.ts'
import { Deferred } from '../../lib/core/deferred.ts'
import { MqttasgiError, type ErrorCode } from '../../lib/core/errors.ts'
import type { DisconnectReason } from '../../lib/core/receiver.ts'
import type { ConnectionFailure } from '../../lib/transport/transport.ts'
import { settled } from '../helpers/fake-clock.ts'
import { Guest } from '../helpers/guest.ts'
import { stageServer } from '../helpers/staged-server.ts'

async function rejectsWith(
  t: ExecutionContext,
  promise: Promise<unknown>,
  code: ErrorCode,
  words = /./,
): Promise<void> {
  const error = await t.throwsAsync(promise, { instanceOf: MqttasgiError, message: words })
  t.is(error?.code, code)
}

function failure(type: ConnectionFailure['type'], message = `It was ${type}.`): ConnectionFailure {
  return { type, message }
}

test('start connects, subscribes, and resolves when messages can come', async (t) => {
  const app = mqttasgi()
  app.topic('sensors/+room', () => {})
  const { server, transport } = stageServer(t, app)
  t.is(server.state, 'idle')
  const starting = server.start()
  t.is(server.state, 'connecting')
  await starting
  t.is(server.state, 'connected')
  await server.start()
  t.deepEqual(transport.calls, ['connect 5', 'subscribe sensors/+'])
  t.is(server.counters.connects, 1)
})

test('start waits for receivers that ask when they are connected, and for no others', async (t) => {
  const gates = [new Deferred(), new Deferred(), new Deferred()]
  const guest = (at: number, asks: boolean): Guest =>
    new Guest(`g${at}`, [], {
      asks,
      connect: async (client) => {
        await gates[at]!.promise
        await client.subscribe(`g/${at}`)
      },
    })
  const receivers = [guest(0, false), guest(1, true), guest(2, true)]
  const { server, transport } = stageServer(t, mqttasgi(), { receivers })
  let isStarted = false
  const starting = server.start().then(() => (isStarted = true))
  gates[1]!.resolve()
  await settled()
  t.false(isStarted)
  gates[2]!.resolve()
  await starting
  t.deepEqual([...transport.subscriptions.keys()], ['g/1', 'g/2'])
  gates[0]!.resolve()
  await settled()
  t.true(transport.subscriptions.has('g/0'))
})

test('a message runs its routes and is acknowledged then', async (t) => {
  const app = mqttasgi()
  const go = new Deferred()
  const seen: string[] = []
  app.topic('sensors/+room', async (ctx) => {
    await go.promise
    seen.push(`${ctx.params.room} ${ctx.text()}`)
  })
  const { server, transport } = stageServer(t, app)
  await server.start()
  const id = transport.deliver('sensors/hall', '21')
  await settled()
  t.deepEqual(transport.acknowledged, [])
  go.resolve()
  await settled()
  t.deepEqual(seen, ['hall 21'])
  t.deepEqual(transport.acknowledged, [id])
  t.like(server.counters, { received: 1, handled: 1, acknowledged: 1 })
})

for (const [how, handler] of [
  [
    'throws',
    () => {
      throw new Error('broken')
    },
  ],
  ['rejects', () => Promise.reject(new Error('broken'))],
  [
    'throws what is no error',
    () => {
      // oxlint-disable-next-line no-throw-literal, typescript/only-throw-error -- users do it
      throw Object.create(null)
    },
  ],
] as const) {
  test(`a handler that ${how} is logged with its route, counted, acknowledged, and the next message handled`, async (t) => {
    const app = mqttasgi()
    app.topic('a/+x', { retry: { attempts: 1 } }, handler)
    app.topic('b', () => {})
    const { lines, server, transport } = stageServer(t, app)
    await server.start()
    const ids = [transport.deliver('a/1'), transport.deliver('b')]
    await settled()
    t.deepEqual(transport.acknowledged, ids)
    t.like(server.counters, { failed: 1, handled: 1 })
    t.regex(lines.filter((line) => line.startsWith('error')).join(), /a\/1.*failed.*a\/\+x/)
  })
}

test('what the broker refuses at the start ends the server, and names the filter', async (t) => {
  const app = mqttasgi()
  app.topic('a', () => {})
  app.topic('secret/+x', () => {})
  for (const code of [0x87, 0]) {
    const { server, transport } = stageServer(t, app)
    transport.grant = ({ filter, qos }) => (filter.startsWith('secret') ? code : qos)
    await rejectsWith(t, server.start(), 'ERR_SUBSCRIBE_REFUSED', /"secret\/\+"/)
    t.is(server.state, 'closed')
    t.is((await server.closed).error?.code, 'ERR_SUBSCRIBE_REFUSED')
    t.true(transport.closed)
  }
})

test('a route that is added while the server runs is subscribed, and the application ready with it', async (t) => {
  const app = mqttasgi()
  app.topic('a', () => {})
  const { server, transport } = stageServer(t, app)
  await server.start()
  transport.calls.length = 0
  app.topic('b', () => {})
  app.topic('c', () => {})
  await app.ready()
  t.deepEqual(transport.calls, ['subscribe b', 'subscribe c'])
  transport.deliver('c')
  await settled()
  t.is(server.counters.handled, 1)
  transport.grant = () => 0x87
  app.topic('d', () => {})
  await rejectsWith(t, app.ready(), 'ERR_SUBSCRIBE_REFUSED', /"d"/)
  t.is(server.state, 'connected')
})

test('another version is asked for at once when the first is refused, and kept', async (t) => {
  const { clock, server, transport } = stageServer(t, mqttasgi())
  transport.failAt('connect', 1, { type: 'lose', failure: failure('version') })
  const starting = server.start()
  await settled()
  clock.advance(0)
  await starting
  transport.lose()
  await settled()
  t.is(server.state, 'waiting')
  t.deepEqual(transport.calls, ['connect 5', 'connect 4'])
})

test('the next try comes after the back-off', async (t) => {
  const { clock, lines, server, transport } = stageServer(t, mqttasgi())
  await server.start()
  transport.lose(failure('network', 'The network is down.'))
  await settled()
  t.is(server.state, 'waiting')
  t.regex(lines.at(-1) ?? '', /^warn: The network is down\. Next try in 100 ms\.$/)
  clock.advance(99)
  t.is(server.state, 'waiting')
  clock.advance(1)
  t.is(server.state, 'connecting')
  await server.ready()
  t.is(server.state, 'connected')
})

test('when the retries are used up the server ends with the reason', async (t) => {
  const policy = { retries: 2, protocolVersion: 'auto', backoff: () => 10 } as const
  const { clock, server, transport } = stageServer(t, mqttasgi(), { policy })
  for (const n of [1, 2, 3]) transport.failAt('connect', n, { type: 'lose', failure: failure('network') })
  const starting = t.throwsAsync(server.start(), { message: /It was network\. Gave up after 2 retries/ })
  for (let i = 0; i < 3; i++) {
    await settled()
    clock.advance(10)
  }
  await starting
  const { error, stop } = await server.closed
  t.is(error?.code, 'ERR_CONNECT_NETWORK')
  t.true(stop.clean)
  await rejectsWith(t, server.ready(), 'ERR_CONNECT_NETWORK')
  await rejectsWith(t, server.publish('a', 'x'), 'ERR_CONNECT_NETWORK')
  t.is(transport.count('connect'), 3)
})

test('a broker that speaks only MQTT 3.1.1 is asked for it, and nobody is warned', async (t) => {
  const lines: string[] = []
  const log = {
    ...silentLog,
    info: (message: string) => void lines.push(`info ${message}`),
    warn: (message: string) => void lines.push(`warn ${message}`),
  }
  const policy = { retries: 1, protocolVersion: 'auto', backoff: () => 10 } as const
  const { clock, server, transport } = stageServer(t, mqttasgi(), { policy, log })
  transport.failAt('connect', 1, { type: 'lose', failure: failure('version') })
  const starting = server.start()
  await settled()
  clock.advance(0)
  await starting
  t.deepEqual(
    lines.filter((line) => line.includes('MQTT') || line.startsWith('warn')),
    ['info The broker does not speak MQTT 5; it is asked for MQTT 3.1.1.', 'info Connected with MQTT 3.1.1.'],
  )
})

test('another client with our id ends the server, and the application hears of it once', async (t) => {
  const app = mqttasgi()
  const reasons: DisconnectReason[] = []
  app.onDisconnect((reason) => void reasons.push(reason))
  const { server, transport } = stageServer(t, app)
  await server.start()
  transport.lose(failure('takeover', 'Another one took it.'))
  const { error } = await server.closed
  t.is(error?.code, 'ERR_CLIENT_ID_TAKEN_OVER')
  t.is(reasons.length, 1)
  t.is(transport.count('connect'), 1)
})

test('the application hears of each connection, and what it throws is logged', async (t) => {
  const app = mqttasgi()
  const seen: string[] = []
  app.onConnect(async (client, { present }) => {
    seen.push(`connect ${present}`)
    await client.publish('status', 'online')
    throw new Error('from onConnect')
  })
  app.onDisconnect(({ type }) => void seen.push(type))
  const { clock, lines, server, transport } = stageServer(t, app)
  await server.start()
  await settled()
  t.is(transport.published.length, 1)
  t.regex(lines.join('\n'), /error: A handler of onConnect failed: from onConnect/)
  transport.info = { ...transport.info, sessionPresent: true }
  transport.lose()
  await settled()
  clock.advance(100)
  await server.ready()
  await server.stop()
  t.deepEqual(seen, ['connect false', 'lost', 'connect true', 'stopped'])
})

test('publications wait for the broker, but not those of QoS 0', async (t) => {
  const { server, transport } = stageServer(t, mqttasgi())
  const waiting = server.publish('a', { n: 1 }, { retain: true })
  await rejectsWith(t, server.publish('b', 'x', { qos: 0 }), 'ERR_NOT_CONNECTED')
  await server.start()
  t.deepEqual(await waiting, { reasonCode: 0 })
  await server.publish('c', null, { qos: 0 })
  t.deepEqual(
    transport.published.map(({ options, payload, topic }) => [
      topic,
      payload.toString(),
      options.qos,
      options.retain,
    ]),
    [
      ['a', '{"n":1}', 1, true],
      ['c', '', 0, undefined],
    ],
  )
  t.is(server.counters.published, 2)
})

test('what waited for the connection is published behind the subscriptions, so that our own routes get it', async (t) => {
  const app = mqttasgi()
  app.topic('self/+', () => {})
  const { clock, server, transport } = stageServer(t, app)
  await server.start()
  transport.lose()
  await settled()
  const waiting = server.publish('self/1', 'x')
  transport.calls.length = 0
  clock.advance(100)
  await waiting
  t.deepEqual(transport.calls, ['connect 5', 'subscribe self/+', 'publish self/1'])
})

test('QoS 0 goes on a new connection at once, though what has waited goes behind the subscriptions', async (t) => {
  const app = mqttasgi()
  app.topic('a', () => {})
  const results: unknown[] = []
  app.onConnect(async (client) => void results.push(await client.publish('status', 'online', { qos: 0 })))
  const { server } = stageServer(t, app)
  await server.start()
  await settled()
  t.deepEqual(results, [{ reasonCode: 0 }])
})

test('what can not be published is refused at once, and what the broker refuses when it does', async (t) => {
  const { server, transport } = stageServer(t, mqttasgi())
  await server.start()
  await rejectsWith(t, server.publish('a/+', 'x'), 'ERR_TOPIC_INVALID')
  await rejectsWith(
    t,
    server.publish('a', () => {}),
    'ERR_PAYLOAD_TYPE',
  )
  transport.failAt('publish', 1, { type: 'refuse', reasonCode: 0x87 })
  await rejectsWith(t, server.publish('a', 'x'), 'ERR_PUBLISH_REFUSED')
  t.is(server.counters.published, 0)
})

test('a server without receivers has nobody to subscribe for', async (t) => {
  const { server } = stageServer(t, mqttasgi(), { receivers: [] })
  t.is(t.throws(() => void server.subscribe('a'), { instanceOf: MqttasgiError })?.code, 'ERR_NOT_ATTACHED')
})

test('a full window in which every handler awaits its own publication comes to no standstill', async (t) => {
  const app = mqttasgi()
  let done = 0
  app.topic('in/+n', async (ctx) => {
    await ctx.publish('out', ctx.text())
    done++
  })
  const { server, transport } = stageServer(t, app, { window: { maxInFlight: 4, maxWaitingBytes: 200 } })
  await server.start()
  transport.holdAnswers = true
  const ids = Array.from({ length: 20 }, (_, i) => transport.deliver(`in/${i}`, 'x'))
  await settled()
  t.is(transport.published.length, 4)
  t.true(transport.awaiting)
  t.false(transport.paused)
  for (let i = 0; i < 5; i++) {
    transport.answer()
    await settled()
  }
  t.is(done, 20)
  t.deepEqual(transport.acknowledged, ids)
  t.is(server.counters.overflows, 0)
})

test('beyond the hard limit the connection is cut, unacknowledged and counted, and all comes again', async (t) => {
  const app = mqttasgi()
  const seen: string[] = []
  app.topic('in/+n', async (ctx) => {
    await ctx.publish('out', ctx.text())
    seen.push(ctx.params.n)
  })
  const { clock, server, transport } = stageServer(t, app, {
    window: { maxInFlight: 1, maxWaitingBytes: 50 },
  })
  await server.start()
  transport.holdAnswers = true
  const ids = Array.from({ length: 30 }, (_, i) => transport.deliver(`in/${i}`, 'x'))
  await settled()
  t.is(server.counters.overflows, 1)
  t.is(server.state, 'waiting')
  t.deepEqual(transport.acknowledged, [])
  transport.holdAnswers = false
  transport.info = { ...transport.info, sessionPresent: true }
  clock.advance(100)
  await settled()
  for (const [i, packetId] of ids.entries()) {
    transport.deliver(`in/${i}`, 'x', { packetId, dup: true })
    await settled()
  }
  t.deepEqual(transport.acknowledged, ids)
  t.deepEqual(
    seen,
    ids.map((_, i) => `${i}`),
  )
})

test('a chain that takes too long is told, fails its message, and changes nothing when it ends later', async (t) => {
  const app = mqttasgi()
  const end = new Deferred()
  let signal: AbortSignal | undefined
  app.topic('slow', { timeoutMs: 500, retry: { attempts: 1 } }, async (ctx) => {
    signal = ctx.signal
    await end.promise
  })
  const { clock, server, transport } = stageServer(t, app)
  await server.start()
  const id = transport.deliver('slow')
  await settled()
  clock.advance(499)
  t.false(signal?.aborted)
  clock.advance(1)
  await settled()
  t.true(signal?.aborted)
  t.like(signal?.reason, { code: 'ERR_HANDLER_TIMEOUT' })
  t.deepEqual(transport.acknowledged, [id])
  t.like(server.counters, { failed: 1, handled: 0 })
  end.resolve()
  await settled()
  t.like(server.counters, { failed: 1, handled: 0, acknowledged: 1 })
})

test('each receiver gets each message once, under its mount, and the slowest is waited for', async (t) => {
  const slow = new Deferred()
  const seen: string[] = []
  const app = mqttasgi()
  app.topic('house/#', (ctx) => void seen.push(`application ${ctx.topic}`))
  const climate = mqttasgi()
  climate.topic('temp', async (ctx) => {
    await slow.promise
    seen.push(`climate ${ctx.topic}`)
  })
  const other = mqttasgi()
  other.topic('other', () => t.fail())
  const workers = [
    { id: 'climate', mount: 'house/+floor', app: climate },
    { id: 'other', mount: '', app: other },
  ]
  const { server, transport } = stageServer(t, app, { workers })
  await server.start()
  t.deepEqual([...transport.subscriptions.keys()], ['house/#', 'other'])
  const ids = [transport.deliver('house/1/temp'), transport.deliver('house/1')]
  await settled()
  t.deepEqual(seen, ['application house/1/temp', 'application house/1'])
  t.deepEqual(transport.acknowledged, [])
  slow.resolve()
  await settled()
  t.deepEqual(seen.slice(2), ['climate house/1/temp'])
  t.deepEqual(transport.acknowledged, ids)
  t.is(server.counters.handled, 3)
})

test('what nobody wants is told to the first receiver only, and acknowledged', async (t) => {
  const seen: string[] = []
  const app = mqttasgi()
  app.topic('a', () => {})
  app.onUnmatched((ctx) => void seen.push(ctx.topic))
  const worker = mqttasgi()
  worker.topic('b', () => {})
  worker.onUnmatched(() => t.fail())
  const { server, transport } = stageServer(t, app, { workers: [{ id: 'w', mount: '', app: worker }] })
  await server.start()
  const id = transport.deliver('nobody')
  await settled()
  t.deepEqual(seen, ['nobody'])
  t.deepEqual(transport.acknowledged, [id])
  t.is(server.counters.unmatched, 1)
})

test('two servers in one process, with one application, do not disturb each other', async (t) => {
  const app = mqttasgi()
  app.topic('a', (ctx) => ctx.publish('seen', ctx.text()))
  const [one, two] = [stageServer(t, app), stageServer(t, app)]
  await Promise.all([one.server.start(), two.server.start()])
  one.transport.deliver('a', 'one')
  two.transport.deliver('a', 'two')
  await settled()
  const published = ({ transport }: typeof one): string[] =>
    transport.published.map(({ payload }) => payload.toString())
  t.deepEqual([published(one), published(two)], [['one'], ['two']])
  await one.server.stop()
  two.transport.deliver('a', 'again')
  await settled()
  t.deepEqual(published(two), ['two', 'again'])
  t.is(two.server.state, 'connected')
  await t.notThrowsAsync(two.server.ready())
})

test('what was too large or is not allowed is counted, acknowledged, and runs nothing', async (t) => {
  const app = mqttasgi()
  app.topic('#', () => t.fail())
  const { server, transport } = stageServer(t, app)
  await server.start()
  transport.skip('large', 1_000_000, 7)
  await settled()
  t.deepEqual(transport.acknowledged, [7])
  t.like(server.counters, { received: 1, oversized: 1, handled: 0 })
})

test('with retainAsPublished a message equal to one that became a dead letter is a new one, and is run', async (t) => {
  const runs: string[] = []
  let works = false
  const app = mqttasgi()
  app.topic('lamp', { retainAsPublished: true, retry: { attempts: 1 } }, (ctx) => {
    runs.push(ctx.text())
    if (!works) throw new Error('no light')
  })
  const { server, transport } = stageServer(t, app, {
    deadLetters: { name: 'memory', keep: async () => {}, close: async () => {} },
  })
  await server.start()
  transport.deliver('lamp', 'on', { retain: true })
  await settled()
  works = true
  transport.deliver('lamp', 'on', { retain: true })
  await settled()
  t.deepEqual(runs, ['on', 'on'])
  t.like(server.counters, { deadLettered: 1, handled: 1, refusedAgain: 0 })
})

test('where onError does not end, the message is given up with what it failed with, and onError is not asked again', async (t) => {
  const heard: string[] = []
  const kept: string[] = []
  const app = mqttasgi({ retry: { attempts: 2, jitter: false } })
  app.onError((error) => {
    heard.push(error.message)
    return new Promise(() => {})
  })
  app.topic('a', () => {
    throw new Error('no')
  })
  const { clock, lines, server, transport } = stageServer(t, app, {
    deadLetters: {
      name: 'memory',
      keep: async ({ error }) => void kept.push(error.message),
      close: async () => {},
    },
  })
  await server.start()
  transport.deliver('a')
  await settled()
  clock.advance(30_000)
  await settled()
  clock.advance(200)
  await settled()
  t.deepEqual(heard, ['no'])
  t.deepEqual(kept, ['no'])
  t.true(lines.includes('warn: A handler of onError for "a" has not ended in time, and is not waited for.'))
})

// The layer of a configuration: for a server, for its handlers, and for a program that has none.
import test from 'ava'
import { channelLayer, mqttasgi, serve, type ChannelEvent } from '../lib/index.ts'
import { silentLog } from '../lib/core/log.ts'
import { Deferred } from '../lib/core/deferred.ts'
import { MemoryTransport } from '../lib/testing/memory-transport.ts'
import { throwsCode } from './contract/channel-layer.ts'
import { MemoryBroker } from './helpers/memory-broker.ts'

test('in one process the layer in memory is one for each prefix, for servers too', async (t) => {
  const got = new Deferred<ChannelEvent>()
  const app = mqttasgi().channel('alarm.raised', { group: 'alarms' }, (event) => got.resolve(event))
  const channels = { prefix: 'one-for-each' }
  const server = await serve(app, { transport: new MemoryTransport(), channels, log: silentLog })
  const layer = await channelLayer({ channels })
  const other = await channelLayer({ channels: { prefix: 'another' } })
  await other.groupSend('alarms', { type: 'alarm.raised', from: 'other' })
  await layer.groupSend('alarms', { type: 'alarm.raised', from: 'layer' })
  t.is((await got.promise)['from'], 'layer')
  const waiting = layer.receive('named')
  const second = await channelLayer({ channels })
  await second.close()
  await server.stop()
  await layer.send('named', { type: 'x' })
  t.is((await waiting).type, 'x')
  await layer.close()
  await other.close()
  await throwsCode(t, layer.send('named', { type: 'x' }), 'ERR_CHANNEL_CLOSED')
})

test('a layer in memory forgets all when the last one of its prefix is closed', async (t) => {
  const channels = { prefix: 'forgetful', capacity: 1 }
  const first = await channelLayer({ channels })
  await first.send('a', { type: 'old' })
  await first.close()
  await first.close()
  const second = await channelLayer({ channels })
  await second.send('a', { type: 'new' })
  t.is((await second.receive('a')).type, 'new')
  await second.close()
})

test('over the broker a server hears what a program without one sends, and its handlers send too', async (t) => {
  const broker = new MemoryBroker()
  const got = new Deferred<ChannelEvent>()
  const app = mqttasgi()
    .channel('alarm.raised', { group: 'alarms' }, (event) => got.resolve(event))
    .topic('temp', (ctx) => ctx.channels.groupSend('readings', { type: 'reading', text: ctx.text() }))
  const channels = { layer: 'mqtt', prefix: 'house' } as const
  const transport = broker.transport()
  const server = await serve(app, { transport, channels, log: silentLog })
  const own = broker.transport()
  const layer = await channelLayer({ transport: own, channels, log: silentLog })
  // Its groups are joined beside the connection.
  while (!transport.subscriptions.has('house/groups/alarms')) await new Promise((done) => setImmediate(done))
  await layer.groupSend('alarms', { type: 'alarm.raised', room: 'hall' })
  t.is((await got.promise)['room'], 'hall')
  const channel = await layer.newChannel()
  await layer.groupAdd('readings', channel)
  transport.deliver('temp', '21.5')
  t.is((await layer.receive(channel))['text'], '21.5')
  const waiting = throwsCode(t, layer.receive(channel), 'ERR_CHANNEL_CLOSED')
  await layer.close()
  await waiting
  t.true(own.closed)
  await server.stop()
  t.true(transport.closed)
})

test('a layer over a broker that can not be reached is an error', async (t) => {
  const transport = new MemoryTransport()
  for (let nth = 1; nth < 5; nth++) transport.failAt('connect', nth, { type: 'refuse', reasonCode: 0x87 })
  const channels = { layer: 'mqtt' } as const
  const error = await t.throwsAsync(
    channelLayer({ transport, channels, log: silentLog, broker: { retries: 1 } }),
  )
  t.regex((error as Error & { code: string }).code, /^ERR_CONNECT_/)
})

test('a layer whose connection ends for good tells those who wait', async (t) => {
  const transport = new MemoryTransport()
  const channels = { layer: 'mqtt' } as const
  const said: string[] = []
  const log = { ...silentLog, error: (message: string) => void said.push(message) }
  const layer = await channelLayer({ transport, channels, log, broker: { retries: 1 } })
  const waiting = throwsCode(t, layer.receive(await layer.newChannel()), 'ERR_CHANNEL_CLOSED')
  for (let nth = 2; nth < 5; nth++) transport.failAt('connect', nth, { type: 'refuse', reasonCode: 0x87 })
  transport.lose()
  await waiting
  t.regex(said.join(), /The channel layer ends/)
})

test('wrong options are refused as those of a server are', async (t) => {
  await throwsCode(t, channelLayer({ channels: { layer: 'redis' } }), 'ERR_CONFIG_INCOMPLETE')
  await throwsCode(t, channelLayer({ channels: { prefix: 'a/b' } }), 'ERR_CONFIG_VALUE')
  await throwsCode(t, channelLayer({ channels: { layer: 'carrier-pigeon' as never } }), 'ERR_CONFIG_VALUE')
})

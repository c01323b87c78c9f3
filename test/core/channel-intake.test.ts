// The way of channel events to their handlers, whatever the layer does.
import test from 'ava'
import { InMemoryChannelLayer } from '../../lib/channels/memory.ts'
import { ChannelIntake, channelHandlers } from '../../lib/core/channel-intake.ts'
import type { ChannelEvent } from '../../lib/core/channel-layer.ts'
import { MqttasgiError } from '../../lib/core/errors.ts'
import { silentLog } from '../../lib/core/log.ts'
import { FakeClock, settled } from '../helpers/fake-clock.ts'

type Run = (event: ChannelEvent) => unknown

test('handled, failed and dropped events are counted, and a flood of unknown types is told of a hundred times', async (t) => {
  const layer = new InMemoryChannelLayer({ capacity: 1_000 })
  let told = 0
  const counts = { eventsHandled: 0, eventsFailed: 0, eventsDropped: 0 }
  const intake = new ChannelIntake<Run>({
    layer,
    channel: 'a',
    handlers: channelHandlers<Run>({
      good: () => {},
      bad: () => {
        throw new Error('no')
      },
    }),
    run: (handler, event) => handler(event),
    count: (counter) => void counts[counter]++,
    log: { ...silentLog, warn: () => told++ },
    clock: new FakeClock(),
  })
  intake.start()
  await layer.send('a', { type: 'good' })
  await layer.send('a', { type: 'bad' })
  for (let i = 0; i < 300; i++) await layer.send('a', { type: `unknown.${i % 150}` })
  await settled()
  t.deepEqual(counts, { eventsHandled: 1, eventsFailed: 1, eventsDropped: 300 })
  t.is(told, 100)
  intake.stop()
})

test('a layer that fails is asked again, later each time, and told of once', async (t) => {
  const clock = new FakeClock()
  const lines: string[] = []
  const seen: string[] = []
  let failures = 3
  const layer = new InMemoryChannelLayer()
  const intake = new ChannelIntake<Run>({
    layer: {
      receive: async (channel, signal) => {
        if (failures-- > 0) throw new MqttasgiError('ERR_CHANNEL_LAYER', 'Redis is away.')
        return layer.receive(channel, signal)
      },
    },
    channel: 'a',
    handlers: channelHandlers<Run>({ good: ({ type }) => seen.push(type) }),
    run: (handler, event) => handler(event),
    count: undefined,
    log: { ...silentLog, warn: (line) => lines.push(line), info: (line) => lines.push(line) },
    clock,
  })
  intake.start()
  await layer.send('a', { type: 'good' })
  for (const wait of [100, 200, 400]) {
    await settled()
    t.is(clock.nextAt, clock.now() + wait)
    clock.advanceToNext()
  }
  await settled()
  t.deepEqual(seen, ['good'])
  t.deepEqual(lines, [
    'Channel events can not be received for now: Redis is away.',
    'Channel events are received again.',
  ])
  intake.stop()
})

test('stop takes the timer back, and a closed layer ends the intake', async (t) => {
  const clock = new FakeClock()
  const handlers = new Map<string, Run>()
  const parts = { channel: 'a', handlers, run: () => {}, count: undefined, log: silentLog, clock }
  const failing = new ChannelIntake<Run>({
    ...parts,
    layer: { receive: () => Promise.reject(new Error('away')) },
  })
  failing.start()
  await settled()
  t.is(clock.timers, 1)
  failing.stop()
  t.is(clock.timers, 0)
  let asked = 0
  const layer = new InMemoryChannelLayer()
  const closing = new ChannelIntake<Run>({
    ...parts,
    layer: { receive: (channel, signal) => (asked++, layer.receive(channel, signal)) },
  })
  closing.start()
  await layer.close()
  await settled()
  t.is(asked, 1)
  t.is(clock.timers, 0)
})

test('types of the protocol can not be declared, and the prototype of the table declares nothing', (t) => {
  for (const type of ['mqtt.msg', 'mqtt.disconnect', 'mqttasgi.worker.kill', '']) {
    t.throws(() => channelHandlers({ [type]: () => {} }), { code: 'ERR_HANDLER_INVALID' })
  }
  const handlers = channelHandlers({ 'mqttish.event': () => {} })
  t.is(handlers.get('toString'), undefined)
  t.is(handlers.get('__proto__'), undefined)
  t.is(handlers.size, 1)
})

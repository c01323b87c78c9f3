// The layer in memory: the contract on a clock of the test's, and what is left of it.
import test, { type ExecutionContext } from 'ava'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { InMemoryChannelLayer } from '../../lib/channels/memory.ts'
import type { ChannelLimits } from '../../lib/core/channel-layer.ts'
import { MqttasgiError } from '../../lib/core/errors.ts'
import { channelLayerContract, throwsCode, type LayersSetup } from '../contract/channel-layer.ts'
import { FakeClock } from '../helpers/fake-clock.ts'

async function open(_t: ExecutionContext, limits: ChannelLimits = {}): Promise<LayersSetup> {
  const clock = new FakeClock()
  const layer = new InMemoryChannelLayer({ ...limits, clock })
  return {
    here: layer,
    there: layer,
    wait: async (ms) => clock.advance(ms),
    arrived: async () => {},
    knowsRoom: true,
  }
}

channelLayerContract(test, 'memory', open)

test('a hundred events wait for a minute unless told otherwise, and a channel is in its groups for a day', async (t) => {
  const clock = new FakeClock()
  const layer = new InMemoryChannelLayer({ clock })
  const send = (): Promise<void> => layer.send('a', { type: 'x' })
  for (let i = 0; i < 100; i++) await send()
  await throwsCode(t, send(), 'ERR_CHANNEL_FULL')
  clock.advance(59_999)
  await throwsCode(t, send(), 'ERR_CHANNEL_FULL')
  clock.advance(1)
  await send()
  t.is(layer.counters.expired, 100)
  await layer.groupAdd('g', 'b')
  clock.advance(86_399_999)
  await layer.groupSend('g', { type: 'x' })
  t.is((await layer.receive('b')).type, 'x')
  clock.advance(1)
  await layer.groupSend('g', { type: 'y' })
  await layer.send('b', { type: 'z' })
  t.is((await layer.receive('b')).type, 'z')
})

test('an event that finds no room is published for those who watch', async (t) => {
  const seen: unknown[] = []
  const watch = (event: unknown): void => {
    const { channel } = event as { channel: string }
    if (channel === 'watched') seen.push(event)
  }
  subscribe('mqttasgi:channel-loss', watch)
  t.teardown(() => unsubscribe('mqttasgi:channel-loss', watch))
  const clock = new FakeClock()
  const layer = new InMemoryChannelLayer({ capacity: 1, expiry: 1, clock })
  await layer.send('watched', { type: 'x' })
  await t.throwsAsync(layer.send('watched', { type: 'x' }))
  clock.advance(1_000)
  await layer.send('watched', { type: 'x' })
  t.deepEqual(seen, [
    { layer: 'memory', channel: 'watched', reason: 'full', count: 1 },
    { layer: 'memory', channel: 'watched', reason: 'expired', count: 1 },
  ])
})

test('limits that are none are refused', (t) => {
  for (const bad of [{ capacity: 0 }, { capacity: 1.5 }, { expiry: 0 }, { groupExpiry: Number.NaN }]) {
    const error = t.throws(() => new InMemoryChannelLayer(bad), { instanceOf: MqttasgiError })
    t.is(error?.code, 'ERR_CONFIG_VALUE')
  }
})

test('an error names ten channels that were full, and counts the rest', async (t) => {
  const layer = new InMemoryChannelLayer({ capacity: 1 })
  for (let i = 0; i < 12; i++) {
    await layer.groupAdd('g', `c${i}`)
    await layer.send(`c${i}`, { type: 'x' })
  }
  const error = await throwsCode(t, layer.groupSend('g', { type: 'x' }), 'ERR_CHANNEL_FULL')
  t.regex(error.message, /c8, c9 and 2 more/)
  t.is(error.channels?.length, 12)
})

test('what another layer alone receives from is refused', async (t) => {
  const channel = await new InMemoryChannelLayer().newChannel()
  await throwsCode(t, new InMemoryChannelLayer().receive(channel), 'ERR_CHANNEL_NAME')
})

// mqttasgi channel: what its words mean, what is said about wrong ones, and that the event arrives.
import test from 'ava'
import { startBroker } from '../../lib/broker/index.ts'
import { InMemoryChannelLayer, channelLayer } from '../../lib/index.ts'
import { readChannelQuestion } from '../../lib/cli/channel.ts'
import { RedisChannelLayer } from '../../lib/channels/redis-channel-layer.ts'
import { runHere, runProcess } from '../helpers/command-line.ts'
import { startMosquitto } from '../helpers/mosquitto.ts'
import { recordedUrl } from '../helpers/recording.ts'
import { startRedis } from '../helpers/redis.ts'
import { serverTest } from '../helpers/server-test.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { silentLog } from '../../lib/core/log.ts'

test('an event is JSON, or its type and fields', (t) => {
  t.deepEqual(readChannelQuestion(['send', 'a', '{"type":"x","n":[1]}']), {
    action: 'send',
    name: 'a',
    event: { type: 'x', n: [1] },
  })
  const fields = ['room=hall', 'celsius=85', 'on=true', 'list=[1]', 'text=a=b', 'none=', 'quoted="7"']
  t.deepEqual(readChannelQuestion(['group-send', 'alarms', 'alarm.raised', ...fields]), {
    action: 'group-send',
    name: 'alarms',
    event: {
      type: 'alarm.raised',
      room: 'hall',
      celsius: 85,
      on: true,
      list: [1],
      text: 'a=b',
      none: '',
      quoted: '7',
    },
  })
})

for (const [what, words, said] of [
  ['nothing', [], /expected send or group-send behind channel, got nothing/],
  ['another action', ['receive', 'a', 'x'], /got "receive"/],
  ['no name', ['send'], /takes the name of a channel and an event, as in mqttasgi channel send/],
  ['no event', ['group-send', 'g'], /takes the name of a group and an event/],
  ['no JSON', ['send', 'a', '{type: x}'], /the event is not JSON/],
  ['JSON in two words', ['send', 'a', '{"type":', '"x"}'], /put it into quotes/],
  ['JSON and a field', ['send', 'a', '{"type":"x.y"}', 'a=1'], /"a=1" behind it.*write it into the JSON/],
  ['a field said twice', ['send', 'a', 'x', 'b=1', 'b=2'], /"b" is said twice/],
  ['JSON without a type', ['send', 'a', '{"a":1}'], /undefined as its type/],
  ['a field that is none', ['send', 'a', 'x', 'room'], /key=value, and "room" is none/],
  ['a second type', ['send', 'a', 'x', 'type=y'], /"type" is taken: .* type of the event, "x"/],
  ['a trap', ['send', 'a', 'x', '__proto__={"a":1}'], /__proto__/],
  ['a name that is none', ['send', 'a b', 'x'], /name of a channel .* is "a b"/],
  ['a channel as a group', ['group-send', 'a.b!c', 'x'], /name of a group .* is "a\.b!c"/],
] as const) {
  test(`${what} is a mistake in the command line`, (t) => {
    const error = t.throws(() => readChannelQuestion(words), { code: 'ERR_USAGE' })
    t.regex(error.message, said)
  })
}

test('words that are wrong end with 2, and the layer in memory with 78 and the reason', async (t) => {
  const cwd = temporaryFolder(t)
  const wrong = runHere(['channel', 'send', 'a'], { cwd })
  t.is(await wrong.ended, 2)
  const memory = runHere(['channel', 'send', 'a', 'x'], { cwd })
  t.is(await memory.ended, 78)
  t.regex(memory.output(), /channels\.layer is memory \(default\), and only this process/)
})

serverTest('redis-server')('an event goes through Redis, and its password is not shown', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const cwd = temporaryFolder(t)
  const layer = new RedisChannelLayer({ url: redis.url })
  t.teardown(() => layer.close())
  const env = { MQTTASGI_CHANNEL_LAYER: 'redis', MQTTASGI_CHANNEL_REDIS: redis.url }
  const send = runHere(['channel', 'send', 'alarms', 'alarm.raised', 'room=hall'], { cwd, env })
  t.is(await send.ended, 0, send.output())
  t.regex(send.output(), /sent alarm\.raised to the channel alarms over redis redis:\/\/127\.0\.0\.1:\d+/)
  t.deepEqual(await layer.receive('alarms'), { type: 'alarm.raised', room: 'hall' })
  await redis.kill()
  const gone = runHere(['channel', 'send', 'a', 'x', '--channel-timeout', '1'], { cwd, env })
  t.is(await gone.ended, 1)
  t.regex(gone.output(), /ERR_CHANNEL_LAYER/)
  t.false((send.output() + gone.output()).includes(redis.password))
})

serverTest('mosquitto')('an event goes through the broker', async (t) => {
  const broker = await startMosquitto()
  t.teardown(() => broker.stop())
  const url = await recordedUrl(t, broker.url)
  const cwd = temporaryFolder(t)
  const layer = await channelLayer({
    broker: { url },
    channels: { layer: 'mqtt' },
    log: silentLog,
  })
  t.teardown(() => layer.close())
  t.false(layer instanceof InMemoryChannelLayer)
  const channel = await layer.newChannel()
  await layer.groupAdd('alarms', channel)
  const words = ['channel', 'group-send', 'alarms', '{"type":"alarm.raised","celsius":85}']
  const send = runHere([...words, '--url', url, '--channel-layer', 'mqtt'], { cwd })
  t.is(await send.ended, 0, send.output())
  t.deepEqual(await layer.receive(channel), { type: 'alarm.raised', celsius: 85 })
  const nobody = runHere(['channel', 'send', 'nobody', 'x', '--url', url, '--channel-layer', 'mqtt'], {
    cwd,
  })
  t.is(await nobody.ended, 1)
  t.regex(nobody.output(), /Nobody receives from the channel "nobody"/)
})

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test(`${signal} ends the attempts to connect, with ${code}`, async (t) => {
    const gone = await startBroker({ port: 0 })
    const { url } = gone
    await gone.close()
    const words = ['channel', 'send', 'a', 'x', '--channel-layer', 'mqtt', '--url', url, '--retries', '0']
    const command = runProcess(t, words, { cwd: temporaryFolder(t) })
    await command.seen(/Next try in/)
    command.signal(signal)
    t.is(await command.ended, code)
    t.regex(command.output(), /interrupted: nothing was sent\n$/)
  })
}

// Where dead letters go: what a store needs, what it can not be, and that the password of Redis is never shown.
import test, { type ExecutionContext } from 'ava'
import { inspect } from 'node:util'
import { describeSettings } from '../../lib/config/describe.ts'
import type { ConfigInput } from '../../lib/config/input.ts'
import { resolveOptions } from '../../lib/config/load.ts'
import { MqttasgiError } from '../../lib/core/errors.ts'

function refused(t: ExecutionContext, input: ConfigInput, code: string): string {
  const error = t.throws(() => resolveOptions(input), { instanceOf: MqttasgiError })
  t.is(error.code, code as MqttasgiError['code'])
  t.notRegex(inspect(error), /canary/)
  return error.message
}

test('without a word dead letters go into the journal of .mqttasgi in the working directory', (t) => {
  const settings = resolveOptions({}, '/srv/app')
  t.is(settings.stateDir, '/srv/app/.mqttasgi')
  t.deepEqual(settings.deadLetter, {
    store: 'journal',
    topic: undefined,
    redis: undefined,
    unverified: false,
    maxMessages: 10_000,
    maxBytes: 268_435_456,
  })
  t.deepEqual(settings.warnings, [])
})

test('a stateDir is relative to where it was written', (t) => {
  t.is(resolveOptions({ stateDir: './state' }, '/srv/app').stateDir, '/srv/app/state')
  t.is(resolveOptions({ stateDir: '/var/lib/app' }, '/srv/app').stateDir, '/var/lib/app')
})

test('a store without what it needs is refused', (t) => {
  t.regex(
    refused(t, { deadLetter: { store: 'topic' } }, 'ERR_CONFIG_INCOMPLETE'),
    /deadLetter\.store is topic \(options\), and there is no deadLetter\.topic/,
  )
  t.regex(
    refused(t, { deadLetter: { store: 'redis' } }, 'ERR_CONFIG_INCOMPLETE'),
    /there is no deadLetter\.redis\. Give its address/,
  )
})

for (const topic of ['dead/+', 'dead/#', '$SYS/dead', '$share/a/b']) {
  test(`${topic} is no topic for dead letters`, (t) => {
    const message = refused(t, { deadLetter: { store: 'topic', topic } }, 'ERR_CONFIG_VALUE')
    t.regex(message, /^deadLetter\.topic \(options\): expected a topic such as/)
  })
}

test('a dead-letter topic on MQTT 3.1.1 needs the word that it may lose letters', (t) => {
  const deadLetter = { store: 'topic', topic: 'dead' } as const
  t.regex(refused(t, { deadLetter, broker: { protocolVersion: 4 } }, 'ERR_CONFIG_CONFLICT'), /unverified/)
  const settings = resolveOptions({
    deadLetter: { ...deadLetter, unverified: true },
    broker: { protocolVersion: 4 },
  })
  t.is(settings.deadLetter.topic, 'dead')
})

for (const redis of [
  'localhost:6379',
  'http://:canary@localhost',
  'redis://',
  'redis://:canary@x:99999999',
  'redis://:can@ary@localhost',
  'redis://:canary/1@localhost',
  'redis://:canary#1@localhost',
  'redis://:canary%@localhost',
]) {
  test(`${redis} is no address of a Redis, and is not repeated`, (t) => {
    const message = refused(t, { deadLetter: { store: 'redis', redis } }, 'ERR_CONFIG_VALUE')
    t.regex(message, /^deadLetter\.redis \(options\): expected a URL such as .* got another text\./)
  })
}

test('the password of Redis is in no description and no printed settings', (t) => {
  const redis = 'redis://greenhouse:canary@redis.internal:6380/2'
  const settings = resolveOptions({ deadLetter: { store: 'redis', redis } })
  t.is(settings.deadLetter.redis?.url.reveal(), redis)
  const row = describeSettings(settings).find(({ path }) => path === 'deadLetter.redis')
  t.is(row?.value, 'redis://[redacted]@redis.internal:6380/2')
  t.notRegex(JSON.stringify(settings) + inspect(settings, { depth: 10 }), /canary/)
})

test('what the chosen store does not use is said', (t) => {
  const { warnings } = resolveOptions({ deadLetter: { topic: 'dead', redis: 'redis://localhost' } })
  t.deepEqual(warnings, [
    'deadLetter.topic (options) has no effect: deadLetter.store is journal',
    'deadLetter.redis (options) has no effect: deadLetter.store is journal',
  ])
})

test('a letter that could never be kept is warned of', (t) => {
  const { warnings } = resolveOptions({ maxPacketBytes: 2_000_000, deadLetter: { maxBytes: 1_000_000 } })
  t.regex(warnings.join(), /deadLetter\.maxBytes \(1000000\) is less than maxPacketBytes \(2000000\)/)
  t.deepEqual(resolveOptions({ deadLetter: { store: 'none', maxBytes: 1_000_000 } }).warnings, [])
})

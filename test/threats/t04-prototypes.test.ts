// T4: a name such as __proto__ must stay a name. MQTTASGI_FUZZ=1000000 for a long run.
import test from 'ava'
import { mqttasgi, MqttasgiError, type Context } from '../../lib/index.ts'
import { fuzzCount, serveToHostileSide } from '../helpers/hostile-side.ts'
import { SeededRandom } from '../helpers/seeded-random.ts'

const names = ['__proto__', 'constructor', 'prototype', 'toString', 'polluted', 'a']

/** As it is written everywhere, and as it must not be written. */
function merge(into: Record<string, unknown>, from: object): void {
  for (const [name, value] of Object.entries(from)) {
    const inner = into[name]
    if (typeof value === 'object' && value !== null && typeof inner === 'object' && inner !== null)
      merge(inner as Record<string, unknown>, value as object)
    else if (typeof value === 'object' && value !== null && typeof inner === 'function')
      merge(inner as unknown as Record<string, unknown>, value as object)
    else into[name] = value
  }
}

function randomObject(random: SeededRandom, depth: number): string {
  const members = Array.from({ length: 1 + random.below(3) }, () => {
    const name = random.pick(names) ?? ''
    const shown = random.chance(0.2) ? name.replace('_', String.raw`\u005f`) : name
    return `"${shown}":${depth === 0 ? '"polluted"' : randomObject(random, depth - 1)}`
  })
  return `{${members.join(',')}}`
}

test('after many hostile messages, merged as carelessly as can be, every object is as it was', async (t) => {
  const before = Object.getOwnPropertyNames(Object.prototype)
  let read = 0
  let refused = 0
  const take = (ctx: Context): void => {
    merge({}, { ...ctx.params })
    Object.assign({}, ctx.params, ctx.properties, ctx.properties.userProperties)
    try {
      const value = ctx.json<object>()
      read++
      merge({}, value)
      Object.assign({}, value)
    } catch (error) {
      refused++
      if (!(error instanceof MqttasgiError)) throw error
    }
  }
  const app = mqttasgi().topic('#levels', take).topic('+constructor/#prototype', take)
  const { server, link, untilAcked } = await serveToHostileSide(t, app)
  const random = new SeededRandom(4)
  const count = fuzzCount(5_000)
  for (let sent = 0; sent < count;) {
    for (let i = 0; i < 500 && sent < count; i++, sent++) {
      const userProperties = { [random.pick(names) ?? '']: random.pick(names) ?? '' }
      Object.defineProperty(userProperties, '__proto__', { value: 'polluted', enumerable: true })
      const topic = Array.from({ length: 1 + random.below(3) }, () => random.pick(names)).join('/')
      const message = { qos: 1, messageId: 1 + (sent % 60_000), properties: { userProperties } } as const
      link.deliver(topic, randomObject(random, random.below(3)), message)
    }
    await untilAcked(sent)
    link.packets.length = 0
  }
  t.is(server.counters.failed, 0)
  t.true(refused > count / 4)
  t.true(read > count / 20)
  t.deepEqual(Object.getOwnPropertyNames(Object.prototype), before)
  t.false('polluted' in {})
  t.is(Object.getPrototypeOf(Object.prototype), null)
})

test('what is read off a message inherits nothing', async (t) => {
  t.plan(6)
  const app = mqttasgi().topic('+constructor/+toString', ({ params, properties }) => {
    t.deepEqual({ ...params }, { constructor: '__proto__', toString: 'x' })
    t.false('hasOwnProperty' in params)
    t.false('hasOwnProperty' in properties)
    t.false('hasOwnProperty' in (properties.userProperties ?? {}))
    t.deepEqual(properties.userProperties?.['constructor'], ['y'])
    t.is(properties.userProperties?.['toString'], undefined)
  })
  const { link, untilAcked } = await serveToHostileSide(t, app)
  const properties = { userProperties: { constructor: 'y' } }
  link.deliver('__proto__/x', '', { qos: 1, messageId: 1, properties })
  await untilAcked(1)
})

test('a parameter can not be named __proto__', (t) => {
  const app = mqttasgi()
  t.throws(() => app.topic('+__proto__', () => {}), { code: 'ERR_PATTERN_INVALID' })
  t.throws(() => app.use('a/+__proto__', () => {}), { code: 'ERR_PATTERN_INVALID' })
  t.throws(() => app.topic('#__proto__', () => {}), { code: 'ERR_PATTERN_INVALID' })
})

// T7: JSON that is too large or too deep is refused before anything is built of it, and never tried again.
import test from 'ava'
import { dispatch } from '../../lib/testing/index.ts'
import { mqttasgi, MqttasgiError } from '../../lib/index.ts'

const hostile: Readonly<Record<string, string>> = {
  'nested 10,000 levels deep': `${'['.repeat(10_000)}${']'.repeat(10_000)}`,
  'nested 65 levels deep in objects': `${'{"a":'.repeat(65)}1${'}'.repeat(65)}`,
  'nested in a member far behind': `{"a":"${'x'.repeat(100_000)}","b":${'['.repeat(65)}${']'.repeat(65)}}`,
  'opened and never closed': '['.repeat(1_000_000),
  'larger than 1 MiB': `"${'x'.repeat(1_048_576)}"`,
  'with a million names': `{${Array.from({ length: 1_000_000 }, (_, i) => `"${i}":0`).join(',')}}`,
}

for (const [what, payload] of Object.entries(hostile)) {
  test(`JSON ${what} is refused with ERR_PAYLOAD_JSON, in no time`, async (t) => {
    let runs = 0
    const app = mqttasgi().topic('in', (ctx) => {
      runs++
      ctx.json()
    })
    const begin = performance.now()
    const { error } = await dispatch(app, 'in', payload)
    t.true(performance.now() - begin < 1_000)
    t.is(error instanceof MqttasgiError ? error.code : error, 'ERR_PAYLOAD_JSON')
    t.is(runs, 1)
    t.true((error?.message.length ?? 0) < 200)
  })
}

test('what ctx.json() has read can be written and copied again', async (t) => {
  const deepest = `${'['.repeat(64)}${']'.repeat(64)}`
  const app = mqttasgi().topic('in', (ctx) => {
    const value = ctx.json()
    t.is(JSON.stringify(value), deepest)
    t.notThrows(() => structuredClone(value))
  })
  t.is((await dispatch(app, 'in', deepest)).error, undefined)
})

test('a handler may set other limits', async (t) => {
  const app = mqttasgi()
    .topic('small', (ctx) => ctx.json({ maxBytes: 10 }))
    .topic('flat', (ctx) => ctx.json({ maxDepth: 1 }))
    .topic('large', (ctx) => ctx.json({ maxBytes: 4_194_304, maxDepth: 1_000 }))
  t.is(
    (await dispatch(app, 'small', '[1,2,3,4,5]')).error?.message,
    'The payload of "small" can not be read as JSON: 11 bytes are more than 10.',
  )
  t.regex((await dispatch(app, 'flat', '[[]]')).error?.message ?? '', /more than 1 levels deep/)
  t.is(
    (await dispatch(app, 'large', `["${'x'.repeat(2_000_000)}",${'['.repeat(900)}${']'.repeat(900)}]`)).error,
    undefined,
  )
})

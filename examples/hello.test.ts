// How an application is tested: no broker, no network, the same way through the code. Run it:
// node --import tsx --test examples/hello.test.ts
/* oxlint-disable typescript/no-floating-promises -- node:test waits for its tests by itself */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dispatch } from 'mqttasgi/testing'
import { app } from './hello.ts'

test('who says hello is greeted', async () => {
  const { handled, published, error } = await dispatch(app, 'hello/Ada', 'good morning')
  assert.equal(error, undefined)
  assert.ok(handled)
  assert.equal(published[0]?.topic, 'greetings/Ada')
  assert.equal(published[0]?.payload.toString(), 'Hello Ada, you said "good morning".')
})

test('other topics are none of its business', async () => {
  const { handled, routes } = await dispatch(app, 'goodbye/Ada')
  assert.equal(handled, false)
  assert.deepEqual(routes, [])
})

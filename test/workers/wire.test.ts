// What crosses between threads is what was given, and not the buffers it is a view into.
import test from 'ava'
import { InMemoryChannelLayer } from '../../lib/channels/memory.ts'
import { unattachedClient } from '../../lib/core/unattached-client.ts'
import { memoryArrival } from '../../lib/testing/memory-arrival.ts'
import { Asking } from '../../lib/workers/asking.ts'
import { Desk } from '../../lib/workers/desk.ts'
import { ownBytes } from '../../lib/core/own-bytes.ts'
import { messageOf, wireFields, wireMessage, type FromThread, type ToThread } from '../../lib/workers/wire.ts'

const packet = Buffer.alloc(5_000_000)
const view = packet.subarray(100, 103)
view.write('abc')

/** How many bytes there are in a value, those of whole buffers counted. */
function bytesIn(value: unknown): number {
  if (value instanceof Uint8Array) return value.buffer.byteLength
  if (typeof value !== 'object' || value === null) return 0
  return Object.values(value).reduce<number>((sum, one) => sum + bytesIn(one), 0)
}

test('of a message only its own bytes cross', (t) => {
  const properties = { correlationData: view, userProperties: { a: ['b'] }, contentType: 'text/plain' }
  const wire = structuredClone(wireMessage(memoryArrival('a', packet.subarray(0, 2), { properties })))
  t.is(bytesIn(wire), 5)
  t.is(messageOf(wire).properties.correlationData?.toString(), 'abc')
  t.like(messageOf(wire).properties, { userProperties: { a: ['b'] }, contentType: 'text/plain' })
  t.false('correlationData' in wireMessage(memoryArrival('a', packet, {})).properties)
})

test('of what a thread publishes, sends and logs only its own bytes cross', (t) => {
  const posted: FromThread[] = []
  const asking = new Asking({ post: (news) => void posted.push(structuredClone(news)) })
  void asking.client.publish('a', view, { properties: { correlationData: view }, retain: true })
  void asking.channels(60).send('mine', { type: 'a.b', deep: [{ bytes: view }] })
  t.is(bytesIn(posted), 9)
  t.like(posted[0], { args: { 2: { retain: true, properties: { correlationData: new Uint8Array(view) } } } })
  t.is(bytesIn(wireFields({ bytes: view, error: new Error('why') })), 3)
})

test('of an event that a thread receives only its own bytes cross', async (t) => {
  const channels = new InMemoryChannelLayer()
  t.teardown(() => channels.close())
  channels.receive = async () => ({ type: 'a.b', bytes: view })
  const posted: ToThread[] = []
  const desk = new Desk({ post: (news) => void posted.push(structuredClone(news)) }, () => unattachedClient, {
    channels,
  })
  await desk.asked({ type: 'call', call: 1, target: 'channels', method: 'receive', args: ['mine'] })
  t.is(bytesIn(posted), 3)
  t.like(posted[0], { type: 'answer', value: { type: 'a.b' } })
})

test('all else is left as it is', (t) => {
  const whole = new Uint8Array(3)
  const date = new Date(0)
  const circle: Record<string, unknown> = { whole, date, n: 1, none: undefined, list: [null, 'x'] }
  circle['self'] = circle
  const copy = ownBytes(circle)
  t.is(copy['self'], copy)
  t.is(copy['whole'], whole)
  t.is(copy['date'], date)
  t.deepEqual(copy['list'], [null, 'x'])
  t.true('none' in copy)
  const named = JSON.parse('{"__proto__": {"x": 1}, "constructor": 2}') as object
  t.deepEqual(Object.entries(ownBytes(named)), Object.entries(named))
  t.is(Object.getPrototypeOf(ownBytes(named)), Object.prototype)
})

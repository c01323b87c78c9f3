import test from 'ava'
import { MqttasgiError } from '../../lib/core/errors.ts'
import { MemoryTransport } from '../../lib/testing/memory-transport.ts'
import { Recorder, transportContract, wanted, type ContractBroker } from '../contract/transport.ts'

function brokerOf(transport: MemoryTransport): ContractBroker {
  const codes: number[] = []
  let connects = 0
  transport.grant = ({ qos }) => codes.shift() ?? qos
  return {
    deliver: (topic, payload, qos) => void transport.deliver(topic, payload, { qos }),
    acked: () => transport.acknowledged,
    published: () => transport.published.map(({ topic }) => topic),
    subscribed: () => called(transport, 'subscribe'),
    refuseNext: (type) => {
      connects = transport.count('connect') + 1
      transport.failAt('connect', connects, { type: 'lose', failure: { type, message: `No: ${type}.` } })
    },
    grantNext: (...next) => codes.push(...next),
    hold: () => (transport.holdAnswers = true),
    release: () => {
      transport.holdAnswers = false
      transport.answer()
    },
    lose: () => transport.lose(),
  }
}

function called(transport: MemoryTransport, what: string): string[] {
  return transport.calls
    .filter((call) => call.startsWith(`${what} `))
    .map((call) => call.slice(what.length + 1))
}

transportContract(test, 'memory', async () => {
  const transport = new MemoryTransport()
  return { transport, broker: brokerOf(transport) }
})

async function connected(): Promise<{ transport: MemoryTransport; recorder: Recorder }> {
  const transport = new MemoryTransport()
  const recorder = new Recorder()
  transport.listen(recorder)
  transport.connect(5)
  await recorder.nth(recorder.infos, 1)
  return { transport, recorder }
}

test('nothing comes while the socket is paused, answers neither', async (t) => {
  const { recorder, transport } = await connected()
  transport.pause()
  let answered = false
  const answer = transport.subscribe([wanted('a')]).then(() => (answered = true))
  transport.deliver('a', '1')
  await turn()
  t.false(answered)
  t.deepEqual(recorder.arrivals, [])
  transport.resume()
  await answer
  await recorder.nth(recorder.arrivals, 1)
})

test('what is on its way when the connection breaks never arrives', async (t) => {
  const { recorder, transport } = await connected()
  transport.deliver('a', '1')
  transport.lose()
  transport.deliver('a', '2')
  transport.lose()
  await recorder.nth(recorder.failures, 1)
  await turn()
  t.deepEqual(recorder.log, ['connected', 'closed'])
})

test('the n-th operation fails as ordered, and only that', async (t) => {
  const { recorder, transport } = await connected()
  transport.failAt('publish', 2, { type: 'refuse', reasonCode: 0x87 })
  transport.failAt('subscribe', 1, { type: 'refuse', reasonCode: 0x87 })
  transport.failAt('unsubscribe', 1, { type: 'refuse', reasonCode: 0x87 })
  transport.failAt('acknowledge', 2, { type: 'lose' })
  t.deepEqual(await transport.publish('a', Buffer.alloc(0), { qos: 1 }), { reasonCode: 0 })
  await refusedWith(t, transport.publish('a', Buffer.alloc(0), { qos: 1 }), 'ERR_PUBLISH_REFUSED')
  t.deepEqual(await transport.subscribe([wanted('a'), wanted('b')]), [0x87, 0x87])
  t.is(transport.subscriptions.size, 0)
  await refusedWith(t, transport.unsubscribe(['a']), 'ERR_UNSUBSCRIBE_REFUSED')
  await transport.unsubscribe(['a'])
  transport.acknowledge([1])
  transport.acknowledge([2])
  await recorder.nth(recorder.failures, 1)
  t.deepEqual(transport.acknowledged, [1])
  t.is(transport.count('publish'), 2)
  t.is(transport.count('connect'), 1)
})

test('a connection that is lost at a request answers it with that, at QoS 1 on the next connection', async (t) => {
  const { recorder, transport } = await connected()
  transport.failAt('publish', 1, { type: 'lose' })
  transport.failAt('publish', 2, { type: 'lose', failure: { type: 'timeout', message: 'silent' } })
  transport.failAt('subscribe', 1, { type: 'lose' })
  transport.failAt('unsubscribe', 1, { type: 'lose' })
  await refusedWith(t, transport.publish('a', Buffer.alloc(0), { qos: 0 }), 'ERR_CONNECTION_CLOSED')
  const again = async (n: number): Promise<void> => {
    await recorder.nth(recorder.failures, n)
    transport.connect(5)
    await recorder.nth(recorder.infos, n + 1)
  }
  await again(1)
  const answer = transport.publish('b', Buffer.alloc(0), { qos: 1 })
  await again(2)
  t.deepEqual(await answer, { reasonCode: 0 })
  t.is(recorder.failures[1]?.type, 'timeout')
  await refusedWith(t, transport.subscribe([wanted('a')]), 'ERR_CONNECTION_CLOSED')
  t.is(transport.subscriptions.size, 0)
  await again(3)
  await refusedWith(t, transport.unsubscribe(['a']), 'ERR_CONNECTION_CLOSED')
})

test('CONNACK can refuse, and the broker forgets the subscriptions with the session', async (t) => {
  const { recorder, transport } = await connected()
  await transport.subscribe([wanted('a')])
  transport.failAt('connect', 2, { type: 'refuse', reasonCode: 0x88 })
  transport.failAt('connect', 3, { type: 'lose' })
  transport.lose()
  await recorder.nth(recorder.failures, 1)
  transport.connect(5)
  t.like(await recorder.nth(recorder.failures, 2), { type: 'refused', reasonCode: 0x88 })
  transport.connect(5)
  t.is((await recorder.nth(recorder.failures, 3)).type, 'closed')
  transport.info = { ...transport.info, sessionPresent: true }
  transport.connect(5)
  await recorder.nth(recorder.infos, 2)
  t.deepEqual([...transport.subscriptions.keys()], ['a'])
  transport.lose()
  transport.info = { ...transport.info, sessionPresent: false }
  await recorder.nth(recorder.failures, 4)
  transport.connect(4)
  t.like(await recorder.nth(recorder.infos, 3), { protocolVersion: 4, subscriptionIdentifiers: false })
  t.is(transport.subscriptions.size, 0)
})

test('packet ids go round after 65,535, and are never 0 at QoS 1', async (t) => {
  const { transport } = await connected()
  const ids = Array.from({ length: 65_536 }, () => transport.deliver('a'))
  t.is(ids[65_534], 65_535)
  t.is(ids[65_535], 1)
  t.is(transport.deliver('a', '', { qos: 0 }), 0)
  t.is(transport.deliver('a', '', { packetId: 7 }), 7)
})

test('a message above the limit is told without its payload', async (t) => {
  const { recorder, transport } = await connected()
  transport.skip('a', 1_000_000, 3)
  t.deepEqual(await recorder.nth(recorder.skips, 1), {
    topic: 'a',
    bytes: 1_000_000,
    packetId: 3,
    dup: false,
  })
})

test('messages are equal by topic, payload and properties, whatever is left of their life', async (t) => {
  const { recorder, transport } = await connected()
  const deliver = (
    topic: string,
    payload: string,
    contentType: string,
    messageExpiryInterval: number,
  ): void => void transport.deliver(topic, payload, { properties: { contentType, messageExpiryInterval } })
  deliver('a', 'x', 'text', 60)
  deliver('a', 'x', 'text', 30)
  deliver('b', 'x', 'text', 60)
  deliver('a', 'y', 'text', 60)
  deliver('a', 'x', 'json', 60)
  await recorder.nth(recorder.arrivals, 5)
  const [first, ...others] = recorder.arrivals
  t.deepEqual(
    others.map((other) => first?.equals(other)),
    [true, false, false, false],
  )
})

async function refusedWith(
  t: {
    throwsAsync(promise: Promise<unknown>): Promise<Error | undefined>
    is(a: unknown, b: unknown): unknown
  },
  promise: Promise<unknown>,
  code: string,
): Promise<void> {
  const error = await t.throwsAsync(promise)
  t.is(error instanceof MqttasgiError ? error.code : error, code)
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

// Patterns of one consumer that are one filter on the wire: each keeps what it was given, whatever becomes of the others.
import test, { type ExecutionContext } from 'ava'
import { MqttConsumer, type ConsumerMessage } from '../../lib/consumer/consumer.ts'
import type { MemoryTransport } from '../../lib/testing/memory-transport.ts'
import { startConsumerServer } from '../helpers/consumer-server.ts'
import { turns } from '../helpers/memory-server.ts'

interface Stage {
  readonly consumer: MqttConsumer
  readonly transport: MemoryTransport
  readonly seen: string[]
  /** What the broker has been told, with the QoS. */
  readonly told: () => string[]
}

async function staged(t: ExecutionContext, mount = ''): Promise<Stage> {
  const made: MqttConsumer[] = []
  const seen: string[] = []
  class One extends MqttConsumer {
    override connect(): void {
      made[0] = this
    }
    override receive({ topic }: ConsumerMessage): void {
      seen.push(topic)
    }
  }
  const { transport } = await startConsumerServer(t, One, { mount })
  const told = (): string[] => [...transport.subscriptions].map(([filter, { qos }]) => `${filter} ${qos}`)
  return { consumer: made[0]!, transport, seen, told }
}

test('a lower QoS of one name takes nothing from another name of the same filter', async (t) => {
  const { consumer, told } = await staged(t)
  await consumer.subscribe('a/+x', { qos: 1 })
  t.deepEqual(await consumer.subscribe('a/+y', { qos: 0 }), { filter: 'a/+y', qos: 0 })
  t.deepEqual(told(), ['a/+ 1'])
  t.deepEqual(
    [...consumer.subscriptions],
    [
      ['a/+x', 1],
      ['a/+y', 0],
    ],
  )
})

test('a filter is given up with the last of its names, and has the QoS of those that are left', async (t) => {
  const { consumer, seen, told, transport } = await staged(t)
  await consumer.subscribe('a/+x', { qos: 1 })
  await consumer.subscribe('a/+y', { qos: 0 })
  await consumer.unsubscribe('a/+x')
  t.deepEqual(told(), ['a/+ 0'])
  t.deepEqual([...consumer.subscriptions.keys()], ['a/+y'])
  transport.deliver('a/1', 'm')
  await turns()
  t.deepEqual(seen, ['a/1'])
  await consumer.unsubscribe('a/+z')
  t.deepEqual(told(), ['a/+ 0'], 'a name that was never subscribed to takes nothing from the others')
  await consumer.unsubscribe('a/+y')
  t.deepEqual(told(), [])
})

test('under a mount, and after a reconnect, it is the same', async (t) => {
  const { consumer, told, transport } = await staged(t, 'm/+n')
  await consumer.subscribe('a/+x', { qos: 1 })
  await consumer.subscribe('a/+y', { qos: 0 })
  transport.lose()
  await turns()
  t.deepEqual(told(), ['m/+/a/+ 1'])
  await consumer.unsubscribe('a/+y')
  t.deepEqual(told(), ['m/+/a/+ 1'])
})

test('one name that is refused takes nothing from another one', async (t) => {
  const { consumer, told, transport } = await staged(t)
  await consumer.subscribe('a/+x', { qos: 0 })
  transport.grant = ({ qos }) => (qos === 0 ? 0 : 0x87)
  await t.throwsAsync(consumer.subscribe('a/+y', { qos: 1 }), { code: 'ERR_SUBSCRIBE_REFUSED' })
  await turns()
  t.deepEqual([...consumer.subscriptions], [['a/+x', 0]])
  t.deepEqual(told(), ['a/+ 0'])
})

test('two names of one filter with other options are refused, as routes are', async (t) => {
  const { consumer, transport } = await staged(t)
  await consumer.subscribe('a/+x', { noLocal: true })
  await t.throwsAsync(consumer.subscribe('a/+y'), {
    code: 'ERR_SUBSCRIBE_OPTIONS_DIFFER',
    message: /"a\/\+x" and "a\/\+y"/,
  })
  t.deepEqual([...consumer.subscriptions.keys()], ['a/+x'])
  t.true(transport.subscriptions.get('a/+')?.noLocal)
  await consumer.subscribe('a/+y', { noLocal: true })
  await consumer.subscribe('b/+x', { noLocal: true })
  await consumer.subscribe('b/+x')
  t.false(transport.subscriptions.get('b/+')?.noLocal, 'one name may have others than before')
})

for (const mount of ['', 'm/+n']) {
  test(`what is no pattern or no options is refused with what came, under "${mount}"`, async (t) => {
    const { consumer, told } = await staged(t, mount)
    for (const pattern of [undefined, null, 5, {}] as never[]) {
      const expected = {
        code: 'ERR_PATTERN_INVALID',
        message: /must be a string, not (undefined|null|number|object)/,
      }
      await t.throwsAsync(consumer.subscribe(pattern), expected)
      await t.throwsAsync(consumer.unsubscribe(pattern), expected)
    }
    for (const options of [null, 5, 'qos'] as never[]) {
      await t.throwsAsync(consumer.subscribe('a', options), { code: 'ERR_ROUTE_OPTION' })
    }
    t.deepEqual(told(), [])
    t.is(consumer.subscriptions.size, 0)
  })
}

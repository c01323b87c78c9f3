// Raw applications: the event protocol of the original, with results and errors.
import test from 'ava'
import type { RawApplication } from '../../lib/consumer/events.ts'
import { Deferred } from '../../lib/core/deferred.ts'
import type { MqttasgiError } from '../../lib/core/errors.ts'
import { MemoryTransport } from '../../lib/testing/memory-transport.ts'
import { startConsumerServer } from '../helpers/consumer-server.ts'
import { turns } from '../helpers/memory-server.ts'

test('a raw application subscribes, gets messages, publishes, and ends with mqtt.disconnect', async (t) => {
  const types: string[] = []
  const echo: RawApplication = async (scope, receive, send) => {
    t.deepEqual(scope, {
      type: 'mqtt',
      version: '2.4',
      spec_version: '0.1',
      app_id: 5,
      instance_type: 'worker',
      device_id: 'sensor-01',
    })
    for (;;) {
      const event = await receive()
      types.push(event.type)
      if (event.type === 'mqtt.connect') {
        t.deepEqual(await send({ type: 'mqtt.sub', mqtt: { topic: 'in/#', qos: 1 } }), {
          filter: 'in/#',
          qos: 1,
        })
      }
      if (event.type === 'mqtt.msg') {
        const { payload, retain } = event.mqtt
        t.deepEqual(await send({ type: 'mqtt.pub', mqtt: { topic: 'out', payload, retain } }), {
          reasonCode: 0,
        })
      }
      if (event.type === 'mqtt.disconnect') return
    }
  }
  const params = { device_id: 'sensor-01', type: 'forged', app_id: 'forged', instance_type: 'forged' }
  const { server, transport } = await startConsumerServer(
    t,
    echo,
    { scope: { type: 'mqtt', appId: 5, instanceType: 'worker', params } },
    { drainTimeoutMs: 20_000 },
  )
  await turns()
  transport.deliver('in/a', 'x', { retain: true })
  await turns()
  transport.lose()
  await turns()
  await server.stop()
  t.deepEqual(types, ['mqtt.connect', 'mqtt.msg', 'mqtt.connect', 'mqtt.disconnect'])
  t.is(transport.published[0]?.options.retain, true)
  t.is(transport.published[0]?.payload.toString(), 'x')
})

test('a message is acknowledged when the next event is asked for', async (t) => {
  const gate = new Deferred()
  const slow: RawApplication = async (_scope, receive, _send) => {
    await receive()
    await receive()
    await gate.promise
    await receive()
  }
  const { transport } = await startConsumerServer(t, slow)
  transport.deliver('a')
  await turns()
  t.deepEqual(transport.acknowledged, [])
  gate.resolve()
  await turns()
  t.is(transport.acknowledged.length, 1)
})

test('an exception fails the message in hand and ends the instance', async (t) => {
  const failing: RawApplication = async (_scope, receive, _send) => {
    await receive()
    await receive()
    throw new Error('broken')
  }
  const { receiver, server, transport } = await startConsumerServer(t, failing)
  transport.deliver('a')
  const error = await receiver.ended
  await turns()
  t.is(error?.message, 'broken')
  t.is(server.counters.handled, 0)
})

test('an application that returns has ended without an error', async (t) => {
  const short: RawApplication = async (_scope, receive, _send) => {
    await receive()
  }
  const { receiver } = await startConsumerServer(t, short)
  t.is(await receiver.ended, undefined)
})

test('a refused subscribe rejects, and so does what is no event', async (t) => {
  const codes: unknown[] = []
  const done = new Deferred()
  const asking: RawApplication = async (_scope, receive, send) => {
    await receive()
    await send({ type: 'mqtt.sub', mqtt: { topic: 'good' } })
    for (const event of [
      { type: 'mqtt.sub', mqtt: { topic: 'bad', qos: 1 } },
      { type: 'mqtt.sub', mqtt: { topic: 'a/#/b', qos: 1 } },
      { type: 'mqtt.pub', mqtt: { topic: 'a/+' } },
      { type: 'mqtt.pub' },
      { type: '__proto__' },
      null,
      { type: 'mqttasgi.worker.kill', command: { app_id: 1 } },
      { type: 'mqtt.sub', mqtt: {} },
      { type: 'mqtt.sub', mqtt: { topic: 5 } },
      { type: 'mqtt.usub', mqtt: {} },
      { type: 'mqtt.pub', mqtt: {} },
      { type: 'mqtt.pub', mqtt: { topic: 'a', properties: null } },
      { type: 'mqttasgi.worker.spawn', command: { consumer_path: asking } },
      { type: 'mqttasgi.worker.spawn', command: { app_id: Number.NaN, consumer_path: asking } },
      { type: 'mqttasgi.worker.kill', command: {} },
    ]) {
      await send(event as never).catch((error: unknown) => codes.push((error as MqttasgiError).code))
    }
    done.resolve()
    await receive()
  }
  const transport = new MemoryTransport()
  transport.grant = ({ filter, qos }) => (filter === 'bad' ? 0x87 : qos)
  await startConsumerServer(t, asking, {}, { transport })
  await done.promise
  t.deepEqual(codes, [
    'ERR_SUBSCRIBE_REFUSED',
    'ERR_PATTERN_INVALID',
    'ERR_TOPIC_INVALID',
    'ERR_EVENT_INVALID',
    'ERR_EVENT_INVALID',
    'ERR_EVENT_INVALID',
    'ERR_NOT_ATTACHED',
    'ERR_PATTERN_INVALID',
    'ERR_PATTERN_INVALID',
    'ERR_PATTERN_INVALID',
    'ERR_TOPIC_INVALID',
    'ERR_PUBLISH_INVALID',
    'ERR_EVENT_INVALID',
    'ERR_EVENT_INVALID',
    'ERR_EVENT_INVALID',
  ])
  t.deepEqual([...transport.subscriptions.keys()], ['good'])
  t.deepEqual(transport.published, [])
})

test('receive() after the end and twice at once rejects', async (t) => {
  const errors: unknown[] = []
  const greedy: RawApplication = async (_scope, receive, _send) => {
    await receive()
    const next = receive()
    await receive().catch((error: unknown) => errors.push(error))
    await next
    await receive().catch((error: unknown) => errors.push(error))
  }
  const { server } = await startConsumerServer(t, greedy, {}, { drainTimeoutMs: 20_000 })
  await turns()
  await server.stop()
  await turns()
  t.deepEqual(
    errors.map((error) => (error as MqttasgiError).code),
    ['ERR_EVENT_INVALID', 'ERR_STOPPED'],
  )
})

// The wire log tells what passed, in order, however it was cut into pieces.
import test from 'ava'
import { generate } from 'mqtt-packet'
import { connectAsync } from 'mqtt'
import { startMosquitto } from './mosquitto.ts'
import { startPublisher } from './publisher.ts'
import { serverTest } from './server-test.ts'
import { checkWire } from './wire-check.ts'
import { keyOf, startWireProxy, WireLog } from './wire-log.ts'

const hello = generate({ cmd: 'connect', clientId: 'one', clean: true, protocolVersion: 4, keepalive: 0 })

test('packets are read from any pieces, and partial ones are not told', async (t) => {
  const log = new WireLog()
  const bytes = Buffer.concat([
    hello,
    generate({ cmd: 'puback', messageId: 7 }),
    generate({ cmd: 'pingreq' }),
  ])
  for (const byte of bytes.subarray(0, -1)) log.bytes(1, 'up', Buffer.from([byte]))
  t.is(log.events.length, 2)
  t.is(log.clientId(1), 'one')
  log.bytes(1, 'up', bytes.subarray(-1))
  await log.untilPackets('pingreq', 'up', 1)
  t.is(log.toString(), '0 #1 up connect \n1 #1 up puback 7\n2 #1 up pingreq ')
})

test('it can be asked whether a PUBACK went before a mark, on any or one connection', (t) => {
  const log = new WireLog()
  const puback = (messageId: number): Buffer => generate({ cmd: 'puback', messageId })
  log.bytes(1, 'up', hello)
  log.bytes(1, 'up', puback(1))
  log.mark('then')
  log.bytes(1, 'up', puback(2))
  log.close(1)
  t.true(log.ackedBefore('then', 1))
  t.true(log.ackedBefore('then', 1, 1))
  t.false(log.ackedBefore('then', 1, 2))
  t.false(log.ackedBefore('then', 2))
  t.throws(() => log.ackedBefore('never', 1), { message: /"never"/ })
})

test('until resolves for what has been and for what comes', async (t) => {
  const log = new WireLog()
  log.open(1)
  t.is((await log.until((event) => event.type === 'open')).index, 0)
  const closed = log.until((event) => event.type === 'close')
  log.mark('between')
  log.close(1)
  t.is((await closed).index, 2)
})

for (const protocolVersion of [4, 5] as const) {
  serverTest('mosquitto')(`a real session of version ${protocolVersion} is logged and clean`, async (t) => {
    const broker = await startMosquitto()
    const proxy = await startWireProxy(broker.port)
    t.teardown(() => Promise.all([proxy.close(), broker.stop()]))
    const client = await connectAsync(proxy.url, { protocolVersion, clientId: 'seen' })
    client.handleMessage = (packet, callback) => {
      proxy.log.settled(keyOf(packet.topic, packet.payload))
      callback()
    }
    await client.subscribeAsync('t/#', { qos: 1 })
    const publisher = await startPublisher(broker.url)
    await publisher.many(50, (i) => `t/${i % 5}`)
    await publisher.close()
    await proxy.log.untilPackets('puback', 'up', 50)
    await client.endAsync()
    t.deepEqual(checkWire(proxy.log, { settled: true }), [])
    t.is(proxy.log.packets('publish', 'down').length, 50)
    t.is(proxy.log.clientId(1), 'seen')
  })
}

serverTest('mosquitto')('a client that acknowledges before its handler is done is found out', async (t) => {
  const broker = await startMosquitto()
  const proxy = await startWireProxy(broker.port)
  t.teardown(() => Promise.all([proxy.close(), broker.stop()]))
  const client = await connectAsync(proxy.url)
  t.teardown(() => client.endAsync())
  await client.subscribeAsync('t', { qos: 1 })
  const publisher = await startPublisher(broker.url)
  await publisher.publish('t', 'work')
  await publisher.close()
  // Nobody has marked it as settled, and MQTT.js acknowledges all the same.
  await proxy.log.untilPackets('puback', 'up', 1)
  proxy.log.settled(keyOf('t', 'work'))
  t.deepEqual(
    checkWire(proxy.log, { settled: true }).map(({ type }) => type),
    ['early'],
  )
})

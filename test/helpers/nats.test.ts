// The nats helper does what the tests that use it take for granted.
import { connect, connectAsync } from 'mqtt'
import { isFree } from './free-port.ts'
import { startNats } from './nats.ts'
import { startPublisher } from './publisher.ts'
import { serverTest } from './server-test.ts'

const withNats = serverTest('nats-server')

withNats('it answers when start has resolved, and is gone after stop', async (t) => {
  const broker = await startNats()
  const publisher = await startPublisher(broker.url, { protocolVersion: 4 })
  await publisher.publish('a', 'b')
  await publisher.close()
  const { pid } = broker
  await broker.stop()
  t.throws(() => process.kill(pid ?? 0, 0), { code: 'ESRCH' })
  t.true(await isFree(broker.port))
})

withNats('what a session was owed when the broker was killed comes after its restart', async (t) => {
  const broker = await startNats()
  t.teardown(() => broker.stop())
  const options = { clientId: 'keeper', clean: false, protocolVersion: 4, reconnectPeriod: 0 } as const
  const keeper = await connectAsync(broker.url, options)
  await keeper.subscribeAsync('kept', { qos: 1 })
  await keeper.endAsync()
  const publisher = await startPublisher(broker.url, { protocolVersion: 4 })
  await publisher.publish('kept', 'still here')
  await publisher.close()
  await broker.kill()
  await broker.restart()
  const again = connect(broker.url, options)
  t.teardown(() => again.endAsync())
  const arrived = new Promise<string>((resolve) =>
    again.once('message', (_, payload) => resolve(payload.toString())),
  )
  t.is(await arrived, 'still here')
})

withNats('what is not acknowledged within ack_wait comes again on the same connection', async (t) => {
  const broker = await startNats({ ackWait: '300ms' })
  t.teardown(() => broker.stop())
  const slow = await connectAsync(broker.url, { protocolVersion: 4, reconnectPeriod: 0 })
  let comings = 0
  const twice = new Promise<void>((resolve) => {
    slow.handleMessage = (_, done) => {
      // An error suppresses the PUBACK.
      done(new Error('not yet'))
      if (++comings === 2) resolve()
    }
  })
  await slow.subscribeAsync('a', { qos: 1 })
  const publisher = await startPublisher(broker.url, { protocolVersion: 4 })
  await publisher.publish('a', 'b')
  await twice
  await publisher.close()
  await slow.endAsync(true)
  t.is(comings, 2)
})

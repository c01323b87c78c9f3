// The rabbitmq and ejabberd helpers do what the tests that use them take for granted.
import { connect, connectAsync } from 'mqtt'
import type { Broker } from '../helpers/broker.ts'
import { startEjabberd } from '../helpers/ejabberd.ts'
import { isFree } from '../helpers/free-port.ts'
import { startPublisher } from '../helpers/publisher.ts'
import { startRabbitmq } from '../helpers/rabbitmq.ts'
import { serverTest } from '../helpers/server-test.ts'

const withRabbitmq = serverTest('rabbitmq-server')
const withEjabberd = serverTest('ejabberd')

/** Subscribes as `keeper` and goes, publishes one message that the session keeps, and says what `keeper` gets then. */
async function keptMessage(broker: Broker, meanwhile: () => Promise<void>): Promise<string> {
  const options = {
    clientId: 'keeper',
    clean: false,
    protocolVersion: 4,
    reconnectPeriod: 0,
    ...broker.login,
  } as const
  const keeper = await connectAsync(broker.url, options)
  await keeper.subscribeAsync('kept', { qos: 1 })
  await keeper.endAsync()
  const publisher = await startPublisher(broker.url, { protocolVersion: 4, ...broker.login })
  await publisher.publish('kept', 'still here')
  await publisher.close()
  await meanwhile()
  const again = connect(broker.url, options)
  const payload = await new Promise<string>((resolve) =>
    again.once('message', (_, payload) => resolve(payload.toString())),
  )
  await again.endAsync()
  return payload
}

withRabbitmq('rabbitmq keeps a session when it is killed, and is gone after stop', async (t) => {
  const broker = await startRabbitmq()
  t.teardown(() => broker.stop())
  const restart = async (): Promise<void> => {
    await broker.kill()
    await broker.restart()
  }
  t.is(await keptMessage(broker, restart), 'still here')
  const { pid } = broker
  await broker.stop()
  t.throws(() => process.kill(pid ?? 0, 0), { code: 'ESRCH' })
  t.true(await isFree(broker.port))
})

withEjabberd(
  'ejabberd keeps a session while it runs, lets nobody in without a password, and is gone after stop',
  async (t) => {
    const broker = await startEjabberd()
    t.teardown(() => broker.stop())
    t.is(await keptMessage(broker, () => Promise.resolve()), 'still here')
    await t.throwsAsync(startPublisher(broker.url))
    const { pid } = broker
    await broker.stop()
    t.throws(() => process.kill(pid ?? 0, 0), { code: 'ESRCH' })
    t.true(await isFree(broker.port))
  },
)

withEjabberd('ejabberd comes back on its port, without its sessions', async (t) => {
  const broker = await startEjabberd()
  t.teardown(() => broker.stop())
  const options = { clientId: 'keeper', clean: false, protocolVersion: 5, ...broker.login } as const
  const session = { ...options, properties: { sessionExpiryInterval: 3_600 } }
  await (await connectAsync(broker.url, session)).endAsync()
  await broker.kill()
  await broker.restart()
  const again = connect(broker.url, session)
  t.teardown(() => again.endAsync())
  t.false(await new Promise((resolve) => again.once('connect', (packet) => resolve(packet.sessionPresent))))
})

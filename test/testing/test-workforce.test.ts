// The end of a consumer and of its workers in a test: as on a server, and nothing of them is left on the broker.
import test from 'ava'
import { MqttConsumer, type ConsumerMessage } from '../../lib/consumer/consumer.ts'
import type { RawApplication } from '../../lib/consumer/events.ts'
import { Deferred } from '../../lib/core/deferred.ts'
import type { WorkerHandle } from '../../lib/core/workforce.ts'
import { MqttCommunicator } from '../../lib/testing/communicator.ts'
import { MemoryBroker } from '../../lib/testing/memory-broker.ts'

class Broken extends MqttConsumer {
  override connect(): void {
    throw new Error('no device')
  }
}

/** The communicator of a master that spawns this, and what came of it. */
async function spawning(
  application: object,
  broker = new MemoryBroker(),
): Promise<{ readonly master: MqttCommunicator; readonly spawned: Promise<WorkerHandle> }> {
  const spawned = new Deferred<WorkerHandle>()
  class Master extends MqttConsumer {
    override async connect(): Promise<void> {
      await this.spawn('w', application).then(
        (handle) => spawned.resolve(handle),
        (error: unknown) => spawned.reject(error),
      )
    }
  }
  const master = new MqttCommunicator(Master, { instanceType: 'master', appId: 'm', broker })
  await master.start()
  return { master, spawned: spawned.promise }
}

test('a worker that fails or ends while it starts is one that could not be started, and leaves nothing', async (t) => {
  class Unmade extends MqttConsumer {
    constructor() {
      super()
      throw new Error('no parts')
    }
  }
  const brief: RawApplication = async (_scope, receive, _send) => void (await receive())
  for (const [application, why] of [
    [Broken, /no device/],
    [Unmade, /no parts/],
    [brief, /ended before it was ready/],
  ] as const) {
    const { master, spawned } = await spawning(application)
    await t.throwsAsync(spawned, { code: 'ERR_WORKER_START', message: why })
    t.throws(() => master.worker('w'), { code: 'ERR_WORKER_UNKNOWN' })
    await master.disconnect()
  }
})

test('what keeps a worker from its start and has a code of its own is told as it is', async (t) => {
  class Wrong extends MqttConsumer {
    override async connect(): Promise<void> {
      await this.publish('a/#', '')
    }
  }
  const { master, spawned } = await spawning(Wrong)
  await t.throwsAsync(spawned, { code: 'ERR_TOPIC_INVALID' })
  await master.disconnect()
})

test('a worker that has ended by itself takes no more of what a group shares', async (t) => {
  const brief: RawApplication = async (_scope, receive, send) => {
    await receive()
    await send({ type: 'mqtt.sub', mqtt: { topic: '$share/g/jobs' } })
    await receive()
  }
  const took: string[] = []
  class Other extends MqttConsumer {
    override async connect(): Promise<void> {
      await this.subscribe('$share/g/jobs')
    }
    override receive(message: ConsumerMessage): void {
      took.push(message.text())
    }
  }
  const broker = new MemoryBroker()
  const { master, spawned } = await spawning(brief, broker)
  const { ended } = await spawned
  const other = new MqttCommunicator(Other, { broker })
  await other.connect()
  broker.publish('jobs', 'the last one of the worker')
  t.deepEqual(await ended, { type: 'finished' })
  for (let i = 0; i < 4; i++) broker.publish('jobs', `${i}`)
  t.true(await other.receiveNothing())
  t.deepEqual(took, ['0', '1', '2', '3'])
  await master.disconnect()
  await other.disconnect()
})

test('start() rejects with what connect() throws, and the broker has no more of the consumer', async (t) => {
  const communicator = new MqttCommunicator(Broken)
  await t.throwsAsync(communicator.start(), { message: 'no device' })
  await t.throwsAsync(communicator.receiveFrom(), { message: 'no device' })
  t.true(await communicator.receiveNothing())
  t.false(communicator.transport.connected)
  await communicator.disconnect()
})

test('the workers of a master that has ended end with it', async (t) => {
  const gate = new Deferred()
  class Pump extends MqttConsumer {}
  let handle: WorkerHandle | undefined
  const master: RawApplication = async (_scope, receive, send) => {
    await receive()
    const command = { app_id: 'w', consumer_path: Pump }
    handle = await send({ type: 'mqttasgi.worker.spawn', command })
    gate.resolve()
    await receive()
  }
  const communicator = new MqttCommunicator(master, { instanceType: 'master' })
  await communicator.start()
  await gate.promise
  await communicator.publish('end', '')
  t.deepEqual(await handle?.ended, { type: 'stopped' })
  await communicator.disconnect()
})

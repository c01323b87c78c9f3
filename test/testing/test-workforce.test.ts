// The end of a consumer and of its workers in a test: as on a server, and nothing of them is left on the broker.
import test from 'ava'
import { MqttConsumer, type ConsumerMessage } from '../../lib/consumer/consumer.ts'
import type { RawApplication } from '../../lib/consumer/events.ts'
import { Deferred } from '../../lib/core/deferred.ts'
import { Router } from '../../lib/core/router.ts'
import type { WorkerHandle } from '../../lib/core/workforce.ts'
import { MqttCommunicator } from '../../lib/testing/communicator.ts'
import { MemoryBroker } from '../../lib/testing/memory-broker.ts'
import { crewedServer } from '../helpers/crewed-server.ts'
import { turns } from '../helpers/memory-server.ts'

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

test('what a server refuses is refused in a test, with the same code', async (t) => {
  class Pump extends MqttConsumer {}
  const spawns: readonly (readonly [id: unknown, options: object | null, application?: unknown])[] = [
    ['', {}],
    [5, {}],
    ['application', {}],
    ['0', {}],
    ['taken', {}],
    ['a', { instances: 0 }],
    ['a', { bogus: 1 }],
    ['a', { params: 5 }],
    ['a', { restart: 'nope' }],
    ['a', { memoryMb: 64 }],
    ['a', { mount: '#' }],
    ['a', { share: 'a/b' }],
    ['a', { thread: true }],
    ['a', { thread: true, params: { f: () => 1 } }, './pump.ts#Pump'],
    ['a', null],
    ['a', {}, {}],
    ['a', {}, 'app.consumers:Pump'],
  ]
  const kills: readonly (readonly [id: unknown, options: object])[] = [
    ['application', {}],
    ['0', {}],
    ['nobody', {}],
    ['taken', { subscriptions: 'kep' }],
    ['taken', { drainTimeoutMs: -5 }],
    ['taken', { bogus: 1 }],
  ]
  class Master extends MqttConsumer {
    codes: unknown[] = []
    override async connect(): Promise<void> {
      await this.spawn('taken', Pump)
      for (const [id, options, application = Pump] of spawns) {
        await this.#note(this.spawn(id as string, application as object, options as object))
      }
      for (const [id, options] of kills) await this.#note(this.kill(id as string, options))
      all.push(this.codes)
    }
    async #note(work: Promise<unknown>): Promise<void> {
      await work.then(
        () => this.codes.push('done'),
        (error: { readonly code?: unknown }) => this.codes.push(error.code),
      )
    }
  }
  const all: unknown[][] = []
  await crewedServer(t, Master)
  const communicator = new MqttCommunicator(Master, {
    instanceType: 'master',
    applications: { './pump.ts#Pump': Pump },
  })
  await communicator.start()
  await communicator.disconnect()
  const [onServer, inTest] = all
  t.false(onServer?.includes('done'))
  t.deepEqual(inTest, onServer)
})

test('options of a communicator that are none are refused', (t) => {
  class Pump extends MqttConsumer {}
  const cases: readonly (readonly [unknown, string, RegExp])[] = [
    [
      { instanceTyp: 'master' },
      'ERR_CONFIG_KEY',
      /^instanceTyp \(MqttCommunicator\): .*Did you mean instanceType/,
    ],
    [{ instanceType: 'boss' }, 'ERR_CONFIG_VALUE', /expected 'master' or 'worker', got "boss"/],
    [{ appId: '' }, 'ERR_CONFIG_VALUE', /^appId/],
    [{ attempts: 0 }, 'ERR_CONFIG_VALUE', /^attempts/],
    [{ params: 5 }, 'ERR_CONFIG_VALUE', /^params/],
    [{ broker: 'mqtt://localhost' }, 'ERR_CONFIG_VALUE', /expected a MemoryBroker/],
    [{ log: null }, 'ERR_CONFIG_VALUE', /^log/],
    [null, 'ERR_CONFIG_VALUE', /expects an object/],
    [{ instanceType: 'master', instances: 2 }, 'ERR_CONFIG_CONFLICT', /a master runs once/],
    [{ instanceType: 'master', share: 'g' }, 'ERR_CONFIG_CONFLICT', /a master runs once/],
  ]
  for (const [options, code, message] of cases) {
    t.throws(() => new MqttCommunicator(Pump, options as object), { code, message })
  }
})

class Counter extends MqttConsumer<{ to: (line: string) => void }> {
  static made = 0
  readonly number = Counter.made++
  override async connect(): Promise<void> {
    await this.subscribe('jobs/+kind')
  }
  override receive({ topic }: ConsumerMessage): void {
    this.scope.params.to(`${this.scope.appId} ${this.number} ${topic}`)
  }
}

test('instances of a worker run side by side: each message comes to one, those of a topic to the same', async (t) => {
  const lines: string[] = []
  class Master extends MqttConsumer {
    override async connect(): Promise<void> {
      await this.spawn('w', Counter, {
        instances: 2,
        params: { to: (line: string) => void lines.push(line) },
      })
    }
  }
  const broker = new MemoryBroker()
  const master = new MqttCommunicator(Master, { instanceType: 'master', broker })
  await master.start()
  for (const kind of ['a', 'b', 'c', 'd', 'a', 'b', 'c', 'd']) broker.publish(`jobs/${kind}`, '')
  await turns()
  t.is(lines.length, 8)
  t.is(new Set(lines).size, 4)
  t.is(new Set(lines.map((line) => line.split(' ')[1])).size, 2)
  await master.disconnect()
})

test('workers with a group share what comes, in a test as well', async (t) => {
  const lines: string[] = []
  class Master extends MqttConsumer {
    override async connect(): Promise<void> {
      const params = { to: (line: string) => void lines.push(line) }
      for (const id of ['one', 'two']) await this.spawn(id, Counter, { share: 'crew', params })
    }
  }
  const broker = new MemoryBroker()
  const master = new MqttCommunicator(Master, { instanceType: 'master', broker })
  await master.start()
  t.deepEqual([...master.worker('one').transport.subscriptions.keys()], ['$share/crew/jobs/+'])
  for (let i = 0; i < 4; i++) broker.publish(`jobs/${i}`, '')
  await turns()
  t.is(lines.length, 4)
  t.is(new Set(lines.map((line) => line.split(' ')[0])).size, 2)
  await master.disconnect()
})

test('a worker ends with the first of its instances, and each of them is told', async (t) => {
  const told: string[] = []
  class Mortal extends MqttConsumer {
    override connect(): void {
      this.topic('die/#', () => setImmediate(() => this.topic('own', { noLocal: true }, () => {})))
    }
    override disconnect({ type }: { readonly type: string }): void {
      told.push(type)
    }
  }
  const communicator = new MqttCommunicator(Mortal, { instances: 2, share: 'g' })
  await communicator.start()
  await communicator.publish('die/now')
  t.like(await communicator.ended, { code: 'ERR_WORKER_OPTION' })
  await communicator.disconnect()
  t.deepEqual(told, ['stopped', 'stopped'])
  const conflicting = Router().topic('own', { noLocal: true }, () => {})
  t.throws(() => new MqttCommunicator(conflicting, { share: 'g' }), { code: 'ERR_WORKER_OPTION' })
})

test('a message for an instance that has ended fails, and does not wait', async (t) => {
  const brief: RawApplication = async (_scope, receive, send) => {
    await receive()
    await send({ type: 'mqtt.sub', mqtt: { topic: 'jobs/+' } })
    await receive()
  }
  const communicator = new MqttCommunicator(brief, { instances: 2, appId: 'w' })
  await communicator.start()
  for (let i = 0; i < 4; i++) await communicator.publish('jobs/same')
  t.is(await communicator.ended, undefined)
  await communicator.receiveFrom()
  await communicator.receiveFrom()
  await t.throwsAsync(communicator.receiveFrom(), {
    code: 'ERR_WORKER_STOPPED',
    message: /Worker "w" has ended/,
  })
  await communicator.disconnect()
})

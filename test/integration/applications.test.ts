// Whatever can be run is what serve() takes: how it ends decides how the server does.
import test from 'ava'
import { MqttConsumer, serve, type DisconnectReason, type RawApplication } from '../../lib/index.ts'
import { silentLog } from '../../lib/core/log.ts'
import { MemoryTransport } from '../../lib/testing/index.ts'

const quiet = { log: silentLog, deadLetter: { store: 'none' } } as const

test('a consumer whose connect() throws ends the server with what it threw', async (t) => {
  class Unable extends MqttConsumer {
    override connect(): void {
      throw new Error('not today')
    }
  }
  const transport = new MemoryTransport()
  const outcome = await serve(Unable, { ...quiet, transport }).then(
    (server) => server.closed,
    (error: Error) => ({ error }),
  )
  t.like(outcome.error, { code: 'ERR_APPLICATION_FAILED' })
  t.regex(outcome.error?.message ?? '', /not today/)
})

test('a consumer whose constructor throws is not served, and nothing is left open', async (t) => {
  class Broken extends MqttConsumer {
    constructor() {
      super()
      throw new Error('not even that')
    }
  }
  await t.throwsAsync(serve(Broken, { ...quiet, transport: new MemoryTransport() }), {
    message: /not even that/,
  })
})

test('a raw application that returns has done its work, and the server stops', async (t) => {
  const raw: RawApplication = async (_scope, receive, send) => {
    await receive()
    await send({ type: 'mqtt.pub', mqtt: { topic: 'said', payload: 'all' } })
  }
  const transport = new MemoryTransport()
  const server = await serve(raw, { ...quiet, transport })
  const { error, stop } = await server.closed
  t.is(error, undefined)
  t.true(stop.clean)
})

test('a consumer that is the application spawns and ends workers, and its workers may not', async (t) => {
  const said: string[] = []
  class Worker extends MqttConsumer {
    override async connect(): Promise<void> {
      await this.spawn('another', Worker).catch(({ code }: { code: string }) => said.push(code))
      said.push(`${String(this.scope.appId)} ${this.scope.instanceType} ${JSON.stringify(this.scope.params)}`)
    }

    override disconnect({ type }: DisconnectReason): void {
      said.push(type)
    }
  }
  class Master extends MqttConsumer {
    override async connect(): Promise<void> {
      const { ended } = await this.spawn('one', Worker, { params: { unit: 'C' } })
      await this.kill('one')
      said.push((await ended).type)
    }
  }
  const server = await serve(Master, { ...quiet, transport: new MemoryTransport() })
  t.teardown(() => server.stop())
  while (said.length < 4) await new Promise((resolve) => setImmediate(resolve))
  t.deepEqual(said, ['ERR_WORKER_FORBIDDEN', 'one worker {"unit":"C"}', 'killed', 'killed'])
})

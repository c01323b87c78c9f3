// Workers that are ended, or whose server is, while they are still being started, and those that take their time to go.
import test from 'ava'
import { asHostable } from '../../lib/consumer/hostable.ts'
import { silentLog } from '../../lib/core/log.ts'
import { masterScope } from '../../lib/core/scope.ts'
import { mqttasgi, MqttConsumer } from '../../lib/index.ts'
import { Crew } from '../../lib/workers/crew.ts'
import { InProcessHost } from '../../lib/workers/in-process.ts'
import { crewedServer } from '../helpers/crewed-server.ts'
import { turns } from '../helpers/memory-server.ts'
import { stageServer } from '../helpers/staged-server.ts'
import { within } from '../integration/tally.ts'

const programs = new URL('programs/', import.meta.url).pathname
const endless = `${programs}endless.ts#endless`

test('kill() ends a thread that is being started, and its id is free', async (t) => {
  const { server } = await crewedServer(t, mqttasgi())
  const spawned = server.spawn('one', endless, { thread: true, instances: 2 })
  await within(10_000, 'the end of the worker', server.kill('one'))
  await t.throwsAsync(spawned, { code: 'ERR_RECEIVER_DETACHED', message: /kill\(\)/ })
  t.deepEqual(server.workers(), [])
  await server.spawn('one', mqttasgi())
})

test('stop() ends a thread that is being started', async (t) => {
  const { server } = await crewedServer(t, mqttasgi())
  const spawned = server.spawn('one', endless, { thread: true })
  await within(10_000, 'the end of the server', server.stop())
  await t.throwsAsync(spawned, { code: 'ERR_STOPPED', message: /the server stops/ })
})

test('whoever takes the place of a consumer that was killed waits for its disconnect()', async (t) => {
  const { clock, server } = stageServer(t, mqttasgi())
  await server.start()
  const told: string[] = []
  class Quick extends MqttConsumer {
    override connect(): void {
      told.push('connect')
    }
  }
  class Slow extends Quick {
    override async disconnect(): Promise<void> {
      await new Promise<void>((resolve) => clock.after(4_000, resolve))
      told.push('disconnected')
    }
  }
  const identity = { id: 'one', mount: '', scope: masterScope, log: silentLog, clock }
  const crew = new Crew({
    place: Promise.resolve(server),
    hostFor: async ({ application }) => new InProcessHost(asHostable(application, 'It'), identity),
    clock,
    random: () => 1,
    log: silentLog,
    exit: () => t.fail(),
  })
  t.teardown(() => crew.close())
  await crew.spawn('one', Slow)
  const again = crew.kill('one', { drainTimeoutMs: 0 }).then(() => crew.spawn('one', Quick))
  for (let second = 0; second < 5; second++) {
    await turns()
    clock.advance(1_000)
  }
  await again
  t.deepEqual(told, ['connect', 'disconnected', 'connect'])
})

test('a slip of the pen in the options of kill() does not cost the messages that were to be kept', async (t) => {
  const { server, transport } = await crewedServer(t, mqttasgi())
  await server.spawn(
    'pump',
    mqttasgi().topic('pumps/1', () => {}),
  )
  const slip = { subscriptions: 'kep' } as unknown as { subscriptions: 'keep' }
  await t.throwsAsync(server.kill('pump', slip), { code: 'ERR_WORKER_OPTION', message: /'keep', got "kep"/ })
  t.like(server.workers(), [{ id: 'pump', state: 'running' }])
  t.true(transport.subscriptions.has('pumps/1'))
})

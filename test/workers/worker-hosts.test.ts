import test from 'ava'
import { silentLog } from '../../lib/core/log.ts'
import { asHostable } from '../../lib/consumer/hostable.ts'
import { nativeLoader } from '../../lib/native-loader.ts'
import { systemClock } from '../../lib/system-clock.ts'
import { resolveWorkerOptions } from '../../lib/config/worker.ts'
import type { WorkerOptions } from '../../lib/core/workforce.ts'
import type { Incarnation } from '../../lib/workers/host.ts'
import { workerHost } from '../../lib/workers/worker-hosts.ts'
import { mqttasgi } from '../../lib/index.ts'
import type { ConnectClient } from '../../lib/index.ts'
import { recordingClient, session } from '../helpers/worker-place.ts'

const programs = new URL('programs/', import.meta.url).pathname

async function start(application: string | object, options: WorkerOptions = {}): Promise<Incarnation> {
  const host = await workerHost(
    { ...resolveWorkerOptions(options), id: 'one', application },
    {
      identity: { log: silentLog, clock: systemClock },
      loader: nativeLoader,
      asHostable,
      threadEntry: new URL('programs/thread.ts', import.meta.url),
    },
  )
  return host.start(new AbortController().signal)
}

test('a path as the Python server has it is refused with the form that is meant', async (t) => {
  await t.throwsAsync(start('my_app.consumers:Pump'), {
    code: 'ERR_WORKER_APPLICATION',
    message: /Write the file and its export: \.\/my_app\/consumers\.ts#Pump/,
  })
})

test('a thread can only load a file', async (t) => {
  await t.throwsAsync(start(mqttasgi(), { thread: true }), {
    code: 'ERR_WORKER_APPLICATION',
    message: /'\.\/file\.ts#name'/,
  })
})

test('what can not be run is refused', async (t) => {
  await t.throwsAsync(start({}), { code: 'ERR_APPLICATION_INVALID', message: /worker "one"/ })
})

for (const thread of [false, true]) {
  test(`a file that can not be loaded is said with the worker it is for ${thread ? 'in a thread' : 'in this thread'}`, async (t) => {
    await t.throwsAsync(start(`${programs}nowhere.ts`, { thread }), {
      code: 'ERR_APPLICATION_FILE',
      message: /^Worker "one": the application .*nowhere\.ts can not be read/,
    })
    await t.throwsAsync(start(`${programs}contract.ts#nothing`, { thread }), {
      code: 'ERR_APPLICATION_EXPORT',
      message: /^Worker "one": .*contract\.ts has no export named nothing/,
    })
  })
}

test('a mount that does not fit is said with the worker it is for', async (t) => {
  await t.throwsAsync(start(`${programs}contract.ts#app`, { mount: 'a/+room' }), {
    code: 'ERR_WORKER_OPTION',
    message: /Worker "one" can not be mounted under "a\/\+room"/,
  })
})

test('a worker may neither spawn nor end others', async (t) => {
  const app = mqttasgi()
  let given: ConnectClient | undefined
  app.onConnect((client) => void (given = client))
  const { receiver } = await start(app)
  await receiver.connected(recordingClient(), session)
  await t.throwsAsync(given!.spawn('two', './two.ts'), { code: 'ERR_WORKER_FORBIDDEN' })
  await t.throwsAsync(given!.kill('two'), { code: 'ERR_WORKER_FORBIDDEN' })
  t.deepEqual(given!.workers(), [])
})
